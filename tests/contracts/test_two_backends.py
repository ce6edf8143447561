"""The same files and the same numbers on TensorFlow and JAX: one fresh process a backend."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cards import flat_card

import brats3d
from brats3d.losses import LOSSES
from brats3d.metrics import region_dice_metrics
from brats3d.models import NETWORKS, build_model, save_model, stride

keras = pytest.importorskip("keras")
pytestmark = [pytest.mark.network, pytest.mark.slow]

TINY = {
    "isensee2017": {"base_filters": 2, "depth": 2, "segmentation_levels": 1},
    "isensee2017_paper": {"base_filters": 2, "depth": 2, "segmentation_levels": 1},
    "unet3d": {"base_filters": 1, "depth": 2, "normalisation": "instance"},
}
SCRIPT = """
import sys
sys.modules["brats3d"] = None  # `import brats3d` fails from here on
import numpy as np, keras
given = np.load("given.npz")
found = {}
for path in sys.argv[2:]:
    network = keras.saving.load_model(path)
    network.run_eagerly = keras.backend.backend() == "tensorflow"  # tracing takes longer than running
    found[path] = network.predict_on_batch(given["images"])
assert not [m for m in sys.modules if m.startswith("brats3d.")]
del sys.modules["brats3d"]
sys.path.insert(0, sys.argv[1])
from brats3d.losses import LOSSES
from brats3d.metrics import region_dice_metrics
from brats3d.predict import from_network
found["predictor"] = from_network(network, 2)(np.moveaxis(given["images"][0], -1, 0))
for name, loss in LOSSES.items():
    found[name] = keras.ops.convert_to_numpy(loss(reduction=None)(given["targets"], given["logits"]))
for metric in region_dice_metrics():
    metric.update_state(given["targets"], given["logits"])
    found[metric.name] = float(metric.result())
np.savez("found.npz", backend=keras.backend.backend(), **found)
"""


@pytest.mark.parametrize(("backend", "tolerance"), [("tensorflow", 1e-6), ("jax", 2e-5)])
def test_files_open_without_brats3d_and_numbers_are_the_same(
    backend: str, tolerance: float, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; run: pip install 'brats3d[{backend}]'")
    rng = np.random.default_rng(0)
    targets, logits = rng.random((2, 4, 5, 6, 3)) > 0.7, rng.normal(size=(2, 4, 5, 6, 3)).astype(np.float32)
    images = rng.normal(size=(1, 8, 4, 12, 4)).astype(np.float32)
    np.savez(tmp_path / "given.npz", targets=targets, logits=logits, images=images)
    expected = {name: np.asarray(loss(reduction=None)(targets, logits)) for name, loss in LOSSES.items()}
    for metric in region_dice_metrics():
        metric.update_state(targets, logits)
        expected[metric.name] = np.asarray(float(metric.result()))
    for name, options in TINY.items():
        network = build_model(name, **options)
        step = stride(name, options)
        card = flat_card(name, network_options=options, stride=step, size=step)
        save_model(tmp_path / f"{name}.keras", network, card)
        expected[f"{name}.keras"] = np.asarray(network(images))
    expected["predictor"] = np.moveaxis(np.asarray(network(images))[0], -1, 0)
    command = [sys.executable, "-c", SCRIPT, str(Path(brats3d.__file__).parents[1]), *(f"{name}.keras" for name in TINY)]
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": "",
        "CUDA_VISIBLE_DEVICES": "",
        # JAX compiles every initialiser of a network; the next run of the tests finds that done
        "JAX_COMPILATION_CACHE_DIR": str(pytestconfig.cache.mkdir("jax") if pytestconfig.cache else tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
    found = np.load(tmp_path / "found.npz")
    assert str(found["backend"]) == backend
    assert set(TINY) == set(NETWORKS)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=tolerance, err_msg=key)
