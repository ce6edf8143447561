"""All scores of one region, and of all regions of one case: masks in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brats3d.errors import ArrayError, check_shapes_equal
from brats3d.regions import REGIONS, LabelSet, check_values, region_masks, whole_numbers
from brats3d.scores.overlap import Overlap, check_masks, count_overlap, joint_box
from brats3d.scores.protocols import Protocol, find_protocol


@dataclass(frozen=True)
class RegionScores:
    """The scores of one region of one case; field names are the columns of ``scores.csv``. None is undefined.

    Attributes:
        dice: 2·TP / (2·TP + FP + FN), 0 to 1.
        hd95_mm: 95th percentile of the surface distances (in voxels where the protocol leaves spacing out).
        sensitivity: TP / (TP + FN), the share of the reference that was found.
        specificity: TN / (TN + FP) over the whole grid; None where the reference fills it.
        precision: TP / (TP + FP), the share of the prediction that is right.
        iou: TP / (TP + FP + FN).
        reference_ml: volume of the reference in millilitres; None in a plane.
        predicted_ml: volume of the prediction in millilitres; None in a plane.
        reference_voxels: voxels of the reference.
        predicted_voxels: voxels of the prediction.
    """

    dice: float
    hd95_mm: float
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    iou: float | None
    reference_ml: float | None
    predicted_ml: float | None
    reference_voxels: int
    predicted_voxels: int

    @property
    def penalised(self) -> bool:
        """Whether exactly one mask is empty, so that HD95 is the protocol's penalty and no measured distance."""
        return (self.reference_voxels == 0) != (self.predicted_voxels == 0)


def region_scores(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], protocol: str = "casewise"
) -> RegionScores:
    """Score one mask against its reference.

    Args:
        prediction: (X, Y) or (X, Y, Z), bool or 0 and 1. Not modified.
        reference: mask of the same shape. Not modified.
        spacing_mm: voxel spacing along each axis, in mm.
        protocol: a key of `PROTOCOLS`: the definition of HD95 and what empty masks give.

    Returns:
        The scores. Both masks empty: Dice 1, HD95 0. One empty: Dice 0 and the protocol's penalty as HD95. The other ratios
        of empty masks are in `PROTOCOLS`.

    Raises:
        ArrayError: the shapes differ, a mask holds other values than 0 and 1, has not 2 or 3 axes, or the spacing does not
            fit it.
        OptionError: the protocol is unknown.
    """
    rules = find_protocol(protocol)
    prediction, reference = check_masks(prediction, reference)
    spacing = _check_spacing(reference.shape, spacing_mm)
    return _score(prediction, reference, spacing, reference.shape, rules)


def case_scores(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    *,
    label_set: LabelSet,
    reference_label_set: LabelSet | None = None,
    regions: Sequence[str] = REGIONS,
    protocol: str = "casewise",
) -> dict[str, RegionScores]:
    """Score every region of a label against its reference.

    Args:
        prediction: (X, Y) or (X, Y, Z) label of whole numbers, any type. Not modified.
        reference: label of the same shape. Not modified.
        spacing_mm: voxel spacing along each axis, in mm.
        label_set: what the prediction's values mean.
        reference_label_set: what the reference's values mean; by default the same.
        regions: names of the regions to score, in order.
        protocol: a key of `PROTOCOLS`.

    Returns:
        Region → its scores, in the order asked for.

    Raises:
        ArrayError: the shapes differ, a label has not 2 or 3 axes, or the spacing does not fit it.
        LabelError: a label holds values outside its label set, or values that are no whole numbers.
        OptionError: the protocol is unknown, or a label set does not define a region.
    """
    rules = find_protocol(protocol)
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    check_shapes_equal(prediction=prediction.shape, reference=reference.shape)
    spacing = _check_spacing(reference.shape, spacing_mm)
    box = joint_box(prediction, reference)
    masks = []
    for label, coding in ((prediction, label_set), (reference, reference_label_set or label_set)):
        values = whole_numbers(label[box])
        check_values(values, coding)
        masks.append(region_masks(values, coding, regions))
    return {region: _score(p, r, spacing, reference.shape, rules) for region, p, r in zip(regions, *masks, strict=True)}


def _check_spacing(shape: tuple[int, ...], spacing_mm: Sequence[float]) -> tuple[float, ...]:
    if len(shape) not in (2, 3):
        raise ArrayError(f"the masks have shape {shape}; expected 2 or 3 axes.")
    spacing = tuple(float(s) for s in spacing_mm)
    if len(spacing) != len(shape) or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise ArrayError(f"spacing_mm is {spacing} for masks of shape {shape}; expected a positive number for each axis.")
    return spacing


def _score(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], grid: tuple[int, ...], rules: Protocol
) -> RegionScores:
    """Score two bool masks that hold all that is set on a grid of that shape."""
    box = joint_box(prediction, reference)
    prediction, reference = prediction[box], reference[box]
    counts = count_overlap(prediction, reference, voxels=int(np.prod(grid)))
    voxel_ml = float(np.prod(spacing)) / 1000 if len(spacing) == 3 else None
    return RegionScores(
        dice=2 * counts.true_positive / (counts.predicted + counts.reference) if counts.union else 1.0,
        hd95_mm=_hd95(prediction, reference, spacing, grid, rules),
        **_ratios(counts, rules),
        reference_ml=None if voxel_ml is None else counts.reference * voxel_ml,
        predicted_ml=None if voxel_ml is None else counts.predicted * voxel_ml,
        reference_voxels=counts.reference,
        predicted_voxels=counts.predicted,
    )


def _ratios(counts: Overlap, rules: Protocol) -> dict[str, float | None]:
    hits, nothing = counts.true_positive, counts.union == 0
    no_reference = rules.sensitivity_both_empty if nothing else rules.sensitivity_no_reference
    no_prediction = rules.precision_both_empty if nothing else rules.precision_no_prediction
    return {
        "iou": rules.iou_both_empty if nothing else hits / counts.union,
        "sensitivity": hits / counts.reference if counts.reference else no_reference,
        "specificity": counts.true_negative / counts.background if counts.background else None,
        "precision": hits / counts.predicted if counts.predicted else no_prediction,
    }


def _hd95(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], grid: tuple[int, ...], rules: Protocol
) -> float:
    empty = [not mask.any() for mask in (prediction, reference)]
    if all(empty):
        return 0.0
    if any(empty):
        return float(np.linalg.norm(np.multiply(grid, spacing))) if rules.hd95_one_empty is None else rules.hd95_one_empty
    steps = spacing if rules.spacing_counts else (1.0,) * len(spacing)
    return rules.percentile(rules.surface(prediction, steps), rules.surface(reference, steps), steps)
