"""All scores of one region, and of all regions of one case: masks in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from brats3d.errors import ArrayError, LabelError, OptionError, check_shapes_equal
from brats3d.regions import LABEL_SETS, REGIONS, LabelSet, check_values, region_masks, whole_numbers
from brats3d.scores.lesions import LesionRules, LesionScores, region_pieces, score_lesions
from brats3d.scores.overlap import Overlap, check_masks, count_overlap, joint_box, widened_box
from brats3d.scores.pieces import Pieces
from brats3d.scores.protocols import Protocol, find_protocol
from brats3d.scores.result import TOLERANCES_MM, RegionScores, Scoring
from brats3d.scores.surfaces import largest_distance, mean_distance, measure, surface_dice
from brats3d.scores.tasks import Task, find_task


def region_scores(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    protocol: str = "casewise",
    *,
    tolerances_mm: Sequence[float] = TOLERANCES_MM,
) -> RegionScores:
    """Score one mask against its reference, as a whole (`lesion_scores` scores it lesion by lesion).

    Args:
        prediction: (X, Y) or (X, Y, Z), bool or 0 and 1. Not modified.
        reference: mask of the same shape. Not modified.
        spacing_mm: voxel spacing along each axis, in mm.
        protocol: a key of `PROTOCOLS`: the definition of HD95 and what empty masks give.
        tolerances_mm: tolerances of the normalised surface Dice.

    Returns:
        The scores. Both masks empty: Dice 1, HD95 0. One empty: Dice 0 and the protocol's penalty as HD95. The other ratios
        of empty masks are in `PROTOCOLS`; the other distances follow HD95, the surface Dice follows Dice.

    Raises:
        ArrayError: the shapes differ, a mask has values other than 0 and 1 or not 2 or 3 axes, or the spacing does not fit it.
        OptionError: the protocol is unknown, or a tolerance is negative.
    """
    scoring = Scoring(protocol, tolerances_mm=tuple(float(t) for t in tolerances_mm))
    prediction, reference = check_masks(prediction, reference)
    spacing = _check_spacing(reference.shape, spacing_mm)
    return _score(prediction, reference, _Frame(spacing, reference.shape, scoring))


def lesion_scores(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], rules: LesionRules, penalty: float | None = 374
) -> LesionScores:
    """Score one mask lesion by lesion against its reference.

    Lesions are joined only within the region; joining them through other tissues, as the 2024 challenges do, needs a whole
    label (`case_scores`).

    Args:
        prediction: (X, Y, Z), bool or 0 and 1. Not modified.
        reference: mask of the same shape. Not modified.
        spacing_mm: voxel spacing along each axis, in mm.
        rules: such as ``TASKS["brats2023"]["GLI"].regions["WT"]``.
        penalty: HD95 of a missed lesion and of a false alarm; None is the diagonal in voxels.

    Returns:
        The scores and the individual lesions. Both masks empty: Dice 1, HD95 0.

    Raises:
        ArrayError: the shapes differ, a mask has values other than 0 and 1 or not 3 axes, or the spacing does not fit it.
    """
    prediction, reference = check_masks(prediction, reference)
    spacing = _check_spacing(reference.shape, spacing_mm, axes=(3,))
    box = widened_box((prediction, reference), rules.dilations + 1)
    alone = {"": replace(rules, through=())}
    found, lesions = region_pieces({"": prediction[box]}, {"": reference[box]}, spacing, alone)[""]
    return score_lesions(found, lesions, spacing, rules, _penalty(penalty, reference.shape))


def case_scores(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    scoring: Scoring | None = None,
    *,
    label_set: LabelSet,
    reference_label_set: LabelSet | None = None,
) -> dict[str, RegionScores]:
    """Score every region of a label against its reference.

    Args:
        prediction: (X, Y) or (X, Y, Z) label of whole numbers, any type; three axes for lesion-wise protocols. Not modified.
        reference: label of the same shape. Not modified.
        spacing_mm: voxel spacing along each axis, in mm.
        scoring: what to score, by which rules; by default WT, TC and ET case-wise, all regions of a user's own label set.
        label_set: what the prediction's values mean.
        reference_label_set: what the reference's values mean; by default the same.

    Returns:
        Region → its scores, in the order of ``scoring.regions``.

    Raises:
        ArrayError: the shapes differ, a label does not have 2 or 3 axes, or the spacing does not fit it.
        LabelError: a label has values outside its label set, or values that are not whole numbers, or the two label sets
            share none of the regions.
        OptionError: a label set does not define one of the regions, or the task has no rules for it.
    """
    scoring = scoring or Scoring()
    task = find_task(scoring.protocol, scoring.task)
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    check_shapes_equal(prediction=prediction.shape, reference=reference.shape)
    frame = _Frame(_check_spacing(reference.shape, spacing_mm, (2, 3) if task is None else (3,)), reference.shape, scoring)
    codings = (label_set, reference_label_set or label_set)
    regions = scored_regions(scoring, *codings)
    rules = {} if task is None else _rules(task, codings)
    box = widened_box((prediction, reference), max((1 + row.dilations for row in rules.values()), default=0))
    labels = [np.ascontiguousarray(whole_numbers(label[box])) for label in (prediction, reference)]
    for label, coding in zip(labels, codings, strict=True):
        check_values(label, coding)
    if task is None:
        masks = (region_masks(label, coding, regions) for label, coding in zip(labels, codings, strict=True))
        return {region: _score(p, r, frame) for region, p, r in zip(regions, *masks, strict=True)}
    names = tuple(dict.fromkeys((*rules, *regions)))
    mine, theirs = (dict(zip(names, region_masks(*side, names), strict=True)) for side in zip(labels, codings, strict=True))
    pieces = region_pieces(mine, theirs, frame.spacing_mm, rules)
    return {region: _score_by_lesion(mine[region], theirs[region], pieces[region], frame, region) for region in regions}


@dataclass(frozen=True)
class _Frame:
    """What all regions of a case share."""

    spacing_mm: tuple[float, ...]
    grid: tuple[int, ...]
    scoring: Scoring

    @property
    def rules(self) -> Protocol:
        return find_protocol(self.scoring.protocol)

    @property
    def task(self) -> Task | None:
        return find_task(self.scoring.protocol, self.scoring.task)

    def penalty(self) -> float:
        """Return the HD95 if one mask is empty."""
        if self.task is not None:
            return _penalty(self.task.penalty, self.grid)
        if self.rules.hd95_one_empty is not None:
            return self.rules.hd95_one_empty
        return float(np.linalg.norm(np.multiply(self.grid, self.spacing_mm)))


def _penalty(fixed: float | None, grid: tuple[int, ...]) -> float:
    return float(np.linalg.norm(grid)) if fixed is None else float(fixed)


def scored_regions(scoring: Scoring, label_set: LabelSet, reference_label_set: LabelSet) -> tuple[str, ...]:
    """Return the regions to score, in order.

    Args:
        scoring: what to score, by which rules.
        label_set: what the prediction's values mean.
        reference_label_set: what the reference's values mean.

    Raises:
        LabelError: the two label sets share none of the regions.
        OptionError: the task has no rules for a region of ``scoring``.
    """
    task, codings = find_task(scoring.protocol, scoring.task), (label_set, reference_label_set)
    if scoring.regions is not None:
        without = [region for region in scoring.regions if task is not None and region not in task.regions]
        if task is not None and without:
            raise OptionError(
                f"task {task.name} of {scoring.protocol} has no rules for {', '.join(without)};"
                f" it has {', '.join(task.regions)}."
            )
        return scoring.regions
    own = [coding for coding in codings if coding.name not in LABEL_SETS]  # a user's: what it defines is what is wanted
    usual = tuple(task.regions if task is not None else own[0].regions if own else REGIONS)
    shared = tuple(region for region in usual if all(region in coding.regions for coding in codings))
    if not shared:
        names = [*dict.fromkeys(coding.name for coding in codings)]
        have = f"{names[0]} and {names[1]} share" if names[1:] else f"{names[0]} has"
        raise LabelError(f"{have} none of the regions {', '.join(usual)}: choose a protocol and task that score others.")
    return shared


def _rules(task: Task, codings: tuple[LabelSet, LabelSet]) -> dict[str, LesionRules]:
    """Return the rules of all regions that both label sets define; undefined regions do not join lesions."""
    known = {
        region: row
        for region, row in {**task.regions, **task.helpers}.items()
        if all(region in coding.regions for coding in codings)
    }
    return {region: replace(row, through=tuple(r for r in row.through if r in known)) for region, row in known.items()}


def _check_spacing(shape: tuple[int, ...], spacing_mm: Sequence[float], axes: tuple[int, ...] = (2, 3)) -> tuple[float, ...]:
    if len(shape) not in axes:
        raise ArrayError(f"the masks have shape {shape}; expected {' or '.join(map(str, axes))} axes.")
    spacing = tuple(float(s) for s in spacing_mm)
    if len(spacing) != len(shape) or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise ArrayError(f"spacing_mm is {spacing} for masks of shape {shape}; expected a positive number for each axis.")
    return spacing


def _score(prediction: np.ndarray, reference: np.ndarray, frame: _Frame) -> RegionScores:
    """Score two bool masks that contain all set voxels of the grid."""
    box = joint_box(prediction, reference)
    prediction, reference = prediction[box], reference[box]
    counts = count_overlap(prediction, reference, voxels=int(np.prod(frame.grid)))
    found: dict[str, Any] = {
        "dice": 2 * counts.true_positive / (counts.predicted + counts.reference) if counts.union else 1.0,
        **_ratios(counts, frame.rules),
        **_surface_scores(prediction, reference, frame),
        **_volumes(counts, frame.spacing_mm),
        **dict.fromkeys(("lesion_dice", "lesion_hd95_mm", "lesions_tp", "lesions_fp", "lesions_fn")),
    }
    for name in frame.rules.undefined:
        found[name] = dict.fromkeys(found["nsd"]) if name == "nsd" else None
    return RegionScores(**found)


def _score_by_lesion(
    prediction: np.ndarray, reference: np.ndarray, pieces: tuple[Pieces, Pieces], frame: _Frame, region: str
) -> RegionScores:
    """Score two bool masks as a whole and by their lesions."""
    task = frame.task
    if task is None:
        raise ValueError(f"protocol {frame.scoring.protocol} has no lesions")
    found, lesions = pieces
    if task.numbered:
        prediction = found.numbers > 0  # small lesions are dropped from the case-wise scores too
    scores = _score(prediction, reference, frame)
    if task.numbered:
        scores = replace(scores, **_numbered(found.numbers, lesions.numbers, frame))
    by_lesion = score_lesions(found, lesions, frame.spacing_mm, task.regions[region], frame.penalty())
    return replace(scores, **vars(by_lesion))


def _numbered(prediction: np.ndarray, reference: np.ndarray, frame: _Frame) -> dict[str, Any]:
    """Return the scores that the 2024 script computes on maps of numbered lesions (see `brats3d.scores.tasks`)."""
    total, predicted, wanted = int(np.prod(frame.grid)), int(prediction.sum()), int(reference.sum())
    hits = int(np.count_nonzero((prediction == 1) & (reference == 1)))
    neither = total - int(np.count_nonzero((prediction == 1) | (reference == 1)))
    background = neither + predicted - hits
    return {
        "sensitivity": 1.0 if predicted == wanted == 0 else hits / wanted if wanted else 0.0,
        "specificity": neither / background if background else 0.0,
        "hd95_mm": _surface_scores(prediction, reference, frame)["hd95_mm"],
    }


def _volumes(counts: Overlap, spacing_mm: tuple[float, ...]) -> dict[str, float | int | None]:
    millilitres = {"reference_ml": counts.reference, "predicted_ml": counts.predicted,
                   "volume_error_ml": counts.predicted - counts.reference}  # fmt: skip
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    return {
        **{name: voxels * voxel_ml if len(spacing_mm) == 3 else None for name, voxels in millilitres.items()},
        "reference_voxels": counts.reference,
        "predicted_voxels": counts.predicted,
    }


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


def _surface_scores(prediction: np.ndarray, reference: np.ndarray, frame: _Frame) -> dict[str, Any]:
    """Return the scores based on surface distances, which are computed once."""
    rules, tolerances = frame.rules, frame.scoring.tolerances_mm
    filled = [bool(mask.any()) for mask in (prediction, reference)]
    if not all(filled):
        distance, share = (frame.penalty(), 0.0) if any(filled) else (0.0, 1.0)
        return {**dict.fromkeys(("hd95_mm", "hd_mm", "assd_mm"), distance), "nsd": dict.fromkeys(tolerances, share)}
    spacing = frame.spacing_mm if rules.spacing_counts else (1.0,) * len(frame.spacing_mm)
    whole = "hd_mm" not in rules.undefined
    pair = measure(
        rules.surface(prediction, spacing), rules.surface(reference, spacing), spacing, 1.0 if whole else rules.share
    )
    return {
        "hd95_mm": rules.percentile(pair),
        "hd_mm": largest_distance(pair) if whole else None,
        "assd_mm": mean_distance(pair) if whole else None,
        "nsd": {t: surface_dice(pair, t) if whole else None for t in tolerances},
    }
