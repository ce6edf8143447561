"""The train command on the JAX backend, in fresh processes; what it saves opens on TensorFlow, and two devices equal one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import rows

import brats3d
from brats3d.cases import load_split
from brats3d.errors import ModelError
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


TWO_DEVICES = """
import json, sys
from pathlib import Path
import keras
from brats3d.console import run
from brats3d.models import load_model
from brats3d.store import open_store
from brats3d.train import read_recipe
from brats3d.train.__main__ import main
from brats3d.train.devices import pick_devices
from brats3d.train.run import _stock_networks
from brats3d.train.validation import Scorer

runs = json.loads(sys.argv[1])
found = {"picked": list(pick_devices(2).names), "codes": {name: run(main, given) for name, given in runs.items()}}
found["left"] = keras.distribution.distribution() is None
best, store = load_model("two/best.keras"), open_store(sys.argv[2])
found["after"] = len(best.network.weights[0].value.devices())
from brats3d.patches import BatchSettings, Learnt, plan_patches
plan = plan_patches(store, list(store), BatchSettings(), Learnt())
two = _stock_networks(read_recipe("two/recipe.toml"), plan, pick_devices(2))
for device, network in two.items():
    with keras.device(device):
        network.set_weights(best.network.get_weights())
found["devices"] = [sorted(str(d) for d in network.weights[0].value.devices()) for network in two.values()]
cases = sorted(store)[:3]
scores = [Scorer(store, best.card, networks).score(cases) for networks in ({"cpu:0": best.network}, two)]
found["scores"] = [[row.dice for rows in s.values() for row in rows.values()] for s in scores]
json.dump(found, open("found.json", "w"))
"""
SHARED = {
    "network.options": "{base_filters=2, depth=2, segmentation_levels=1, dropout=0.0}",
    "optimiser.name": "sgd",
    "optimiser.learning_rate": 0.05,
    "schedule.name": "constant",
    "training.epochs": 2,
    "training.validate_every": 1,
    "training.health_steps": 2,
    "data.batches": 2,
    "data.batch_size": 2,
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a process on JAX needs; without the cache every initialiser of every layer is compiled again for each network."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed; run: pip install 'brats3d[jax]'")
    return {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": str(Path(brats3d.__file__).parents[1]),
    }


def test_two_devices_on_jax_train_and_score_as_one_does(
    store: Path, arguments: Callable[[Path, dict[str, Any]], list[str]], tmp_path: Path, environment: dict[str, str]
) -> None:
    runs = {name: arguments(Path(name), {**SHARED, "training.replicas": n}) for name, n in (("one", 1), ("two", 2))}
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, json.dumps(runs), str(store)], cwd=tmp_path, check=False, timeout=900,
        env={**environment, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "SingleDeviceSharding" not in done.stderr, "networks of one device got into the distribution, or the other way"
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert (found["picked"], found["codes"]) == (["cpu:0", "cpu:1"], {"one": 0, "two": 0})
    assert found["left"], "the distribution outlived the run"
    assert found["after"] == 1
    assert [len(devices) for devices in found["devices"]] == [1, 1]
    assert found["devices"][0] != found["devices"][1]
    assert found["scores"][0] == pytest.approx(found["scores"][1], abs=1e-6)

    from brats3d.models import load_model

    one, two = (load_model(tmp_path / name / "last.keras").network.get_weights() for name in ("one", "two"))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(second, first, atol=1e-5)
    logs = [rows(tmp_path / name / "log.csv") for name in ("one", "two")]
    for column in ("loss", "val_dice_mean"):
        assert [float(r[column]) for r in logs[1]] == pytest.approx([float(r[column]) for r in logs[0]], abs=1e-4)


def test_a_run_on_jax_ends_and_its_model_opens_on_tensorflow(
    store: Path,
    arguments: Callable[[Path, dict[str, Any]], list[str]],
    tmp_path: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "brats3d.train", *arguments(out, SETTINGS)]
    done = subprocess.run(command, env=environment, check=False, timeout=900, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    from brats3d.models import load_model
    from brats3d.train.state import load_state
    from brats3d.train.validation import Scorer

    best, last = load_model(out / "best.keras"), load_model(out / "last.keras")
    assert best.card.created_with.endswith("jax")
    log = rows(out / "log.csv")
    assert len(log) == 2
    assert all(np.isfinite(float(row["loss"])) for row in log)
    # The state at the last epoch's end holds the weights that were saved then: JAX keeps its own until it is asked.
    with pytest.raises(ModelError, match="this state was made on the jax backend, but the backend is tensorflow"):
        load_state(out / "checkpoint")
    monkeypatch.setattr("brats3d.train.state._check_backend", lambda *_: None)
    epochs, values, record = load_state(out / "checkpoint")
    assert (epochs, record["best_epoch"] is not None) == (2, True)
    for weight in last.network.get_weights():
        assert any(np.array_equal(weight, value) for value in values if value.shape == weight.shape)
    # TensorFlow scores a validation case as JAX did, but for a voxel at the threshold.
    (case,) = load_split(out / "split.json").folds[0].validation
    found = Scorer(open_store(store), best.card, {"cpu:0": best.network}).score([case])[case]
    expected = {row["region"]: float(row["dice"]) for row in rows(out / "validation" / "scores.csv")}
    assert {region: row.dice for region, row in found.items()} == pytest.approx(expected, abs=0.01)
