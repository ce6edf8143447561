"""What scores alone do not show: a label read in the wrong coding, and tissues that are not scored.

If the values of two tissues are exchanged, the whole tumours still agree, but the cores are apart. A poor prediction may also
have its core in the wrong place, so the other label sets are tried, and one of them must bring the cores together. On the
labels of 39 cases, each deformed three times (Dice of WT 0.7 to 0.97), this raised no false alarm and found three quarters of
the exchanges made between L23 and LMSD; the others had too poor a WT, or hardly any core.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from brats3d.regions import LabelSet, label_sets_with
from brats3d.scores.overlap import dice as overlap
from brats3d.scores.overlap import widened_box

ALIKE_DICE = 0.8
"""From this Dice of WT on, two labels show the same tumour."""
EQUAL_DICE = 0.99
"""From this Dice of WT on, cores that share no voxels are reported even if no label set explains it."""
APART = 0.3
"""Cores are apart if they share at most this part of the smaller one."""
EXPLAINED_DICE = 0.5
"""Dice that the cores must reach in the other reading."""

CORE = "TC without ET"
"""What is compared: most codings share ET, so a label with a large ET has a fair TC even in the wrong coding."""


@dataclass(frozen=True)
class OtherReading:
    """A sign that the two labels of a case are coded differently.

    Attributes:
        side: ``prediction`` or ``reference``, whichever should be read differently.
        label_set: the label set under which the cores agree; empty if none explains it.
        dice: Dice of TC as read.
        other_dice: Dice of TC if that side is read in ``label_set``; equal to ``dice`` if that is empty.
    """

    side: str
    label_set: str
    dice: float
    other_dice: float


def other_reading(
    prediction: np.ndarray, reference: np.ndarray, *, label_set: LabelSet, reference_label_set: LabelSet
) -> OtherReading | None:
    """Return how one of two labels should be read instead, if WT agrees and the cores do not.

    Args:
        prediction: (X, Y, Z) label of whole numbers. Not modified.
        reference: label of the same shape. Not modified.
        label_set: how the prediction's values are read.
        reference_label_set: how the reference's values are read.

    Returns:
        The reading with the best TC, preferably of the prediction, whose coding is less certain. None if WT differs, the cores
        meet or one is empty, or nothing explains it (unless WT is equal and TC shares no voxels),
        or a label set is the user's own.
    """
    codings = (label_set, reference_label_set)
    if any(coding.own for coding in codings) or not all({"WT", "TC"} <= set(coding.regions) for coding in codings):
        return None
    box = widened_box((prediction, reference), 0)
    labels = [np.asarray(label)[box] for label in (prediction, reference)]
    parts = [{part: _mask(*side, part) for part in ("WT", "TC", "ET", CORE)} for side in zip(labels, codings, strict=True)]
    alike, dice = (overlap(*(masks[region] for masks in parts)) for region in ("WT", "TC"))
    core = [masks[CORE] for masks in parts]
    smaller = min(np.count_nonzero(mask) for mask in core)
    if alike >= ALIKE_DICE and smaller and np.count_nonzero(core[0] & core[1]) <= APART * smaller:
        for i, side in enumerate(("prediction", "reference")):  # the exchange looks the same from both sides
            name, other_dice = _explanation(labels[i], codings[i], parts[1 - i])
            if name:
                return OtherReading(side, name, dice, other_dice)
    if alike >= EQUAL_DICE and dice == 0 and all(masks["TC"].any() for masks in parts):
        return OtherReading("prediction", "", dice, dice)
    return None


def _explanation(label: np.ndarray, coding: LabelSet, wanted: Mapping[str, np.ndarray]) -> tuple[str, float]:
    """Return the label set in which a label's core is where it should be, and its Dice of TC; an empty name if there is none.

    Of several the one with the best TC, then one that defines ET, then the one with the best ET.
    """
    found: dict[str, tuple[float, bool, float]] = {}
    for other in _others(label, coding):
        if overlap(_mask(label, other, CORE), wanted[CORE]) >= EXPLAINED_DICE:
            tumour, enhancing = (overlap(_mask(label, other, region), wanted[region]) for region in ("TC", "ET"))
            found[other.name] = tumour, "ET" in other.regions, enhancing
    best = max(found, key=found.__getitem__, default="")
    return best, found[best][0] if best else 0.0


def unscored_regions(label: np.ndarray, coding: LabelSet, scored: Iterable[str]) -> tuple[str, ...]:
    """Return the tissues of a label outside all scored regions, as regions if the coding defines them.

    Args:
        label: array of whole numbers. Not modified.
        coding: what the values mean.
        scored: names of the scored regions.
    """
    covered = {value for region in scored for value in coding.regions.get(region, ())}
    alone = {values[0]: region for region, values in coding.regions.items() if len(values) == 1}
    left = [value for value in coding.tissues if value not in covered and (label == value).any()]
    return tuple(alone.get(value, coding.tissues[value]) for value in left)


def _values(coding: LabelSet, part: str) -> frozenset[int]:
    """Return the values of a region or of `CORE`; none if the coding lacks it."""
    if part == CORE:
        return frozenset(coding.regions["TC"]).difference(coding.regions.get("ET", ()))
    return frozenset(coding.regions.get(part, ()))


def _mask(label: np.ndarray, coding: LabelSet, part: str) -> np.ndarray:
    return np.isin(label, sorted(_values(coding, part)))


def _others(label: np.ndarray, coding: LabelSet) -> Iterator[LabelSet]:
    """Yield the label sets in which a label has the same whole tumour but another core."""
    values = frozenset(np.unique(label).tolist())
    whole, core = (values & _values(coding, part) for part in ("WT", CORE))
    for other in label_sets_with(values):
        if (
            {"WT", "TC"} <= set(other.regions)
            and whole == values & _values(other, "WT")
            and core != values & _values(other, CORE)
        ):
            yield other
