"""Where the head is in a scan, and what is near a mask: the starting point of registration."""

from __future__ import annotations

import numpy as np

from brats3d.errors import GridError
from brats3d.geometry import Box, Grid, bounding_box, box_slices
from brats3d.images import Volume
from brats3d.raw.itk import image_of, toolkit

CENTRE_BELOW_TOP_MM = 85.0
"""Distance from the top of the scalp down to the centre of the brain."""
HEAD_MM = 170.0
"""Further below the top of the scalp than this is the neck."""


def head_centre(head: Volume) -> np.ndarray:
    """Return the approximate centre of the brain, (3,) in the scan's world mm, from the outline of the head.

    Args:
        head: a scan with skull; the neck does not matter.

    Raises:
        GridError: the scan is all background.
    """
    image = image_of(head.array, head.grid)
    inside = toolkit().GetArrayFromImage(toolkit().OtsuThreshold(image, 0, 1, 200)).T > 0
    voxels = np.argwhere(inside)
    if len(voxels) == 0:
        raise GridError(f"the scan {head.array.shape} shows no head, only background; inspect the scan.")
    step, origin = np.array(image.GetSpacing()), image.TransformIndexToPhysicalPoint((0, 0, 0))
    turn = np.reshape(image.GetDirection(), (3, 3))
    places = (voxels[:: max(1, len(voxels) // 200_000)] * step) @ turn.T + np.array(origin)
    places *= [-1, -1, 1]  # ITK's world is LPS
    top = np.percentile(places[:, 2], 99.8)
    upper = places[places[:, 2] > top - HEAD_MM]
    bottom = np.percentile(upper[:, 2], 0.5)
    height = max(top - CENTRE_BELOW_TOP_MM, (top + bottom) / 2)  # a scan cut off at the top, or with few slices
    return np.array([*upper[:, :2].mean(0), height])


def near_mask(mask: np.ndarray, grid: Grid, rim_mm: float) -> np.ndarray:
    """Return a mask widened by ``rim_mm``."""
    from scipy import ndimage

    box = _padded(bounding_box(mask), grid, rim_mm)
    slices = box_slices(box)
    near = np.zeros_like(mask, bool)
    near[slices] = ndimage.distance_transform_edt(~mask[slices], sampling=grid.spacing_mm) <= rim_mm
    return near


def _padded(box: Box, grid: Grid, rim_mm: float) -> Box:
    rim = np.ceil(rim_mm / np.array(grid.spacing_mm)).astype(int) + 1
    return np.stack([np.maximum(box[:, 0] - rim, 0), np.minimum(box[:, 1] + rim, grid.shape)], 1)


def without_peaks(array: np.ndarray) -> np.ndarray:
    """Return a scan clipped at its 99.5th percentile: fat and vessels would take up the histogram's bins."""
    values = array[array > 0]
    return np.clip(array, 0, np.percentile(values, 99.5)) if values.size else np.asarray(array)
