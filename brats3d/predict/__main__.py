"""``python -m brats3d.predict``: from scans to masks on the scans' own grids."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from brats3d.console import call, run
from brats3d.predict.predicted_folders import Predictions, predict_cases


def _show(report: Predictions) -> str:
    lines = [
        f"{report.out}: {len(report.predicted)} masks written, {len(report.kept)} kept, {len(report.refused)} cases refused"
    ]
    sets = sorted(set(report.label_sets.values()))
    lines += [f"label set: {sets[0]}"] if len(sets) == 1 else []
    lines += [f"label sets: {', '.join(sets)}; predictions.json has each case's"] if len(sets) > 1 else []
    lines += [f"for the validation server: {report.archive}"] if report.archive else []
    lines += [f"score them: python -m brats3d.evaluate {report.out} REFERENCES --out SCORES"] if report.label_sets else []
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Predict cases."""
    return call(
        predict_cases,
        argv,
        example="python -m brats3d.predict RUN/best.keras STORE --cases RUN/split.json:test --out MASKS",
        show=_show,
        prog="python -m brats3d.predict",
    )


if __name__ == "__main__":
    sys.exit(run(main))
