"""Paired comparison of several sets of predictions on the same cases: how large the differences are, and whether by chance.

Every pair of sets, region and metric is one test. With many tests some look significant by chance, so p-values are also given
with Holm's correction over all tests of the comparison; compare only the few metrics that matter.
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
"""What is compared and ranked by default: the two scores that the challenge ranks by."""


@dataclass(frozen=True)
class Difference:
    """How two sets of predictions differ in one metric of one region. What cannot be computed is None.

    Attributes:
        first: name of a set.
        second: name of another.
        region: the region.
        metric: the metric; for ``volume_error_ml`` all numbers are about absolute values.
        better: which way the metric is better: ``higher``, ``lower`` or ``nearer 0``.
        n: cases in which the metric is defined for both.
        undefined: shared cases in which it is undefined for one or both; they do not count.
        mean_first: mean of the first set over the n cases.
        mean_second: mean of the second set.
        difference: mean over the n cases of first minus second.
        low: lower end of its 95 % bootstrap interval; needs 2 cases.
        high: its upper end.
        zeros: cases without a difference.
        p: of the two-sided Wilcoxon signed-rank test (see `signed_rank_p`).
        p_holm: the same, corrected for all tests of the comparison (see `holm`).
        favours: the set that is better on average; None if neither is.
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
        cases: cases in all sets, sorted; only these are compared.
        left_out: case → the sets that lack it, for all others.
        rows: one difference per pair of sets, region and metric.
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
        """How many tests were done; p-values are corrected for this number."""
        return sum(row.p is not None for row in self.rows)

    @property
    def method(self) -> str:
        """How the numbers were computed, in words, for reports."""
        return (
            f"paired over the {len(self.cases)} cases that all sets have; differences are first minus second; intervals: 95 %"
            f" percentile bootstrap over cases, {self.resamples} samples, seed {self.seed}; p: two-sided Wilcoxon signed-rank"
            f" test, zero differences dropped (all zero: p = 1), Holm-corrected over {self.tests} tests"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for summaries."""
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
    """Compare each pair of several sets of predictions on the cases in all of them.

    A case counts for a metric if both values are defined; `Difference.undefined` is the number of those that do not. (A set
    whose metric is undefined where it fails looks better than it is; `rank_sets` counts such a case against it.)

    Args:
        sets: set → case → region → metric → value, None if undefined. Not modified.
        regions: regions to compare; by default all that are in every set.
        metrics: metrics to compare, of `DIRECTIONS` or a surface Dice such as ``nsd_2mm``.
        resamples: bootstrap samples of the intervals.
        seed: of the bootstrap.

    Returns:
        Rows by pair of sets (in the order given), region, metric. The order of the cases does not matter.

    Raises:
        OptionError: there are fewer than 2 sets, a set has no scores of a region, a metric cannot be compared, or
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
    """Return the two-sided p-value of Wilcoxon's signed-rank test.

    Zero differences are dropped, as Wilcoxon did (1945) and as R and SciPy do by default; if none are left, p is 1. The null
    distribution is exact up to 50 differences without ties and up to 13 with ties, otherwise normal with tie correction.

    Args:
        differences: (N,) finite numbers, one per case. Not modified.

    Returns:
        p; None if there are no cases.
    """
    if len(differences) == 0:
        return None
    left = np.sort(differences[differences != 0])
    if len(left) == 0:
        return 1.0
    from scipy.stats import wilcoxon  # takes most of a second to import, and few users compare

    return min(1.0, float(wilcoxon(left).pvalue))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for the number of tests by Holm's step-down method (1979).

    The tests may be dependent. The smallest of m is multiplied by m, the next by m − 1, and so on; none is smaller than the one
    before it, or exceeds 1.

    Args:
        p_values: one per test; None is a test that was not done, which stays None and does not count.

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
