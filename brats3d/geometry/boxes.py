"""Boxes of voxels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from brats3d.errors import ArrayError

Box = np.ndarray
"""(3, 2) int, half-open: ``box[axis] = (first, one past the last)``."""


def bounding_box(mask: np.ndarray) -> Box:
    """Return the half-open box of the non-zero voxels of a 3-D mask or image; (3, 2) zeros if there are none."""
    occupied = mask if mask.dtype.kind in "biu" else mask != 0
    box = np.zeros((3, 2), int)
    # From both ends along the axis slowest in memory; the planes left are then projected onto one.
    slowest = int(np.argmax(np.abs(occupied.strides)))
    planes = np.moveaxis(occupied, slowest, 0)
    first = next((i for i in range(len(planes)) if planes[i].any()), None)
    if first is None:
        return box
    last = next(i for i in range(len(planes) - 1, -1, -1) if planes[i].any())
    box[slowest] = first, last + 1
    shadow = np.bitwise_or.reduce(planes[first : last + 1], axis=0) != 0
    for axis, other in zip((a for a in range(3) if a != slowest), (1, 0), strict=True):
        hit = np.flatnonzero(shadow.any(axis=other))
        box[axis] = hit[0], hit[-1] + 1
    return box


def united_box(boxes: Iterable[Box]) -> Box:
    """Return the smallest box that contains all boxes; empty boxes are ignored."""
    some = np.array([box for box in boxes if (box[:, 1] > box[:, 0]).all()])
    return np.stack([some[:, :, 0].min(0), some[:, :, 1].max(0)], 1) if len(some) else np.zeros((3, 2), int)


def box_slices(box: Box) -> tuple[slice, slice, slice]:
    """Return the three slices of a box."""
    first, second, third = (slice(int(a), int(b)) for a, b in box)
    return first, second, third


def widen_box(box: Box, multiple: int | Sequence[int]) -> Box:
    """Return the smallest box around ``box`` whose corners are whole blocks of ``multiple`` voxels from the origin.

    The box may reach past the end of the volume, into padding.

    Args:
        box: (3, 2) half-open.
        multiple: voxels per block, one number or one per axis.
    """
    block = np.asarray(multiple)
    return np.stack([box[:, 0] // block * block, -(-box[:, 1] // block) * block], 1)


def box_at(corner: Sequence[int], size: Sequence[int]) -> Box:
    """Return the box with a first voxel and a size; it may be outside the volume.

    Args:
        corner: first voxel along each axis; may be negative.
        size: voxels along each axis.

    Raises:
        ArrayError: one of them is not three whole numbers, or a size is below 1.
    """
    first, sizes = np.asarray(corner), np.asarray(size)
    for name, numbers in (("corner", first), ("size", sizes)):
        if numbers.shape != (3,) or not np.issubdtype(numbers.dtype, np.integer):
            raise ArrayError(f"the {name} of the box is {numbers.tolist()}; expected three whole numbers of voxels.")
    if sizes.min() < 1:
        raise ArrayError(f"the size of the box is {sizes.tolist()}; expected at least 1 voxel along each axis.")
    return np.stack([first, first + sizes], 1)


def crop_padded(array: np.ndarray, box: Box) -> np.ndarray:
    """Return the part of an array inside a box that may extend beyond it; outside the array it is zero.

    Args:
        array: (..., X, Y, Z).
        box: (3, 2) half-open, in voxels of the last three axes; may be negative or past the end.

    Returns:
        (..., x, y, z) of the box's size; a copy.
    """
    sizes = tuple(int(b - a) for a, b in box)
    out = np.zeros((*array.shape[:-3], *sizes), array.dtype)
    inside = [(max(int(a), 0), min(int(b), n)) for (a, b), n in zip(box, array.shape[-3:], strict=True)]
    if all(b > a for a, b in inside):
        target: tuple[Any, ...] = tuple(slice(a - int(o), b - int(o)) for (a, b), (o, _) in zip(inside, box, strict=True))
        source: tuple[Any, ...] = tuple(slice(a, b) for a, b in inside)
        out[(..., *target)] = array[(..., *source)]
    return out
