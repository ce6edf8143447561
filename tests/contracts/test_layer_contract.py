"""What every layer of ours must do; a new one joins by standing in `brats3d.layers` and in this table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brats3d.layers

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.network

LAYERS: dict[str, dict[str, Any]] = {
    "FusedInstanceNormalization": {"groups": -1, "epsilon": 1e-5, "name": "norm"},
}
"""Class name → arguments."""
ONE_SAMPLE = {"FusedInstanceNormalization"}
"""Layers that take a batch of one, as their docstrings say."""


def layer(name: str) -> Any:
    return getattr(brats3d.layers, name)(**LAYERS[name])


def batch(name: str, *size: int) -> np.ndarray:
    samples = 1 if name in ONE_SAMPLE else 2
    return np.random.default_rng(0).normal(size=(samples, *size, 3)).astype(np.float32)


def network(name: str) -> keras.Model:
    images = keras.Input((None, None, None, 3))
    hidden = keras.layers.Conv3D(4, 3, padding="same")(images)
    return keras.Model(images, keras.layers.Conv3D(2, 1)(layer(name)(hidden)))


@pytest.fixture(autouse=True, scope="module")
def _clean_keras() -> Iterator[None]:
    yield
    keras.utils.clear_session()


def test_every_layer_is_tested() -> None:
    offered = {name for name in brats3d.layers.__all__ if isinstance(getattr(brats3d.layers, name), type)}
    assert set(LAYERS) == offered
    with pytest.raises(AttributeError, match="module 'brats3d.layers' has no attribute 'Fused'"):
        _ = brats3d.layers.Fused


@pytest.mark.parametrize("name", LAYERS)
def test_config_round_trip(name: str) -> None:
    first = layer(name)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    assert type(again) is type(first)
    assert again.get_config() == first.get_config()


@pytest.mark.parametrize("name", LAYERS)
def test_symbolic_shape_and_type_are_the_real_ones(name: str) -> None:
    for size in [(6, 7, 8), (1, 2, 9), (4, 4, 1), (1, 1, 1)]:
        x = batch(name, *size)
        real = layer(name)(x)
        symbolic = layer(name)(keras.Input(batch_shape=x.shape))
        assert tuple(real.shape) == tuple(symbolic.shape)
        assert keras.backend.standardize_dtype(real.dtype) == symbolic.dtype == "float32"
    assert layer(name)(keras.Input((None, None, None, 3))).shape == (None, None, None, None, 3)


@pytest.mark.parametrize("name", LAYERS)
def test_save_and_load_to_the_bit(name: str, tmp_path: Path) -> None:
    first = network(name)
    first.set_weights([w + 0.1 for w in first.get_weights()])
    first.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    x = batch(name, 6, 7, 8)
    np.testing.assert_array_equal(np.asarray(first(x)), np.asarray(again(x)))


@pytest.mark.parametrize("name", LAYERS)
def test_one_training_step_moves_every_weight(name: str) -> None:
    model = network(name)
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    x = batch(name, 6, 7, 8)
    assert np.isfinite(model.train_on_batch(x, x[..., :2]))
    moved = {v.path: np.abs(a - v.numpy()).max() for a, v in zip(before, model.weights, strict=True)}
    still = [path for path, by in moved.items() if by == 0]
    # A bias before a normalisation has no effect.
    assert still in ([], [model.layers[1].bias.path])
    assert all(np.isfinite(w).all() for w in model.get_weights())
