"""Rigid transforms between clinical scans and the grid they are stored on, with a single interpolation each way.

A transform is a (4, 4) matrix on world coordinates in mm, RAS+, as in NIfTI: it takes a point in a scan's world to the same
point of the head in the world of the stored grid. Images, masks and probabilities are moved by NumPy and SciPy alone, so that
masks can be returned to their scans without a registration package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brats3d.errors import ArrayError, GridError, check_option
from brats3d.geometry import Grid

__all__ = ["Transforms", "back_to_scan", "check_rigid", "nearest_rigid", "resample"]
__dir__ = __all__.copy

RIGID_TOLERANCE = 1e-4
"""A rotation's transpose is its inverse to within this, in every element."""


@dataclass(frozen=True, eq=False)
class Transforms:
    """Where the scans of a clinical study are in the world of the grid they are stored on.

    Attributes:
        reference: modality of the scan that masks are returned to; its grid is the case's ``source``.
        to_stored: modality → (4, 4) rigid matrix, world of its scan → world of the stored grid, in mm RAS+.
        scans: modality → original grid of its scan.
    """

    reference: str
    to_stored: Mapping[str, np.ndarray]
    scans: Mapping[str, Grid]

    def __post_init__(self) -> None:
        """Check that every scan has a rigid matrix and a grid.

        Raises:
            GridError: one is missing, or a matrix is not rigid; the message gives the modality and the matrix.
        """
        for modality in {self.reference, *self.scans, *self.to_stored}:
            if modality not in self.to_stored or modality not in self.scans:
                raise GridError(f"the transforms lack the matrix or the grid of {modality}; expected both for every scan.")
        for modality, matrix in self.to_stored.items():
            check_rigid(modality, matrix)


def check_rigid(name: str, matrix: np.ndarray) -> None:
    """Refuse a matrix that does more than rotate and translate.

    Args:
        name: what it moves, for the message.
        matrix: (4, 4).

    Raises:
        GridError: it is not a (4, 4) matrix, or scales, shears or mirrors; the message shows it.
    """
    matrix = np.asarray(matrix, float)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise GridError(f"the transform of {name} is {matrix.tolist()}; expected a (4, 4) matrix with last row 0 0 0 1.")
    turn = matrix[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > RIGID_TOLERANCE or np.linalg.det(turn) < 0:
        raise GridError(
            f"the transform of {name} is {np.round(turn, 4).tolist()}; expected a rotation without scaling or mirroring."
        )


def resample(
    array: np.ndarray, source: Grid, target: Grid, to_target: np.ndarray | None = None, *, order: int = 1
) -> np.ndarray:
    """Return an array on another grid, with one interpolation through one transform.

    Args:
        array: (..., X, Y, Z) on the source grid. Not modified.
        source: the grid it is on.
        target: the grid to resample to.
        to_target: (4, 4) matrix, world of the source → world of the target; None if they share a world.
        order: 1 interpolates linearly, to float32; 0 takes the nearest voxel's value and keeps the type.

    Returns:
        (..., x, y, z) of the target's shape; 0 where the source's outermost voxels do not reach.

    Raises:
        ArrayError: the array's last three axes are not the source's shape.
        OptionError: the order is neither 0 nor 1.
    """
    from scipy import ndimage

    check_option("order", order, (0, 1))
    if array.shape[-3:] != source.shape:
        raise ArrayError(f"the array's last axes are {array.shape[-3:]}; expected its grid's, {source.shape}.")
    world = np.eye(4) if to_target is None else np.linalg.inv(to_target)
    matrix = np.linalg.inv(source.affine) @ world @ target.affine
    outside = ~_reached(matrix, source.shape, target.shape)
    volumes = array.reshape(-1, *source.shape)
    kind = np.dtype(np.float32) if order else array.dtype
    moved = np.empty((len(volumes), *target.shape), kind)
    for volume, result in zip(volumes, moved, strict=True):
        given = volume.astype(kind, copy=False)
        # Within half a voxel of the edge the edge value is kept: voxels have an extent, which is large in thick slices.
        ndimage.affine_transform(given, matrix[:3, :3], matrix[:3, 3], output=result, order=order, mode="nearest")
        result[outside] = 0
    return moved.reshape(*array.shape[:-3], *target.shape)


def _reached(matrix: np.ndarray, source: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    """Return which target voxels are inside a source voxel; ``matrix`` takes target indices to source indices."""
    inside = np.ones(target, bool)
    i, j, k = np.ogrid[: target[0], : target[1], : target[2]]
    for row, count in zip(matrix[:3].astype(np.float32), source, strict=True):
        place = row[0] * i.astype(np.float32) + (row[1] * j.astype(np.float32) + (row[2] * k.astype(np.float32) + row[3]))
        inside &= (place >= -0.5) & (place <= count - 0.5)
    return inside


def back_to_scan(array: np.ndarray, stored: Grid, transforms: Transforms, modality: str | None = None) -> np.ndarray:
    """Return a label or probabilities from the stored grid to the grid of the scan they belong to.

    Args:
        array: (..., X, Y, Z) on the stored grid; integers and bool take the nearest voxel's value, floats are interpolated
            linearly. Not modified.
        stored: the stored grid.
        transforms: the case's.
        modality: which scan; by default the reference.

    Returns:
        (..., x, y, z) of the scan's shape, with the scan's own axes.

    Raises:
        ArrayError: the array's last three axes are not the stored grid's shape.
        OptionError: the case has no scan of that modality.
    """
    name = transforms.reference if modality is None else modality
    check_option("modality", name, transforms.scans)
    order = int(np.issubdtype(array.dtype, np.floating))
    return resample(array, stored, transforms.scans[name], np.linalg.inv(transforms.to_stored[name]), order=order)


def nearest_rigid(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix that is rigid up to rounding as an exactly rigid one."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rigid = matrix.copy()
    rigid[:3, :3] = left @ right
    return rigid
