"""What the headers of NIfTI files and of NIfTI pairs say: shape, type, scaling, and where the voxels lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brats3d.errors import ImageError, first_line
from brats3d.geometry import Grid, corner_shift
from brats3d.images.volume import AGAIN, check_grid, check_size

if TYPE_CHECKING:
    import nibabel as nib

FIRST = 348
"""Bytes of a NIfTI-1 header; the first four of them say how many there are."""
WORTH_SAYING = 30
"""nibabel's level of header faults that it reads around and shows; from `TOO_BAD` on it refuses the file."""
TOO_BAD = 40
FORMS_APART = 0.5
"""sform and qform contradict each other where a corner lies further apart by them, in voxels. Real files: 0.0006 at most."""


class Faults(list[str]):
    """What nibabel finds wrong in a header and reads around; stands in for its logger, which would write to the terminal."""

    def log(self, level: int, message: str) -> None:
        """Keep what nibabel says, as its logger would show it."""
        if level >= WORTH_SAYING:
            self.append(message)


def is_nifti2(block: bytes) -> bool:
    """Return whether a header that begins so is NIfTI-2's, in either byte order."""
    from nibabel.nifti2 import Nifti2Header

    return Nifti2Header.sizeof_hdr in sizes(block)


def sizes(block: bytes) -> tuple[int, int]:
    """Return how many bytes a header says it has, read in both byte orders."""
    return int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")


def layout_of(path: Path, header: nib.Nifti1Header) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of the voxels; axes of one voxel after the third are dropped.

    Args:
        path: the file, for messages.
        header: its header.

    Raises:
        ImageError: the shape is no scan's, or the voxels are not real numbers.
    """
    shape, kind = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_size(path, shape, kind.itemsize)
    if not np.issubdtype(kind, np.number) or np.issubdtype(kind, np.complexfloating):
        raise ImageError(f"{path}: the voxels are of type {kind}; expected real numbers.")
    return shape, kind


def fitting_room(room: np.ndarray | None, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray | None:
    """Return memory as (N,) uint8 if voxels of a shape and type fit it in the file's order; None if not.

    Args:
        room: memory for the voxels, or None.
        shape: of the voxels.
        kind: their type in the file.
    """
    if room is None or room.shape != shape or room.dtype != kind or not room.flags.f_contiguous:
        return None
    return room.reshape(-1, order="F").view(np.uint8)


def scaled(voxels: np.ndarray, header: nib.Nifti1Header) -> np.ndarray:
    """Return the voxels in this machine's byte order, scaled as NIfTI defines it.

    Args:
        voxels: as the file holds them.
        header: its header.
    """
    from nibabel.volumeutils import apply_read_scaling

    native = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope, intercept) == (1, 0):
        return native
    return apply_read_scaling(native, np.float64(slope), np.float64(intercept))


def step_of(header: nib.Nifti1Header, kind: np.dtype) -> float:
    """Return how far neighbouring values of scaled whole numbers lie apart; 0 for voxels that are not scaled, or floating.

    Args:
        header: of the file.
        kind: type of the voxels in the file.
    """
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope, intercept) == (1, 0) or not np.issubdtype(kind, np.integer):
        return 0.0
    return float(abs(slope))


def grid_of(path: Path, header: nib.Nifti1Header, shape: tuple[int, ...], faults: list[str]) -> Grid:
    """Return where the voxels lie, with both forms of the header and what is doubtful about it.

    Args:
        path: the file, for messages.
        header: its header.
        shape: of its voxels.
        faults: what nibabel corrected in the header.

    Raises:
        ImageError: the affine is singular or sheared, or one of the two forms cannot be read.
    """
    x, y, z = shape[:3]
    affine = check_grid(path, Grid((x, y, z), np.asarray(header.get_best_affine(), float))).affine
    try:
        qform, qcode = header.get_qform(coded=True)
        sform, scode = header.get_sform(coded=True)
    except ValueError as problem:  # a quaternion longer than 1
        raise ImageError(f"{path}: the qform cannot be read ({first_line(problem)}); {AGAIN}") from problem
    for name, form in (("qform", qform), ("sform", sform)):
        if form is not None and not np.isfinite(form).all():
            raise ImageError(f"{path}: the {name} {np.round(form, 4).tolist()} is not finite; {AGAIN}")
    doubts = [f"has a fault that was read around ({fault})" for fault in faults] + _forms_apart((x, y, z), qform, sform)
    return Grid((x, y, z), affine, qform, sform, int(qcode), int(scode), int(header["xyzt_units"]), tuple(doubts))


def _forms_apart(shape: tuple[int, int, int], qform: np.ndarray | None, sform: np.ndarray | None) -> list[str]:
    """Return how the two forms of a header contradict each other, as words; empty if they agree or one is not set."""
    if qform is None or sform is None:
        return []
    axes = [Grid(shape, form).axes for form in (sform, qform)]
    moved = corner_shift(shape, sform, qform)
    if axes[0] != axes[1]:
        return [f"says {axes[0]} (sform) and {axes[1]} (qform); the sform is taken"]
    if not moved <= FORMS_APART:
        return [f"has an sform and a qform that put corners {moved:.3g} voxels apart; the sform is taken"]
    return []
