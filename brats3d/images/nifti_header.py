"""What the headers of NIfTI files and NIfTI pairs say: shape, type, scaling and grid of the voxels."""

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
"""Bytes of a NIfTI-1 header; the first four hold this number."""
WORTH_SAYING = 30
"""nibabel's level of header faults that it works around and reports; from `TOO_BAD` on it refuses the file."""
TOO_BAD = 40
FORMS_APART = 0.5
"""sform and qform contradict each other if they put a corner further apart than this, in voxels. Real files: at most 0.0006."""


class Faults(list[str]):
    """Header faults that nibabel works around; takes the place of its logger, which would write to the terminal."""

    def log(self, level: int, message: str) -> None:
        """Keep what nibabel says, as its logger would show it."""
        if level >= WORTH_SAYING:
            self.append(message)


def is_nifti2(block: bytes) -> bool:
    """Return whether the first bytes are those of a NIfTI-2 header, in either byte order."""
    from nibabel.nifti2 import Nifti2Header

    return Nifti2Header.sizeof_hdr in sizes(block)


def sizes(block: bytes) -> tuple[int, int]:
    """Return the header size that the first four bytes give, read in both byte orders."""
    return int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")


def layout_of(path: Path, header: nib.Nifti1Header) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of the voxels; axes of one voxel after the third are dropped.

    Args:
        path: the file, for messages.
        header: its header.

    Raises:
        ImageError: the shape cannot be a scan's, or the voxels are not real numbers.
    """
    shape, kind = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_size(path, shape, kind.itemsize)
    if not np.issubdtype(kind, np.number) or np.issubdtype(kind, np.complexfloating):
        raise ImageError(f"{path}: the voxels are of type {kind}; expected real numbers.")
    return shape, kind


def fitting_room(room: np.ndarray | None, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray | None:
    """Return ``room`` as (N,) uint8 if its shape, type and memory order are those of the voxels; otherwise None.

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
    """Return the distance between neighbouring values of scaled integers; 0 if the voxels are not scaled, or are floats.

    Args:
        header: of the file.
        kind: type of the voxels in the file.
    """
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope, intercept) == (1, 0) or not np.issubdtype(kind, np.integer):
        return 0.0
    return float(abs(slope))


def grid_of(path: Path, header: nib.Nifti1Header, shape: tuple[int, ...], faults: list[str]) -> Grid:
    """Return the grid of the voxels, with both forms of the header and its doubts.

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
    doubts = [f"has a fault that was worked around ({fault})" for fault in faults] + _forms_apart((x, y, z), qform, sform)
    return Grid((x, y, z), affine, qform, sform, int(qcode), int(scode), int(header["xyzt_units"]), tuple(doubts))


def _forms_apart(shape: tuple[int, int, int], qform: np.ndarray | None, sform: np.ndarray | None) -> list[str]:
    """Describe how the two forms of a header contradict each other; empty if they agree or one is not set."""
    if qform is None or sform is None:
        return []
    axes = [Grid(shape, form).axes for form in (sform, qform)]
    moved = corner_shift(shape, sform, qform)
    if axes[0] != axes[1]:
        return [f"says {axes[0]} (sform) and {axes[1]} (qform); the sform is used"]
    if not moved <= FORMS_APART:
        return [f"has an sform and a qform that put corners {moved:.3g} voxels apart; the sform is used"]
    return []
