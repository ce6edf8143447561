"""What scores alone do not show: a label read in another coding than it was written in, and tissues that nobody scores.

Exchange the numbers of two tissues, and the whole tumour agrees as before while the cores lie apart. A poor prediction may have
a core in the wrong place too; so the other label sets are tried, and one of them has to bring the cores together. On the labels
of 39 cases, deformed three times each (Dice of WT 0.7 to 0.97), that found no exchange where there was none, and three quarters
of those made between L23 and LMSD; the others have a WT too poor to tell, or next to no core.
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
"""From this Dice of WT on, cores that share no voxel are told even if no label set explains it."""
APART = 0.3
"""Cores lie apart if they share no more than this part of the smaller one."""
EXPLAINED_DICE = 0.5
"""Dice that the cores must have in the other reading."""

CORE = "TC without ET"
"""What is compared: most codings share ET, so that a label with a large one has a fair TC in the wrong coding too."""


@dataclass(frozen=True)
class OtherReading:
    """That the two labels of a case seem to be coded differently.

    Attributes:
        side: ``prediction`` or ``reference``, whichever would have to be read otherwise.
        label_set: the label set under which the cores agree; empty if none explains it.
        dice: Dice of TC as read.
        other_dice: Dice of TC if that side is read in ``label_set``; as read if that is empty.
    """

    side: str
    label_set: str
    dice: float
    other_dice: float


def other_reading(
    prediction: np.ndarray, reference: np.ndarray, *, label_set: LabelSet, reference_label_set: LabelSet
) -> OtherReading | None:
    """Return how one of two labels should rather be read, where WT agrees and the cores do not.

    Args:
        prediction: (X, Y, Z) label of whole numbers. Not modified.
        reference: label of the same shape. Not modified.
        label_set: what the prediction's values are taken for.
        reference_label_set: what the reference's values are taken for.

    Returns:
        The reading with the best TC, rather of the prediction, whose coding is less sure. None if WT differs, the cores meet or
        one is empty, or nothing explains it (unless WT is equal and TC shares no voxel).
    """
    codings = (label_set, reference_label_set)
    if not all({"WT", "TC"} <= set(coding.regions) for coding in codings):
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
    """Return the label set that brings a label's core to where it is wanted, and Dice of TC then; an empty name if none does.

    Of several the one with the best TC, then one that knows ET, then the one with the best ET.
    """
    found: dict[str, tuple[float, bool, float]] = {}
    for other in _others(label, coding):
        if overlap(_mask(label, other, CORE), wanted[CORE]) >= EXPLAINED_DICE:
            tumour, enhancing = (overlap(_mask(label, other, region), wanted[region]) for region in ("TC", "ET"))
            found[other.name] = tumour, "ET" in other.regions, enhancing
    best = max(found, key=found.__getitem__, default="")
    return best, found[best][0] if best else 0.0


def unscored_regions(label: np.ndarray, coding: LabelSet, scored: Iterable[str]) -> tuple[str, ...]:
    """Return the tissues of a label that lie in none of the regions scored, as regions if the coding has such.

    Args:
        label: array of whole numbers. Not modified.
        coding: what the values mean.
        scored: names of the regions scored.
    """
    covered = {value for region in scored for value in coding.regions.get(region, ())}
    alone = {values[0]: region for region, values in coding.regions.items() if len(values) == 1}
    left = [value for value in coding.tissues if value not in covered and (label == value).any()]
    return tuple(alone.get(value, coding.tissues[value]) for value in left)


def _values(coding: LabelSet, part: str) -> frozenset[int]:
    """Return the values of a region, none if the coding lacks it, or of `CORE`."""
    if part == CORE:
        return frozenset(coding.regions["TC"]).difference(coding.regions.get("ET", ()))
    return frozenset(coding.regions.get(part, ()))


def _mask(label: np.ndarray, coding: LabelSet, part: str) -> np.ndarray:
    return np.isin(label, sorted(_values(coding, part)))


def _others(label: np.ndarray, coding: LabelSet) -> Iterator[LabelSet]:
    """Yield the label sets that read the values of a label as the same whole tumour with another core."""
    values = frozenset(np.unique(label).tolist())
    whole, core = (values & _values(coding, part) for part in ("WT", CORE))
    for other in label_sets_with(values):
        if (
            {"WT", "TC"} <= set(other.regions)
            and whole == values & _values(other, "WT")
            and core != values & _values(other, CORE)
        ):
            yield other
