"""Probabilities beside predicted masks, against the reference: are 80 % of the voxels called 0.8 tumour?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brats3d import images
from brats3d.errors import ArrayError, LabelError
from brats3d.evaluate.labels import Label, LabelFile
from brats3d.regions import REGIONS, label_set, region_masks
from brats3d.scores import Reliability, reliability, widened_box

MARGIN_VOXELS = 20


def calibrate(prediction: LabelFile, reference: Label, regions: Sequence[str]) -> dict[str, Reliability]:
    """Return region → how a case's probabilities and its reference agree, around the reference's tumour.

    All that a model is certain of, far from any tumour, would drown everything else; so the voxels of the box around the
    reference's tumour, `MARGIN_VOXELS` wider on every side, are looked at, whatever the prediction. Without a tumour, all are.

    Args:
        prediction: the predicted label; its probabilities stand beside it.
        reference: the label to compare with.
        regions: regions wanted; those of WT, TC and ET are looked at.

    Raises:
        LabelError: there are no probabilities of the case.
        ArrayError: they do not have the reference's shape.
        ImageError: the file is damaged.
    """
    if prediction.path is None or prediction.probabilities is None:
        raise LabelError(
            f"no probabilities of {prediction.case} in {prediction.side.folder}; predict with --probabilities, or leave"
            " --calibration out."
        )
    volume = images.read(prediction.probabilities).array
    images.check_finite(prediction.probabilities, volume)
    expected = (*reference.volume.array.shape, len(REGIONS))
    if volume.shape != expected:
        raise ArrayError(f"{prediction.probabilities}: has shape {volume.shape}; expected {expected}: predict again.")
    coding = label_set(reference.label_set)
    wanted = [region for region in REGIONS if region in regions]
    masks = region_masks(reference.volume.array, coding, wanted)
    within = widened_box((reference.volume.array,), MARGIN_VOXELS) if reference.volume.array.any() else (slice(None),) * 3
    found = {}
    for region, mask in zip(wanted, masks, strict=True):
        found[region] = reliability(np.asarray(volume[within][..., REGIONS.index(region)], np.float32), mask[within])
    return found
