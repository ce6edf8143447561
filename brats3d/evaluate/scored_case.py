"""One case: a prediction against its reference, as arrays, as volumes, or as files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from brats3d.errors import ArrayError, GridError, LabelError
from brats3d.evaluate.pair import Pair, read_pair
from brats3d.evaluate.probabilities import calibrate
from brats3d.geometry import to_stored
from brats3d.images import Volume
from brats3d.regions import LABEL_SETS, LabelSet, LabelSetLike, find_label_set, told_regions, two_meanings
from brats3d.scores import (
    OtherReading,
    RegionScores,
    Reliability,
    Scoring,
    case_failures,
    case_scores,
    find_task,
    other_reading,
    scored_regions,
    unscored_regions,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseResult:
    """The result for one case.

    Attributes:
        scores: protocol → region → its scores.
        label_sets: what the values of prediction and reference mean.
        failures: region → failure class, and its detail after a colon.
        calibration: region → how probabilities and frequencies agree; empty if not requested.
        made_from: what identifies the files that were compared, as `Pair.fingerprint` returns it.
        unscored: protocol → regions that one of the labels has and that the protocol does not score.
        reading: how a label should be read instead, if the two seem to be coded differently.
        untold: regions that a protocol scores but the model of the predictions does not predict; they have no scores.
    """

    scores: Mapping[str, Mapping[str, RegionScores]]
    label_sets: tuple[str, str]
    failures: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Reliability] = field(default_factory=dict)
    made_from: Sequence[Any] = ()
    unscored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reading: OtherReading | None = None
    untold: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for `from_dict`."""
        return {
            "scores": {p: {region: row.as_dict() for region, row in rows.items()} for p, rows in self.scores.items()},
            "label_sets": list(self.label_sets),
            "failures": dict(self.failures),
            "calibration": {region: vars(row) for region, row in self.calibration.items()},
            "made_from": list(self.made_from),
            "unscored": {protocol: list(regions) for protocol, regions in self.unscored.items()},
            "reading": None if self.reading is None else vars(self.reading),
            "untold": list(self.untold),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CaseResult:
        """Return the result from the values of `as_dict`.

        Args:
            values: what it returned, possibly via JSON.
        """
        return cls(
            {
                protocol: {region: RegionScores.from_dict(row) for region, row in rows.items()}
                for protocol, rows in values["scores"].items()
            },
            (values["label_sets"][0], values["label_sets"][1]),
            values["failures"],
            {
                region: Reliability(**{name: tuple(numbers) for name, numbers in row.items()})
                for region, row in values["calibration"].items()
            },
            values.get("made_from", ()),
            {protocol: tuple(regions) for protocol, regions in values.get("unscored", {}).items()},
            OtherReading(**values["reading"]) if values.get("reading") else None,
            tuple(values.get("untold", ())),
        )


def evaluate_case(
    prediction: np.ndarray | Volume,
    reference: np.ndarray | Volume,
    *,
    label_set: LabelSetLike,
    reference_label_set: LabelSetLike | None = None,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    protocol: str = "casewise",
    task: str | None = None,
) -> dict[str, RegionScores]:
    """Score the regions of a predicted label against its reference.

    Args:
        prediction: (X, Y, Z) label of whole numbers, or a `Volume` of one. Not modified.
        reference: the same, of the same kind.
        label_set: what the prediction's values mean, such as ``L17``; also a label set of one's own (`regions.find_label_set`).
        reference_label_set: what the reference's values mean; by default the same.
        spacing_mm: voxel spacing of arrays; volumes have their own.
        protocol: a key of ``scores.PROTOCOLS``.
        task: a task of a lesion-wise protocol; by default ``GLI``.

    Returns:
        Region → its scores, for those of the protocol's regions (WT, TC and ET, all of one's own label set, or the task's) that
        both label sets define.

    Raises:
        GridError: the volumes are not on the same grid, or its axes are sheared.
        ArrayError: one is a volume and the other an array, or shapes and spacing do not match.
        LabelError: a label has values outside its label set, or the two sets share no region, or a name.
        OptionError: there is no such label set, protocol or task.
    """
    if isinstance(prediction, Volume) != isinstance(reference, Volume):
        raise ArrayError(
            f"the prediction is a {type(prediction).__name__}, the reference a {type(reference).__name__}; expected two volumes"
            " or two arrays."
        )
    if isinstance(prediction, Volume) and isinstance(reference, Volume):
        different = prediction.grid.differences(reference.grid)
        if different:
            raise GridError(f"prediction and reference are not on the same grid ({different}); resample one of them first.")
        if reference.grid.shear():
            raise GridError(f"{reference.grid.shear()}; expected right angles, for distances: resample both volumes first.")
        spacing_mm = reference.grid.spacing_mm
        prediction, reference = prediction.array, reference.array
    mine = find_label_set(label_set)
    theirs = mine if reference_label_set is None else find_label_set(reference_label_set)
    _check_meanings("prediction and reference", mine, theirs)
    return case_scores(
        np.asarray(prediction), np.asarray(reference), spacing_mm, Scoring(protocol, task),
        label_set=mine, reference_label_set=theirs,
    )  # fmt: skip


def _check_meanings(where: str, *codings: LabelSet) -> None:
    """Refuse two label sets of users' own with one name; a row of the table may have been another when a file was written."""
    both = two_meanings(coding for coding in codings if coding.name not in LABEL_SETS)
    if both:
        raise LabelError(f"{where}: {both}; give one of them another name if both are meant.")


def evaluate_pair(pair: Pair) -> CaseResult:
    """Read the two labels of a case and score them.

    Args:
        pair: where they are, and how to score them.

    Raises:
        CaseError: a file is damaged, a label set is in doubt, the two are not on the same grid, or the model of the
            prediction predicts none of the scored regions.
    """
    made_from = pair.fingerprint()  # before reading: files that change in the meantime are scored again
    labels = read_pair(pair)
    for warning in labels.warnings:
        log.warning("%s", warning)
    mine, theirs = labels.prediction, labels.reference
    codings = mine.coding, theirs.coding
    _check_meanings(f"{pair.prediction.path} and {pair.reference.path}", *codings)
    arrays = mine.volume.array, theirs.volume.array
    spacing = theirs.volume.grid.spacing_mm
    usual = {scoring.protocol: _scored(scoring, pair, codings) for scoring in pair.scorings}
    told = {protocol: _told(pair, codings[0], regions) for protocol, regions in usual.items()}
    scores = {
        scoring.protocol: case_scores(
            *arrays, spacing, replace(scoring, regions=told[scoring.protocol]),
            label_set=codings[0], reference_label_set=codings[1],
        )
        for scoring in pair.scorings
    }  # fmt: skip
    untold = tuple(dict.fromkeys(r for protocol, regions in usual.items() for r in regions if r not in told[protocol]))
    first = scores[pair.scorings[0].protocol]
    # "flipped left–right" must refer to left and right: in the stored orientation that is the first axis
    (mine_stored, grid), (theirs_stored, _) = (to_stored(array, theirs.volume.grid) for array in arrays)
    failures = case_failures(
        mine_stored, theirs_stored, grid.spacing_mm, list(first), label_set=codings[0], reference_label_set=codings[1]
    )
    unscored = {
        protocol: tuple(dict.fromkeys(r for side in zip(arrays, codings, strict=True) for r in unscored_regions(*side, rows)))
        for protocol, rows in usual.items()
    }
    return CaseResult(
        scores,
        (codings[0].name, codings[1].name),
        {region: str(failure) for region, failure in failures.items()},
        calibrate(pair.prediction, theirs, list(first), other_grid=pair.other_grid) if pair.calibration else {},
        made_from,
        {protocol: tuple(r for r in regions if r not in untold) for protocol, regions in unscored.items()},
        other_reading(*arrays, label_set=codings[0], reference_label_set=codings[1]),
        untold,
    )


def _scored(scoring: Scoring, pair: Pair, codings: tuple[LabelSet, LabelSet]) -> tuple[str, ...]:
    """Return the regions to score: the protocol's usual ones, and those that the model has learnt besides, such as RC.

    The tasks of a challenge score what the challenge did, and nothing else.
    """
    usual, model = scored_regions(scoring, *codings), pair.prediction.model
    if model is None or model.kind != "regions" or find_task(scoring.protocol, scoring.task) is not None:
        return usual
    learnt = [region for region in model.channels or () if all(region in coding.regions for coding in codings)]
    return tuple(dict.fromkeys((*usual, *learnt)))


def _told(pair: Pair, coding: LabelSet, regions: Sequence[str]) -> tuple[str, ...]:
    """Return the regions that the prediction can have: what its model does not predict is not a miss."""
    model = pair.prediction.model
    painted = model.painted_in(coding) if model else None
    told = tuple(r for r in regions if painted is None or r in told_regions(painted, coding))
    if not told:
        raise LabelError(
            f"{pair.prediction.path} is of a model of {', '.join(pair.prediction.regions or ())}, which predicts none of"
            f" the regions {', '.join(regions)}; expected a mask that has one of them."
        )
    return told
