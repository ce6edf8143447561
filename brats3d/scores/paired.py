"""Several sets of predictions on the same cases: shared cases, the direction of each score, and tables of values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from brats3d.errors import ArrayError, NoCasesError, OptionError, check_option

Sets = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float | None]]]]
"""set → case → region → metric → value; from region on as ``RegionScores.as_row()``. None is undefined."""

DECIMALS = 12
"""Decimals to which values are compared: 0.9 − 0.8 and 0.8 − 0.7 are equal differences, whatever their last bits."""

DIRECTIONS: Mapping[str, str] = MappingProxyType({
    "dice": "higher",
    "iou": "higher",
    "sensitivity": "higher",
    "specificity": "higher",
    "precision": "higher",
    "lesion_dice": "higher",
    "lesions_tp": "higher",
    "hd95_mm": "lower",
    "hd_mm": "lower",
    "assd_mm": "lower",
    "lesion_hd95_mm": "lower",
    "lesions_fp": "lower",
    "lesions_fn": "lower",
    "volume_error_ml": "nearer 0",
})  # fmt: skip
"""Metric → what is better. Volumes by themselves are neither good nor bad, so they are not listed."""


def direction(metric: str) -> str:
    """Return which way a metric is better: ``higher``, ``lower``, or ``nearer 0`` (then its absolute value is compared).

    Args:
        metric: a key of `DIRECTIONS`, or a surface Dice such as ``nsd_2mm`` with any tolerance.

    Raises:
        OptionError: there is no such metric, or it has no direction; the message lists those that can be compared.
    """
    if metric.startswith("nsd_"):
        return "higher"
    check_option("the metric to compare", metric, (*DIRECTIONS, "nsd_…mm"))
    return DIRECTIONS[metric]


def check_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics as a tuple; raise if there are none or one cannot be compared.

    Args:
        metrics: their names.

    Raises:
        OptionError: there are no metrics, or one has no direction.
    """
    if not metrics:
        raise OptionError(f"found {len(metrics)} metrics to compare; expected one or more of {', '.join(DIRECTIONS)}.")
    for metric in metrics:
        direction(metric)
    return tuple(dict.fromkeys(metrics))


@dataclass(frozen=True)
class Shared:
    """What several sets of predictions have in common.

    Attributes:
        names: the sets.
        cases: cases in all sets, sorted.
        left_out: case → the sets that lack it, for all others.
        regions: regions to compare.
    """

    names: tuple[str, ...]
    cases: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]
    regions: tuple[str, ...]


def shared_cases(sets: Sets, regions: Sequence[str] | None = None) -> Shared:
    """Return what several sets of predictions have in common.

    Args:
        sets: set → case → region → metric → value.
        regions: regions to compare; by default all that are in every set, in the first set's order.

    Raises:
        OptionError: there are fewer than 2 sets, or a set has no scores of a region to compare.
        NoCasesError: no case is in all sets.
    """
    names = tuple(sets)
    if len(names) < 2:
        found = f"1 set of predictions ({names[0]})" if names else "no set of predictions"
        raise OptionError(f"found {found}; expected at least 2 to compare: add one with another name.")
    cases = sorted(set.intersection(*(set(rows) for rows in sets.values())))
    if not cases:
        sizes = ", ".join(f"{name} ({len(rows)}{_example(rows)})" for name, rows in sets.items())
        raise NoCasesError(f"no case is in all of the sets {sizes}; expected scores of the same cases: check their ids.")
    have = {name: dict.fromkeys(region for case in cases for region in sets[name][case]) for name in names}
    if regions is None:
        regions = [region for region in have[names[0]] if all(region in known for known in have.values())]
    if not regions:
        listed = "; ".join(f"{name}: {', '.join(known) or 'none'}" for name, known in have.items())
        raise OptionError(f"no region is in all of the sets ({listed}); expected at least one to compare.")
    for name, known in have.items():
        for region in regions:
            check_option(f"the region to compare in the set {name}", region, known)
    everything = dict.fromkeys(case for name in names for case in sorted(sets[name]))
    left_out = {case: tuple(name for name in names if case not in sets[name]) for case in sorted(everything)}
    return Shared(names, tuple(cases), {case: gone for case, gone in left_out.items() if gone}, tuple(dict.fromkeys(regions)))


def _example(rows: Mapping[str, object]) -> str:
    return f" such as {min(rows)}" if rows else ""


def value_table(sets: Sets, shared: Shared, region: str, metric: str) -> np.ndarray:
    """Return the values of one metric for one region; absolute values if nearer 0 is better.

    Args:
        sets: set → case → region → metric → value.
        shared: what they have in common.
        region: one of its regions.
        metric: a metric with a direction.

    Returns:
        (cases, sets) float64, rounded to `DECIMALS`; NaN if the score is undefined or was not computed.

    Raises:
        ArrayError: a value is infinite or NaN.
        OptionError: the metric has no direction.
    """
    table = np.full((len(shared.cases), len(shared.names)), np.nan)
    for column, name in enumerate(shared.names):
        for row, case in enumerate(shared.cases):
            value = sets[name][case].get(region, {}).get(metric)
            if value is None:
                continue
            if not math.isfinite(value):
                raise ArrayError(
                    f"{metric} of {region} of case {case} in the set {name} is {value}; expected a number, or None if"
                    " undefined."
                )
            table[row, column] = value
    return np.round(np.abs(table) if direction(metric) == "nearer 0" else table, DECIMALS)
