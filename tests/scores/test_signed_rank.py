"""Wilcoxon's signed-rank test and Holm's correction: all signs counted, subset sums, hand arithmetic, definitions."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest

from brats3d.errors import OptionError
from brats3d.scores.comparison import holm, signed_rank_p


def ranks(values: Sequence[float]) -> list[float]:
    """Average ranks, one value after the other."""
    return [sum(v < own for v in values) + (sum(v == own for v in values) + 1) / 2 for own in values]


def p_of_all_signs(differences: Sequence[float]) -> float:
    """The definition: the share of all 2ⁿ ways to toss the signs whose rank sum is as far from the middle as the one found."""
    moved = [d for d in differences if d]
    ranked = ranks([abs(d) for d in moved])
    middle = sum(ranked) / 2
    found = abs(sum(r for r, d in zip(ranked, moved, strict=True) if d > 0) - middle)
    sums = [sum(r for r, up in zip(ranked, signs, strict=True) if up) for signs in itertools.product((0, 1), repeat=len(moved))]
    return sum(abs(s - middle) >= found - 1e-9 for s in sums) / len(sums)


SMALL = {
    "one": [0.3],
    "two": [0.3, 0.1],
    "one way": [1, 2, 3, 4, 5, 6],
    "both ways": [1, -2, 3, 4, 5, -6, 7, 8, 9.5],
    "ties": [1, 1, 2, -2, 3, 3, 3, -1, 5],
    "all tied": [0.5, 0.5, 0.5, 0.5],
    "zeros": [0, 0, 0, 0, 1, 2, 3, -4, 5],
    "zeros and ties": [0, 0, 1, -1, 1, 2, 2, 0, 3, 3],
    "balanced": [1, -1],
    "many zeros": [0] * 60 + [1, 2, 3, 4, 5],
}


@pytest.mark.parametrize("kind", SMALL)
def test_p_of_few_cases_counts_all_signs(kind: str) -> None:
    assert signed_rank_p(np.array(SMALL[kind], float)) == pytest.approx(p_of_all_signs(SMALL[kind]), abs=1e-12)


def test_p_of_wilcoxons_own_example() -> None:
    """Height of cross- minus self-fertilised maize (Darwin's, used by Wilcoxon 1945): of 2¹⁵ signs, 1352 are as one-sided."""
    heights = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert signed_rank_p(np.array(heights, float)) == pytest.approx(1352 / 2**15)


@pytest.mark.parametrize("n", [20, 50])
def test_p_without_ties_is_exact_up_to_fifty(n: int) -> None:
    """How many subsets of 1…n have each sum, counted up."""
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    counts = {0: 1}
    for rank in range(1, n + 1):
        with_it = {s + rank: c for s, c in counts.items()}
        counts = {s: counts.get(s, 0) + with_it.get(s, 0) for s in {*counts, *with_it}}
    ranked = ranks(np.abs(differences).tolist())
    found = min(sum(r for r, d in zip(ranked, differences, strict=True) if (d > 0) == up) for up in (True, False))
    assert signed_rank_p(differences) == pytest.approx(2 * sum(c for s, c in counts.items() if s <= found) / 2**n, rel=1e-9)


def test_p_of_many_cases_is_normal_and_corrected_for_ties() -> None:
    differences = np.round(np.random.default_rng(0).normal(0.05, 0.2, 300), 1)
    moved = [float(d) for d in differences if d]
    n, ranked = len(moved), ranks([abs(d) for d in moved])
    assert n < 290  # there are zeros
    up = sum(r for r, d in zip(ranked, moved, strict=True) if d > 0)
    groups = [[abs(d) for d in moved].count(size) for size in {abs(d) for d in moved}]
    variance = n * (n + 1) * (2 * n + 1) / 24 - sum(t**3 - t for t in groups) / 48
    z = (up - n * (n + 1) / 4) / math.sqrt(variance)
    assert signed_rank_p(differences) == pytest.approx(2 * statistics.NormalDist().cdf(-abs(z)), rel=1e-9)


def test_no_difference_is_p_1_and_no_case_is_no_p() -> None:
    assert signed_rank_p(np.zeros(7)) == 1
    assert signed_rank_p(np.array([])) is None


def test_holm_by_hand() -> None:
    # sorted 0.005·4, 0.01·3, 0.03·2, 0.04·1, which may not fall below 0.06
    assert holm([0.01, None, 0.04, 0.03, 0.005]) == pytest.approx([0.03, None, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9, 0.4]) == [1, 1, 1]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    assert holm([None, None]) == [None, None]


def test_holm_by_its_definition() -> None:
    """A test is rejected at a level iff the smallest p's pass the level over what is left, one after the other."""
    rng = np.random.default_rng(8)
    p_values = [*rng.random(7) ** 4, 0.01, 0.01]
    corrected = holm(p_values)
    for level in (0.001, 0.01, 0.05, 0.1, 0.2, 0.5):
        rejected = set()
        for place in sorted(range(9), key=lambda i: p_values[i]):
            if p_values[place] * (9 - len(rejected)) > level:
                break
            rejected.add(place)
        assert {i for i, p in enumerate(corrected) if p <= level} == rejected


@pytest.mark.parametrize("wrong", [-0.1, 1.2, math.nan])
def test_holm_refuses_what_is_no_p(wrong: float) -> None:
    with pytest.raises(OptionError, match=f"^a p-value is {wrong}; expected a number from 0 to 1.$"):
        holm([0.5, wrong])
