"""The BraTS ranking: sets of predictions ranked case by case, and how far the order could be chance.

1. In every case, region and metric all sets are ranked, the best 1. (Dice and HD95 of three regions: 6 ranks a case.)
2. A set's ranks are averaged over regions, metrics and cases; the lowest average wins.
3. For every two sets the ranks of both are swapped in random cases, many times: p is the share of such permutations whose
   averages lie as far apart as those found.

A penalty (HD95 of an empty mask) simply ranks last in its case, so no single case decides, as it can in a mean.

References:
    IUCompPath/PermRanker, README (official for the challenges 2017 to 2025), and ``rank_algorithms`` in nnU-Net's
    Task082_BraTS_2020. Number of permutations and sides of the test are not published as code; ours are said below.
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
"""What equal scores share: the average of their ranks (so that all ranks of a case always add up to the same), or the best."""

PERMUTATIONS = 10_000
"""Permutations where nobody says otherwise: p down to 0.0001."""

BLOCK = 1_000_000
"""Most random numbers held at a time."""


@dataclass(frozen=True)
class Place:
    """Where one set of predictions stands.

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
    """Whether two sets of predictions stand apart by more than chance.

    Attributes:
        better: the set with the lower average rank.
        worse: the other.
        difference: how much lower, 0 where they are equal.
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
        tests: every two sets, by place.
        cases: cases that all sets have, sorted; only these are ranked.
        left_out: case → the sets that do not have it, for all others.
        regions: what was ranked.
        metrics: by which metrics.
        ties: a word of `TIES`.
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
        """How the ranks came about, in words, for reports."""
        return (
            f"ranks of {', '.join(self.metrics)} of {', '.join(self.regions)} in each of {len(self.cases)} cases, ties"
            f" {self.ties}, undefined last, averaged; p: two-sided permutation test over cases, {self.permutations}"
            f" permutations, seed {self.seed}, not corrected for the number of pairs"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as for a summary."""
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
    """Rank several sets of predictions on the cases that all of them have, as the challenge does.

    An undefined score (None) ranks last in its case, beside all others that are undefined: a set gains nothing by a score that
    does not exist where it fails.

    Args:
        sets: set → case → region → metric → value, None where it is undefined. Not modified.
        regions: regions to rank by; by default all that every set has.
        metrics: metrics to rank by, of `DIRECTIONS` or a surface Dice such as ``nsd_2mm``.
        ties: a word of `TIES`.
        permutations: permutations of each pairwise test.
        seed: of the permutations.

    Returns:
        The ranking. The order of cases and of sets changes nothing; sets with equal averages are sorted by name.

    Raises:
        OptionError: there are fewer than 2 sets, a region is nowhere in one of them, a metric cannot be compared, or is
            undefined throughout, ``ties`` is no such word, or ``permutations`` is less than 1.
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
    """Return (cases, sets) int64: twice the sum of a set's ranks in a case. (Doubled, ranks are whole, and sums are exact.)"""
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
    """Return twice the ranks of some values along the last axis, which are whole numbers.

    Args:
        losses: (cases, sets), lower is better; infinite ranks last.
        ties: a word of `TIES`.

    Returns:
        (cases, sets) int64; the lowest value has 2.
    """
    others, own = losses[:, None, :], losses[:, :, None]
    lower, equal = (others < own).sum(-1), (others == own).sum(-1)
    return 2 * lower + (equal + 1 if ties == "average" else 2)


def _permutation_p(differences: np.ndarray, permutations: int, seed: int) -> list[float]:
    """Return p of each column of (cases, pairs) whole numbers: swapping two sets in a case turns the sign of its difference."""
    found = np.abs(differences.sum(0))
    generator, hits = np.random.default_rng(seed), np.zeros(differences.shape[1], np.int64)
    rows = max(1, BLOCK // len(differences))
    for start in range(0, permutations, rows):
        swapped = generator.random((min(rows, permutations - start), len(differences))) < 0.5
        permuted = np.where(swapped, -1.0, 1.0) @ differences.astype(float)
        hits += (np.abs(permuted) >= found).sum(0)
    return [float((1 + h) / (1 + permutations)) for h in hits]
