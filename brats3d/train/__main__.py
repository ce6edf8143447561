"""``python -m brats3d.train``: from a store and a recipe to a trained model."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from brats3d.console import call, run, text_table
from brats3d.train.training import train_model
from brats3d.train.training_result import TrainingResult


def _show(result: TrainingResult) -> str:
    regions = list(result.test_mean)
    rows = [[case, *scores.values(), None] for case, scores in result.test.items()]
    rows.append(["mean", *result.test_mean.values()])
    table = text_table(["test case", *(f"dice {r}" for r in regions)], rows)
    best = ", ".join(f"{r} {v:.3f}" for r, v in result.validation.items())
    return f"{table}\n{result.run}/best.keras is epoch {result.best_epoch} of {result.epochs} (validation dice: {best})"


def main(argv: Sequence[str] | None = None) -> int:
    """Train a network."""
    return call(
        train_model,
        argv,
        example="python -m brats3d.train STORE --recipe cpu_small --fold 0 --out RUN",
        show=_show,
        prog="python -m brats3d.train",
    )


if __name__ == "__main__":
    sys.exit(run(main))
