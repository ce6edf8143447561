"""Reliability and expected calibration error: a loop over voxels, hand arithmetic, cases added one by one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from brats3d.errors import ArrayError, OptionError
from brats3d.scores.calibration import Reliability, reliability

SHAPE = (6, 7, 8)


def case(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overconfident probabilities, a mask, a part of the volume."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.4, 0.6, shape).astype(np.float32)
    return probabilities, rng.random(shape) < 0.2 + 0.6 * probabilities, rng.random(shape) < 0.7


def slow_bins(probabilities: np.ndarray, mask: np.ndarray, bins: int) -> list[list[tuple[float, bool]]]:
    """Voxels sorted into lists by comparing with the limits of every bin."""
    found: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for p, inside in zip(probabilities.ravel().tolist(), mask.ravel().tolist(), strict=True):
        for b in range(bins):
            if p < (b + 1) / bins or b == bins - 1:
                found[b].append((p, inside))
                break
    return found


@pytest.mark.parametrize("bins", [1, 4, 10, 15, 300])
@pytest.mark.parametrize("restricted", [False, True])
def test_bins_are_those_of_a_loop(bins: int, restricted: bool) -> None:
    probabilities, mask, within = case()
    found = reliability(probabilities, mask, within=within if restricted else None, bins=bins)
    kept = within if restricted else np.ones(SHAPE, bool)
    expected = slow_bins(probabilities[kept], mask[kept], bins)
    total = sum(len(voxels) for voxels in expected)
    assert found.n == total == kept.sum()
    assert found.counts == tuple(len(voxels) for voxels in expected)
    gap = 0.0
    for voxels, mean, share in zip(expected, found.mean_probabilities, found.observed_frequencies, strict=True):
        if not voxels:
            assert mean is None
            assert share is None
            continue
        slow_mean, slow_share = (sum(column) / len(voxels) for column in zip(*voxels, strict=True))
        assert (mean, share) == pytest.approx((slow_mean, slow_share), abs=1e-12)
        gap += len(voxels) / total * abs(slow_share - slow_mean)
    assert found.ece == pytest.approx(gap, abs=1e-12)


def test_error_by_hand() -> None:
    """Bins of 0.25: (0.1, 0.2 | one of two), (0.6 | none), (0.8, 1, 1 | two of three)."""
    probabilities = np.array([[0.1, 0.2, 0.6], [0.8, 1.0, 1.0]])
    mask = np.array([[True, False, False], [True, True, False]])
    found = reliability(probabilities, mask, bins=4)
    assert (found.counts, found.positives) == ((2, 0, 1, 3), (1, 0, 0, 2))
    assert found.mean_probabilities == pytest.approx((0.15, None, 0.6, 2.8 / 3))
    assert found.observed_frequencies == pytest.approx((0.5, None, 0, 2 / 3))
    assert found.ece == pytest.approx(2 / 6 * 0.35 + 1 / 6 * 0.6 + 3 / 6 * (0.8 / 3))


def test_limits_belong_to_the_upper_bin_and_1_to_the_last() -> None:
    probabilities = np.array([0, 0.25, 0.5, 0.75, 1, np.nextafter(0.25, 0), np.nextafter(1, 0)])
    assert reliability(probabilities, np.zeros(7, bool), bins=4).counts == (2, 1, 1, 3)


def test_the_best_and_the_worst() -> None:
    _, mask, _ = case()
    assert reliability(mask.astype(float), mask).ece == 0
    assert reliability(1.0 - mask, mask).ece == 1
    assert reliability(np.full(SHAPE, 0.5), mask).ece == pytest.approx(abs(0.5 - mask.mean()))


def test_voxels_drawn_with_their_probability_are_calibrated() -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.random((40, 50, 60))
    mask = rng.random(probabilities.shape) < probabilities
    calibrated, sharpened = reliability(probabilities, mask).ece, reliability(probabilities**2, mask).ece
    assert calibrated is not None
    assert sharpened is not None
    assert calibrated < 0.005
    assert sharpened == pytest.approx(1 / 2 - 1 / 3, abs=0.005)  # ∫ p − p²


def test_cases_add_up_to_their_voxels_together() -> None:
    cases = [case(seed, (4 + seed, 5, 6)) for seed in range(3)]
    added = sum((reliability(p, m, within=w) for p, m, w in cases), Reliability.empty())
    together = reliability(*(np.concatenate([c[i][c[2]] for c in cases]) for i in (0, 1)))
    assert (added.counts, added.positives) == (together.counts, together.positives)
    assert added.probability_sums == pytest.approx(together.probability_sums, abs=1e-9)
    assert added.ece == pytest.approx(together.ece, abs=1e-12)
    one, other = (reliability(p, m) for p, m, _ in cases[:2])
    assert one + other == other + one
    assert one + Reliability.empty() == one


def test_the_mean_of_errors_is_not_the_error_of_all() -> None:
    """One case too sure, one too shy: together they look calibrated, which is what adding means."""
    half = np.full(10, 0.5)
    sure, shy = reliability(half, np.zeros(10, bool)), reliability(half, np.ones(10, bool))
    assert (sure.ece, shy.ece, (sure + shy).ece) == (0.5, 0.5, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_any_float_type_is_binned_by_its_exact_value(dtype: str | type) -> None:
    probabilities, mask, _ = case()
    typed = probabilities.astype(dtype)
    assert reliability(typed, mask) == reliability(typed.astype(np.float64), mask)
    assert reliability(np.asfortranarray(typed), np.asfortranarray(mask)).counts == reliability(typed, mask).counts


def test_no_voxel_has_no_error() -> None:
    probabilities, mask, _ = case()
    nothing = reliability(probabilities, mask, within=np.zeros(SHAPE, bool))
    assert nothing == Reliability.empty() == reliability(np.zeros((0, 3, 3)), np.zeros((0, 3, 3), bool))
    assert (nothing.n, nothing.ece, nothing.mean_probabilities) == (0, None, (None,) * 10)


def test_inputs_stay_as_they_are() -> None:
    arrays = case()
    before = [a.copy() for a in arrays]
    for array in arrays:
        array.flags.writeable = False
    reliability(arrays[0], arrays[1], within=arrays[2])
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_as_dict_is_plain() -> None:
    probabilities, mask, _ = case()
    found = reliability(probabilities, mask, bins=4)
    plain = found.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["n"], plain["ece"]) == (found.n, found.ece)
    assert [(b["low"], b["high"]) for b in plain["bins"]] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]
    assert [b["count"] for b in plain["bins"]] == [*found.counts]
    assert [b["mean_probability"] for b in plain["bins"]] == [*found.mean_probabilities]
    assert [b["observed_frequency"] for b in plain["bins"]] == [*found.observed_frequencies]


@pytest.mark.parametrize(("wrong", "text"), [(math.nan, "nan"), (1.5, "1.5"), (-0.25, "-0.25"), (math.inf, "inf")])
@pytest.mark.parametrize("outside", [False, True])
def test_what_is_no_probability_is_refused(wrong: float, text: str, outside: bool) -> None:
    probabilities, mask, within = case()
    probabilities[2, 3, 4], within[2, 3, 4] = wrong, not outside
    with pytest.raises(ArrayError, match=f"{text} in 1 of 336 voxels"):
        reliability(probabilities, mask, within=within)


def test_other_refusals() -> None:
    probabilities, mask, within = case()
    with pytest.raises(ArrayError, match=r"^shapes differ: probabilities \(6, 7, 8\), mask \(5, 7, 8\); expected"):
        reliability(probabilities, mask[:5])
    with pytest.raises(ArrayError, match=r"within \(6, 7\); expected equal shapes"):
        reliability(probabilities, mask, within=within[..., 0])
    with pytest.raises(ArrayError, match="mask is of type uint8"):
        reliability(probabilities, mask.astype(np.uint8))
    with pytest.raises(ArrayError, match="within is of type int64"):
        reliability(probabilities, mask, within=within.astype(np.int64))
    with pytest.raises(OptionError, match="^bins is 0; expected a whole number from 1 to 1000.$"):
        reliability(probabilities, mask, bins=0)
    with pytest.raises(ArrayError, match="^found 10 and 15 bins"):
        Reliability.empty() + Reliability.empty(15)
