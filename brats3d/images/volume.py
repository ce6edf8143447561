"""A volume, the suffixes of image files, and what every reader refuses."""

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
"""Suffixes of images; if a scan exists in several formats, the first of these is used."""
MAX_VOXELS = 1 << 29
"""Larger volumes are refused before memory is allocated: headers can be damaged (a scan has some 10 million voxels)."""
MAX_BYTES = 1 << 31
"""The same in bytes: 512 × 512 × 512 voxels of 16 bytes, or four modalities of 4."""
AGAIN = "the header is damaged: copy the file again from its source."


@dataclass(frozen=True)
class SourceFile:
    """Identifies a file's content, without its folder.

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
    """An array and its grid.

    Attributes:
        array: (X, Y, Z), or (X, Y, Z, C) for a 4-D file; X runs fastest in memory, as in the files.
        grid: the `Grid` it is on.
        source: the file it was read from; None if it comes from elsewhere.
        step: distance between neighbouring values in a file that stores integers and a scale factor (the factor's absolute
            value); 0 if values are not scaled.
    """

    array: np.ndarray
    grid: Grid
    source: SourceFile | None = None
    step: float = 0.0


def strip_suffix(name: str) -> str:
    """Return a file name without its image suffix (in any case); unchanged if it has none."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


@contextmanager
def decoding(path: Path, kind: str, files: str = "the file is") -> Iterator[None]:
    """Turn the various exceptions that nibabel, zlib and isal raise for a damaged file into an `ImageError` that names it.

    Args:
        path: the file.
        kind: the expected format, such as NIfTI.
        files: what is damaged, with its verb.

    Raises:
        ImageError: the file is damaged; the message includes the exception.
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
        ImageError: the message gives their number and the file.
    """
    if np.issubdtype(array.dtype, np.floating):
        bad = array.size - int(np.isfinite(array).sum())
        if bad:
            raise ImageError(f"{path}: {bad} voxels are NaN or infinite; expected finite values: fix the scan or leave it out.")


def check_size(path: Path, shape: tuple[int, ...], voxel_bytes: int) -> None:
    """Refuse a shape that no scan has, before memory is allocated.

    Args:
        path: the file.
        shape: as given in its header.
        voxel_bytes: bytes per voxel in the file.

    Raises:
        ImageError: an axis has no voxels, there are too many voxels, or not 3 or 4 axes.
    """
    asked = f"{path}: the header gives shape {shape}"
    if not shape or min(shape) < 1:
        raise ImageError(f"{asked}, which has an axis of 0 voxels; {AGAIN}")
    if prod(shape) > MAX_VOXELS or prod(shape) * voxel_bytes > MAX_BYTES:
        raise ImageError(f"{asked}; expected a brain scan of at most {MAX_VOXELS} voxels: copy it again, or crop it.")
    if len(shape) not in (3, 4):
        raise ImageError(f"{path}: the image has {len(shape)} axes {shape}; expected 3 (or 4 with the channels last).")


def check_grid(path: Path, grid: Grid) -> Grid:
    """Return the grid if its affine can be inverted and its axes are at right angles: spacing and volumes need both.

    Args:
        path: the file.
        grid: as given in its header.

    Raises:
        ImageError: the affine is singular or sheared; the message shows it.
    """
    affine = grid.affine
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ImageError(f"{path}: the affine {np.round(affine, 4).tolist()} cannot be inverted; the header is damaged.")
    sheared = grid.shear()
    if sheared:
        raise ImageError(
            f"{path}: {sheared}, so lengths and volumes would be wrong; resample the image to a grid with right angles first."
        )
    return grid
