"""Cases whose coding differs from their cohort's: a value that behaves as another one does elsewhere.

The cohort itself shows how each value behaves (median and spread over the cases), so no table is needed, and unknown codings
can be compared too. A case stands out if exchanging its values, or renumbering one that no other case has, makes it like the
rest. A value that behaves like one the case lacks says nothing: without oedema, the core forms the outside.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from brats3d.checks.kinds import FEATURES
from brats3d.checks.tissue import CodingFeatures, ValueFeatures

FEWEST_CASES = 4
"""Fewer other cases with a value cannot characterise it."""
MANY_CASES = 100
"""With more cases one does not move the median: each is compared with all, including itself."""
FEWEST_VOXELS = 50
MOST_VALUES = 6
"""Labels of more values are not compared: every way to exchange them is tried."""
SPREADS: Mapping[str, float] = {"enhancement": 0.8, "peak": 1.0, "brightest": 1.0, "flair": 1.5, "t2": 1.2, "wettest": 1.2,
                                "outer": 0.15, "outermost": 0.2, "hollow": 0.1}  # fmt: skip
"""Feature → its least assumed spread: few cases may agree by chance."""
FURTHEST = 3.0
"""Most spreads that one feature counts for."""
UNKNOWN = 4.0
"""Cost of a value that the cohort lacks: as much as one that differs by two spreads in every feature."""
GAIN = 1.0
"""By how much an exchange must bring each value closer to the cohort's, in mean squared spreads. In 39 cases of three years no
exchange gains more than 0; with two values exchanged on purpose, 104 of 117 gain this much."""
GAIN_OF_UNKNOWN = 1.5
"""The same for renumbering a value that the cohort lacks. Enhancing tumour under another number gains 1.7 or more."""


def coding_outliers(features: Mapping[str, CodingFeatures]) -> dict[str, str]:
    """Find cases whose values mean something other than the same values in the other cases.

    Args:
        features: case id → features of its values (`coding_features`), for cases that should share a coding.

    Returns:
        Case id → sentence, for those that stand out; empty for a cohort of fewer than five.
    """
    sentences = {}
    everyone = _norms(list(features.values())) if len(features) > MANY_CASES else None
    for case, own in features.items():
        norms = everyone or _norms([of for other, of in features.items() if other != case])
        values = [value for value, seen in own.items() if seen.voxels >= FEWEST_VOXELS]
        if not norms or not 0 < len(values) <= MOST_VALUES or len(norms) > MOST_VALUES:
            continue
        renamed = _best_names(own, values, norms)
        if renamed:
            sentences[case] = _sentence(case, own, renamed, norms)
    return sentences


Norm = Mapping[str, tuple[float, float]]
"""Feature → its median over the cases, and its spread."""


def _norms(cases: list[CodingFeatures]) -> dict[int, Norm]:
    """Return how each value behaves that enough cases have."""
    norms: dict[int, Norm] = {}
    for value in sorted({value for case in cases for value in case}):
        seen = [case[value] for case in cases if value in case and case[value].voxels >= FEWEST_VOXELS]
        if len(seen) < FEWEST_CASES:
            continue
        norms[value] = {}
        for name in FEATURES:
            known = np.array([getattr(one, name) for one in seen])
            known = known[~np.isnan(known)]
            if known.size:
                median = float(np.median(known))
                spread = 1.4826 * float(np.median(np.abs(known - median)))
                norms[value] = {**norms[value], name: (median, max(spread, SPREADS[name]))}
    return norms


def _distance(seen: ValueFeatures, norm: Norm) -> float:
    """Return the mean squared distance of a value from a norm, in spreads; `UNKNOWN` if nothing can be compared."""
    known = [(getattr(seen, name), *norm[name]) for name in norm if not np.isnan(getattr(seen, name))]
    if not known:
        return UNKNOWN
    return float(np.mean([min(abs(value - median) / spread, FURTHEST) ** 2 for value, median, spread in known]))


def _best_names(own: CodingFeatures, values: list[int], norms: Mapping[int, Norm]) -> dict[int, int]:
    """Return value → the cohort's value that it behaves like, if they differ and that fits clearly better; else empty."""
    names = [*norms, *(value for value in values if value not in norms)]
    cost = {(v, n): _distance(own[v], norms[n]) if n in norms else UNKNOWN for v in values for n in names}
    choices = [
        names_ for names_ in itertools.permutations(names, len(values))
        if all(n in norms or n == v for v, n in zip(values, names_, strict=True))
    ]  # fmt: skip
    best = min(choices, key=lambda choice: sum(cost[pair] for pair in zip(values, choice, strict=True)))
    changed = {v: n for v, n in zip(values, best, strict=True) if v != n}
    unknown = not changed.keys() <= norms.keys()
    if not changed or not (unknown or changed.keys() == set(changed.values())):
        return {}
    gained = sum(cost[v, v] - cost[v, n] for v, n in changed.items()) / len(changed)
    return changed if gained >= (GAIN_OF_UNKNOWN if unknown else GAIN) else {}


def _sentence(case: str, own: CodingFeatures, renamed: Mapping[int, int], norms: Mapping[int, Norm]) -> str:
    said = []
    for value, name in renamed.items():
        words = f"its {value} behaves like the others' {name}"
        if name in norms and "enhancement" in norms[name] and not np.isnan(own[value].enhancement):
            there = norms[name]["enhancement"][0]
            words += f" (t1ce {own[value].enhancement:+.1f} sd against t1, there {there:+.1f}"
            words += (
                f", and {norms[value]['enhancement'][0]:+.1f} for {value})" if "enhancement" in norms.get(value, {}) else ")"
            )
        said.append(words)
    return f"{case} is coded differently from the cohort: {'; '.join(said)}; inspect it, and convert its label or leave it out."
