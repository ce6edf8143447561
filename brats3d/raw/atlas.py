"""The atlas that scans are registered to, and its place on the BraTS grid.

The default is the MNI152 template shipped with nilearn (2009a, symmetric, T1, skull-stripped), so that nothing is downloaded.
The challenges use SRI24, which is smaller and tilted a little differently: `MNI_TO_BRATS` was measured as the rigid pose that
best fits the template to the brains of real BraTS cases, so that a scan prepared here has the same pose as they do. Scans are
only rotated and translated, never scaled: volumes in ml remain those of the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from brats3d import images
from brats3d.errors import ImageError, MissingExtraError, first_line
from brats3d.geometry import Grid, bounding_box
from brats3d.images import Volume
from brats3d.raw.itk import check_orientation
from brats3d.transforms import nearest_rigid

BRATS_GRID = Grid((240, 240, 155), np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]))
"""1 mm, axis codes L, P, S: the grid of the challenges from 2015 to 2023 (the affine that the 2023 validator requires)."""
BRAIN_CENTRE_MM = (-119.0, 109.5, 73.0)
"""Centre of the brain in the grid's world: the mean of eleven real cases of 2018, 2021 and 2023."""
MNI_SIZE = 0.94
"""MNI152 is larger than most heads: it is scaled by this, so that the difference in size does not affect a scan's pose."""
NOD_DEGREES = 13.35
"""How far SRI24's head is nodded relative to MNI152's: the mean of the same cases, 7 to 20 degrees."""
MNI_TO_BRATS = np.array([
    [1.0, 0.0, 0.0, -119.0],
    [0.0, np.cos(np.radians(NOD_DEGREES)), -np.sin(np.radians(NOD_DEGREES)), 126.8],
    [0.0, np.sin(np.radians(NOD_DEGREES)), np.cos(np.radians(NOD_DEGREES)), 72.1],
    [0.0, 0.0, 0.0, 1.0],
])  # fmt: skip
"""World of the MNI152 template at `MNI_SIZE` → world of the BraTS grid, in mm."""
STRIPPED_SHARE = 0.6
"""Largest share of non-zero voxels in a skull-stripped volume."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """A head that others are registered to.

    Attributes:
        name: shown in reports.
        volume: a skull-stripped T1-weighted image, zero outside the brain, and its grid.
        brain: (X, Y, Z) bool mask of the brain.
        to_stored: (4, 4) rigid matrix, the atlas's world → the world of the stored grid, in mm RAS+.
    """

    name: str
    volume: Volume
    brain: np.ndarray
    to_stored: np.ndarray

    @property
    def grid(self) -> Grid:
        """The grid of the atlas's image."""
        return self.volume.grid


def load_atlas(path: Path | str | None = None, grid: Grid = BRATS_GRID) -> Atlas:
    """Return an atlas from a file, or MNI152 as shipped with nilearn.

    A file with the shape, spacing and orientation of ``grid`` (such as SRI24 as used in the challenges) is placed on it voxel
    by voxel. Any other is placed with its brain's centre at that of BraTS brains and its axes parallel to the grid's.

    Args:
        path: a skull-stripped T1-weighted head, zero outside the brain; None is MNI152.
        grid: the grid that scans are stored on.

    Raises:
        ImageError: the file cannot be read, is not a 3-D image, has a skull, or is all zero.
        GridError: its axes are singular or sheared.
        MissingExtraError: no file is given and nilearn is not installed.
    """
    if path is None:
        return _mni152()
    volume = images.read(path)
    name = Path(path).name
    if volume.array.ndim != 3:
        raise ImageError(f"{path}: the atlas has shape {volume.array.shape}; expected one 3-D volume.")
    check_orientation(str(path), volume.grid)
    return make_atlas(name, volume, grid)


def make_atlas(name: str, volume: Volume, grid: Grid = BRATS_GRID) -> Atlas:
    """Return a skull-stripped head as an atlas; see `load_atlas`.

    Args:
        name: shown in reports.
        volume: T1-weighted (X, Y, Z), zero outside the brain.
        grid: the grid that scans are stored on.

    Raises:
        ImageError: it has a skull, or is all zero.
    """
    from scipy import ndimage

    brain = ndimage.binary_fill_holes(volume.array > 0)
    share = float(brain.mean())
    if not 0 < share < STRIPPED_SHARE:
        raise ImageError(
            f"{name}: {share:.0%} of the atlas's voxels are not zero; expected a skull-stripped T1-weighted brain on a"
            " background of zeros: strip the skull first."
        )
    alike = volume.grid.shape == grid.shape and np.allclose(volume.grid.spacing_mm, grid.spacing_mm, atol=0.01)
    if alike and volume.grid.axes == grid.axes:
        placed = nearest_rigid(grid.affine @ np.linalg.inv(volume.grid.affine))
    else:
        middle = bounding_box(brain).mean(1) - 0.5
        placed = np.eye(4)
        placed[:3, 3] = np.array(BRAIN_CENTRE_MM) - (volume.grid.affine @ [*middle, 1])[:3]
    return Atlas(name, Volume(np.asarray(volume.array, np.float32), volume.grid), brain, placed)


@lru_cache(maxsize=1)
def _mni152() -> Atlas:
    try:
        from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
    except ImportError as missing:
        raise MissingExtraError(
            f"the default atlas needs nilearn ({first_line(missing)}); run: pip install 'brats3d[raw]', or give an atlas."
        ) from missing
    template, mask = load_mni152_template(resolution=1), load_mni152_brain_mask(resolution=1)
    x, y, z = template.shape
    grid = Grid((x, y, z), np.diag([MNI_SIZE, MNI_SIZE, MNI_SIZE, 1]) @ np.asarray(template.affine, float))
    brain = np.asarray(mask.dataobj) > 0
    image = np.where(brain, np.asarray(template.dataobj, np.float32), 0)
    return Atlas("MNI152 (nilearn)", Volume(image, grid), brain, MNI_TO_BRATS)
