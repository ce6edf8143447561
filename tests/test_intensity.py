"""Histograms and normalisations against NumPy on the voxels themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brats3d import images
from brats3d.errors import BratsError, ImageError, OptionError
from brats3d.intensity import (
    NORMALISATIONS,
    Counts,
    Quantiles,
    Scaling,
    clamped_zscore,
    histogram_from_arrays,
    histogram_of,
    scaling_of,
)

PERCENTS = [0, 0.4, 2, 37.3, 50, 98, 99.99, 100]


def voxels(kind: str) -> np.ndarray:
    """An image of that kind, about a third of it background; of floats enough for 1,001 quantiles to stand for."""
    rng = np.random.default_rng(3)
    shape = (60, 47, 38) if kind.startswith("float") else (6, 7, 8)
    made = {
        "int16": lambda: rng.integers(1, 900, shape).astype(np.int16),
        "uint8": lambda: rng.integers(1, 9, shape).astype(np.uint8),
        "uint16": lambda: rng.integers(1, 65000, shape).astype(np.uint16),
        "int32": lambda: rng.integers(1, 200_000, shape).astype(np.int32),
        "negative": lambda: rng.integers(-1024, 3000, shape).astype(np.int16),
        "all of int16": lambda: rng.integers(-32768, 32768, shape).astype(np.int16),
        "only negative": lambda: rng.integers(-30000, -20000, shape).astype(np.int16),
        "float32": lambda: rng.normal(300, 90, shape).astype(np.float32),
        "float64": lambda: np.exp(rng.normal(size=shape)) * 1e-9,
    }[kind]()
    made[rng.random(shape) < 0.3] = 0
    return made


INTEGERS = ["int16", "uint8", "uint16", "int32", "negative", "all of int16", "only negative"]
FLOATS = ["float32", "float64"]


def twin(array: np.ndarray) -> np.ndarray:
    """Isensee's rule on the voxels themselves."""
    inside = array[array != 0].astype(float)
    clamped = np.clip(inside, *np.percentile(inside, [2, 98]))
    return np.where(array == 0, 0, np.clip((array - clamped.mean()) / clamped.std(), -5, 5))


@pytest.mark.parametrize("kind", INTEGERS)
def test_counts_know_what_the_voxels_know(kind: str) -> None:
    array = voxels(kind)
    inside = array[array != 0].astype(float)
    histogram = histogram_of(array)
    assert isinstance(histogram, Counts)
    values, counts = np.unique(inside, return_counts=True)
    np.testing.assert_array_equal(histogram.values, values)
    np.testing.assert_array_equal(histogram.counts, counts)
    for percent in PERCENTS:
        assert histogram.percentile(percent) == pytest.approx(np.percentile(inside, percent), abs=1e-9)
    low, high = np.percentile(inside, [2, 98])
    for clamp in ((low, high), (low + 0.5, high), (-1e9, 1e9), (high + 1, high + 1)):
        clamped = np.clip(inside, *clamp)
        assert histogram.clamped_moments(*clamp) == pytest.approx((clamped.mean(), clamped.std()))


@pytest.mark.parametrize("kind", FLOATS)
def test_quantiles_know_nearly_what_the_voxels_know(kind: str) -> None:
    array = voxels(kind)
    inside = array[array != 0].astype(float)
    histogram = histogram_of(array)
    assert isinstance(histogram, Quantiles)
    assert histogram.quantiles.shape == (1001,)
    for percent in (0, 0.1, 2, 37.3, 50, 98, 99.9, 100):  # the quantiles kept
        assert histogram.percentile(percent) == pytest.approx(np.percentile(inside, percent))
    assert histogram.percentile(37.35) == pytest.approx(np.percentile(inside, 37.35), rel=1e-3)
    clamp = np.percentile(inside, [2, 98])
    clamped = np.clip(inside, *clamp)
    assert histogram.clamped_moments(*clamp) == pytest.approx((clamped.mean(), clamped.std()), rel=1e-3)


def test_moments_of_quantiles_are_those_of_the_piecewise_uniform_distribution() -> None:
    histogram = Quantiles(np.array([-3.0, 0.5, 1.0, 8.0]))
    drawn = np.interp((np.arange(3_000_000) + 0.5) / 1e6, np.arange(4), histogram.quantiles)
    assert histogram.percentile(50) == pytest.approx(np.median(drawn), abs=1e-5)
    for low, high in ((-9, 9), (0.5, 1.0), (-3, 1)):  # at knots, where clamped_zscore clamps too
        clamped = np.clip(drawn, low, high)
        assert histogram.clamped_moments(low, high) == pytest.approx((clamped.mean(), clamped.std()), abs=1e-5)


@pytest.mark.parametrize("kind", [*INTEGERS, *FLOATS])
def test_a_histogram_comes_back_from_its_arrays(kind: str) -> None:
    first = histogram_of(voxels(kind))
    again = histogram_from_arrays(first.arrays())
    assert type(again) is type(first)
    assert [again.percentile(p) for p in PERCENTS] == [first.percentile(p) for p in PERCENTS]


@pytest.mark.parametrize("array", [np.array([0, 7, 0], np.int16), np.array([0, 7, 0], np.float32)], ids=["int", "float"])
def test_a_single_voxel(array: np.ndarray) -> None:
    histogram = histogram_of(array)
    assert [histogram.percentile(p) for p in (0, 2, 100)] == [7, 7, 7]
    assert histogram.clamped_moments(7, 7) == (7, 0)


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 3, 4)])
def test_an_image_of_zeros_is_refused(kind: type, shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="all voxels are 0"):
        histogram_of(np.zeros(shape, kind))


@pytest.mark.parametrize("kind", [*INTEGERS, *FLOATS])
def test_clamped_zscore_is_isensees_rule(kind: str) -> None:
    array = voxels(kind)
    before = array.copy()
    scaled = clamped_zscore(histogram_of(array)).apply(array)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(scaled[array == 0], 0)
    np.testing.assert_allclose(scaled, twin(array), atol=1e-4 if kind in INTEGERS else 0.01)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (70, 51, 43), (3, 2, 61, 67)])
def test_part_by_part_is_as_the_whole(kind: type, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order of memory, and where a part is smaller than a plane."""
    array = np.asarray(np.random.default_rng(3).integers(0, 200, shape)).astype(kind)
    scaled = (array.astype(np.float32) - np.float32(81.5)) * np.float32(1 / 13.0)
    expected = np.where(array != 0, np.clip(scaled, -5, 5), 0)
    for cached in (1, 1000, 1 << 30):
        monkeypatch.setattr("brats3d.intensity.CACHED", cached)
        out = np.full(shape, np.nan, np.float32)
        assert Scaling(81.5, 13.0).apply(array, out) is out
        np.testing.assert_array_equal(out, expected)
        for turn in (np.asarray, np.transpose, np.asfortranarray, np.flip):
            got = Scaling(81.5, 13.0).apply(turn(array))
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, turn(expected))


def test_far_values_are_clipped_and_background_stays_zero() -> None:
    array = np.array([[0, 1, 100], [-2000, 2000, 0]], np.int16)
    scaled = Scaling(mean=100, sd=10).apply(array)
    np.testing.assert_array_equal(scaled, np.array([[0, -5, 0], [-5, 5, 0]], np.float32))
    assert Scaling(100, 10, clip=2).apply(array).max() == 2


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
def test_an_image_that_does_not_vary_is_refused(kind: type) -> None:
    constant = np.zeros((6, 7, 8), kind)
    constant[1:5] = 300
    constant[2, 3, 4] = 999  # one odd voxel lies beyond the 98th percentile
    with pytest.raises(ImageError, match=r"do not vary \(.* 300, .* 300, "):
        clamped_zscore(histogram_of(constant))


@pytest.mark.parametrize("unit", [1e-12, 1e9])
def test_the_unit_of_the_intensities_does_not_matter(unit: float) -> None:
    array = voxels("float64") * 1e9
    plain, other = (clamped_zscore(histogram_of(a)).apply(a) for a in (array, array * unit))
    np.testing.assert_allclose(plain, other, atol=1e-5)


def test_a_normalisation_has_a_name() -> None:
    histogram = histogram_of(voxels("int16"))
    for name, function in NORMALISATIONS.items():
        assert scaling_of(histogram, name) == function(histogram)
    with pytest.raises(OptionError, match=r"normalisation is 'clamped_zscor' .*'clamped_zscore'"):
        scaling_of(histogram, "clamped_zscor")
    assert issubclass(ImageError, BratsError)


@pytest.mark.real
def test_a_real_scan_is_normalised_as_its_voxels_say(real_data: Path) -> None:
    array = images.read(real_data / "brats/Brats18_2013_2_1/Brats18_2013_2_1_t1ce.nii.gz").array
    expected = twin(array)
    for kind, tolerance in ((np.int16, 1e-4), (np.float32, 0.01)):
        scaling = clamped_zscore(histogram_of(array.astype(kind)))
        np.testing.assert_allclose(scaling.apply(array[::3, ::3, ::3]), expected[::3, ::3, ::3], atol=tolerance)
