"""Converts between arrays with grids and SimpleITK's images and transforms.

ITK's world is LPS, NIfTI's is RAS: every conversion is here. SimpleITK (extra ``raw``) is imported when a function is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from brats3d.errors import GridError, MissingExtraError, first_line
from brats3d.geometry import Grid, to_stored

if TYPE_CHECKING:
    import SimpleITK

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""LPS ↔ RAS."""
SCALED = 0.01
"""Largest relative difference between the voxel sizes of sform and qform."""


def toolkit() -> Any:
    """Return the package SimpleITK.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import SimpleITK
    except ImportError as missing:
        raise MissingExtraError(
            f"raw clinical scans need SimpleITK ({first_line(missing)}); run: pip install 'brats3d[raw]'."
        ) from missing
    return SimpleITK


def check_orientation(name: str, grid: Grid) -> None:
    """Refuse a grid whose axes are not at right angles, or that has no extent along one of them.

    Args:
        name: whose grid it is, for the message.
        grid: the grid.

    Raises:
        GridError: the message shows the orientation.
    """
    steps = np.asarray(grid.affine, float)[:3, :3]
    lengths = np.linalg.norm(steps, axis=0)
    shown = np.round(steps, 4).tolist()
    if not np.isfinite(steps).all() or lengths.min() < 1e-6 or abs(np.linalg.det(steps / np.maximum(lengths, 1e-9))) < 1e-3:
        raise GridError(f"{name}: the orientation {shown} is singular; convert the scan again from its source.")
    if grid.qform is not None:
        scanner = np.linalg.norm(grid.qform[:3, :3], axis=0)
        if np.abs(lengths / scanner - 1).max() > SCALED:
            sizes = [np.round(size, 3).tolist() for size in (lengths, scanner)]
            raise GridError(
                f"{name}: the sform says voxels of {sizes[0]} mm, the qform of {sizes[1]} mm;"
                " expected one size: remove the sform if it maps to a template."
            )
    sheared = grid.shear()
    if sheared:
        raise GridError(
            f"{name}: {sheared} (a tilted gantry, or a resampled header); expected right angles: resample the scan to a grid"
            " with right angles first."
        )


def image_of(array: np.ndarray, grid: Grid) -> SimpleITK.Image:
    """Return an array as a SimpleITK image of float32, or of uint8 for bool.

    Args:
        array: (X, Y, Z).
        grid: the grid it is on; its axes are at right angles (`check_orientation`).

    Raises:
        MissingExtraError: SimpleITK is not installed.
        ArrayError: the array's shape is not the grid's.
    """
    sitk = toolkit()
    turned, grid = to_stored(array, grid)  # ITK requires right-handed directions; nothing is resampled
    kind = np.uint8 if turned.dtype == bool else np.float32
    image = sitk.GetImageFromArray(np.ascontiguousarray(turned.T, kind))
    affine = FLIP @ grid.affine
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    # The nearest rotation: ITK would refuse a direction with a shear left by rounding.
    left, _, right = np.linalg.svd(affine[:3, :3] / lengths)
    image.SetSpacing(lengths.tolist())
    image.SetDirection((left @ right).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def matrix_of(transform: SimpleITK.Transform) -> np.ndarray:
    """Return a linear transform as a (4, 4) matrix between worlds in mm, RAS+, from the fixed image's points to the moving's.

    Args:
        transform: any linear transform, or a composite of linear transforms.
    """
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    # 100 mm apart: differences of close points would lose digits
    columns = [np.array(transform.TransformPoint(tuple(100.0 * axis))) - origin for axis in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack(columns, 1) / 100
    matrix[:3, 3] = origin
    return FLIP @ matrix @ FLIP


def affine_of(matrix: np.ndarray) -> SimpleITK.AffineTransform:
    """Return a (4, 4) matrix between worlds in mm, RAS+, as a SimpleITK transform."""
    turned = FLIP @ matrix @ FLIP
    return toolkit().AffineTransform(turned[:3, :3].ravel().tolist(), turned[:3, 3].tolist())


def shrunk(image: SimpleITK.Image, level: float) -> SimpleITK.Image:
    """Return an image averaged over blocks to voxels of about ``level``; axes coarser than that stay as they are."""
    sizes = zip(image.GetSpacing(), image.GetSize(), strict=True)
    return toolkit().BinShrink(image, [max(1, min(round(level / step), n // 4)) for step, n in sizes])
