"""``python -m brats3d.preprocess``: from a folder of scans to a store."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from brats3d.console import call, run
from brats3d.preprocess.build import StoreReport, build_store


def _show(report: StoreReport) -> str:
    return (
        f"{report.store}: {len(report.written)} cases written, {len(report.kept)} kept, {len(report.refused)} refused\n"
        f"list them: python -m brats3d.store {report.store}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Build a store."""
    return call(
        build_store,
        argv,
        example="python -m brats3d.preprocess MICCAI_BraTS2020_TrainingData --out STORE",
        show=_show,
        prog="python -m brats3d.preprocess",
        defaults={"workers": None},  # one per core: here, unlike in a caller's script, a spawned process finds a guarded main
    )


if __name__ == "__main__":
    sys.exit(run(main))
