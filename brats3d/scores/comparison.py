"""Paired comparison of several sets of predictions on the same cases: how large is the difference, and is it more than chance?

Every pair of sets, region and metric is one test. The more tests, the likelier one of them looks good by chance, so p-values
come with Holm's correction over all tests of the comparison; name the few metrics that matter instead of asking for all.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from brats3d.errors import check_range, check_whole
from brats3d.scores.paired import DECIMALS, Sets, check_metrics, direction, shared_cases, value_table
from brats3d.scores.statistics import RESAMPLES, mean_interval, mean_of

COMPARED = ("dice", "hd95_mm")
"""What is compared and ranked where nobody says otherwise: the two scores that the challenge ranks by."""


@dataclass(frozen=True)
class Difference:
    """How two sets of predictions differ in one metric of one region. What cannot be computed is None.

    Attributes:
        first: name of a set.
        second: name of another.
        region: the region.
        metric: the metric; of ``volume_error_ml`` all numbers are about absolute values.
        better: which way the metric is better: ``higher``, ``lower`` or ``nearer 0``.
        n: cases in which the metric is defined for both.
        undefined: shared cases in which it is not defined for both; they do not count.
        mean_first: mean of the first set over the n cases.
        mean_second: mean of the second set.
        difference: mean over the cases of first minus second.
        low: lower end of its 95 % bootstrap interval; from 2 cases on.
        high: its upper end.
        zeros: cases without a difference.
        p: of the two-sided Wilcoxon signed-rank test (see `signed_rank_p`).
        p_holm: the same, corrected for all tests of the comparison (see `holm`).
        favours: the set that is better on average; None where neither is.
    """

    first: str
    second: str
    region: str
    metric: str
    better: str
    n: int
    undefined: int
    mean_first: float | None
    mean_second: float | None
    difference: float | None
    low: float | None
    high: float | None
    zeros: int
    p: float | None
    p_holm: float | None
    favours: str | None


@dataclass(frozen=True)
class Comparison:
    """All differences of several sets of predictions.

    Attributes:
        sets: their names.
        cases: cases that all sets have, sorted; only these are compared.
        left_out: case → the sets that do not have it, for all others.
        rows: a difference for each pair of sets, region and metric.
        resamples: bootstrap samples of the intervals.
        seed: of the bootstrap.
    """

    sets: tuple[str, ...]
    cases: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]
    rows: tuple[Difference, ...]
    resamples: int
    seed: int

    @property
    def tests(self) -> int:
        """How many tests were done, which is what p-values are corrected for."""
        return sum(row.p is not None for row in self.rows)

    @property
    def method(self) -> str:
        """How the numbers came about, in words, for reports."""
        return (
            f"paired over the {len(self.cases)} cases that all sets have; differences are first minus second; intervals: 95 %"
            f" percentile bootstrap over cases, {self.resamples} samples, seed {self.seed}; p: two-sided Wilcoxon signed-rank"
            f" test, zero differences dropped (all zero: p = 1), Holm-corrected over {self.tests} tests"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as for a summary."""
        return {
            "sets": [*self.sets],
            "cases": [*self.cases],
            "left_out": {case: [*names] for case, names in self.left_out.items()},
            "method": self.method,
            "tests": self.tests,
            "resamples": self.resamples,
            "seed": self.seed,
            "rows": [{**vars(row)} for row in self.rows],
        }


def compare_sets(
    sets: Sets,
    *,
    regions: Sequence[str] | None = None,
    metrics: Sequence[str] = COMPARED,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare every two of several sets of predictions on the cases that all of them have.

    A case counts for a metric where both values are defined; how many do not is in `Difference.undefined`. (A set that leaves a
    metric undefined where it fails looks better than it is; `rank_sets` counts such a case against it.)

    Args:
        sets: set → case → region → metric → value, None where it is undefined. Not modified.
        regions: regions to compare; by default all that every set has.
        metrics: metrics to compare, of `DIRECTIONS` or a surface Dice such as ``nsd_2mm``.
        resamples: bootstrap samples of the intervals.
        seed: of the bootstrap.

    Returns:
        Rows by pair of sets (in the order given), region, metric. The order of the cases changes nothing.

    Raises:
        OptionError: there are fewer than 2 sets, a region is nowhere in one of them, a metric cannot be compared, or
            ``resamples`` is less than 1.
        NoCasesError: no case is in all sets.
        ArrayError: a value is infinite or NaN.
    """
    check_whole("resamples", resamples, 1, 1_000_000)
    check_whole("seed", seed, 0)
    metrics = check_metrics(metrics)
    shared = shared_cases(sets, regions)
    tables = {(r, m): value_table(sets, shared, r, m) for r in shared.regions for m in metrics}
    rows = [
        _difference((shared.names[i], shared.names[j]), cell, table[:, (i, j)], resamples, seed)
        for i, j in itertools.combinations(range(len(shared.names)), 2)
        for cell, table in tables.items()
    ]
    corrected = holm([row.p for row in rows])
    return Comparison(
        sets=shared.names,
        cases=shared.cases,
        left_out=shared.left_out,
        rows=tuple(replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)),
        resamples=resamples,
        seed=seed,
    )


def _difference(names: tuple[str, str], cell: tuple[str, str], values: np.ndarray, resamples: int, seed: int) -> Difference:
    """Compare two columns of values of one (region, metric); NaN is undefined."""
    region, metric = cell
    known = values[~np.isnan(values).any(1)]
    differences = np.round(known[:, 0] - known[:, 1], DECIMALS)
    n, better = len(known), direction(metric)
    mean = mean_of(differences) if n else None
    low, high = mean_interval(differences, resamples=resamples, seed=seed)
    gain = 0.0 if mean is None else round(mean, DECIMALS) * (1 if better == "higher" else -1)
    return Difference(
        first=names[0],
        second=names[1],
        region=region,
        metric=metric,
        better=better,
        n=n,
        undefined=len(values) - n,
        mean_first=mean_of(known[:, 0]) if n else None,
        mean_second=mean_of(known[:, 1]) if n else None,
        difference=mean,
        low=low,
        high=high,
        zeros=int(np.count_nonzero(differences == 0)),
        p=signed_rank_p(differences),
        p_holm=None,
        favours=None if gain == 0 else names[gain < 0],
    )


def signed_rank_p(differences: np.ndarray) -> float | None:
    """Return the two-sided p of Wilcoxon's signed-rank test: could signs be tossed, how often were the ranks so one-sided?

    Zero differences are dropped, as Wilcoxon did (1945) and as R and SciPy do by default; if nothing is left, p is 1. The null
    distribution is exact up to 50 differences without ties and up to 13 with ties, else normal and corrected for ties.

    Args:
        differences: (N,) finite numbers, a case each. Not modified.

    Returns:
        p; None where there is no case.
    """
    if len(differences) == 0:
        return None
    left = np.sort(differences[differences != 0])
    if len(left) == 0:
        return 1.0
    from scipy.stats import wilcoxon  # loads for most of a second, and few who score compare

    return min(1.0, float(wilcoxon(left).pvalue))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for how many tests were done, by Holm's step-down method (1979).

    The tests may depend on each other. The smallest of m is multiplied by m, the next by m − 1, and so on; none falls below one
    before it, or exceeds 1.

    Args:
        p_values: a p a test; None is a test that was not done, which stays None and does not count.

    Raises:
        OptionError: a p is not between 0 and 1.
    """
    done = [(p, place) for place, p in enumerate(p_values) if p is not None]
    for p, _ in done:
        check_range("a p-value", p, 0, 1)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(sorted(done)):
        largest = max(largest, min(1.0, (len(done) - rank) * p))
        corrected[place] = largest
    return corrected
