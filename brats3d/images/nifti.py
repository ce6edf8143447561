"""Reads and writes NIfTI-1 and NIfTI-2.

nibabel decodes the header; isal inflates the voxels straight into the array, in about half the time of ``nibabel.load``.
Unlike nibabel, this reads a file to its end, so that gzip's checksum is verified, and refuses anything after the voxels: a
damaged header with too small a shape would give a scrambled scan.
"""

from __future__ import annotations

import io
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from brats3d.errors import ArrayError, ImageError
from brats3d.files import whole_file
from brats3d.geometry import AFFINE_TOLERANCE, Grid
from brats3d.images.nifti_header import FIRST, TOO_BAD, Faults, fitting_room, grid_of, is_nifti2, layout_of, scaled, step_of
from brats3d.images.stream import Stream, opened
from brats3d.images.volume import Volume, check_grid, decoding

if TYPE_CHECKING:
    import nibabel as nib


def read_nifti(path: Path, room: np.ndarray | None = None) -> Volume:
    """Read a ``.nii`` or ``.nii.gz`` file; see `read`.

    Args:
        path: the file.
        room: memory for the voxels, used if it fits.

    Raises:
        ImageError: the file is truncated, damaged, of another kind, or absurdly large.
    """
    with decoding(path, "NIfTI"), opened(path) as stream:
        header, faults = _header(stream)
        shape, kind = layout_of(path, header)
        grid = grid_of(path, header, shape, faults)
        raw = stream.take(prod(shape) * kind.itemsize, fitting_room(room, shape, kind))
        source = stream.finish()
        return Volume(scaled(raw.view(kind).reshape(shape, order="F"), header), grid, source, step_of(header, kind))


def _header(stream: Stream) -> tuple[nib.Nifti1Header, list[str]]:
    """Read the header and everything up to the voxels; header extensions do not affect where voxels are.

    Returns:
        The header as nibabel corrects it, and what it corrected.
    """
    import nibabel as nib

    block = stream.take(FIRST).tobytes()
    kind = nib.Nifti1Header
    if is_nifti2(block):
        kind = nib.Nifti2Header
        block += stream.take(kind.sizeof_hdr - FIRST).tobytes()
    header, faults = kind(block, check=False), Faults()
    header.check_fix(faults, TOO_BAD)
    start = header.get_data_offset()
    if header["magic"].item() != kind.single_magic or start < len(block):
        raise ValueError(f"the voxels start at byte {start}, or are in another file (.img)")
    stream.skip(start - len(block))
    return header, faults


def write(path: Path | str, array: np.ndarray, grid: Grid) -> None:
    """Write an array as NIfTI on a grid: affine, qform, sform, their codes and the units are the grid's.

    If the header has no qform, the affine is written as its qform with code 0: some readers use only the qform, whatever its
    code. The file is written under a temporary name, read back, compared with the grid and the array, and renamed: a file of
    that name is always complete.

    Args:
        path: target, ``.nii`` or ``.nii.gz``.
        array: (X, Y, Z), or (R, X, Y, Z), which is written as a 4-D file with the channels last.
        grid: the grid it is on.

    Raises:
        ArrayError: the array's shape is not the grid's.
        ImageError: the grid's axes are singular or sheared, or the file does not read back as written (a failing disk).
        SpaceError: the disk is full.
    """
    path = Path(path)
    if array.ndim not in (3, 4) or array.shape[-3:] != grid.shape:
        raise ArrayError(
            f"{path}: the array has shape {array.shape}; expected the grid's, {grid.shape}, after any region axis."
        )
    check_grid(path, grid)
    if array.ndim == 4:
        array = np.moveaxis(array, 0, -1)
    with whole_file(path, megabytes=array.nbytes / 1e6) as temporary:
        _write_bytes(temporary, _image(array, grid).to_bytes())
        written = read_nifti(temporary)
        different = _not_as_meant(written.grid, grid)
        if different or not np.array_equal(written.array.reshape(array.shape), array):
            raise ImageError(f"{path}: the file does not read back as written ({different or 'voxels'}); check the disk.")


def _not_as_meant(written: Grid, grid: Grid) -> str:
    """Describe how a grid that was read back differs from the one written; stricter than the comparison of two scans."""
    if written.shape == grid.shape and np.abs(written.affine - grid.affine).max() <= AFFINE_TOLERANCE:
        return ""
    shown = [np.round(affine, 4).tolist() for affine in (written.affine, grid.affine)]
    return written.differences(grid) or f"affine {shown[0]} and {shown[1]}"


def nifti_bytes(array: np.ndarray, grid: Grid) -> bytes:
    """Return the content of the ``.nii.gz`` file that `write` would make of an array.

    Args:
        array: (X, Y, Z).
        grid: the grid it is on.

    Raises:
        ArrayError: the array's shape is not the grid's.
    """
    if array.shape != grid.shape:
        raise ArrayError(f"the array has shape {array.shape}; expected the grid's, {grid.shape}.")
    packed = io.BytesIO()
    _compress(packed, _image(array, grid).to_bytes())
    return packed.getvalue()


def _image(array: np.ndarray, grid: Grid) -> nib.Nifti1Image:
    """Return an array, (X, Y, Z) or with channels last, as an image on a grid."""
    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    image = nib.Nifti1Image(array, None, header)
    image.set_qform(grid.affine if grid.qform is None else grid.qform, grid.qform_code)
    image.set_sform(grid.affine if grid.sform is None and grid.sform_code else grid.sform, grid.sform_code)
    image.header["xyzt_units"] = grid.xyzt_units
    return image


def _write_bytes(path: Path, content: bytes) -> None:
    if path.name.lower().endswith(".gz"):
        with path.open("wb") as raw:
            _compress(raw, content)
    else:
        path.write_bytes(content)


def _compress(target: IO[bytes], content: bytes) -> None:
    from isal import igzip

    # mtime 0 and no name, so that equal masks give equal bytes
    with igzip.IGzipFile(filename="", fileobj=target, mode="wb", compresslevel=2, mtime=0) as stream:
        stream.write(content)
