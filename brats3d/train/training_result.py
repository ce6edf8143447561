"""The result of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run.

    Attributes:
        run: the run's folder.
        epochs: epochs finished.
        best_epoch: the epoch of ``best.keras``, from 1.
        validation: region → mean Dice of that epoch's painted labels, and ``mean``.
        test: case → region → Dice of ``best.keras`` on the fold's test cases.
        test_mean: region → mean Dice over them, and ``mean``.
    """

    run: str
    epochs: int
    best_epoch: int
    validation: dict[str, float]
    test: dict[str, dict[str, float]]
    test_mean: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return asdict(self)
