"""What every network of the table must do; a new one joins by standing in it."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from cards import flat_card

from brats3d.losses import DiceBCELoss
from brats3d.models import NETWORKS, Card, build_model, load_model, save_model, stride, training_model

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.network

TINY: dict[str, dict[str, Any]] = {
    "isensee2017": {"base_filters": 2, "depth": 3, "segmentation_levels": 2},
    "isensee2017_paper": {"base_filters": 2, "depth": 2, "segmentation_levels": 1},
    "unet3d": {"base_filters": 2, "depth": 2, "normalisation": "instance"},
}
MODALITIES = ("t1", "t1ce", "t2", "flair")
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def tiny(name: str, **more: Any) -> keras.Model:
    return build_model(name, **{**TINY[name], **more})


@functools.cache
def shared(name: str) -> keras.Model:
    """Return a tiny network that no test changes."""
    return tiny(name)


def card(name: str) -> Card:
    steps = stride(name, TINY[name])
    return flat_card(name, network_options=TINY[name], modalities=MODALITIES, stride=steps, size=[2 * n for n in steps])


def images(*size: int, batch: int = 1, channels: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, *size, channels)).astype(np.float32)


@pytest.fixture(autouse=True)
def _full_precision() -> Iterator[None]:
    yield
    keras.mixed_precision.set_dtype_policy("float32")


def test_every_network_is_tested() -> None:
    assert set(TINY) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_ends_with_logits_and_probabilities(name: str) -> None:
    network = shared(name)
    assert [layer.name for layer in network.layers[-2:]] == ["logits", "probabilities"]
    x = images(8, 8, 8)
    logits = np.asarray(training_model(network)(x))
    probabilities = np.asarray(network(x))
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert logits.std() > 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_consists_of_stock_layers(name: str) -> None:
    for layer in shared(name).layers:
        assert type(layer).__module__.startswith("keras."), layer.name
        assert type(layer).__name__ != "Lambda"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_decides_the_weights(name: str) -> None:
    first, again, other = (network.get_weights() for network in (shared(name), tiny(name), tiny(name, seed=2)))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(not np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim == 5)


@pytest.mark.parametrize("name", NETWORKS)
def test_config_round_trip(name: str) -> None:
    network = shared(name)
    again = type(network).from_config(network.get_config())
    assert json.dumps(again.get_config(), sort_keys=True) == json.dumps(network.get_config(), sort_keys=True)
    again.set_weights(network.get_weights())
    np.testing.assert_array_equal(np.asarray(network(images(8, 8, 8))), np.asarray(again(images(8, 8, 8))))


@pytest.mark.parametrize("name", NETWORKS)
def test_any_size_divisible_by_its_stride(name: str) -> None:
    network, step = shared(name), stride(name, TINY[name])[0]
    for size in [(step, 2 * step, 3 * step), (5 * step, step, 2 * step)]:
        found = np.asarray(network(images(*size)))
        assert found.shape == (1, *size, 3)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_any_number_of_channels_and_regions(name: str) -> None:
    network = tiny(name, input_shape=(8, 8, 8, 1), regions=5)
    assert np.asarray(network(images(8, 8, 8, channels=1, batch=2))).shape == (2, 8, 8, 8, 5)


@pytest.mark.parametrize("name", NETWORKS)
def test_samples_of_a_batch_do_not_meet(name: str) -> None:
    network = shared(name)
    batch = images(8, 8, 8, batch=2)
    both = np.asarray(network(batch))
    for i in range(2):
        np.testing.assert_allclose(np.asarray(network(batch[i : i + 1]))[0], both[i], atol=2e-5)


FLAT: dict[str, Any] = {"kernel_size": (3, 3, 1), "strides": (2, 2, 1)}


@pytest.mark.parametrize("name", NETWORKS)
def test_flat_patches_train(name: str) -> None:
    learning = training_model(build_model(name, input_shape=(16, 16, 1, 4), **{**TINY[name], **FLAT}))
    learning.compile(keras.optimizers.Adam(1e-2), loss=DiceBCELoss(), run_eagerly=True)
    before = learning.get_weights()
    x = images(16, 16, 1, batch=2)
    y = (x[..., :3] > 0).astype(np.float32)
    losses = [float(learning.train_on_batch(x, y)) for _ in range(4)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    kernels = [(a, b) for a, b in zip(before, learning.get_weights(), strict=True) if a.ndim == 5]
    assert {a.shape[:3] for a, _ in kernels} == {(3, 3, 1), (1, 1, 1)}
    assert not any(np.array_equal(a, b) for a, b in kernels)


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_slices_do_not_mix(upsampling: str) -> None:
    network = build_model("unet3d", base_filters=2, depth=3, upsampling=upsampling, **FLAT)
    stack = images(16, 12, 5)
    whole = np.asarray(network(stack))
    for z in range(5):
        np.testing.assert_allclose(np.asarray(network(stack[..., z : z + 1, :])), whole[..., z : z + 1, :], atol=1e-5)
    assert np.abs(np.diff(whole, axis=3)).max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_softmax_is_over_the_labels(name: str) -> None:
    network = tiny(name, activation="softmax", regions=4)
    x = images(8, 8, 8)
    logits, probabilities = np.asarray(training_model(network)(x), float), np.asarray(network(x))
    np.testing.assert_allclose(probabilities, scipy.special.softmax(logits, axis=-1), atol=1e-6)
    assert [layer.name for layer in network.layers[-2:]] == ["logits", "probabilities"]
    assert network.get_layer("probabilities").compute_dtype == "float32"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_save_and_load_to_the_bit_under_every_policy(name: str, policy: str, tmp_path: Path) -> None:
    plain = shared(name)
    keras.mixed_precision.set_dtype_policy(policy)
    network = tiny(name)
    x = images(8, 8, 8)
    assert {network.output.dtype, training_model(network).output.dtype} == {"float32"}
    if (name, policy) != ("unet3d", "mixed_float16"):  # TensorFlow has no 3-D max pooling of float16 on a CPU
        assert np.isfinite(np.asarray(training_model(network)(x))).all()
    heads = [layer for layer in network.layers if layer.name.startswith(("seg", "logits", "probabilities"))]
    assert {layer.compute_dtype for layer in heads} == {"float32"}
    assert network.get_layer("enc0_a_conv").compute_dtype == policy.removeprefix("mixed_")
    checksum = save_model(tmp_path / "m.keras", network, card(name))
    loaded = load_model(tmp_path / "m.keras")
    assert loaded.checksum == checksum
    assert loaded.card == card(name)
    layers = loaded.network.layers
    assert {layer.compute_dtype for layer in layers if layer.weights} == {"float32"}
    assert all(np.array_equal(a, b) for a, b in zip(loaded.network.get_weights(), network.get_weights(), strict=True))
    # The same seed gave the same weights under float32, so what is loaded is that network, to the bit.
    np.testing.assert_array_equal(np.asarray(loaded.network(x)), np.asarray(plain(x)))


def test_compile_state_is_not_saved(tmp_path: Path) -> None:
    network = tiny("isensee2017")
    network.compile("adam", "mse")
    save_model(tmp_path / "m.keras", network, card("isensee2017"))
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert not json.loads(archive.read("config.json")).get("compile_config")
        assert set(archive.namelist()) == {"metadata.json", "config.json", "model.weights.h5", "brats3d.json"}
    assert network.compiled
