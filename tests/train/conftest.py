"""A small store of phantoms, and runs on it that take seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_folders import PLAIN, Arguments, Train

from brats3d.console import run
from brats3d.phantom import write_cohort
from brats3d.preprocess import build_store

TINY: dict[str, Any] = {
    "network.options": {"base_filters": 2, "depth": 2, "segmentation_levels": 1},
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
    build_store(folder / "scans", out=folder / "store")
    return folder / "store"


def as_text(value: Any) -> str:
    """Return a value as it is written on a command line."""
    return "{" + ", ".join(f"{k}={v}" for k, v in value.items()) + "}" if isinstance(value, dict) else str(value)


@pytest.fixture(scope="session")
def arguments(store: Path) -> Callable[..., list[str]]:
    """Return the arguments of a tiny run: its folder, and the settings that differ from `TINY`."""

    def arguments_of(out: Path, settings: dict[str, Any]) -> list[str]:
        listed = [f"{key}={as_text(value)}" for key, value in {**TINY, **settings}.items()]
        return [str(store), "--out", str(out), "--recipe", "cpu_small", "--quiet", "--settings", *listed]

    return arguments_of


@pytest.fixture(scope="session")
def train(store: Path) -> Callable[..., Any]:
    """Run `train_model` in this process: on the settings that differ from `TINY`, or continuing if there are none."""
    from brats3d.train import train_model

    def train_tiny(out: Path, settings: dict[str, Any] | None = None, *, asked: Any = None, **more: Any) -> Any:
        if settings is None:
            return train_model(store, out=out, resume=True, settings=asked, **more)
        return train_model(store, out=out, recipe="cpu_small", settings={**TINY, **settings}, **more)

    return train_tiny


@pytest.fixture(scope="session")
def doomed(tmp_path_factory: pytest.TempPathFactory, arguments: Arguments) -> tuple[Path, int, set[str]]:
    """A run that cannot learn: its folder, its exit code, and what it left there."""
    from brats3d.train.__main__ import main

    out = tmp_path_factory.mktemp("plain") / "run"
    settings = {**PLAIN, "training.health_steps": 3, "optimiser.learning_rate": 1e-9}
    code = run(main, arguments(out, settings))
    return out, code, {p.name for p in out.iterdir()}


@pytest.fixture(scope="session")
def told() -> list[dict[str, float]]:
    """What a callback that comes after the run's own is told at each epoch's end of the plain run."""
    return []


@pytest.fixture(scope="session")
def plain(doomed: tuple[Path, int, set[str]], train: Train, told: list[dict[str, float]]) -> Any:
    """Four undisturbed epochs with Adam and dropout, in the folder that the doomed run left."""
    import keras

    from brats3d.train import run as module

    own = module.extra_callbacks
    listener = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: told.append(dict(logs)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "extra_callbacks", lambda *given: [*own(*given), listener])
        return train(doomed[0], PLAIN)
