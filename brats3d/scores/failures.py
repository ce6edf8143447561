"""What went wrong in a region, determined by rules: exactly one failure class per case and region.

The rules are in one table, `FAILURES`, and the first that fits gives the class: what would make the others meaningless (a
mirrored mask) comes before what explains whole lesions, and that before what explains their edges. Every limit is a constant,
here or in `brats3d.scores.disagreement`, which measures what the rules need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from brats3d.errors import ArrayError, check_shapes_equal
from brats3d.regions import REGIONS, LabelSet, region_masks, whole_numbers
from brats3d.scores.disagreement import BOUNDARY_MM, FAR_MM, SPECK_MM3, Disagreement
from brats3d.scores.overlap import check_masks, joint_box

GOOD_DICE = 0.9
"""From this Dice on a region is good, unless a lesion was missed or invented; nothing else is examined."""
ACCEPTABLE_DICE = 0.8
"""Missed or invented lesions explain a score that would be at least this without them; a shift must reach it too."""
DOMINANT = 0.5
"""A kind of error explains the score if it makes up at least this share of all error voxels."""
SMALL_LESION_ML = 1.0
"""Lesions up to this volume are small: a ball of 12 mm diameter."""
LEAP = 0.1
"""A moved prediction is suspicious if its Dice is better by this much and its distance from 1 is halved."""
MIRROR_VOXELS, SHIFT_VOXELS = 50, 1000
"""Voxels that both masks need for a mirrored, or a shifted, prediction to mean anything."""
SMALLEST_SHIFT, FARTHEST_SHIFT = 2, 16
"""Suspicious shifts, in voxels along the axis where they are largest."""


@dataclass(frozen=True)
class Failure:
    """What went wrong in one region of one case.

    Attributes:
        kind: a key of `FAILURES`.
        detail: what was found, in words; may be empty.
    """

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


def failure_class(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    *,
    others: Mapping[str, np.ndarray] | None = None,
    predicted_others: Mapping[str, np.ndarray] | None = None,
) -> Failure:
    """Determine by rule what went wrong in one region.

    Args:
        prediction: (X, Y, Z) mask of the region, bool or 0 and 1, on the whole grid, L, P, S. Not modified.
        reference: the same for the reference.
        spacing_mm: voxel spacing along each axis, in mm.
        others: name → mask of the reference's tissues outside the region: what may have been mistaken for it.
        predicted_others: name → mask of the prediction's tissues outside the region: what it may have been mistaken for.

    Returns:
        The first row of `FAILURES` that fits. Two empty masks are ``good``.

    Raises:
        ArrayError: shapes differ, a mask has values other than 0 and 1 or not 3 axes, or the spacing does not fit it.
    """
    prediction, reference = check_masks(prediction, reference)
    spacing = _check_spacing(reference, spacing_mm)
    tissues = [dict(masks or {}) for masks in (others, predicted_others)]
    for masks in tissues:
        check_shapes_equal(reference=reference.shape, **{name: np.shape(mask) for name, mask in masks.items()})
    box = joint_box(prediction, reference)
    theirs, mine = ({name: np.asarray(mask[box], bool) for name, mask in masks.items()} for masks in tissues)
    start = tuple(axis.start for axis in box)
    return _first(Disagreement(prediction[box], reference[box], start, reference.shape, spacing, theirs, mine))


def case_failures(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    regions: Sequence[str] = REGIONS,
    *,
    label_set: LabelSet,
    reference_label_set: LabelSet | None = None,
) -> dict[str, Failure]:
    """Determine by rule what went wrong in every region of a label.

    Args:
        prediction: (X, Y, Z) label of whole numbers, L, P, S. Not modified.
        reference: label of the same shape. Not modified.
        spacing_mm: voxel spacing along each axis, in mm.
        regions: names of regions, or values of the label (``"4"``), in order.
        label_set: what the prediction's values mean.
        reference_label_set: what the reference's values mean; by default the same.

    Returns:
        Region → what went wrong in it, as `failure_class` with all other tissues of both labels.

    Raises:
        ArrayError: the shapes differ, a label does not have 3 axes, or the spacing does not fit it.
        LabelError: a label contains values that are not whole numbers.
        OptionError: a label set does not define one of the regions.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    check_shapes_equal(prediction=prediction.shape, reference=reference.shape)
    spacing = _check_spacing(reference, spacing_mm)
    whole = joint_box(prediction, reference)
    codings = (label_set, reference_label_set or label_set)
    labels = [whole_numbers(label[whole]) for label in (prediction, reference)]
    found = {}
    for region in regions:
        masks = [region_masks(label, coding, (region,))[0] for label, coding in zip(labels, codings, strict=True)]
        box = joint_box(*masks)
        start = tuple(a.start + b.start for a, b in zip(whole, box, strict=True))
        mine, theirs = (_outside(label[box], coding, region) for label, coding in zip(labels, codings, strict=True))
        found[region] = _first(Disagreement(masks[0][box], masks[1][box], start, reference.shape, spacing, theirs, mine))
    return found


def _outside(label: np.ndarray, coding: LabelSet, region: str) -> dict[str, np.ndarray]:
    """Return tissue → mask for the tissues of a label outside a region."""
    inside = coding.regions[region] if region in coding.regions else (int(region),)
    return {tissue: label == value for value, tissue in coding.tissues.items() if value not in inside}


def _check_spacing(reference: np.ndarray, spacing_mm: Sequence[float]) -> tuple[float, ...]:
    spacing = tuple(float(s) for s in spacing_mm)
    if reference.ndim != 3 or len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise ArrayError(
            f"spacing_mm is {spacing} for masks of shape {reference.shape}; expected 3 axes and a positive spacing for each."
        )
    return spacing


def _first(pair: Disagreement) -> Failure:
    details = ((kind, rule.test(pair)) for kind, rule in FAILURES.items())
    return next(Failure(kind, detail) for kind, detail in details if detail is not None)


def _explains(pair: Disagreement, voxels: float) -> bool:
    """Return whether that many error voxels explain the score."""
    return voxels > 0 and (voxels >= DOMINANT * pair.errors or pair.dice_without(voxels) >= ACCEPTABLE_DICE)


def _good(pair: Disagreement) -> str | None:
    if pair.dice < GOOD_DICE:
        return None
    return "" if pair.errors == 0 or (len(pair.lesions[1]) == 0 and pair.invented == 0) else None


def _geometry(pair: Disagreement) -> str | None:
    smaller = min(pair.counts.predicted, pair.counts.reference)
    if pair.dice >= GOOD_DICE or smaller < MIRROR_VOXELS:
        return None
    best, axes = pair.mirrored()
    words = f"flipped {axes}"
    if smaller >= SHIFT_VOXELS:
        found, shift = pair.shifted()
        if found > max(best, ACCEPTABLE_DICE) and SMALLEST_SHIFT <= max(map(abs, shift)) <= FARTHEST_SHIFT:
            best, words = found, f"shifted by {shift} voxels"
    if best < max(pair.dice + LEAP, (1 + pair.dice) / 2):
        return None
    return f"{words}? Dice {pair.dice:.2f}, moved back {best:.2f}"


def _confused(pair: Disagreement) -> str | None:
    """Explain errors that are in another tissue, except along the edge between both."""
    if not pair.counts.reference:
        return None
    total, words = 0.0, []
    for errors, tissues, sentence in (
        (pair.missing, pair.predicted_others, "{:.2f} ml called {}"),
        (pair.extra, pair.others, "{:.2f} ml of {} called the region"),
    ):
        deep = tuple(errors.points[~errors.near].T)
        taken = {name: mask[deep] for name, mask in tissues.items()}
        voxels = errors.voxels(np.logical_or.reduce(list(taken.values()))) if taken else 0.0
        if voxels:
            name = max(taken, key=lambda tissue, among=taken: int(among[tissue].sum()))  # type: ignore[misc]
            words.append(sentence.format(pair.millilitres(errors.voxels(taken[name])), name))
            total += voxels
    return ", ".join(words) if total and total >= DOMINANT * pair.errors else None


def _false_alarm(pair: Disagreement) -> str | None:
    if not pair.counts.reference:
        return f"{pair.millilitres(pair.counts.predicted):.2f} ml where the reference has none"
    if not _explains(pair, pair.invented):
        return None
    return f"{pair.millilitres(pair.invented):.2f} ml more than {FAR_MM:g} mm from the reference"


def _lesions_missed(pair: Disagreement) -> str | None:
    found, missed = pair.lesions
    if not _explains(pair, float(missed.sum())):
        return None
    volume, lesions = f"{pair.millilitres(missed.sum()):.2f} ml", len(found) + len(missed)
    return f"{len(missed)} of {lesions} lesions, {volume}" if lesions > 1 else volume


def _small_lesions_missed(pair: Disagreement) -> str | None:
    return _lesions_missed(pair) if pair.millilitres(pair.lesions[1].max(initial=0)) <= SMALL_LESION_ML else None


def _some_lesions_missed(pair: Disagreement) -> str | None:
    return _lesions_missed(pair) if len(pair.lesions[0]) else None


def _boundary(pair: Disagreement) -> str | None:
    share = sum(side.voxels(side.near) for side in (pair.extra, pair.missing)) / pair.errors
    return f"{share:.0%} of the errors" if share >= DOMINANT else None


def _overgrown(pair: Disagreement) -> str | None:
    extra, missing = (side.voxels(~side.near) for side in (pair.extra, pair.missing))
    return f"{pair.millilitres(extra):.2f} ml beyond the boundary" if extra > missing else None


def _part_missed(pair: Disagreement) -> str | None:
    return f"{pair.millilitres(pair.missing.voxels(~pair.missing.near)):.2f} ml inside the boundary"


@dataclass(frozen=True)
class FailureRule:
    """One failure class.

    Attributes:
        meaning: what it says, for reports.
        test: two masks → the detail, or None if the class does not fit.
    """

    meaning: str
    test: Callable[[Disagreement], str | None]


FAILURES: Mapping[str, FailureRule] = MappingProxyType({
    "good": FailureRule(
        f"Dice of at least {GOOD_DICE:g}, no lesion over {SPECK_MM3:g} mm³ missed and none invented", _good),
    "geometry suspicious": FailureRule(
        f"it would be far better mirrored about the grid's middle, or shifted by up to {FARTHEST_SHIFT} voxels", _geometry),
    "region confused": FailureRule(
        f"most errors are more than {BOUNDARY_MM:g} mm from the boundary, where one tissue was taken for another", _confused),
    "false alarm": FailureRule(
        f"the reference is empty, or predicted lesions more than {FAR_MM:g} mm from it explain the score", _false_alarm),
    "small lesion missed": FailureRule(
        f"lesions without a predicted voxel explain the score, none larger than {SMALL_LESION_ML:g} ml", _small_lesions_missed),
    "one of several lesions missed": FailureRule(
        "lesions without a predicted voxel explain the score; others were found", _some_lesions_missed),
    "lesion missed": FailureRule("nothing of the region was found", _lesions_missed),
    "boundary": FailureRule(f"most errors are within {BOUNDARY_MM:g} mm (or one voxel) of the other mask", _boundary),
    "overgrown": FailureRule("too much was predicted, beyond the boundary", _overgrown),
    "part missed": FailureRule("too little was predicted, inside the boundary", _part_missed),
})  # fmt: skip
"""kind → rule, in the order in which they are tried; the last always fits."""
