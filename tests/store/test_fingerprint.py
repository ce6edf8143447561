"""Fingerprints against slow twins: ranks by SciPy, block averages by loops, correlations by trying every shift."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from brats3d.intensity import histogram_of
from brats3d.store.fingerprint import (
    BlockMap,
    block_map,
    correlation,
    energies,
    likeness,
    ranks_of,
    signature,
    spectrum,
)


def volume(shape: tuple[int, int, int] = (17, 15, 13), kind: type = np.int16, seed: int = 0) -> np.ndarray:
    """Two modalities of random intensities, some negative, in an off-centre box that differs between them."""
    rng = np.random.default_rng(seed)
    images = np.zeros((2, *shape), kind)
    images[0, 2:-4, 1:-3, 2:-1] = rng.integers(-40, 400, images[0, 2:-4, 1:-3, 2:-1].shape) * (1 if kind == np.int16 else 0.31)
    images[1, 3:-3, 1:-4, 2:-2] = rng.integers(1, 90, images[1, 3:-3, 1:-4, 2:-2].shape)
    return images


@pytest.mark.parametrize(("kind", "tolerance"), [(np.int16, 1e-6), (np.float32, 4e-3)])
def test_ranks_are_scipys(kind: type, tolerance: float) -> None:
    image = volume((30, 20, 17), kind)[0]
    inside = image != 0
    ranks = ranks_of(image, histogram_of(image))
    assert ranks.dtype == np.float32
    assert not ranks[~inside].any()
    expected = (stats.rankdata(image[inside]) - 0.5) / inside.sum() * 2 - 1
    np.testing.assert_allclose(ranks[inside], expected, atol=tolerance)


def slow_map(images: np.ndarray, spacing: tuple[float, float, float], block_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Voxel by voxel: which block around the centroid it falls into, and the averages there."""
    n = round(192 / block_mm)
    factor = [round(block_mm / s) for s in spacing]
    inside = (images != 0).any(0)
    corner = [round(c - n * f / 2) for c, f in zip(np.argwhere(inside).mean(0), factor, strict=True)]
    sums, counts = np.zeros((len(images), n, n, n)), np.zeros((n, n, n))
    for place in np.argwhere(inside):
        block = tuple((p - c) // f for p, c, f in zip(place, corner, factor, strict=True))
        if all(0 <= b < n for b in block):
            counts[block] += 1
            for m, image in enumerate(images):
                value = image[tuple(place)]
                others = image[image != 0]
                rank = ((others < value).sum() + (others == value).sum() / 2) / len(others) * 2 - 1 if value else 0
                sums[(m, *block)] += rank
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0), counts / np.prod(factor)


@pytest.mark.parametrize("spacing", [(16.0, 16.0, 16.0), (12.0, 24.0, 16.0), (47.0, 8.1, 30.0)])
def test_a_map_is_that_of_the_slow_twin(spacing: tuple[float, float, float]) -> None:
    images = volume((13, 12, 11))
    found = block_map(images, [histogram_of(c) for c in images], spacing, 48.0)
    ranks, brain = slow_map(images, spacing, 48.0)
    assert found.ranks.shape == (2, 4, 4, 4)
    np.testing.assert_allclose(found.brain, brain, atol=1e-6)
    np.testing.assert_allclose(found.ranks, ranks, atol=1e-5)


def test_a_map_does_not_change_with_place_background_and_scale() -> None:
    images = volume((30, 28, 26))
    histograms = [histogram_of(c) for c in images]
    before = block_map(images, histograms, (6.0, 6.0, 6.0), 12.0)
    assert before.brain.any()
    moved = np.pad(images, [(0, 0), (9, 2), (0, 5), (4, 4)])
    bent = np.where(images != 0, np.exp((images - images.min()) / 200.0), 0).astype(np.float32)
    for changed, tolerance in ((moved, 1e-6), (images[:, 2:, 1:, 2:-1], 1e-6), (bent, 0.02), (images * np.int16(3), 1e-6)):
        after = block_map(changed, [histogram_of(c) for c in changed], (6.0, 6.0, 6.0), 12.0)
        np.testing.assert_allclose(after.brain, before.brain, atol=1e-6)
        np.testing.assert_allclose(after.ranks, before.ranks, atol=tolerance)


def random_map(seed: int, n: int = 5, modalities: int = 2) -> BlockMap:
    rng = np.random.default_rng(seed)
    brain = np.zeros((n, n, n), np.float32)
    brain[1:, : n - 1, 1:] = rng.choice([0.5, 0.8, 1.0], (n - 1, n - 1, n - 1))
    return BlockMap((rng.uniform(-1, 1, (modalities, n, n, n)) * (brain > 0)).astype(np.float32), brain)


def shifts(n: int) -> itertools.product:
    return itertools.product(range(n), repeat=3)


def test_likeness_is_the_best_of_all_shifts_over_common_modalities() -> None:
    n = 6
    one, others = random_map(0, n), [random_map(seed, n) for seed in (1, 2, 3)]
    others[1] = BlockMap(np.roll(one.ranks, (1, 2, 3), (1, 2, 3)), np.roll(one.brain, (1, 2, 3), (0, 1, 2)))
    others[2].ranks[0] = 0  # a modality that is not there
    found = likeness(
        spectrum(one), np.stack([spectrum(o) for o in others]), energies(one), np.stack([energies(o) for o in others])
    )
    for value, other in zip(found, others, strict=True):
        both = [m for m in range(2) if other.ranks[m].any()]
        a, b = (one.ranks * one.brain)[both], (other.ranks * other.brain)[both]
        best = max((a * np.roll(b, s, (1, 2, 3))).sum() for s in shifts(n))
        assert value == pytest.approx(best / min((a**2).sum(), (b**2).sum()), abs=1e-5)
    assert found[1] == pytest.approx(1, abs=1e-5)
    nothing = likeness(spectrum(one), np.zeros_like(spectrum(one))[None], energies(one), np.zeros((1, 2)))
    assert nothing.tolist() == [0]


def slow_correlation(one: BlockMap, other: BlockMap, overlap: float) -> float:
    mask_a, mask_b = one.brain > 0.3, other.brain > 0.3
    both = [m for m in range(len(one.ranks)) if one.ranks[m].any() and other.ranks[m].any()]
    best = -1.0
    for s in shifts(len(mask_a)):
        common = mask_a & np.roll(mask_b, s, (0, 1, 2))
        if common.sum() < overlap * min(mask_a.sum(), mask_b.sum()):
            continue
        covariance = squares_a = squares_b = 0.0
        for m in both:
            a, b = one.ranks[m][common], np.roll(other.ranks[m], s, (0, 1, 2))[common]
            covariance += ((a - a.mean()) * (b - b.mean())).sum()
            squares_a += ((a - a.mean()) ** 2).sum()
            squares_b += ((b - b.mean()) ** 2).sum()
        best = max(best, covariance / np.sqrt(squares_a * squares_b))
    return best


@pytest.mark.parametrize("overlap", [0.5, 0.9])
def test_correlation_is_the_best_of_all_shifts_where_both_brains_are(overlap: float) -> None:
    one, other, lacking = random_map(0), random_map(1), random_map(2)
    lacking.ranks[1] = 0
    part = BlockMap(
        np.where(np.indices(one.brain.shape)[0] < 3, one.ranks, 0), one.brain * (np.indices(one.brain.shape)[0] < 3)
    )
    moved = BlockMap(np.roll(part.ranks, (2, 1, 1), (1, 2, 3)), np.roll(part.brain, (2, 1, 1), (0, 1, 2)))
    for second in (other, lacking, moved):
        assert correlation(one, second, overlap=overlap) == pytest.approx(slow_correlation(one, second, overlap), abs=1e-4)
    assert correlation(one, moved, overlap=overlap) == pytest.approx(1, abs=1e-4)


def test_maps_without_contrast_correlate_with_nothing() -> None:
    one = random_map(0)
    flat = BlockMap(np.zeros_like(one.ranks), one.brain)
    assert correlation(one, flat) == 0
    assert correlation(one, BlockMap(flat.ranks, np.zeros_like(one.brain))) == 0


def test_a_mirrored_map_is_that_of_the_mirrored_volume() -> None:
    images = volume((11, 12, 10))
    one, other = (block_map(i, [histogram_of(c) for c in i], (16.0, 16.0, 16.0), 16.0) for i in (images, images[:, ::-1]))
    assert correlation(one.mirrored(), other) == pytest.approx(1, abs=1e-5)
    assert correlation(one, other) < 0.6
    np.testing.assert_array_equal(one.mirrored().mirrored().ranks, one.ranks)


def test_a_signature_is_that_of_the_shape_alone() -> None:
    image = volume((30, 28, 26))[0]
    shape = signature(histogram_of(image))
    assert shape.shape == (33,)
    assert shape[16] == 0
    assert shape[30] - shape[2] == pytest.approx(1)
    values = np.percentile(image[image != 0], np.linspace(2, 98, 33))
    np.testing.assert_allclose(shape, (values - values[16]) / (values[30] - values[2]), rtol=1e-5, atol=1e-6)
    for same in (image[::-1], np.pad(image, 5), np.where(image != 0, 7 + image * 2.5, 0).astype(np.float32)):
        np.testing.assert_allclose(signature(histogram_of(same)), shape, atol=5e-3)
    assert np.abs(signature(histogram_of(np.where(image != 0, (image - 45.0) ** 3, 0))) - shape).max() > 0.1
