"""``python -m brats3d.demo``: the whole chain on synthetic heads."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from brats3d.console import call, run
from brats3d.demo.journey import DemoResult, run_demo


def _show(result: DemoResult) -> str:
    scores = ", ".join(f"{region} {value:.3f}" for region, value in result.dice.items())
    return (
        f"mean Dice on {len(result.test_cases)} synthetic test heads: {scores}\n"
        f"look at {result.picture}; in ITK-SNAP or Slicer, lay {result.out}/masks/CASE.nii.gz over {result.out}/scans/CASE\n"
        f"training curves: {result.out}/run/curves.png; every score: {result.out}/scores/scores.csv\n"
        f"the model: {result.model}\n"
        "These are synthetic heads, made by a formula: the scores show that the chain works, not how it performs on patients."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo."""
    return call(run_demo, argv, example="python -m brats3d.demo --out demo", show=_show, prog="python -m brats3d.demo")


if __name__ == "__main__":
    sys.exit(run(main))
