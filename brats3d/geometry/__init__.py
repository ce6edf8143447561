"""Grids, boxes, block averages and their inverse: the geometry of voxels, without touching a file.

World coordinates are NIfTI's: millimetres, RAS+. The stored orientation is that of BraTS, axis codes L, P, S
(`STORED_AXES`), so that BraTS cases are stored without moving a voxel; all others are permuted and flipped on the way in
(`to_stored`) and back on the way out (`from_stored`). Nothing is resampled except labels, and those only on request
(`resample_label`).
"""

from brats3d.geometry.axes import per_axis, show_per_axis, whole_per_axis
from brats3d.geometry.blocks import block_average, block_expand, block_factor
from brats3d.geometry.boxes import Box, bounding_box, box_at, box_slices, crop_padded, united_box, widen_box
from brats3d.geometry.grid import (
    AFFINE_TOLERANCE,
    CORNER_TOLERANCE,
    STORED_AXES,
    Grid,
    corner_shift,
    from_stored,
    resample_label,
    to_stored,
)

__all__ = [
    "AFFINE_TOLERANCE",
    "CORNER_TOLERANCE",
    "STORED_AXES",
    "Box",
    "Grid",
    "block_average",
    "block_expand",
    "block_factor",
    "bounding_box",
    "box_at",
    "box_slices",
    "corner_shift",
    "crop_padded",
    "from_stored",
    "per_axis",
    "resample_label",
    "show_per_axis",
    "to_stored",
    "united_box",
    "whole_per_axis",
    "widen_box",
]
__dir__ = __all__.copy
