"""A volume, the names its files have, and what every reader refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from brats3d.errors import ImageError, first_line, system_error
from brats3d.geometry import Grid

SUFFIXES = (".nii.gz", ".nii", ".mha", ".hdr", ".img", ".hdr.gz", ".img.gz", ".mgz", ".mgh")
"""What the names of images end in; if a scan is there several times, the first of these is taken."""
MAX_VOXELS = 1 << 29
"""Larger volumes are refused before memory is asked for: headers can be damaged (a scan has some 10 million voxels)."""
MAX_BYTES = 1 << 31
"""The same for the voxels' bytes: 512 × 512 × 512 of 16 bytes, or four modalities of 4."""
AGAIN = "the header is damaged: copy the file again from its source."


@dataclass(frozen=True)
class SourceFile:
    """What tells one file's content from another's, without saying where it lies.

    Attributes:
        name: file name without folders.
        bytes: its size.
        crc32: CRC-32 of all its bytes.
    """

    name: str
    bytes: int
    crc32: int


@dataclass(frozen=True, eq=False)
class Volume:
    """An array and where it lies.

    Attributes:
        array: (X, Y, Z), or (X, Y, Z, C) for a 4-D file; in memory X runs fastest, as in the files.
        grid: the `Grid` it lies on.
        source: the file it was read from; None if it comes from elsewhere.
        step: distance between neighbouring values that the file can hold, if it keeps whole numbers and multiplies them by a
            scale factor (the factor, without its sign); 0 if values are not scaled.
    """

    array: np.ndarray
    grid: Grid
    source: SourceFile | None = None
    step: float = 0.0


def strip_suffix(name: str) -> str:
    """Return a file name without its image suffix; unchanged where it has none. Case is ignored."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


@contextmanager
def decoding(path: Path, kind: str, files: str = "the file is") -> Iterator[None]:
    """Turn whatever nibabel, zlib and isal raise of a damaged file, which is of many kinds, into an `ImageError` that names it.

    Args:
        path: the file.
        kind: what it should be, such as NIfTI.
        files: what is damaged, with its verb.

    Raises:
        ImageError: the file is damaged; names what was raised.
    """
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as problem:
        if system_error(problem) is not None:
            raise  # the system's fault, not the file's
        raise ImageError(
            f"{path}: cannot be read as {kind} ({type(problem).__name__}: {first_line(problem)}); {files} damaged, truncated"
            " or of another kind: copy it again from its source."
        ) from problem


def check_finite(path: Path | str, array: np.ndarray) -> None:
    """Refuse an image with NaN or infinite voxels.

    Raises:
        ImageError: counts the voxels and names the file.
    """
    if np.issubdtype(array.dtype, np.floating):
        bad = array.size - int(np.isfinite(array).sum())
        if bad:
            raise ImageError(f"{path}: {bad} voxels are NaN or infinite; expected finite ones: repair or leave out the scan.")


def check_size(path: Path, shape: tuple[int, ...], voxel_bytes: int) -> None:
    """Refuse a shape that no scan has, before memory is asked for.

    Args:
        path: the file.
        shape: as its header says.
        voxel_bytes: bytes of a voxel in the file.

    Raises:
        ImageError: an axis has no voxel, there are too many, or too few or many axes.
    """
    asked = f"{path}: the header asks for shape {shape}"
    if not shape or min(shape) < 1:
        raise ImageError(f"{asked}, an axis of 0 voxels; {AGAIN}")
    if prod(shape) > MAX_VOXELS or prod(shape) * voxel_bytes > MAX_BYTES:
        raise ImageError(f"{asked}; expected a brain scan of at most {MAX_VOXELS} voxels: copy it again, or crop it.")
    if len(shape) not in (3, 4):
        raise ImageError(f"{path}: the image has {len(shape)} axes {shape}; expected 3 (or 4 with the channels last).")


def check_grid(path: Path, grid: Grid) -> Grid:
    """Return a grid whose affine can be inverted and has its axes at right angles: others have no spacing and no volumes.

    Args:
        path: the file.
        grid: as its header says.

    Raises:
        ImageError: the affine is singular or sheared; it is shown.
    """
    affine = grid.affine
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ImageError(f"{path}: the affine {np.round(affine, 4).tolist()} cannot be inverted; the header is damaged.")
    sheared = grid.shear()
    if sheared:
        raise ImageError(
            f"{path}: {sheared}, so that millimetres and millilitres would be wrong; resample the image to a grid of right"
            " angles first."
        )
    return grid
