"""The metrics inside the training step count as `brats3d.scores` counts painted labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from brats3d.errors import ArrayError, OptionError
from brats3d.metrics import METRICS, RegionDice, region_dice_metrics
from brats3d.regions import LABEL_SETS, REGIONS, LabelSet, paint_regions, paint_values, region_masks, value_channels
from brats3d.scores import dice

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.network

SHAPE = (3, 6, 7, 8, 3)


def result(metric: keras.metrics.Metric, y: np.ndarray, z: np.ndarray, **more: Any) -> float:
    metric.update_state(y, z, **more)
    return float(metric.result())


def painted(masks: np.ndarray) -> np.ndarray:
    """Return (batch, X, Y, Z, R) masks as they read after painting them into a label."""
    coding = LABEL_SETS["L17"]
    return np.stack([np.moveaxis(region_masks(paint_regions(np.moveaxis(m, -1, 0), coding), coding), 0, -1) for m in masks])


def sample() -> tuple[np.ndarray, np.ndarray]:
    """Return nested targets, and logits whose regions contradict each other; one sample has an empty ET, one neither."""
    rng = np.random.default_rng(2)
    y = painted(rng.random(SHAPE) < [0.4, 0.2, 0.1])
    z = rng.normal(-1, 1, SHAPE).astype("float32")
    y[1, ..., 2], y[2, ..., 2], z[2, ..., 2] = False, False, -1
    return y, z


OWN = LabelSet.from_dict({
    "name": "CLINIC", "tissues": {"1": "core", "2": "rim"}, "regions": {"CORE": [1], "ALL": [1, 2]},
    "paint": [["ALL", 2], ["CORE", 1]],
})  # fmt: skip
OUTPUTS = {
    "usual": (LABEL_SETS["L17"], ("WT", "TC", "ET"), 0.5),
    "a low threshold": (LABEL_SETS["L17"], ("WT", "TC", "ET"), 0.3),
    "a high threshold": (LABEL_SETS["L13"], ("WT", "TC", "ET"), 0.9),
    "turned": (LABEL_SETS["L17"], ("ET", "TC", "WT"), 0.5),
    "whole tumour": (LABEL_SETS["L17"], ("WT",), 0.5),
    "resection cavity": (LABEL_SETS["L24"], ("WT", "RC", "TC", "ET"), 0.5),
    "cysts": (LABEL_SETS["LPED"], ("CC", "WT", "TC", "ET"), 0.5),
    "a value": (LABEL_SETS["L24"], ("4", "WT", "1"), 0.5),
    "own": (OWN, ("CORE", "ALL"), 0.5),
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_equals_scores_of_painted_labels(output: str) -> None:
    """Channels that contradict each other, of any label set, in any order; one sample has an empty channel on both sides."""
    coding, channels, threshold = OUTPUTS[output]
    rng = np.random.default_rng(2)
    shape = (3, 6, 7, 8, len(channels))
    y, z = rng.random(shape) < 0.3, rng.normal(-1, 1, shape).astype("float32")
    y[2], z[2] = False, -3
    masks = 1 / (1 + np.exp(-z.astype(float))) > threshold
    labels = [[paint_regions(np.moveaxis(m, -1, 0), coding, channels) for m in side] for side in (masks, y)]
    expected = dice_of(labels, coding, channels)
    found = [result(m, y, z) for m in region_dice_metrics(channels, threshold, label_set=coding)]
    np.testing.assert_allclose(found, [expected.mean(), *expected.mean(0)], rtol=1e-6)
    raw = np.array([[dice(p[..., r], t[..., r]) for r in range(len(channels))] for p, t in zip(masks, y, strict=True)])
    assert np.allclose(raw, expected) == (len(channels) == 1)  # else painting matters
    assert (expected[2] == 1).all()


def dice_of(labels: list[list[np.ndarray]], coding: LabelSet, counted: tuple[str, ...]) -> np.ndarray:
    masks = [[region_masks(label, coding, counted) for label in side] for side in labels]
    return np.array([[dice(a, b) for a, b in zip(*pair, strict=True)] for pair in zip(*masks, strict=True)])


@pytest.mark.parametrize("coding", [LABEL_SETS["L17"], OWN], ids=["L17", "own"])
def test_exclusive_outputs_equal_scores_of_painted_labels(coding: LabelSet) -> None:
    rng = np.random.default_rng(3)
    shape = (2, 6, 7, 8, len(value_channels(coding)))
    z = rng.normal(0, 1, shape).astype("float32")
    y = np.eye(shape[-1], dtype="uint8")[rng.integers(0, shape[-1], shape[:-1])]
    labels = [[paint_values(np.moveaxis(m, -1, 0), coding) for m in side] for side in (z, y)]
    expected = dice_of(labels, coding, coding.painted)
    found = [result(m, y, z) for m in region_dice_metrics(coding.painted, label_set=coding, exclusive=True)]
    np.testing.assert_allclose(found, [expected.mean(), *expected.mean(0)], rtol=1e-6)
    with pytest.raises(ArrayError, match=rf"\(batch, X, Y, Z, {shape[-1]}\) for the values 0, 1, 2"):
        RegionDice(coding.painted[0], coding.painted, label_set=coding, exclusive=True).update_state(y[..., 1:], z[..., 1:])


@pytest.mark.parametrize("name", METRICS)
def test_perfect_worst_empty_and_one_voxel(name: str) -> None:
    y = np.zeros((1, 4, 5, 6, 3), bool)
    y[0, 1, 2, 3] = True
    for region in ("mean", *REGIONS):
        metric = METRICS[name](region)
        assert result(metric, y, np.where(y, 9.0, -9.0)) == 1
        metric.reset_state()
        assert result(metric, y, np.where(y, -9.0, 9.0)) == 0
        metric.reset_state()
        assert result(metric, y, np.full(y.shape, -9.0)) == 0
        metric.reset_state()
        assert result(metric, y & False, np.full(y.shape, -9.0)) == 1
        metric.reset_state()
        assert result(metric, y & False, np.where(y, 9.0, -9.0)) == 0


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_batches_are_averaged_by_sample(dtype: str) -> None:
    y, z = sample()
    y = y.astype(dtype)
    whole = result(RegionDice("ET"), y, z)
    metric = RegionDice("ET")
    metric.update_state(y[:1], z[:1])
    metric.update_state(y[1:], z[1:])
    assert float(metric.result()) == pytest.approx(whole, rel=1e-6)
    singles = [result(RegionDice("ET"), y[i : i + 1], z[i : i + 1]) for i in range(3)]
    assert whole == pytest.approx(np.mean(singles), rel=1e-6)
    weighted = result(RegionDice("ET"), y, z, sample_weight=np.array([1.0, 0.0, 3.0]))
    assert weighted == pytest.approx((singles[0] + 3 * singles[2]) / 4, rel=1e-6)


def test_half_precision_counts_exactly() -> None:
    y = np.ones((1, 48, 48, 48, 1), bool)
    z = np.full(y.shape, 1.0)
    z[0, 0, 0, 0] = -1.0  # one voxel of 110,592: float16 would overflow, bfloat16 lose it
    for dtype in ("float16", "bfloat16"):
        found = result(RegionDice("WT", ("WT",)), y, keras.ops.cast(z, dtype))
        assert found == pytest.approx(2 * (48**3 - 1) / (2 * 48**3 - 1), rel=1e-7)
        assert found < 1


def test_other_orders_and_fewer_regions() -> None:
    y, z = sample()
    by_name = {m.name: result(m, y, z) for m in region_dice_metrics()}
    turned = region_dice_metrics(("ET", "WT", "TC"))
    order = [2, 0, 1]
    assert {m.name: result(m, y[..., order], z[..., order]) for m in turned} == pytest.approx(by_name)
    alone = result(RegionDice("TC", ("TC", "ET")), y[..., 1:], z[..., 1:])
    assert alone == pytest.approx(by_name["dice_tc"])


@pytest.mark.parametrize("name", METRICS)
def test_config_round_trip(name: str) -> None:
    metric = METRICS[name]("TC", ("WT", "TC"), 0.4)
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is METRICS[name]
    assert again.get_config() == metric.get_config()
    assert (metric.name, metric.threshold) == ("dice_tc", 0.4)
    own = METRICS[name]("CORE", ("CORE", "ALL"), label_set=OWN, exclusive=True)
    again = keras.metrics.deserialize(keras.metrics.serialize(own))
    assert (again.label_set, again.exclusive, again.channels, again.name) == (OWN, True, ("0", "1", "2"), "dice_core")


def test_in_a_compiled_step() -> None:
    images = keras.Input((4, 4, 4, 1))
    network = keras.Model(images, keras.layers.Conv3D(3, 1, name="logits")(images))
    network.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True), metrics=region_dice_metrics(), jit_compile=False)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 4, 4, 1)), rng.random((2, 4, 4, 4, 3)) > 0.5
    found = network.evaluate(x, y, verbose=0, return_dict=True)
    logits = np.asarray(network(x))
    assert found["dice_et"] == pytest.approx(result(RegionDice("ET"), y, logits), rel=1e-5)
    assert found["dice_mean"] == pytest.approx(np.mean([found[f"dice_{r.lower()}"] for r in REGIONS]), rel=1e-5)


def test_refusals() -> None:
    y, z = sample()
    with pytest.raises(OptionError, match=r"region .* is 'et'.* mean, WT, TC, ET"):
        RegionDice("et")
    with pytest.raises(OptionError, match="L23 has no value to paint RC with"):
        RegionDice("mean", ("WT", "RC"))
    with pytest.raises(OptionError, match="CLINIC does not define WT, TC, ET; it has CORE, ALL"):
        RegionDice("mean", label_set=OWN, exclusive=True)
    for threshold in (1, float("nan"), "0.5", True):
        with pytest.raises(OptionError, match=f"threshold is {threshold!r}"):
            RegionDice(threshold=threshold)  # type: ignore[arg-type]
    with pytest.raises(ArrayError, match=r"y_true \(3, 6, 7, 8, 2\).*\(batch, X, Y, Z, 3\) for the regions WT, TC, ET"):
        RegionDice().update_state(y[..., :2], z)
