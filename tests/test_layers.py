"""Fused instance normalisation against the stock layer and against NumPy in double precision, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from brats3d.errors import OptionError
from brats3d.models import build_model, training_model

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
layers = pytest.importorskip("brats3d.layers")
pytestmark = pytest.mark.network

SHAPE = (1, 6, 7, 8, 5)
EPSILON = 1e-5


@pytest.fixture(autouse=True, scope="module")
def _clean_keras() -> Iterator[None]:
    yield
    keras.utils.clear_session()


def inputs(mean: float, sd: float, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (mean + sd * rng.normal(size=shape) * rng.uniform(0.5, 2, shape[-1])).astype(np.float32)


def scale_and_offset() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.normal(1, 0.5, SHAPE[-1]).astype(np.float32), rng.normal(size=SHAPE[-1]).astype(np.float32)


def built(kind: type) -> Any:
    layer = kind(groups=-1, epsilon=EPSILON)
    layer.build(SHAPE)
    layer.set_weights(list(scale_and_offset()))
    return layer


def twin(x: np.ndarray, upstream: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return output and gradients (inputs, gamma, beta) in float64, each from its definition."""
    x, up = x.astype(np.float64), upstream.astype(np.float64)
    gamma, beta = (v.astype(np.float64) for v in scale_and_offset())
    space, voxels = (1, 2, 3), np.prod(x.shape[1:4])
    sd = np.sqrt(((x - x.mean(space, keepdims=True)) ** 2).mean(space, keepdims=True) + EPSILON)
    normal = (x - x.mean(space, keepdims=True)) / sd
    inner = up * gamma
    by_input = (inner - inner.mean(space, keepdims=True) - normal * (inner * normal).sum(space, keepdims=True) / voxels) / sd
    return normal * gamma + beta, by_input, (up * normal).sum((0, *space)), up.sum((0, *space))


def run(layer: Any, x: np.ndarray, upstream: np.ndarray) -> list[np.ndarray]:
    given = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        out = layer(given)
    gradients = tape.gradient(out, [given, layer.gamma.value, layer.beta.value], tf.constant(upstream))
    return [np.asarray(v, np.float64) for v in (out, *gradients)]


@pytest.mark.parametrize(("mean", "sd"), [(0, 1), (20, 1), (0.1, 1e-3)])
def test_forward_and_gradients_are_those_of_the_stock_layer_and_of_the_definition(mean: float, sd: float) -> None:
    x, upstream = inputs(mean, sd), inputs(0, 1)[..., ::-1]
    expected = twin(x, upstream)
    fused = run(built(layers.FusedInstanceNormalization), x, upstream)
    stock = run(built(keras.layers.GroupNormalization), x, upstream)
    for what, a, b, exact in zip(("output", "inputs", "gamma", "beta"), fused, stock, expected, strict=True):
        largest = np.abs(exact).max()
        np.testing.assert_allclose(a, exact, atol=2e-5 * largest, err_msg=what)
        np.testing.assert_allclose(a, b, atol=4e-5 * largest, err_msg=what)


def test_the_epsilon_stands_under_the_root() -> None:
    x = inputs(0, 3e-3)
    assert np.abs(run(built(layers.FusedInstanceNormalization), x, x)[0] - twin(x, x)[0]).max() < 1e-4
    assert 0.1 < np.std(run(built(layers.FusedInstanceNormalization), x, x)[0][..., 0] / scale_and_offset()[0][0]) < 0.9


def test_a_constant_channel_becomes_its_offset() -> None:
    x = np.full((1, 2, 1, 3, SHAPE[-1]), 7, np.float32)
    out = np.asarray(built(layers.FusedInstanceNormalization)(x))
    np.testing.assert_allclose(out, np.broadcast_to(scale_and_offset()[1], x.shape), atol=1e-6)


def test_a_batch_of_two_is_refused_never_mixed() -> None:
    layer = built(layers.FusedInstanceNormalization)
    with pytest.raises(Exception, match=r"[Rr]eshape|values"):
        layer(inputs(0, 1, (2, *SHAPE[1:])))


def tiny(**options: Any) -> Any:
    return build_model("isensee2017", base_filters=2, depth=3, segmentation_levels=2, **options)


def test_a_network_with_fused_norms_keeps_weights_order_and_outputs() -> None:
    network = tiny()
    rng = np.random.default_rng(0)
    network.set_weights([w + 0.1 * rng.normal(size=w.shape).astype(np.float32) for w in network.get_weights()])
    fused = layers.with_fused_norms(network)
    kinds = [type(layer).__name__ for layer in fused.layers]
    assert kinds.count("FusedInstanceNormalization") == sum("norm" in layer.name for layer in network.layers) > 5
    assert "GroupNormalization" not in kinds
    assert [layer.name for layer in fused.layers] == [layer.name for layer in network.layers]
    assert [w.path for w in fused.weights] == [w.path for w in network.weights]
    assert all(np.array_equal(a, b) for a, b in zip(fused.get_weights(), network.get_weights(), strict=True))
    x = inputs(0, 1, (1, 8, 12, 4, 4))
    assert np.asarray(network(x)).std() > 0.05
    np.testing.assert_allclose(np.asarray(fused(x)), np.asarray(network(x)), atol=1e-5)
    # The copy has weights of its own.
    fused.set_weights([w * 0 for w in fused.get_weights()])
    assert np.asarray(network(x)).std() > 0.05


def test_dropout_draws_what_it_drew_before() -> None:
    network = training_model(tiny(dropout=0.5))
    fused = layers.with_fused_norms(network)
    x = inputs(0, 1, (1, 8, 8, 8, 4))
    for _ in range(2):
        np.testing.assert_allclose(np.asarray(fused(x, training=True)), np.asarray(network(x, training=True)), atol=1e-4)
    assert np.abs(np.asarray(network(x, training=True)) - np.asarray(network(x))).max() > 1e-2


def test_norms_over_groups_stay_as_they_are() -> None:
    given = keras.Input((None, None, None, 6))
    mixed = keras.layers.GroupNormalization(groups=2, name="groups")(given)
    network = keras.Model(given, keras.layers.GroupNormalization(groups=-1, name="instance")(mixed))
    fused = layers.with_fused_norms(network)
    assert type(fused.get_layer("groups")) is keras.layers.GroupNormalization
    assert type(fused.get_layer("instance")) is layers.FusedInstanceNormalization
    x = inputs(0, 1, (1, 4, 5, 6, 6))
    np.testing.assert_allclose(np.asarray(fused(x)), np.asarray(network(x)), atol=1e-5)


def test_other_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(OptionError, match="TensorFlow .* jax"):
        layers.with_fused_norms(network)
