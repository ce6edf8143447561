"""Two devices: which are picked, what they cannot share, and that they train and score as one does. In a fresh process."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brats3d
from brats3d.errors import OptionError

pytest.importorskip("tensorflow")
pytestmark = [pytest.mark.network, pytest.mark.slow]

SCRIPT = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from brats3d.console import run
from brats3d.console.values import key_values
from brats3d.errors import OptionError
from brats3d.models import load_model
from brats3d.store import open_store
from brats3d.train import change_recipe, read_recipe, train_model
from brats3d.train.__main__ import main
from brats3d.train.devices import pick_devices
from brats3d.train.learning_network import learning_network
from brats3d.train.run import _stock_networks
from brats3d.train.state import restore, snapshot
from brats3d.train.validation import Scorer

runs = json.loads(sys.argv[1])
found = {"picked": {n: list(pick_devices(n).names) for n in (0, 1, 2)}}
found["replicas"] = pick_devices(2).strategy.num_replicas_in_sync
try:
    pick_devices(3)
except OptionError as refusal:
    found["too many"] = str(refusal)
found["codes"] = {name: run(main, arguments) for name, arguments in runs.items()}

def stop(*_):
    raise KeyboardInterrupt

settings = runs["dropped"][runs["dropped"].index("--settings") + 1:]
try:
    train_model(sys.argv[2], out="stopped", recipe="cpu_small", settings=key_values("settings", settings), progress=stop)
except KeyboardInterrupt:
    train_model(sys.argv[2], out="stopped", resume=True)

import numpy as np
from brats3d.patches import BatchSettings, Learnt, plan_patches
plan = plan_patches(open_store(sys.argv[2]), list(open_store(sys.argv[2])), BatchSettings(), Learnt())
pair = pick_devices(2)
half = change_recipe(read_recipe("two/recipe.toml"), {"network.options.dropout": 0.5})
with pair.scope():
    learning = learning_network(half, 4, plan.target, pair)
sample = tf.constant(np.random.default_rng(0).normal(size=(1, 8, 8, 8, 4)).astype("float32"))
step = tf.function(lambda: pair.strategy.run(lambda: learning(sample, training=True)))

def outputs():
    return [np.array(v) for v in pair.strategy.experimental_local_results(step())]

before = snapshot(learning)
first, second = outputs(), outputs()
with pair.scope():
    restore(learning, before)
again = outputs()
found["replicas differ"] = bool(np.abs(first[0] - first[1]).max() > 1e-3)
found["steps differ"] = bool(np.abs(first[0] - second[0]).max() > 1e-3)
found["restored"] = all(np.array_equal(a, b) for a, b in zip(first, again))

best, store = load_model("two/best.keras"), open_store(sys.argv[2])
two = _stock_networks(read_recipe("two/recipe.toml"), plan, pick_devices(2))
for network in two.values():
    network.set_weights(best.network.get_weights())
found["devices"] = [str(network.weights[0].value.device) for network in two.values()]
cases = sorted(store)[:5]
scores = [Scorer(store, best.card, networks).score(cases) for networks in ({"cpu:0": best.network}, two)]
found["scores"] = [[(c, region, row.dice, row.hd95_mm) for c, rows in s.items() for region, row in rows.items()]
    for s in scores]
json.dump(found, open("found.json", "w"))
"""
SGD = {
    "optimiser.name": "sgd",
    "optimiser.learning_rate": 0.05,
    "schedule.name": "constant",
    "training.epochs": 1,
    "data.batches": 3,
    "data.batch_size": 2,
}
DROPPED, KEPT = (f"{{base_filters=2, depth=2, segmentation_levels=1, dropout={rate}}}" for rate in (0.3, 0.0))
RUNS = {
    "one": {"network.options": KEPT, "training.replicas": 1},
    "two": {"network.options": KEPT, "training.replicas": 2},
    # The check before the first epoch learns too; it has to leave no trace.
    "dropped": {"network.options": DROPPED, "training.replicas": 2, "training.health_steps": 2, "training.epochs": 2},
    "odd": {"network.options": DROPPED, "training.replicas": 2, "data.batch_size": 3},
}


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, store: Path, arguments: Callable[..., list[str]]
) -> tuple[Path, dict[str, Any], str]:
    """The runs' folder, what the process found, and what it said on standard error."""
    folder = tmp_path_factory.mktemp("devices")
    runs = {name: arguments(Path(name), {**SGD, **settings}) for name, settings in RUNS.items()}
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": str(Path(brats3d.__file__).parents[1]),
    }
    command = [sys.executable, "-c", SCRIPT, json.dumps(runs), str(store)]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, timeout=900, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    return folder, json.loads((folder / "found.json").read_text(encoding="utf-8")), done.stderr


def weights(run: Path) -> np.ndarray:
    from brats3d.models import load_model

    return np.concatenate([w.ravel() for w in load_model(run / "last.keras").network.get_weights()])


def loss(run: Path) -> float:
    with (run / "log.csv").open() as stream:
        return float(next(csv.DictReader(stream))["loss"])


def test_the_devices_asked_for_are_picked(folder: tuple[Path, dict[str, Any], str]) -> None:
    found = folder[1]
    assert found["picked"] == {"0": ["cpu:0"], "1": ["cpu:0"], "2": ["cpu:0", "cpu:1"]}
    assert found["replicas"] == 2
    assert found["too many"] == "training.replicas is 3; visible devices: cpu:0, cpu:1: ask for at most 2."


def test_a_batch_that_does_not_divide_is_refused(folder: tuple[Path, dict[str, Any], str]) -> None:
    path, found, stderr = folder
    assert found["codes"] == {"one": 0, "two": 0, "dropped": 0, "odd": 2}
    assert "error: a batch of 3 does not divide by 2 replicas; use a batch_size of 2 or 4." in stderr
    assert not (path / "odd").exists()


def test_two_devices_train_as_one_does(folder: tuple[Path, dict[str, Any], str]) -> None:
    one, two = folder[0] / "one", folder[0] / "two"
    assert loss(one) > 0.5
    assert loss(two) == pytest.approx(loss(one), abs=1e-5)
    np.testing.assert_allclose(weights(two), weights(one), atol=1e-5)


def test_with_dropout_two_devices_resume_exactly(folder: tuple[Path, dict[str, Any], str]) -> None:
    path = folder[0]
    undisturbed, stopped = weights(path / "dropped"), weights(path / "stopped")
    assert np.isfinite(undisturbed).all()
    assert "continuing after epoch 1" in (path / "stopped" / "run.log").read_text(encoding="utf-8")
    np.testing.assert_array_equal(undisturbed, stopped)
    assert loss(path / "dropped") == loss(path / "stopped")
    assert loss(path / "dropped") != pytest.approx(loss(path / "two"), abs=1e-5)


def test_each_replica_drops_maps_of_its_own(folder: tuple[Path, dict[str, Any], str]) -> None:
    assert folder[1]["replicas differ"]
    assert folder[1]["steps differ"]
    assert folder[1]["restored"]


def test_cases_spread_over_two_devices_have_the_same_scores(folder: tuple[Path, dict[str, Any], str]) -> None:
    found = folder[1]
    assert [device.rsplit("/", 1)[-1].lower() for device in found["devices"]] == ["device:cpu:0", "device:cpu:1"]
    assert len(found["scores"][0]) == 15
    assert found["scores"][0] == found["scores"][1]
    assert len({row[2] for row in found["scores"][0]}) > 5


def test_more_devices_than_there_are_and_other_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("keras")
    from brats3d.train import devices

    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["CPU:0", "GPU:0", "GPU:1"])
    with pytest.raises(OptionError, match="training.replicas is 3; visible devices: gpu:0, gpu:1: ask for at most 2"):
        devices.pick_devices(3)
    assert devices.pick_devices(1).names == ("gpu:0",)
    assert not devices.pick_devices(1).on_cpu
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(OptionError, match="2 replicas .* torch .*replicas=1"):
        devices.pick_devices(0)


class Spreading:
    """What stands in for Keras' distribution, which is JAX's alone."""

    def scope(self) -> AbstractContextManager[None]:
        import keras

        @contextmanager
        def scope() -> Iterator[None]:
            before = keras.distribution.distribution()
            keras.distribution.set_distribution(self)
            yield
            keras.distribution.set_distribution(before)

        return scope()


def test_a_distribution_lasts_as_long_as_it_is_needed() -> None:
    keras = pytest.importorskip("keras")
    from brats3d.train.devices import Devices, apart

    spreading = Spreading()
    two, one = Devices(("cpu:0", "cpu:1"), distribution=spreading), Devices(("cpu:0",))
    for context in (two.scope, two.fitting):
        with context():
            assert keras.distribution.distribution() is spreading
            with apart():
                assert keras.distribution.distribution() is None
            with suppress(ZeroDivisionError), apart():
                raise ZeroDivisionError
            assert keras.distribution.distribution() is spreading
        assert keras.distribution.distribution() is None
    for context in (one.scope, one.fitting, apart):
        with context():
            assert keras.distribution.distribution() is None
