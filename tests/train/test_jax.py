"""The train command on the JAX backend, in one fresh process; what it saves opens on TensorFlow."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brats3d
from brats3d.cases import load_split
from brats3d.store import open_store

pytest.importorskip("tensorflow")
pytestmark = [pytest.mark.network, pytest.mark.slow]

SETTINGS = {
    "data.batches": 2,
    "training.epochs": 2,
    "training.validate_every": 1,
    "training.health_steps": 2,
    "schedule.name": "plateau",
    "schedule.patience": 1,
    "optimiser.learning_rate": 1e-4,
}


def test_a_run_on_jax_ends_and_its_model_opens_on_tensorflow(
    store: Path, arguments: Callable[[Path, dict[str, Any]], list[str]], tmp_path: Path
) -> None:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed; run: pip install 'brats3d[jax]'")
    out = tmp_path / "run"
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        # Without it every initialiser of every layer is compiled again for each of the run's networks.
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": str(Path(brats3d.__file__).parents[1]),
    }
    command = [sys.executable, "-m", "brats3d.train", *arguments(out, SETTINGS)]
    done = subprocess.run(command, env=environment, check=False, timeout=900, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    from brats3d.models import load_model
    from brats3d.train.state import load_state
    from brats3d.train.validation import Scorer

    best, last = load_model(out / "best.keras"), load_model(out / "last.keras")
    assert best.card.created_with.endswith("jax")
    with (out / "log.csv").open() as stream:
        log = list(csv.DictReader(stream))
    assert len(log) == 2
    assert all(np.isfinite(float(row["loss"])) for row in log)
    # The state at the last epoch's end holds the weights that were saved then: JAX keeps its own until it is asked.
    epochs, values, record = load_state(out / "checkpoint")
    assert (epochs, record["best_epoch"] is not None) == (2, True)
    for weight in last.network.get_weights():
        assert any(np.array_equal(weight, value) for value in values if value.shape == weight.shape)
    # TensorFlow scores a validation case as JAX did, but for a voxel at the threshold.
    (case,) = load_split(out / "split.json").folds[0].validation
    found = Scorer(open_store(store), best.card, {"cpu:0": best.network}).score([case])[case]
    with (out / "validation" / "scores.csv").open() as stream:
        expected = {row["region"]: float(row["dice"]) for row in csv.DictReader(stream)}
    assert {region: row.dice for region, row in found.items()} == pytest.approx(expected, abs=0.01)
