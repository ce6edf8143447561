"""``python -m brats3d.evaluate``: from masks and references to scores."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from brats3d.console import call, run, text_table
from brats3d.evaluate.command import evaluate_cases
from brats3d.evaluate.report import Evaluation
from brats3d.regions import REGIONS

COUNTS = ("empty_references", "penalties")


def _show(evaluation: Evaluation) -> str:
    regions = [region for region in REGIONS if any(region in rows for rows in evaluation.scores.values())]
    header = ["case", *(f"dice {r}" for r in regions), *(f"hd95 {r}" for r in regions)]
    rows = [
        [case, *(getattr(scores[r], metric) if r in scores else None for metric in ("dice", "hd95_mm") for r in regions)]
        for case, scores in evaluation.scores.items()
    ]
    summary = evaluation.summary
    means = [
        [region, *(spread[metric][value] for metric in ("dice", "hd95_mm") for value in ("mean", "sd", "median")),
         spread["sensitivity"]["mean"], spread["precision"]["mean"], *(spread[c] for c in ("cases", *COUNTS))]
        for region, spread in summary["regions"].items()
    ]  # fmt: skip
    columns = ["region", "dice mean", "sd", "median", "hd95 mean", "sd", "median", "sensitivity", "precision"]
    return "\n".join(
        [
            text_table(header, rows),
            "",
            text_table([*columns, "cases", *(c.replace("_", " ") for c in COUNTS)], means),
            "",
            f"protocol {evaluation.protocol}; HD95: {summary['hd95']}",
            f"{len(evaluation.scores)} cases scored, {len(evaluation.refused)} refused; written: {evaluation.out}/scores.csv",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate predictions."""
    return call(
        evaluate_cases,
        argv,
        example="python -m brats3d.evaluate PREDICTIONS MICCAI_BraTS2020_TrainingData --out SCORES",
        show=_show,
        prog="python -m brats3d.evaluate",
    )


if __name__ == "__main__":
    sys.exit(run(main))
