"""What every loss of the table must do; a new one joins by standing in it and having a NumPy twin."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from brats3d.errors import ArrayError, OptionError
from brats3d.losses import LOSS_OPTIONS, LOSS_OUTPUTS, LOSSES, build_loss
from brats3d.models import build_model, training_model

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.network

SHAPE = (2, 6, 7, 8, 3)


def numpy_dice(y: np.ndarray, z: np.ndarray, smooth: float = 1e-5) -> np.ndarray:
    p = 1 / (1 + np.exp(-z))
    return 1 - (2 * (p * y).sum((1, 2, 3)) + smooth) / (p.sum((1, 2, 3)) + y.sum((1, 2, 3)) + smooth)


def numpy_bce(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-z))
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean((1, 2, 3))


def softmax(z: np.ndarray) -> np.ndarray:
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def numpy_softmax_dice(y: np.ndarray, z: np.ndarray, w: np.ndarray) -> np.ndarray:
    p, s = softmax(z), 1e-5
    dice = (2 * (p * y).sum((1, 2, 3)) + s) / (p.sum((1, 2, 3)) + y.sum((1, 2, 3)) + s)
    return (1 - dice[:, 1:]) @ (w[1:] / w[1:].sum())


def numpy_ce(y: np.ndarray, z: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Voxel by voxel, each counted by the weight of its label."""
    values = []
    for target, p in zip(y, softmax(z), strict=True):
        counted = [
            (-(w * t) @ np.log(q), w @ t) for t, q in zip(target.reshape(-1, len(w)), p.reshape(-1, len(w)), strict=True)
        ]
        values.append(sum(c for c, _ in counted) / sum(n for _, n in counted))
    return np.array(values)


Twin = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Targets and logits (B, X, Y, Z, C), and a weight per channel → (B,) values."""
TWINS: dict[str, Twin] = {
    "dice": lambda y, z, w: numpy_dice(y, z) @ (w / w.sum()),
    "bce": lambda y, z, w: numpy_bce(y, z) @ (w / w.sum()),
    "dice_bce": lambda y, z, w: (numpy_dice(y, z) + numpy_bce(y, z)) @ (w / w.sum()),
    "softmax_dice": numpy_softmax_dice,
    "ce": numpy_ce,
    "dice_ce": lambda y, z, w: numpy_softmax_dice(y, z, w) + numpy_ce(y, z, w),
}
EVEN = np.ones(3)
WORST = {
    "dice": (0.99, 1.0), "bce": (29.0, 31.0), "dice_bce": (30.0, 32.0),
    "softmax_dice": (0.99, 1.0), "ce": (59.0, 61.0), "dice_ce": (60.0, 62.0),
}  # fmt: skip
"""Bounds of the value if every voxel is wrong: by a logit of 30, or of 60 against one other label."""


@pytest.fixture(params=sorted(LOSSES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sample(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping regions, or exclusive labels, as the loss takes them; and logits."""
    rng = np.random.default_rng(4)
    if LOSS_OUTPUTS[name] == "labels":
        return np.eye(3)[rng.choice(3, SHAPE[:-1], p=[0.7, 0.25, 0.05])], rng.normal(0, 2, SHAPE)
    return (rng.random(SHAPE) < [0.5, 0.2, 0.05]).astype(float), rng.normal(0, 2, SHAPE)


def nothing(name: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Targets of a sample without tumour."""
    y = np.zeros(shape, "float32")
    if LOSS_OUTPUTS[name] == "labels":
        y[..., 0] = 1
    return y


def values(name: str, y: Any, z: Any, **options: Any) -> np.ndarray:
    """Return the values of the samples."""
    return np.asarray(build_loss(name, **options).call(keras.ops.convert_to_tensor(y), keras.ops.convert_to_tensor(z)))


def test_every_loss_has_a_twin() -> None:
    assert set(TWINS) == set(WORST) == set(LOSSES) == set(LOSS_OPTIONS) == set(LOSS_OUTPUTS)


def test_defaults_are_the_signatures(name: str) -> None:
    parameters = inspect.signature(LOSSES[name]).parameters.items()
    assert {k: p.default for k, p in parameters if k not in ("name", "reduction")} == dict(LOSS_OPTIONS[name])


def test_numpy_twin(name: str) -> None:
    y, z = sample(name)
    found = values(name, y.astype("float32"), z.astype("float32"))
    assert found.shape == (2,)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, TWINS[name](y, z, EVEN), rtol=1e-5)


def test_weights_of_the_regions(name: str) -> None:
    y, z = sample(name)
    found = values(name, y.astype("float32"), z.astype("float32"), weights=[1, 0, 3])
    np.testing.assert_allclose(found, TWINS[name](y, z, np.array([1.0, 0, 3])), rtol=1e-5)


def test_soft_targets(name: str) -> None:
    y, z = sample(name)
    soft = 0.7 * y + 0.1  # labels still add up to 1
    np.testing.assert_allclose(values(name, soft.astype("float32"), z.astype("float32")), TWINS[name](soft, z, EVEN), rtol=1e-5)


def test_perfect_worst_and_empty(name: str) -> None:
    y, _ = sample(name)
    good, empty = np.where(y > 0, 30.0, -30.0).astype("float32"), nothing(name)
    np.testing.assert_allclose(values(name, y, good), 0, atol=1e-6)
    low, high = WORST[name]
    assert (values(name, y, -good) >= low).all()
    assert (values(name, y, -good) <= high + 1e-4).all()
    np.testing.assert_allclose(values(name, empty, 100 * empty - 50), 0, atol=1e-5)


def test_one_voxel(name: str) -> None:
    exclusive = LOSS_OUTPUTS[name] == "labels"
    empty = nothing(name, (1, 5, 6, 7, 1 + exclusive))
    y = empty.copy()
    y[0, 2, 3, 4] = [0, 1] if exclusive else 1
    z, none = (np.where(target > 0, 30.0, -30.0).astype("float32") for target in (y, empty))
    np.testing.assert_allclose(values(name, y, z), 0, atol=1e-6)
    entropy = (60 if exclusive else 30) / 210
    expected = {"dice": 1, "bce": entropy, "dice_bce": 1 + entropy, "softmax_dice": 1, "ce": entropy, "dice_ce": 1 + entropy}
    np.testing.assert_allclose(values(name, y, none)[0], expected[name], atol=1e-4)


def test_batch_of_two_is_the_mean_of_two(name: str) -> None:
    y, z = (a.astype("float32") for a in sample(name))
    loss = build_loss(name)
    both, first, second = (float(loss(y[part], z[part])) for part in (slice(None), slice(1), slice(1, 2)))
    assert both == pytest.approx((first + second) / 2, rel=1e-6)
    assert first != second


@pytest.mark.parametrize("target", ["sample", "empty", "full"])
def test_gradients_are_finite(name: str, target: str) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow here")
    import tensorflow as tf

    y, z = (a.astype("float32") for a in sample(name))
    full = np.eye(3, dtype="float32")[np.full(SHAPE[:-1], 2)] if LOSS_OUTPUTS[name] == "labels" else 0 * y + 1
    y = {"sample": y, "empty": nothing(name), "full": full}[target]
    for logits in (z, 0 * z - 200, 0 * z + 200, 100 * z):
        variable = tf.Variable(logits)
        with tf.GradientTape() as tape:
            value = build_loss(name)(y, variable)
        gradient = tape.gradient(value, variable).numpy()
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0 or target == "full" or name in ("dice", "softmax_dice")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(name: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    y = rng.random((1, 48, 48, 48, 1)) < 0.9  # 1e5 voxels: too many for float16, too fine for bfloat16
    if LOSS_OUTPUTS[name] == "labels":
        y = np.concatenate([~y, y], axis=-1)
    z = keras.ops.cast(rng.normal(1, 1, y.shape), dtype)
    found = values(name, y, z)
    assert found.dtype == np.float32
    logits = np.asarray(keras.ops.cast(z, "float32"), float)
    np.testing.assert_allclose(found, TWINS[name](y, logits, np.ones(y.shape[-1])), rtol=1e-3)


def test_targets_of_any_type(name: str) -> None:
    y, z = sample(name)
    expected = values(name, y.astype("float32"), z.astype("float32"))
    for dtype in ("uint8", "bool", "float16", "int64"):
        np.testing.assert_allclose(values(name, y.astype(dtype), z.astype("float32")), expected, rtol=1e-6)
        assert float(build_loss(name)(y.astype(dtype), z.astype("float32"))) == pytest.approx(expected.mean(), rel=1e-6)


def test_config_round_trip(name: str) -> None:
    options = {k: 0.5 for k in LOSS_OPTIONS[name] if k != "weights"}
    loss = build_loss(name, **options, weights=(1, 2, 3))
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is LOSSES[name]
    assert again.get_config() == loss.get_config()
    y, z = (a.astype("float32") for a in sample(name))
    assert float(again(y, z)) == float(loss(y, z))


def test_wrong_shapes_are_refused(name: str) -> None:
    y, z = (a.astype("float32") for a in sample(name))
    with pytest.raises(ArrayError, match=r"y_true \(2, 6, 7, 8, 2\) and y_pred \(2, 6, 7, 8, 3\)"):
        values(name, y[..., :2], z)
    with pytest.raises(ArrayError, match=rf"expected both as \(batch, X, Y, Z, {LOSS_OUTPUTS[name]}\)"):
        values(name, y[0], z[0])
    with pytest.raises(ArrayError, match=f"2 weights for 3 {LOSS_OUTPUTS[name]}"):
        values(name, y, z, weights=(1, 1))


@pytest.mark.parametrize("weights", [(), (0, 0, 0), (1, -1, 1), (1, "2", 3), (1, float("nan"), 1)])
def test_wrong_weights_are_refused(name: str, weights: tuple[Any, ...]) -> None:
    with pytest.raises(OptionError, match="weights is"):
        build_loss(name, weights=weights)
    with pytest.raises(OptionError, match="weights is"):
        LOSSES[name](weights=weights)


def test_probabilities_are_refused(name: str) -> None:
    """As a symbol, as a value, and inside a compiled step."""
    network = build_model("isensee2017", base_filters=1, depth=2, segmentation_levels=1)
    x, y = np.zeros((2, 4, 4, 4, 4), "float32"), np.ones((2, 4, 4, 4, 3), "uint8")
    for probabilities in (network.output, network(x)):
        with pytest.raises(OptionError, match=r"probabilities.*brats3d.models.training_model"):
            build_loss(name)(y, probabilities)
    network.compile("sgd", build_loss(name), jit_compile=False)
    with pytest.raises(OptionError, match="the loss got probabilities"):
        network.fit(x, y, verbose=0)
    logits = training_model(network)
    logits.compile("sgd", build_loss(name), run_eagerly=True)
    assert np.isfinite(logits.fit(x, y, verbose=0).history["loss"][0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_loss("dise"), "loss is 'dise' (did you mean 'dice'?)"),
        (lambda: build_loss("dice", smoth=1), "loss dice has an unknown key 'smoth' (did you mean 'smooth'?)"),
        (lambda: build_loss("bce", smooth=1), "loss bce has an unknown key 'smooth'"),
        (lambda: build_loss("dice", smooth=-1), "smooth is -1; expected a number of at least 0"),
        (lambda: build_loss("dice", smooth=float("nan")), "smooth is nan"),
        (lambda: build_loss("dice", smooth=float("inf")), "smooth is inf"),
        (lambda: build_loss("dice", smooth=True), "smooth is True"),
        (lambda: LOSSES["dice_bce"](dice="1"), "dice is '1'; expected a number"),
        (lambda: build_loss("dice_ce", weights=[1, 0, 0]), "weights is [1.0, 0.0, 0.0]; the Dice leaves the first label"),
    ],
)
def test_options_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(OptionError) as refusal:
        call()
    assert message in str(refusal.value)
