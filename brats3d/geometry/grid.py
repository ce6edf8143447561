"""The voxel grid of a scan: how two grids differ, and the way to the stored orientation and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from brats3d.errors import ArrayError

STORED_AXES = "LPS"
AFFINE_TOLERANCE = 1e-3
"""An affine reads back as written to within this in every element (mm)."""
CORNER_TOLERANCE = 0.1
"""Grids are the same if no corner moves further than this from one affine to the other, in voxels."""
SHEAR = 0.01
"""Largest cosine between two axes that still counts as a right angle; lengths in mm are then off by at most 0.5%. Rounding
gives 1e-8 (measured on 217 real files), direction cosines of three digits 1e-3, a gantry tilted by 3 degrees 0.05."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid of a scan, with the header fields needed to write another file on it.

    Attributes:
        shape: voxels along the three axes.
        affine: (4, 4) float64, voxel index → world mm, RAS+; the sform or qform, as readers resolve them.
        qform: (4, 4) the header's qform, or None if the file format has none.
        sform: (4, 4) the header's sform, or None.
        qform_code: NIfTI code of the qform, 0 unknown.
        sform_code: NIfTI code of the sform, 0 unknown.
        xyzt_units: NIfTI units byte (2 = mm).
        doubts: what is doubtful about the header it was read from, as phrases that follow "the header".
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    qform: np.ndarray | None = None
    sform: np.ndarray | None = None
    qform_code: int = 1
    sform_code: int = 1
    xyzt_units: int = 2
    doubts: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each axis, in mm."""
        steps = np.sqrt((np.asarray(self.affine)[:3, :3] ** 2).sum(0))
        return float(steps[0]), float(steps[1]), float(steps[2])

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(np.asarray(self.affine, float)[:3, :3]))) / 1000

    @property
    def axes(self) -> str:
        """Axis codes, such as ``LPS``: the direction in which each index grows."""
        return "".join("LPS"[axis] if sign < 0 else "RAI"[axis] for axis, sign in self._directions())

    def _directions(self) -> list[tuple[int, int]]:
        """For each voxel axis: (world axis in L/R, P/A, S/I order, sign), with S positive as in ``LPS``."""
        rotation = np.asarray(self.affine, float)[:3, :3] / np.maximum(self.spacing_mm, 1e-12)
        # The nearest signed permutation: assign world axes by largest cosine, so that each is used once.
        left, result = np.abs(rotation), [(0, 1)] * 3
        for _ in range(3):
            world, axis = np.unravel_index(np.argmax(left), left.shape)
            sign = 1 if rotation[world, axis] > 0 else -1
            result[axis] = (int(world), -sign if world == 2 else sign)
            left[world, :], left[:, axis] = -1, -1
        return result

    def shear(self) -> str:
        """Describe how far the axes are from right angles; empty if they are at right angles.

        Lengths and volumes of sheared voxels do not follow from their spacing.
        """
        steps = np.asarray(self.affine, float)[:3, :3]
        unit = steps / np.maximum(self.spacing_mm, 1e-12)
        cosine = float(np.abs(unit.T @ unit - np.eye(3)).max())
        if cosine <= SHEAR:
            return ""
        angle = float(np.degrees(np.arcsin(min(cosine, 1.0))))
        return f"the axes {np.round(steps, 4).tolist()} are sheared, up to {angle:.1f} degrees from right angles"

    def differences(self, other: Grid) -> str:
        """Describe how another grid differs in shape or affine; empty if they are the same grid.

        Args:
            other: the grid to compare with; affines are equal if no corner moves by more than ``CORNER_TOLERANCE``.
        """
        if self.shape != other.shape:
            return f"shape {self.shape} and {other.shape}"
        moved = corner_shift(self.shape, self.affine, other.affine)
        if not moved <= CORNER_TOLERANCE:
            shown = [np.round(affine, 3).tolist() for affine in (self.affine, other.affine)]
            return f"affine {shown[0]} and {shown[1]}, corners {moved:.3g} voxels apart"
        return ""

    def differs_in_origin_alone(self, other: Grid) -> bool:
        """Return whether another grid has the same shape, directions and spacing, wherever its first voxel is.

        Args:
            other: the grid to compare with.
        """
        moved = np.array(other.affine, float)
        moved[:3, 3] = np.asarray(self.affine)[:3, 3]
        return not self.differences(replace(other, affine=moved))


def corner_shift(shape: tuple[int, int, int], affine: np.ndarray, other: np.ndarray) -> float:
    """Return the furthest that a corner of a volume moves from one affine to another.

    Args:
        shape: voxels along the three axes.
        affine: (4, 4) voxel index → world mm.
        other: (4, 4) the same.

    Returns:
        The longest distance moved by a corner voxel's centre, in multiples of the shortest voxel edge of the two.
    """
    corners = np.array([(*place, 1) for place in product(*((0, n - 1) for n in shape))]).T
    moved = (np.asarray(affine, float) - other)[:3] @ corners
    edge = min(float(np.linalg.norm(np.asarray(a, float)[:3, :3], axis=0).min()) for a in (affine, other))
    return float(np.linalg.norm(moved, axis=0).max()) / max(edge, 1e-12)


def _axis_plan(grid: Grid) -> tuple[list[int], list[bool]]:
    """Return the permutation and the flips (after it) that bring a grid to the stored axes."""
    directions = grid._directions()
    order = [next(i for i, (world, _) in enumerate(directions) if world == wanted) for wanted in range(3)]
    return order, [directions[i][1] > 0 for i in order]


def to_stored(array: np.ndarray, grid: Grid) -> tuple[np.ndarray, Grid]:
    """Bring an array to the stored orientation by permuting and flipping axes.

    Args:
        array: (..., X, Y, Z); the last three axes are the grid's.
        grid: the grid it is on.

    Returns:
        A view of the array in orientation L, P, S, and its grid.

    Raises:
        ArrayError: the array's last three axes are not the grid's shape.
    """
    if array.shape[-3:] != grid.shape:
        raise ArrayError(f"the array's last axes are {array.shape[-3:]}; expected the grid's, {grid.shape}.")
    order, flips = _axis_plan(grid)
    lead = array.ndim - 3
    moved = np.transpose(array, [*range(lead), *(lead + i for i in order)])
    moved = np.flip(moved, tuple(lead + i for i, flip in enumerate(flips) if flip))
    shape = tuple(grid.shape[i] for i in order)
    to_source = np.zeros((4, 4))
    to_source[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        to_source[old, new] = -1 if flip else 1
        to_source[old, 3] = grid.shape[old] - 1 if flip else 0
    return moved, Grid((shape[0], shape[1], shape[2]), grid.affine @ to_source)


def from_stored(array: np.ndarray, source: Grid) -> np.ndarray:
    """Undo `to_stored`: return an array from the stored orientation to the axes of its source.

    Args:
        array: (..., X, Y, Z) in orientation L, P, S.
        source: the grid of the source file.

    Returns:
        A view of the array with the source's axes.

    Raises:
        ArrayError: the result does not have the source's shape.
    """
    order, flips = _axis_plan(source)
    lead = array.ndim - 3
    moved = np.flip(array, tuple(lead + i for i, flip in enumerate(flips) if flip))
    moved = np.transpose(moved, [*range(lead), *(lead + int(i) for i in np.argsort(order))])
    if moved.shape[-3:] != source.shape:
        raise ArrayError(f"the array returned to its source's axes has shape {moved.shape[-3:]}; expected {source.shape}.")
    return moved


def resample_label(label: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Return a label on another grid in the same world space: each voxel takes the value of the nearest source voxel.

    Args:
        label: (X, Y, Z) whole numbers on the source grid. Not modified.
        source: the grid it is on.
        target: the grid to resample to.

    Returns:
        An array of the target's shape and the label's type; 0 where the source does not reach.
    """
    from scipy import ndimage

    to_source = np.linalg.inv(source.affine) @ target.affine
    moved = ndimage.affine_transform(
        label, to_source[:3, :3], to_source[:3, 3], output_shape=target.shape, order=0, mode="constant", cval=0
    )
    return np.asarray(moved)
