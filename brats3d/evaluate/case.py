"""One case: a prediction against its reference, as arrays, as volumes, or as files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brats3d import images
from brats3d.errors import ArrayError, GridError, LabelError
from brats3d.evaluate.labels import LabelFile, read_label
from brats3d.images import Volume
from brats3d.regions import REGIONS
from brats3d.regions import label_set as named_label_set
from brats3d.scores import RegionScores, case_scores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseResult:
    """The scores of one case.

    Attributes:
        scores: region → its scores.
        label_sets: what the values of prediction and reference mean.
    """

    scores: Mapping[str, RegionScores]
    label_sets: tuple[str, str]


@dataclass(frozen=True)
class Pair:
    """The two labels of one case."""

    case: str
    prediction: LabelFile
    reference: LabelFile


def evaluate_case(
    prediction: np.ndarray | Volume,
    reference: np.ndarray | Volume,
    *,
    label_set: str,
    reference_label_set: str | None = None,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    protocol: str = "casewise",
) -> dict[str, RegionScores]:
    """Score the regions of a predicted label against its reference.

    Args:
        prediction: (X, Y, Z) label of whole numbers, or a `Volume` that holds one. Not modified.
        reference: the same, of the same kind.
        label_set: what the prediction's values mean, such as ``L17``.
        reference_label_set: what the reference's values mean; by default the same.
        spacing_mm: voxel spacing of arrays; volumes have their own.
        protocol: a key of ``scores.PROTOCOLS``.

    Returns:
        Region → its scores, for those of WT, TC and ET that both label sets define.

    Raises:
        GridError: the volumes do not lie on one grid.
        ArrayError: one is a volume and the other an array, or shapes and spacing do not fit together.
        LabelError: a label holds values outside its label set, or the two sets share no region.
        OptionError: no such label set or protocol.
    """
    if isinstance(prediction, Volume) != isinstance(reference, Volume):
        raise ArrayError(
            f"the prediction is a {type(prediction).__name__}, the reference a {type(reference).__name__}; expected two volumes"
            " or two arrays."
        )
    if isinstance(prediction, Volume) and isinstance(reference, Volume):
        different = prediction.grid.differences(reference.grid)
        if different:
            raise GridError(f"prediction and reference do not lie on one grid ({different}); bring them to one grid first.")
        spacing_mm = reference.grid.spacing_mm
        prediction, reference = prediction.array, reference.array
    mine, theirs = named_label_set(label_set), named_label_set(reference_label_set or label_set)
    shared = [region for region in REGIONS if region in mine.regions and region in theirs.regions]
    if not shared:
        raise LabelError(
            f"{mine.name} and {theirs.name} share none of the regions {', '.join(REGIONS)}; they cannot be compared."
        )
    return case_scores(
        np.asarray(prediction), np.asarray(reference), spacing_mm,
        label_set=mine, reference_label_set=theirs, regions=shared, protocol=protocol,
    )  # fmt: skip


def evaluate_pair(pair: Pair, protocol: str) -> CaseResult:
    """Read the two labels of a case and score them.

    Args:
        pair: where they are.
        protocol: a key of ``scores.PROTOCOLS``.

    Raises:
        CaseError: a file is damaged, a label set in doubt, or the two do not lie on one grid.
    """
    mine, theirs = read_label(pair.prediction), read_label(pair.reference)
    reference = _on_one_grid(pair, mine.volume, theirs.volume)
    scores = evaluate_case(
        mine.volume, reference, label_set=mine.label_set, reference_label_set=theirs.label_set, protocol=protocol
    )
    return CaseResult(scores, (mine.label_set, theirs.label_set))


def _on_one_grid(pair: Pair, mine: Volume, theirs: Volume) -> Volume:
    """Return the reference on the prediction's grid, or refuse the pair.

    In some releases a label's origin is not that of its scans. So where the reference's scans are at hand and lie on the
    prediction's grid, a label of their shape is taken voxel by voxel, with a warning (as preprocessing does).
    """
    different = mine.grid.differences(theirs.grid)
    if not different:
        return theirs
    scans = list(pair.reference.named.images.values()) if pair.reference.named else []
    if scans and mine.array.shape == theirs.array.shape and not mine.grid.differences(images.read(scans[0]).grid):
        log.warning(
            "%s: the label's header differs from its scans' (%s); taken voxel by voxel.", pair.reference.path, different
        )
        return Volume(theirs.array, mine.grid)
    raise GridError(
        f"{pair.prediction.path} and {pair.reference.path} do not lie on one grid ({different}); bring the prediction back to"
        " the scan's own grid first."
    )
