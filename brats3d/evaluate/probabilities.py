"""Probabilities beside predicted masks, against the reference: are 80 % of the voxels called 0.8 tumour?

The channels of a probability file are the model's regions, in the model's order; ``predictions.json`` names them. A list
written by an earlier version does not: three channels are then taken for WT, TC and ET, and others are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from brats3d import images
from brats3d.errors import ArrayError, GridError, ImageError, LabelError
from brats3d.evaluate.label_files import LIST_NAME, Label, LabelFile
from brats3d.evaluate.pair import OtherGrid
from brats3d.geometry import Grid
from brats3d.regions import REGIONS, label_set, region_masks
from brats3d.scores import Reliability, reliability, widened_box
from brats3d.transforms import resample as brought_to

MARGIN_VOXELS = 20


def calibrate(
    prediction: LabelFile, reference: Label, regions: Sequence[str], *, other_grid: OtherGrid = "refuse"
) -> dict[str, Reliability]:
    """Return region → how a case's probabilities and its reference agree, around the reference's tumour.

    All that a model is certain of, far from any tumour, would drown everything else; so the voxels of the box around the
    reference's tumour, `MARGIN_VOXELS` wider on every side, are looked at, whatever the prediction. Without a tumour, all are.

    Args:
        prediction: the predicted label; its probabilities stand beside it.
        reference: the label to compare with.
        regions: regions wanted, which the reference's label set defines; those that the probabilities have are looked at.
        other_grid: what to do with probabilities on another grid: refuse them, bring them to the reference's (linearly), or
            compare them voxel by voxel.

    Raises:
        LabelError: there are no probabilities of the case.
        GridError: they do not lie on the reference's grid.
        ImageError: the file is damaged, does not have the channels that are recorded, or holds no probabilities.
    """
    if prediction.path is None or prediction.probabilities is None:
        raise LabelError(
            f"no probabilities of {prediction.id} in {prediction.side.folder}; predict with --probabilities, or leave"
            " --calibration out."
        )
    channels, grid = _read(prediction.probabilities)
    names = _named_channels(prediction, len(channels))
    wanted = [region for region in regions if region in names]
    if not wanted:
        return {}
    different = grid.differences(reference.volume.grid)
    voxelwise = other_grid == "voxelwise" and grid.shape == reference.volume.grid.shape
    if different and not voxelwise and other_grid != "resample":
        raise GridError(
            f"{prediction.probabilities}: lies on another grid than the reference ({different}); predict again, ask for"
            " --other-grid resample, or leave --calibration out."
        )
    masks = region_masks(reference.volume.array, label_set(reference.label_set), wanted)
    within = widened_box((reference.volume.array,), MARGIN_VOXELS) if reference.volume.array.any() else (slice(None),) * 3
    found = {}
    for region, mask in zip(wanted, masks, strict=True):
        channel = channels[names.index(region)]
        if different and not voxelwise:
            channel = brought_to(channel, grid, reference.volume.grid)
        try:
            found[region] = reliability(np.asarray(channel[within], np.float32), mask[within])
        except ArrayError as problem:
            raise ImageError(f"{prediction.probabilities}, {region}: {problem}") from problem
    return found


def _read(path: Path) -> tuple[np.ndarray, Grid]:
    """Return the channels (R, X, Y, Z) of a file and their grid; a file of one channel is read without a fourth axis."""
    volume = images.read(path)
    images.check_finite(path, volume.array)
    array = volume.array if volume.array.ndim == 4 else volume.array[..., None]
    return np.moveaxis(array, -1, 0), volume.grid


def _named_channels(prediction: LabelFile, count: int) -> tuple[str, ...]:
    """Return the regions of a case's channels; none if nobody recorded them and they cannot be told."""
    if prediction.regions is None:
        return REGIONS if count == len(REGIONS) else ()
    if len(prediction.regions) != count:
        raise ImageError(
            f"{prediction.probabilities}: has {count} channels; {LIST_NAME} records {len(prediction.regions)}"
            f" ({', '.join(prediction.regions)}): predict again."
        )
    return prediction.regions


def calibration_notes(predictions: Iterable[LabelFile], wanted: Iterable[str], found: Collection[str]) -> tuple[str, ...]:
    """Return what a reader must know of a calibration, a sentence each: what it assumes, and which regions it leaves out.

    Args:
        predictions: the predicted labels that were looked at, all of one folder.
        wanted: the regions that were scored.
        found: the regions that were calibrated.
    """
    files = [file for file in predictions if file.probabilities is not None]
    if not files:
        return ()
    recorded, where = files[0].regions, files[0].side.folder / LIST_NAME
    notes = []
    if recorded is None and found:
        notes.append(
            f"{where} does not record the regions of the probabilities (an earlier version wrote it); they are taken for"
            f" {', '.join(REGIONS)}, in this order: predict again if the model has others."
        )
    missing = [region for region in wanted if region not in found]
    if missing:
        there = f"has probabilities of {', '.join(recorded)}" if recorded else "does not record which regions there are"
        notes.append(f"not calibrated: {', '.join(missing)}; {where} {there}.")
    return tuple(notes)
