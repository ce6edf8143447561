"""Descriptions of many cases: Python's statistics module, SciPy's bootstrap, hand arithmetic."""

from __future__ import annotations

import math
import statistics
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from brats3d.errors import ArrayError, OptionError
from brats3d.scores import statistics as ours
from brats3d.scores.statistics import VOLUME_GROUPS, Description, describe, mean_interval, mean_of, volume_group


def scores(n: int, seed: int = 5) -> list[float]:
    """Values as Dice is spread: most near 0.9, some 0."""
    rng = np.random.default_rng(seed)
    return [float(v) for v in np.where(rng.random(n) < 0.1, 0, rng.beta(12, 2, n))]


@pytest.mark.parametrize("n", [2, 3, 7, 40, 251])
def test_moments_and_quartiles_are_those_of_the_standard_library(n: int) -> None:
    values = scores(n)
    found = describe(values)
    first, middle, third = statistics.quantiles(values, n=4, method="inclusive")
    assert (found.n, found.undefined) == (n, 0)
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-14)
    assert found.sd == pytest.approx(statistics.stdev(values), abs=1e-14)
    assert (found.q25, found.median, found.q75) == pytest.approx((first, middle, third), abs=1e-14)
    assert found.median == pytest.approx(statistics.median(values), abs=1e-14)


@pytest.mark.parametrize("seed", [0, 9])
@pytest.mark.parametrize("n", [2, 7, 251])
def test_the_interval_is_scipys_percentile_bootstrap(n: int, seed: int) -> None:
    values = scores(n)
    expected = stats.bootstrap(
        (np.sort(values),), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    found = describe(values, resamples=500, seed=seed)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_interval_of_many_cases_is_that_of_the_central_limit_theorem() -> None:
    values = scores(1251)
    found = describe(values)
    half = 1.96 * statistics.stdev(values) / math.sqrt(1251)
    assert found.low == pytest.approx(statistics.fmean(values) - half, abs=0.1 * half)
    assert found.high == pytest.approx(statistics.fmean(values) + half, abs=0.1 * half)


def test_more_resamples_move_the_interval_little() -> None:
    values = scores(100)
    some, many = describe(values), describe(values, resamples=50_000, seed=1)
    assert some.low is not None
    assert some.high is not None
    assert (some.low, some.high) == pytest.approx((many.low, many.high), abs=0.06 * (some.high - some.low))


def test_the_order_of_the_cases_changes_no_bit() -> None:
    values = scores(37)
    mixed = [values[i] for i in np.random.default_rng(1).permutation(37)]
    with_gaps = [None, *mixed[:20], None, None, *mixed[20:]]
    assert describe(mixed) == describe(values)
    assert vars(describe(with_gaps)) == {**vars(describe(values)), "undefined": 3}


def test_a_seed_gives_the_same_again_and_another_one_not() -> None:
    values = scores(37)
    assert describe(values, seed=4) == describe(values, seed=4)
    assert describe(values, seed=4).low != describe(values, seed=5).low


@pytest.mark.parametrize("block", [1, 30, 1000])
def test_drawing_in_blocks_draws_the_same(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.array(scores(11))
    whole = mean_interval(values, resamples=101)
    monkeypatch.setattr(ours, "BLOCK", block)
    assert mean_interval(values, resamples=101) == whole


def test_five_thousand_cases_need_little_memory() -> None:
    values = scores(5000)
    tracemalloc.start()
    describe(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6  # all draws at once: 160 MB


NOTHING = dict.fromkeys(("mean", "sd", "median", "q25", "q75", "low", "high"))


@pytest.mark.parametrize("values", [[], [None], [None, None, None]])
def test_no_value_has_no_mean(values: list[None]) -> None:
    assert describe(values).as_dict() == {"n": 0, "undefined": len(values), **NOTHING}


def test_one_value_has_no_spread() -> None:
    expected = {
        "n": 1,
        "undefined": 1,
        "mean": 0.7,
        "sd": None,
        "median": 0.7,
        "q25": 0.7,
        "q75": 0.7,
        "low": None,
        "high": None,
    }
    assert describe([None, 0.7]).as_dict() == expected


@pytest.mark.parametrize("value", [0.1, 1.0, 373.1287, -2.3])
@pytest.mark.parametrize("n", [2, 3, 49])
def test_equal_values_have_no_spread_to_the_bit(value: float, n: int) -> None:
    found = describe([value] * n)
    assert found == Description(n, 0, value, 0.0, value, value, value, value, value)
    assert mean_of(np.full(n, value)) == value


def test_the_interval_holds_the_mean_and_lies_among_the_values() -> None:
    for seed in range(20):
        found = describe(scores(4, seed), seed=seed)
        assert min(scores(4, seed)) <= found.low <= found.mean <= found.high <= max(scores(4, seed))


@pytest.mark.parametrize(("wrong", "text"), [(math.nan, "nan"), (math.inf, "inf")])
def test_what_is_no_number_is_refused(wrong: float, text: str) -> None:
    with pytest.raises(ArrayError, match=f"^value 2 of 4 is {text}; expected a number"):
        describe([0.5, None, wrong, 0.6])


def test_no_resamples_are_refused() -> None:
    with pytest.raises(OptionError, match="^resamples is 0; expected a whole number from 1 to "):
        describe([0.5, 0.6], resamples=0)


def test_values_stay_as_they_are() -> None:
    values = np.array([3.0, 1.0, 2.0])
    values.flags.writeable = False
    assert mean_of(values) == 2
    mean_interval(values, resamples=10)
    assert values.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("millilitres", "group"),
    [(0, "0 ml"), (0.001, "< 10 ml"), (9.999, "< 10 ml"), (10, "10 to 50 ml"), (50, "10 to 50 ml"), (50.001, "> 50 ml")],
)
def test_volume_groups(millilitres: float, group: str) -> None:
    assert volume_group(millilitres) == group
    assert group in VOLUME_GROUPS


@pytest.mark.parametrize(("millilitres", "across_mm", "lost"), [(10, 27, 0.11), (50, 46, 0.06)])
def test_the_limits_are_justified_as_written(millilitres: float, across_mm: float, lost: float) -> None:
    radius = (3 * millilitres * 1000 / (4 * math.pi)) ** (1 / 3)
    ball, larger = radius**3, (radius + 1) ** 3
    assert 2 * radius == pytest.approx(across_mm, abs=0.5)
    assert 1 - 2 * ball / (ball + larger) == pytest.approx(lost, abs=0.005)


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_what_is_no_volume_is_refused(wrong: float) -> None:
    with pytest.raises(OptionError, match=f"volume in ml is {wrong}.* from 0"):
        volume_group(wrong)
