"""What the tests of whole runs share: the runs' settings, and how two runs are compared."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Train = Callable[..., Any]
Arguments = Callable[[Path, dict[str, Any]], list[str]]

PLAIN = {"data.batches": 30, "schedule.name": "poly", "prediction.flips": [1]}
AVERAGED = {"data.batches": 30, "schedule.name": "exponential", "optimiser.ema": 0.9, "training.seed": 3}
CHANGING = {"seconds", "waiting", "peak_mb"}
"""Columns of log.csv that no two runs share."""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def same_rows(path: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in CHANGING} for row in rows(path)]


def weights(path: Path) -> list[np.ndarray]:
    from brats3d.models import load_model

    return list(load_model(path).network.get_weights())


def last_state(folder: Path) -> tuple[int, list[np.ndarray], dict[str, Any]]:
    from brats3d.train.state import load_state

    return load_state(folder / "checkpoint")


def files(folder: Path) -> list[str]:
    """The names in a run's folder, but for TensorBoard's: a resumed run adds a file of events, named by the clock."""
    return sorted(path.name for path in folder.rglob("*") if not path.name.startswith("events.out.tfevents"))


def assert_the_same_run(found: Path, expected: Path, epochs: int = 4) -> None:
    for name in ("last.keras", "best.keras"):
        assert all(np.array_equal(a, b) for a, b in zip(weights(found / name), weights(expected / name), strict=True)), name
    (first, values, record), (second, others, _) = last_state(found), last_state(expected)
    assert first == second == epochs
    assert all(np.array_equal(a, b) for a, b in zip(values, others, strict=True))
    assert [row["epoch"] for row in record["log"]] == list(range(1, epochs + 1))
    assert same_rows(found / "log.csv") == same_rows(expected / "log.csv")
    for part in ("validation", "test"):
        assert rows(found / part / "scores.csv") == rows(expected / part / "scores.csv")
    assert files(found) == files(expected)
