"""Predictions on another grid than their references: what resampling loses, and headers that say nothing.

Resampling trusts two headers. If one is wrong, the mask ends up beside the scan and silently scores 0, so losses are measured.
A slight change of volume by nearest-neighbour sampling is not such a loss: for smooth and ragged masks, rotated, shifted and
resampled to voxels of 0.8 to 5 mm, volumes changed by more than 5 % in one of six masks of 200 to 400 voxels (of the coarser
grid), in one of forty of 700 to 1,000, and in none of 614 larger ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from brats3d.errors import GridError
from brats3d.geometry import Grid, resample_label
from brats3d.images import Volume

MOST_OUTSIDE = 0.01
"""Largest share of a mask that may be outside the other grid."""
MOST_CHANGE = 0.05
"""Largest share by which resampling may change a volume."""
FEWEST_VOXELS = 1000
"""The volume of masks and tissues with fewer voxels, on the coarser of the two grids, is not checked."""
ROUNDING = 1e-3
"""Voxels by which a coordinate may be beyond a grid's edge."""


def says_nothing(grid: Grid) -> bool:
    """Return whether an affine is a program's default, which says nothing about where the voxels are.

    That is the identity, in NIfTI's directions or ITK's (L, P, S), with any voxel size, at the origin of the world; or a header
    with code 0 for both of its forms.

    Args:
        grid: of a file's header.
    """
    affine = np.asarray(grid.affine)
    scaled = np.count_nonzero(np.abs(affine[:3, :3]) > ROUNDING) == 3 and (np.abs(np.diag(affine)[:3]) > ROUNDING).all()
    directions = tuple(np.sign(np.diag(affine)[:3]))
    identity = scaled and directions in ((1, 1, 1), (-1, -1, 1)) and np.abs(affine[:3, 3]).max() <= ROUNDING
    return bool(identity) or grid.qform_code == grid.sform_code == 0


def resampled(prediction: Volume, reference: Grid) -> tuple[Volume, list[str]]:
    """Resample a predicted label to its reference's grid: each voxel takes the value of the nearest one.

    Args:
        prediction: whole numbers. Not modified.
        reference: the grid to resample to.

    Returns:
        The label on that grid, and what is odd about it: tissues of a few voxels of which none are left, in words.

    Raises:
        GridError: more than `MOST_OUTSIDE` of the mask, or of one of its values, is outside the reference's grid, its volume
            changes by more than `MOST_CHANGE`, or nothing is left of it. Values with fewer than `FEWEST_VOXELS` voxels are not
            checked by themselves, nor is the volume of so small a mask.
    """
    moved = resample_label(prediction.array, prediction.grid, reference)
    warnings = []
    for what, mask, left in _parts(prediction.array, moved):
        before, after = mask.sum() * prediction.grid.voxel_ml, left.sum() * reference.voxel_ml
        judged = before / max(prediction.grid.voxel_ml, reference.voxel_ml) >= FEWEST_VOXELS
        lost = f"nothing is left of {what} ({mask.sum()} voxels, {before:.3g} ml)"
        if what != "the mask" and not judged:
            warnings += [] if left.any() else [lost]
            continue
        outside = _outside(mask, prediction.grid, reference)
        if outside > MOST_OUTSIDE * mask.sum():
            raise GridError(
                f"{outside} of {mask.sum()} voxels of {what} are outside the reference's grid; expected at most"
                f" {MOST_OUTSIDE:.0%}"
            )
        if not left.any():
            raise GridError(lost)
        if judged and abs(after - before) > MOST_CHANGE * before:
            raise GridError(
                f"{what} has {before:.3g} ml, and {after:.3g} ml on the reference's grid; expected a change of at most"
                f" {MOST_CHANGE:.0%}"
            )
    return Volume(moved, reference), warnings


def _parts(label: np.ndarray, moved: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield the whole mask and each of its values, before and after; nothing for an empty label."""
    values = [int(value) for value in np.flatnonzero(np.bincount(label.ravel())) if value]
    if values:
        yield "the mask", label != 0, moved != 0
    for value in values if len(values) > 1 else ():
        yield f"its value {value}", label == value, moved == value


def _outside(mask: np.ndarray, source: Grid, target: Grid) -> int:
    """Return how many voxels of a mask have their centres outside another grid."""
    to_target = np.linalg.inv(target.affine) @ source.affine
    places = np.argwhere(mask) @ to_target[:3, :3].T + to_target[:3, 3]
    half = 0.5 + ROUNDING
    return int(((places < -half) | (places > np.array(target.shape) - 1 + half)).any(axis=1).sum())
