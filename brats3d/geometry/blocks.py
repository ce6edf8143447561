"""Averages of blocks of voxels, and the way back to the fine grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from brats3d.errors import GridError
from brats3d.geometry.boxes import crop_padded


def block_factor(spacing_mm: tuple[float, float, float], wanted_mm: float) -> tuple[int, int, int]:
    """Return how many voxels along each axis make a block of about ``wanted_mm``.

    Args:
        spacing_mm: the stored grid's spacing.
        wanted_mm: the model's spacing.

    Raises:
        GridError: along some axis the ratio is further than 5% from a whole number of at least 1.
    """
    ratios = [wanted_mm / s for s in spacing_mm]
    whole = [max(1, round(r)) for r in ratios]
    if any(abs(r - w) > 0.05 * w for r, w in zip(ratios, whole, strict=True)):
        found = " × ".join(f"{s:.4g}" for s in spacing_mm)
        raise GridError(
            f"a model grid of {wanted_mm} mm is no whole multiple of the scan's voxels of {found} mm;"
            " resample the scan to 1 mm, or use a model whose spacing_mm is a whole multiple of these voxels."
        )
    return whole[0], whole[1], whole[2]


def block_average(array: np.ndarray, factor: tuple[int, int, int]) -> np.ndarray:
    """Average whole blocks of voxels, counted from the origin; the last block is padded with zeros.

    Args:
        array: (..., X, Y, Z), any real type.
        factor: voxels a block along each axis.

    Returns:
        (..., ceil(X/f), ceil(Y/f), ceil(Z/f)) float32.
    """
    if tuple(factor) == (1, 1, 1):
        return np.asarray(array, np.float32)
    sizes = [-(-n // f) for n, f in zip(array.shape[-3:], factor, strict=True)]
    whole = [n * f for n, f in zip(sizes, factor, strict=True)]
    if tuple(whole) != array.shape[-3:]:
        array = crop_padded(array, np.stack([np.zeros(3, int), np.array(whole)], 1))
    lead = array.shape[:-3]
    pairs: list[Any] = [n for size, f in zip(sizes, factor, strict=True) for n in (size, f)]
    summed = array.reshape(*lead, *pairs).astype(np.float32, copy=False)
    for axis in (2, 1, 0):  # innermost first: each sum runs over the shorter result of the one before
        summed = summed.sum(axis=len(lead) + 2 * axis + 1)
    return summed / np.float32(np.prod(factor))


def block_expand(array: np.ndarray, factor: tuple[int, int, int]) -> np.ndarray:
    """Bring block averages back to the fine grid by linear interpolation between block centres.

    The centre of block i lies at fine coordinate i·f + (f − 1)/2; beyond the outermost centres the edge value stands.
    Linear images come back exactly between the outermost centres.

    Args:
        array: (..., x, y, z) floating.
        factor: fine voxels a block along each axis.

    Returns:
        (..., x·f, y·f, z·f) of the same type.
    """
    for axis, f in enumerate(factor):
        if f == 1:
            continue
        moved = np.moveaxis(array, axis - 3, -1)
        n = moved.shape[-1]
        before = np.concatenate([moved[..., :1], moved[..., :-1]], -1)
        after = np.concatenate([moved[..., 1:], moved[..., -1:]], -1)
        fine = np.empty((*moved.shape[:-1], n, f), array.dtype)
        for k in range(f):
            offset = (k - (f - 1) / 2) / f
            neighbour = after if offset > 0 else before
            fine[..., k] = moved + array.dtype.type(abs(offset)) * (neighbour - moved)
        array = np.moveaxis(fine.reshape(*moved.shape[:-1], n * f), -1, axis - 3)
    return np.ascontiguousarray(array)
