"""Grids, boxes, block averages and their inverse: where voxels lie, without touching a file.

World coordinates are NIfTI's: millimetres, RAS+. The stored orientation is BraTS's own, axis codes L, P, S
(`STORED_AXES`), so that real BraTS cases are stored without moving a voxel; everything else is permuted and flipped on the
way in (`to_stored`) and back on the way out (`from_stored`). Nothing is ever resampled here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from brats3d.errors import ArrayError, GridError

STORED_AXES = "LPS"
AFFINE_TOLERANCE = 1e-3
"""An affine that was written reads back within this, in any element (mm)."""
CORNER_TOLERANCE = 0.1
"""Grids are one where no corner moves further than this from one affine to the other, in voxels."""
SHEAR = 0.01
"""Largest cosine between two axes that still counts as a right angle: lengths in mm are then off by 0.5% at most. Rounding
leaves 1e-8 (measured on 217 real files), direction cosines of three digits 1e-3; a gantry tilted by 3 degrees gives 0.05."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid of a scan, with the header fields needed to write another file that lies on it.

    Attributes:
        shape: voxels along the three axes.
        affine: (4, 4) float64, voxel index → world mm, RAS+; what readers resolve from the two forms.
        qform: (4, 4) the header's qform, or None where the file format has none.
        sform: (4, 4) the header's sform, or None.
        qform_code: NIfTI code of the qform, 0 unknown.
        sform_code: NIfTI code of the sform, 0 unknown.
        xyzt_units: NIfTI units byte (2 = mm).
        doubts: what is doubtful about the header that it was read from, as words that follow "the header".
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
        # The nearest signed permutation: give out world axes by largest cosine, so that each is used once.
        left, result = np.abs(rotation), [(0, 1)] * 3
        for _ in range(3):
            world, axis = np.unravel_index(np.argmax(left), left.shape)
            sign = 1 if rotation[world, axis] > 0 else -1
            result[axis] = (int(world), -sign if world == 2 else sign)
            left[world, :], left[:, axis] = -1, -1
        return result

    def shear(self) -> str:
        """Return how far the axes are from right angles, as words; empty if they stand upright on one another.

        Lengths and volumes of sheared voxels are not those of their spacing.
        """
        steps = np.asarray(self.affine, float)[:3, :3]
        unit = steps / np.maximum(self.spacing_mm, 1e-12)
        cosine = float(np.abs(unit.T @ unit - np.eye(3)).max())
        if cosine <= SHEAR:
            return ""
        angle = float(np.degrees(np.arcsin(min(cosine, 1.0))))
        return f"the axes {np.round(steps, 4).tolist()} are sheared, up to {angle:.1f} degrees from right angles"

    def differences(self, other: Grid) -> str:
        """Return how another grid differs in shape or affine, as words; empty if they are one grid.

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
        """Return whether another grid has the same shape, directions and spacing, wherever its first voxel lies.

        Args:
            other: the grid to compare with.
        """
        moved = np.array(other.affine, float)
        moved[:3, 3] = np.asarray(self.affine)[:3, 3]
        return not self.differences(replace(other, affine=moved))


def corner_shift(shape: tuple[int, int, int], affine: np.ndarray, other: np.ndarray) -> float:
    """Return how far the corners of a volume move from one affine to another, at most.

    Args:
        shape: voxels along the three axes.
        affine: (4, 4) voxel index → world mm.
        other: (4, 4) the same.

    Returns:
        The longest way of a corner voxel's centre, in voxels: as a multiple of the shortest voxel edge of the two.
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
        grid: the grid it lies on.

    Returns:
        A view of the array in orientation L, P, S, and its grid.

    Raises:
        ArrayError: the array's last three axes are not the grid's shape.
    """
    if array.shape[-3:] != grid.shape:
        raise ArrayError(f"the array's last axes are {array.shape[-3:]}; the grid has {grid.shape}.")
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
    """Undo `to_stored`: bring an array in the stored orientation back to the axes of its source.

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
        raise ArrayError(f"the array brought back has shape {moved.shape[-3:]}; its source has {source.shape}.")
    return moved


Box = np.ndarray
"""(3, 2) int, half-open: ``box[axis] = (first, one past the last)``."""


def bounding_box(mask: np.ndarray) -> Box:
    """Return the half-open box of the voxels of a 3-D mask or image that are not zero; (3, 2) zeros where there is none."""
    occupied = mask if mask.dtype.kind in "biu" else mask != 0
    box = np.zeros((3, 2), int)
    # From both ends along the axis that is slowest in memory, then whole planes of what is left laid over one another.
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
    """Return the smallest box that holds boxes; those that hold nothing count for nothing."""
    some = np.array([box for box in boxes if (box[:, 1] > box[:, 0]).all()])
    return np.stack([some[:, :, 0].min(0), some[:, :, 1].max(0)], 1) if len(some) else np.zeros((3, 2), int)


def box_slices(box: Box) -> tuple[slice, slice, slice]:
    """Return the three slices of a box."""
    first, second, third = (slice(int(a), int(b)) for a, b in box)
    return first, second, third


def widen_box(box: Box, multiple: int | Sequence[int]) -> Box:
    """Return the smallest box around ``box`` whose corners count in whole blocks of ``multiple`` voxels from the origin.

    The box may reach past the volume's end: what lies there is padding.

    Args:
        box: (3, 2) half-open.
        multiple: voxels a block, one number or one an axis.
    """
    block = np.asarray(multiple)
    return np.stack([box[:, 0] // block * block, -(-box[:, 1] // block) * block], 1)


def box_at(corner: Sequence[int], size: Sequence[int]) -> Box:
    """Return the box of a first voxel and a size; it may lie outside the volume.

    Args:
        corner: first voxel along each axis, may be negative.
        size: voxels along each axis.

    Raises:
        ArrayError: not three whole numbers each, or a size below 1.
    """
    first, sizes = np.asarray(corner), np.asarray(size)
    for name, numbers in (("corner", first), ("size", sizes)):
        if numbers.shape != (3,) or not np.issubdtype(numbers.dtype, np.integer):
            raise ArrayError(f"the {name} of the box is {numbers.tolist()}; expected three whole numbers of voxels.")
    if sizes.min() < 1:
        raise ArrayError(f"the size of the box is {sizes.tolist()}; expected at least 1 voxel along each axis.")
    return np.stack([first, first + sizes], 1)


def crop_padded(array: np.ndarray, box: Box) -> np.ndarray:
    """Return the part of an array inside a box that may overhang it; zeros stand outside.

    Args:
        array: (..., X, Y, Z).
        box: (3, 2) half-open, in voxels of the last three axes; may be negative or past the end.

    Returns:
        (..., x, y, z) of the box's size: a copy.
    """
    sizes = tuple(int(b - a) for a, b in box)
    out = np.zeros((*array.shape[:-3], *sizes), array.dtype)
    inside = [(max(int(a), 0), min(int(b), n)) for (a, b), n in zip(box, array.shape[-3:], strict=True)]
    if all(b > a for a, b in inside):
        target: tuple[Any, ...] = tuple(slice(a - int(o), b - int(o)) for (a, b), (o, _) in zip(inside, box, strict=True))
        source: tuple[Any, ...] = tuple(slice(a, b) for a, b in inside)
        out[(..., *target)] = array[(..., *source)]
    return out


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


def resample_label(label: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Return a label on another grid of the same world space: each voxel takes the value of the nearest one.

    Args:
        label: (X, Y, Z) whole numbers on the source grid. Not modified.
        source: where it lies.
        target: where it is wanted.

    Returns:
        An array of the target's shape and the label's type; 0 where the source does not reach.
    """
    from scipy import ndimage

    to_source = np.linalg.inv(source.affine) @ target.affine
    moved = ndimage.affine_transform(
        label, to_source[:3, :3], to_source[:3, 3], output_shape=target.shape, order=0, mode="constant", cval=0
    )
    return np.asarray(moved)
