"""Probabilities beside predicted masks, against the reference: are 80 % of the voxels with 0.8 tumour?

``predictions.json`` names the channels of a probability file: regions, or the values of a label set, of which a voxel has one,
so that a region's probability is the sum of its values'. The first lists did not name them: three channels are then taken for
WT, TC and ET, and others are ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from brats3d import images
from brats3d.errors import ArrayError, GridError, ImageError, LabelError
from brats3d.evaluate.label_files import Label, LabelFile
from brats3d.evaluate.pair import OtherGrid
from brats3d.geometry import Grid
from brats3d.masks import LIST_NAME, MaskModel
from brats3d.regions import REGIONS, region_masks
from brats3d.scores import Reliability, reliability, widened_box
from brats3d.transforms import resample as brought_to

MARGIN_VOXELS = 20
ROUNDING = 1e-5
"""How far a sum of probabilities in single precision may lie above 1."""


def calibrate(
    prediction: LabelFile, reference: Label, regions: Sequence[str], *, other_grid: OtherGrid = "refuse"
) -> dict[str, Reliability]:
    """Return region → how a case's probabilities and its reference agree, around the reference's tumour.

    Certain background far from any tumour would swamp everything else, so only the voxels of the box around the reference's
    tumour, `MARGIN_VOXELS` wider on every side, are used, whatever the prediction; without a tumour, all voxels.

    Args:
        prediction: the predicted label; its probabilities are beside it.
        reference: the label to compare with.
        regions: regions defined by the reference's label set; those that the channels make up are compared.
        other_grid: what to do with probabilities on another grid: refuse them, resample them to the reference's (linearly), or
            compare them voxel by voxel.

    Raises:
        LabelError: there are no probabilities for the case.
        GridError: they are not on the reference's grid.
        ImageError: the file is damaged, does not have the recorded channels, or does not contain probabilities.
    """
    if prediction.path is None or prediction.probabilities is None:
        raise LabelError(
            f"no probabilities for {prediction.id} in {prediction.side.folder}; predict with --probabilities, or leave"
            " --calibration out."
        )
    channels, grid = _read(prediction.probabilities)
    model = _described(prediction, len(channels))
    made_of = {region: model.channels_of(region) for region in regions}
    wanted = [region for region, names in made_of.items() if names]
    if not wanted:
        return {}
    different = grid.differences(reference.volume.grid)
    voxelwise = other_grid == "voxelwise" and grid.shape == reference.volume.grid.shape
    if different and not voxelwise and other_grid != "resample":
        raise GridError(
            f"{prediction.probabilities}: not on the reference's grid ({different}); predict again, use --other-grid"
            " resample, or leave --calibration out."
        )
    masks = region_masks(reference.volume.array, reference.coding, wanted)
    within = widened_box((reference.volume.array,), MARGIN_VOXELS) if reference.volume.array.any() else (slice(None),) * 3
    found = {}
    for region, mask in zip(wanted, masks, strict=True):
        channel = _sum(channels, [(model.channels or ()).index(name) for name in made_of[region]])
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


def _sum(channels: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Return the sum of some channels, which must not exceed 1 by rounding."""
    if len(numbers) == 1:
        return channels[numbers[0]]
    total = channels[list(numbers)].sum(0, dtype=np.float64)
    return np.where(total < 1 + ROUNDING, np.minimum(total, 1), total)  # anything larger is not a probability


def _described(prediction: LabelFile, count: int) -> MaskModel:
    """Return the model of a case with its channels; empty if they are neither recorded nor known."""
    model = prediction.model or MaskModel("", "")
    if model.channels is None:
        return replace(model, kind="regions", channels=REGIONS if count == len(REGIONS) else ())
    if len(model.channels) != count:
        raise ImageError(
            f"{prediction.probabilities}: has {count} channels; {LIST_NAME} records {len(model.channels)}"
            f" ({', '.join(model.channels)}): predict again."
        )
    return model


def calibration_notes(predictions: Iterable[LabelFile], wanted: Iterable[str], found: Collection[str]) -> tuple[str, ...]:
    """Return what a reader must know about a calibration, one sentence each: what it assumes and which regions it lacks.

    Args:
        predictions: the predicted labels that were examined, all in one folder.
        wanted: the regions that were scored.
        found: the regions that were calibrated.
    """
    files = [file for file in predictions if file.probabilities is not None]
    if not files:
        return ()
    model, where = files[0].model, files[0].side.folder / LIST_NAME
    recorded = model and model.channels
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
