"""Training on two devices is training on one: MirroredStrategy over two virtual CPU devices, in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import brats3d

pytestmark = [pytest.mark.network, pytest.mark.slow]

SCRIPT = """
import json, sys
import numpy as np, tensorflow as tf
sys.path.insert(0, sys.argv[1])
devices = tf.config.list_physical_devices("CPU")[:1]
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from brats3d.losses import build_loss
from brats3d.metrics import RegionDice
from brats3d.models import build_model, training_model
from brats3d.predict import from_network

rng = np.random.default_rng(0)
x = rng.normal(size=(6, 8, 8, 8, 4)).astype("float32")
y = (rng.random((6, 8, 8, 8, 3)) > 0.6).astype("uint8")

def build(strategy, dropout, run_eagerly=False):
    with strategy.scope():
        network = build_model("isensee2017", base_filters=2, depth=2, segmentation_levels=1, dropout=dropout)
        model = training_model(network)
        sgd = keras.optimizers.SGD(0.1)
        model.compile(sgd, build_loss("dice_bce"), metrics=[RegionDice()], jit_compile=False, run_eagerly=run_eagerly)
    return network, model

def train(model):
    history = model.fit(x, y, batch_size=2, shuffle=False, verbose=0).history
    log = {**{k: v[0] for k, v in history.items()}, "replicas": model.distribute_strategy.num_replicas_in_sync}
    return log, np.concatenate([w.ravel() for w in model.get_weights()])

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
runs, masks = {}, {}
network, model = build(tf.distribute.get_strategy(), 0.0, run_eagerly=True)
runs["one"] = train(model)
masks["one"] = np.moveaxis(np.asarray(network(x[:1]))[0], -1, 0)
network, model = build(two, 0.0)
runs["two"] = train(model)
masks["two"] = from_network(network, 2)(np.moveaxis(x[0], -1, 0))
network, model = build(two, 0.3)
seeds = [layer.seed_generator.state for layer in model.layers if hasattr(layer, "seed_generator")]
before = model.get_weights(), [np.asarray(s) for s in seeds]
runs["dropped"] = train(model)
model.set_weights(before[0])
for state, value in zip(seeds, before[1]):
    state.assign(value)
runs["dropped_again"] = train(model)
arrays = {f"{k}_weights": run[1] for k, run in runs.items()} | {f"{k}_mask": mask for k, mask in masks.items()}
np.savez("found.npz", seeds=len(seeds), **arrays)
json.dump({k: run[0] for k, run in runs.items()}, open("found.json", "w"))
"""


def test_two_devices_train_as_one_does(tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", SCRIPT, str(Path(brats3d.__file__).parents[1])]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
    logs, arrays = json.loads((tmp_path / "found.json").read_text(encoding="utf-8")), np.load(tmp_path / "found.npz")
    assert [logs[k]["replicas"] for k in ("one", "two", "dropped")] == [1, 2, 2]
    for key in ("loss", "dice_mean"):
        assert logs["two"][key] == pytest.approx(logs["one"][key], abs=1e-5)
    assert logs["one"]["loss"] > 0.5
    np.testing.assert_allclose(arrays["two_weights"], arrays["one_weights"], atol=1e-5)
    # A predictor of a network that lives on two devices gives one mask, that of the one device.
    assert arrays["two_mask"].shape == (3, 8, 8, 8)
    np.testing.assert_allclose(arrays["two_mask"], arrays["one_mask"], atol=1e-4)
    # Dropout draws the same on the same devices, and does draw.
    assert arrays["seeds"] == 2
    assert np.isfinite(arrays["dropped_weights"]).all()
    assert np.isfinite(logs["dropped"]["loss"])
    assert logs["dropped"] == logs["dropped_again"]
    np.testing.assert_array_equal(arrays["dropped_weights"], arrays["dropped_again_weights"])
    assert np.abs(arrays["dropped_weights"] - arrays["two_weights"]).max() > 1e-4
