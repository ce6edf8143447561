"""Lesion-wise scores of the challenges since 2023: each lesion of the reference is found or missed, each false alarm counts.

The steps, on masks of one region (the numbers come from the rules of the challenge's task, `LesionRules`):

1. The reference is dilated with the 18-neighbour element; voxels whose dilations form one 26-connected piece are one lesion.
2. The prediction is split into 26-connected components (2023), or into lesions like the reference, without small ones (2024).
3. A component matches a lesion if it reaches into the lesion's dilation; overlap is not needed. All matching components are
   joined whole; one component may count for several lesions.
4. A lesion's scores are the Dice and HD95 (surface-distance, mm) between it and its joined components; 0 and the penalty if it
   is missed.
5. Lesions up to a size are left out of the average, but what matches them is used up; a component without a match is a false
   alarm.
6. Dice = ΣDice / (lesions + false alarms), HD95 = (ΣHD95 + penalty · false alarms) / (the same); both masks empty: 1 and 0.

A dilated piece contains the dilation of its own lesion and of no other, so one labelling answers steps 1 and 3 for all lesions
at once. Everything is done in the joint box of both masks, widened by the dilation but not beyond the volume.

References:
    rachitsaluja/BraTS-2023-Metrics 43c9052 and BraTS-2024-Metrics 9a0ab9c, the scripts the challenges pin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from brats3d.scores.overlap import dice
from brats3d.scores.pieces import (
    Pieces,
    components,
    joined_through,
    meeting_numbers,
    merged_lesions,
    piece_sizes,
    without_small,
)
from brats3d.scores.surfaces import element_surface, larger_percentile, measure


@dataclass(frozen=True)
class LesionRules:
    """How one region of a challenge's task is scored lesion by lesion.

    Attributes:
        dilations: how often the masks are dilated to merge pieces into lesions, and to match them.
        smallest_mm3: lesions of the reference up to this volume are left out of the average.
        merge_prediction: whether the prediction is merged into lesions too (since 2024), or split into components (2023).
        smallest_predicted: predicted lesions up to this size are deleted before scoring.
        predicted_in_mm3: whether that size is a volume in mm³, not a number of voxels.
        count_false_alarms: whether false alarms lower the average (they are listed in any case).
        through: regions that join lesions: two that touch the same lesion of such a region become one.
    """

    dilations: int
    smallest_mm3: float
    merge_prediction: bool = False
    smallest_predicted: float = 0
    predicted_in_mm3: bool = False
    count_false_alarms: bool = True
    through: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference, or one false alarm.

    Attributes:
        reference_mm3: volume of the lesion; 0 for a false alarm.
        predicted_mm3: volume of the predicted components that match it.
        components: numbers of those components, from 1.
        dice: Dice of lesion and components; 0 if there are none.
        hd95_mm: their HD95; the penalty if there are none.
        counted: whether it is part of the average.
    """

    reference_mm3: float
    predicted_mm3: float
    components: tuple[int, ...]
    dice: float
    hd95_mm: float
    counted: bool


@dataclass(frozen=True)
class LesionScores:
    """The lesion-wise scores of one region of one case.

    Attributes:
        lesion_dice: average over lesions and false alarms, 0 to 1.
        lesion_hd95_mm: the same for HD95.
        lesions_tp: lesions of the reference that were found (of those above the size limit).
        lesions_fp: false alarms.
        lesions_fn: lesions that were missed (of those above the size limit).
        lesions: the individual lesions, in the order of the array.
    """

    lesion_dice: float
    lesion_hd95_mm: float
    lesions_tp: int
    lesions_fp: int
    lesions_fn: int
    lesions: tuple[Lesion, ...] = field(repr=False)


def region_pieces(
    predictions: Mapping[str, np.ndarray],
    references: Mapping[str, np.ndarray],
    spacing_mm: Sequence[float],
    rules: Mapping[str, LesionRules],
) -> dict[str, tuple[Pieces, Pieces]]:
    """Return, per region, the pieces of prediction and reference as a challenge counts them.

    Args:
        predictions: region → (X, Y, Z) bool, on the whole grid or a part that contains all dilations. Not modified.
        references: the same regions, on arrays of the same shape. Not modified.
        spacing_mm: voxel spacing along each axis, in mm.
        rules: region → its rules; regions of ``through`` must be among them.
    """
    voxel_mm3 = float(np.prod(spacing_mm))
    lesions = {region: merged_lesions(references[region], row.dilations) for region, row in rules.items()}
    found = {}
    for region, row in rules.items():
        mask = predictions[region]
        numbers = (merged_lesions(mask, row.dilations) if row.merge_prediction else components(mask)).numbers
        pieces = Pieces(numbers, numbers)  # the zones of predictions are not needed, and are large
        smallest = row.smallest_predicted / (voxel_mm3 if row.predicted_in_mm3 else 1)
        found[region] = without_small(pieces, smallest) if smallest else pieces
    return {
        region: (
            joined_through(found[region], [found[r] for r in row.through]),
            joined_through(lesions[region], [lesions[r] for r in row.through]),
        )
        if row.through
        else (found[region], lesions[region])
        for region, row in rules.items()
    }


def score_lesions(
    found: Pieces, lesions: Pieces, spacing_mm: Sequence[float], rules: LesionRules, penalty: float
) -> LesionScores:
    """Score predicted pieces against the lesions of the reference (steps 3 to 6 above).

    Args:
        found: the prediction's pieces.
        lesions: the reference's lesions with their zones; arrays of the same shape.
        spacing_mm: voxel spacing along each axis, in mm.
        rules: the region's rules.
        penalty: HD95 of a lesion or component without a match.
    """
    spacing = tuple(float(s) for s in spacing_mm)
    voxel_mm3 = float(np.prod(spacing))
    pairs = np.array(meeting_numbers(lesions.zones, found.numbers), int).reshape(-1, 2).T
    sizes, predicted_sizes = piece_sizes(lesions), piece_sizes(found)
    places = ndimage.find_objects(lesions.numbers), ndimage.find_objects(found.numbers)
    rows = []
    for number in np.flatnonzero(sizes[1:]) + 1:
        matching = pairs[1, pairs[0] == number]
        volume, predicted = sizes[number] * voxel_mm3, predicted_sizes[matching].sum() * voxel_mm3
        score, distance = 0.0, penalty
        if len(matching):
            box = _around([places[0][number - 1], *(places[1][m - 1] for m in matching)])
            one, other = np.isin(found.numbers[box], matching), lesions.numbers[box] == number
            score = dice(one, other)
            surfaces = element_surface(other, spacing), element_surface(one, spacing)
            distance = larger_percentile(measure(*surfaces, spacing, share=0.95))
        rows.append(
            Lesion(
                float(volume), float(predicted), tuple(matching.tolist()), score, distance, bool(volume > rules.smallest_mm3)
            )
        )
    alarms = sorted(set((np.flatnonzero(predicted_sizes[1:]) + 1).tolist()) - set(pairs[1].tolist()))
    false = [Lesion(0.0, float(predicted_sizes[n] * voxel_mm3), (n,), 0.0, penalty, rules.count_false_alarms) for n in alarms]
    counted = [row for row in (*rows, *false) if row.counted]
    kept = [row for row in rows if row.counted]
    return LesionScores(
        lesion_dice=sum(row.dice for row in counted) / len(counted) if counted else 1.0,
        lesion_hd95_mm=sum(row.hd95_mm for row in counted) / len(counted) if counted else 0.0,
        lesions_tp=sum(bool(row.components) for row in kept),
        lesions_fp=len(false),
        lesions_fn=sum(not row.components for row in kept),
        lesions=(*rows, *false),
    )


def _around(places: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """Return the box around some boxes."""
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*places, strict=True))
