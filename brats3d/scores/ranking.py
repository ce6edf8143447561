"""The BraTS ranking: sets of predictions ranked case by case, and whether their order could be due to chance.

1. In every case, region and metric all sets are ranked, the best is 1. (Dice and HD95 of three regions: 6 ranks per case.)
2. A set's ranks are averaged over regions, metrics and cases; the lowest average wins.
3. For every pair of sets the ranks of both are swapped in random cases, many times: p is the share of these permutations
   whose averages are at least as far apart as those found.

A penalty (HD95 of an empty mask) simply ranks last in its case, so no single case can decide, as it can in a mean.

References:
    IUCompPath/PermRanker, README (official for the challenges 2017 to 2025), and ``rank_algorithms`` in nnU-Net's
    Task082_BraTS_2020. The number of permutations and sides of the test are not published as code; ours are stated below.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brats3d.errors import OptionError, check_option, check_whole
from brats3d.scores.comparison import COMPARED
from brats3d.scores.paired import Sets, Shared, check_metrics, direction, shared_cases, value_table

TIES = ("average", "min")
"""Rank of equal scores: the average of their ranks (so that the ranks of a case always have the same sum), or the best."""

PERMUTATIONS = 10_000
"""Default number of permutations: p down to 0.0001."""

BLOCK = 1_000_000
"""Most random numbers in memory at a time."""


@dataclass(frozen=True)
class Place:
    """The place of one set of predictions.

    Attributes:
        place: 1 is the best; sets with equal averages share the better place.
        name: the set.
        rank: the average of all its ranks, 1 to the number of sets.
    """

    place: int
    name: str
    rank: float


@dataclass(frozen=True)
class RankTest:
    """Whether two sets of predictions differ by more than chance.

    Attributes:
        better: the set with the lower average rank.
        worse: the other.
        difference: how much lower, 0 if they are equal.
        p: of the two-sided permutation test, (1 + hits) / (1 + permutations); not corrected for the number of pairs.
    """

    better: str
    worse: str
    difference: float
    p: float


@dataclass(frozen=True)
class Ranking:
    """A ranking of several sets of predictions.

    Attributes:
        places: the sets, best first.
        tests: every pair of sets, by place.
        cases: cases in all sets, sorted; only these are ranked.
        left_out: case → the sets that lack it, for all others.
        regions: the regions ranked by.
        metrics: the metrics ranked by.
        ties: one of `TIES`.
        permutations: number of permutations of each test.
        seed: of the permutations.
    """

    places: tuple[Place, ...]
    tests: tuple[RankTest, ...]
    cases: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]
    regions: tuple[str, ...]
    metrics: tuple[str, ...]
    ties: str
    permutations: int
    seed: int

    @property
    def method(self) -> str:
        """How the ranks were computed, in words, for reports."""
        return (
            f"ranks of {', '.join(self.metrics)} of {', '.join(self.regions)} in each of {len(self.cases)} cases, ties"
            f" {self.ties}, undefined last, averaged; p: two-sided permutation test over cases, {self.permutations}"
            f" permutations, seed {self.seed}, not corrected for the number of pairs"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for summaries."""
        return {
            **vars(self),
            "places": [{**vars(place)} for place in self.places],
            "tests": [{**vars(test)} for test in self.tests],
            "cases": [*self.cases],
            "left_out": {case: [*names] for case, names in self.left_out.items()},
            "regions": [*self.regions],
            "metrics": [*self.metrics],
            "method": self.method,
        }


def rank_sets(
    sets: Sets,
    *,
    regions: Sequence[str] | None = None,
    metrics: Sequence[str] = COMPARED,
    ties: str = "average",
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Ranking:
    """Rank several sets of predictions on the cases in all of them, as the challenge does.

    An undefined score (None) ranks last in its case, tied with all other undefined ones, so a set gains nothing from a score
    that is undefined where it fails.

    Args:
        sets: set → case → region → metric → value, None if undefined. Not modified.
        regions: regions to rank by; by default all that are in every set.
        metrics: metrics to rank by, of `DIRECTIONS` or a surface Dice such as ``nsd_2mm``.
        ties: one of `TIES`.
        permutations: permutations of each pairwise test.
        seed: of the permutations.

    Returns:
        The ranking. The order of cases and sets does not matter; sets with equal averages are sorted by name.

    Raises:
        OptionError: there are fewer than 2 sets, a set has no scores of a region, a metric cannot be compared or is undefined
            throughout, ``ties`` is not one of `TIES`, or ``permutations`` is less than 1.
        NoCasesError: no case is in all sets.
        ArrayError: a value is infinite or NaN.
    """
    check_option("ties", ties, TIES)
    check_whole("permutations", permutations, 1, 10_000_000)
    check_whole("seed", seed, 0)
    metrics = check_metrics(metrics)
    shared = shared_cases({name: sets[name] for name in sorted(sets)}, regions)
    doubled = _doubled_ranks_by_case(sets, shared, metrics, ties)
    averages = doubled.sum(0) / (2 * len(shared.cases) * len(shared.regions) * len(metrics))
    order = sorted(range(len(shared.names)), key=lambda s: (averages[s], shared.names[s]))
    pairs = list(itertools.combinations(order, 2))
    chances = _permutation_p(np.stack([doubled[:, b] - doubled[:, a] for a, b in pairs], 1), permutations, seed)
    return Ranking(
        places=tuple(Place(1 + int((averages < averages[s]).sum()), shared.names[s], float(averages[s])) for s in order),
        tests=tuple(
            RankTest(shared.names[a], shared.names[b], float(averages[b] - averages[a]), p)
            for (a, b), p in zip(pairs, chances, strict=True)
        ),
        cases=shared.cases,
        left_out=shared.left_out,
        regions=shared.regions,
        metrics=metrics,
        ties=ties,
        permutations=permutations,
        seed=seed,
    )


def _doubled_ranks_by_case(sets: Sets, shared: Shared, metrics: Sequence[str], ties: str) -> np.ndarray:
    """Return (cases, sets) int64: twice the sum of a set's ranks in a case. (Doubled ranks are integers with exact sums.)"""
    total = np.zeros((len(shared.cases), len(shared.names)), np.int64)
    for metric in metrics:
        tables = [value_table(sets, shared, region, metric) for region in shared.regions]
        if np.isnan(tables).all():
            raise OptionError(
                f"{metric} is undefined in all {len(shared.cases)} cases of all sets; expected a metric that the protocol"
                " defines: leave it out."
            )
        for table in tables:
            losses = -table if direction(metric) == "higher" else table
            total += doubled_ranks(np.where(np.isnan(table), np.inf, losses), ties)
    return total


def doubled_ranks(losses: np.ndarray, ties: str = "average") -> np.ndarray:
    """Return twice the ranks of values along the last axis, which are whole numbers.

    Args:
        losses: (cases, sets), lower is better; infinity ranks last.
        ties: one of `TIES`.

    Returns:
        (cases, sets) int64; the lowest value has 2.
    """
    others, own = losses[:, None, :], losses[:, :, None]
    lower, equal = (others < own).sum(-1), (others == own).sum(-1)
    return 2 * lower + (equal + 1 if ties == "average" else 2)


def _permutation_p(differences: np.ndarray, permutations: int, seed: int) -> list[float]:
    """Return p for each column of (cases, pairs) integers: swapping two sets in a case flips the sign of its difference."""
    found = np.abs(differences.sum(0))
    generator, hits = np.random.default_rng(seed), np.zeros(differences.shape[1], np.int64)
    rows = max(1, BLOCK // len(differences))
    for start in range(0, permutations, rows):
        swapped = generator.random((min(rows, permutations - start), len(differences))) < 0.5
        permuted = np.where(swapped, -1.0, 1.0) @ differences.astype(float)
        hits += (np.abs(permuted) >= found).sum(0)
    return [float((1 + h) / (1 + permutations)) for h in hits]
