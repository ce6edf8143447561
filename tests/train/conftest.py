"""A small store of phantoms, and runs on it that take seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brats3d.phantom import write_cohort
from brats3d.preprocess import build_store

TINY: dict[str, Any] = {
    "network.options": "{base_filters=2, depth=2, segmentation_levels=1}",
    "data.patch_size": [8, 8, 8],
    "data.spacing_mm": 7.5,
    "data.batches": 10,
    "training.epochs": 4,
    "training.validate_every": 3,
    "training.health_steps": 0,
    "prediction.flips": [],
}


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten phantoms of 32 × 32 × 21 voxels."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_cohort(folder / "scans", cases=10, shape=(32, 32, 21), seed=0)
    build_store(folder / "scans", out=folder / "store", workers=1)
    return folder / "store"


@pytest.fixture(scope="session")
def arguments(store: Path) -> Callable[..., list[str]]:
    """Return the arguments of a tiny run: its folder, and the settings that differ from `TINY`."""

    def arguments_of(out: Path, settings: dict[str, Any]) -> list[str]:
        listed = [f"{key}={value}" for key, value in {**TINY, **settings}.items()]
        return [str(store), "--out", str(out), "--recipe", "cpu_small", "--quiet", "--settings", *listed]

    return arguments_of


@pytest.fixture(scope="session")
def train(store: Path) -> Callable[..., Any]:
    """Run `train_model` in this process: on the settings that differ from `TINY`, or going on where there are none."""
    from brats3d.train import train_model

    def run(out: Path, settings: dict[str, Any] | None = None, **more: Any) -> Any:
        if settings is None:
            return train_model(store, out=out, resume=True, **more)
        listed = tuple(f"{key}={value}" for key, value in {**TINY, **settings}.items())
        return train_model(store, out=out, recipe="cpu_small", settings=listed, **more)

    return run
