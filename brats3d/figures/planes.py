"""Slices of stored volumes in radiological convention: pure functions on arrays.

Stored volumes have orientation L, P, S: the first index grows to the patient's left, the second to the back, the third to the
top. Radiological convention looks at the patient from the feet and from the front, so the patient's right is at the picture's
left; sagittal slices look towards the patient's right, nose at the picture's left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from brats3d.geometry import Box, bounding_box


@dataclass(frozen=True)
class Plane:
    """One direction of slicing.

    Attributes:
        name: axial, coronal or sagittal.
        axis: the volume's axis that is cut.
        columns: the volume's axis that runs from left to right in the picture.
        rows: the volume's axis that runs along the picture's height.
        upwards: whether ``rows`` grows upwards in the picture (else downwards).
        letters: patient's direction at the picture's (left, right, top, bottom).
    """

    name: str
    axis: int
    columns: int
    rows: int
    upwards: bool
    letters: tuple[str, str, str, str]

    def picture(self, volume: np.ndarray, index: int) -> np.ndarray:
        """Return a slice as (rows, columns), first row at the top.

        Args:
            volume: (X, Y, Z) in stored orientation.
            index: voxel along ``axis``.
        """
        flat = np.take(volume, index, self.axis)
        # the other axes keep their order: rows come second in all three planes
        upright = flat.T
        return upright[::-1] if self.upwards else upright


PLANES: Mapping[str, Plane] = MappingProxyType({
    plane.name: plane
    for plane in (
        Plane("axial", 2, 0, 1, False, ("R", "L", "A", "P")),
        Plane("coronal", 1, 0, 2, True, ("R", "L", "S", "I")),
        Plane("sagittal", 0, 1, 2, True, ("A", "P", "S", "I")),
    )
})  # fmt: skip


def slice_centre(*masks: np.ndarray | None) -> tuple[int, int, int] | None:
    """Return the tumour voxel nearest to the tumour's centre of mass: where to cut.

    With several lesions the centre itself may be between them, where there is nothing to see.

    Args:
        masks: (X, Y, Z) bool masks in order of preference; the first non-empty one counts, None is skipped.

    Returns:
        Voxel indices, or None if all masks are empty.
    """
    for mask in masks:
        if mask is not None and mask.any():
            voxels = np.argwhere(mask)
            nearest = voxels[((voxels - voxels.mean(0)) ** 2).sum(1).argmin()]
            return int(nearest[0]), int(nearest[1]), int(nearest[2])
    return None


def window(image: np.ndarray) -> tuple[float, float]:
    """Return the grey window of an image: 0 (or its lowest value) to the 99.5th percentile of its non-zero voxels."""
    values = image[image != 0]
    if values.size == 0:
        return 0.0, 1.0
    low, high = min(0.0, float(np.percentile(values, 0.5))), float(np.percentile(values, 99.5))
    return low, high if high > low else low + 1


def brain_box(images: list[np.ndarray]) -> Box:
    """Return the half-open box of the voxels that are non-zero in any image; the whole volume if there are none."""
    box = bounding_box(np.logical_or.reduce([image != 0 for image in images]))
    return box if box.any() else np.stack([np.zeros(3, int), np.array(images[0].shape)], 1)
