"""Reads the two labels of one case on a common grid."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from brats3d import images
from brats3d.errors import GridError
from brats3d.evaluate.grids import resampled, says_nothing
from brats3d.evaluate.label_files import Label, LabelFile, read_label
from brats3d.images import Volume
from brats3d.scores import Scoring

log = logging.getLogger(__name__)

OtherGrid = Literal["refuse", "resample", "voxelwise"]
"""What to do with a prediction on another grid than its reference: refuse the case, trust both headers and resample the
prediction, or trust neither and compare voxel by voxel."""


@dataclass(frozen=True, eq=False)
class Pair:
    """The two labels of one case, and how to score them.

    Attributes:
        id: case id.
        prediction: where the predicted label is.
        reference: where the label to compare with is.
        scorings: the rules, one per protocol.
        other_grid: what to do with a prediction on another grid than its reference.
        calibration: whether the probabilities beside the prediction are compared too.
    """

    id: str
    prediction: LabelFile
    reference: LabelFile
    scorings: tuple[Scoring, ...] = (Scoring(),)
    other_grid: OtherGrid = "refuse"
    calibration: bool = False

    def fingerprint(self) -> list[Any]:
        """Return what identifies the labels and the probabilities that are compared.

        Raises:
            StoreError: a store's case file is damaged.
        """
        return [self.prediction.fingerprint(probabilities=self.calibration), self.reference.fingerprint()]


@dataclass(frozen=True, eq=False)
class LabelPair:
    """The two labels of a case on one grid.

    Attributes:
        prediction: the predicted label.
        reference: the label to compare with.
        warnings: what is odd about their headers and grids.
    """

    prediction: Label
    reference: Label
    warnings: tuple[str, ...] = ()


def read_pair(pair: Pair) -> LabelPair:
    """Read the two labels of a case on a common grid.

    Args:
        pair: where they are, and what to do if their grids differ.

    Raises:
        CaseError: a file is damaged, a label set is in doubt, the grids differ and resampling was not requested, or it loses
            too much.
    """
    mine, theirs = read_label(pair.prediction), read_label(pair.reference)
    labels = _on_one_grid(pair, mine, theirs)
    sides = ((pair.prediction, mine), (pair.reference, theirs))
    doubts = (f"{file.path}: the header {doubt}." for file, label in sides for doubt in label.doubts)
    return replace(labels, warnings=(*doubts, *labels.warnings))


def _on_one_grid(pair: Pair, mine: Label, theirs: Label) -> LabelPair:
    different = mine.volume.grid.differences(theirs.volume.grid)
    if not different:
        return LabelPair(mine, theirs)
    if _lies_with_its_scans(pair, mine.volume, theirs.volume):
        moved = replace(theirs, volume=Volume(theirs.volume.array, mine.volume.grid))
        odd = f"{pair.reference.path}: the label's header differs from its scans' ({different}); compared voxel by voxel."
        return LabelPair(mine, moved, (odd,))
    return _WAYS[pair.other_grid](pair, mine, theirs, different)


def _lies_with_its_scans(pair: Pair, mine: Volume, theirs: Volume) -> bool:
    """Return whether the reference's header differs only in its origin from its scans, which are on the prediction's grid.

    In some releases a label's origin is not that of its scans. Such a label is compared voxel by voxel, as in preprocessing.
    """
    scans = list(pair.reference.named.images.values()) if pair.reference.named else []
    origin_only = mine.grid.differs_in_origin_alone(theirs.grid)
    return bool(scans and origin_only and not mine.grid.differences(images.read(scans[0]).grid))


def _refuse(pair: Pair, mine: Label, theirs: Label, different: str) -> LabelPair:
    silent = _silent_header(pair, mine, theirs)
    way = silent or "return the prediction to the scan's own grid first, or use --other-grid resample"
    raise GridError(f"{pair.prediction.path} and {pair.reference.path} are not on the same grid ({different}); {way}.")


def _resample(pair: Pair, mine: Label, theirs: Label, different: str) -> LabelPair:
    silent = _silent_header(pair, mine, theirs)
    try:
        volume, odd = resampled(mine.volume, theirs.volume.grid)
    except GridError as loss:
        way = silent or "check both headers, or return the prediction to the scan's own grid first"
        raise GridError(f"{pair.prediction.path}, resampled to the grid of {pair.reference.path}: {loss}; {way}.") from loss
    log.info("%s: resampled to the grid of %s (%s).", pair.prediction.path, pair.reference.path, different)
    if silent:
        odd.append(f"resampled as the headers say, but {silent}")
    warnings = tuple(f"{pair.prediction.path}: {sentence}." for sentence in odd)
    return LabelPair(replace(mine, volume=volume), theirs, warnings)


def _take_voxelwise(pair: Pair, mine: Label, theirs: Label, different: str) -> LabelPair:
    here, there = mine.volume.grid, theirs.volume.grid
    if here.shape != there.shape:
        raise GridError(
            f"{pair.prediction.path} and {pair.reference.path} cannot be compared voxel by voxel ({different}); expected equal"
            " shapes: return the prediction to the scan's own grid first."
        )
    log.info("%s: compared with %s voxel by voxel (%s).", pair.prediction.path, pair.reference.path, different)
    warnings: tuple[str, ...] = ()
    if here.axes != there.axes and not _silent_header(pair, mine, theirs):
        warnings = (
            f"{pair.prediction.path}: its axes are {here.axes}, those of {pair.reference.path} {there.axes}; compared voxel by"
            " voxel anyway, which mirrors one of them if both headers are right (then use --other-grid resample).",
        )
    grid = here if says_nothing(there) else there  # the one whose voxel size is a scan's
    mine, theirs = (replace(label, volume=Volume(label.volume.array, grid)) for label in (mine, theirs))
    return LabelPair(mine, theirs, warnings)


_WAYS: Mapping[OtherGrid, Callable[[Pair, Label, Label, str], LabelPair]] = {
    "refuse": _refuse,
    "resample": _resample,
    "voxelwise": _take_voxelwise,
}


def _silent_header(pair: Pair, mine: Label, theirs: Label) -> str:
    """Return what to do if the shapes are equal and one header is a program's default; empty otherwise."""
    sides = {"prediction": (pair.prediction, mine.volume), "reference": (pair.reference, theirs.volume)}
    silent = [side for side, (_, volume) in sides.items() if says_nothing(volume.grid)]
    if len(silent) != 1 or mine.volume.array.shape != theirs.volume.array.shape:
        return ""
    return (
        f"the header of the {silent[0]} is a default (the identity) and does not say where the voxels are: if both labels were"
        " drawn on one scan, compare them with --other-grid voxelwise"
    )
