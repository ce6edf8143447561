"""NIfTI-1 and NIfTI-2 in and out.

nibabel understands the header; the voxels go from isal's inflate straight into the array, in about half the time of
``nibabel.load``. Other than with nibabel, a file is read to its end, so that gzip's checksum is compared, and what follows the
voxels is refused: a damaged header that asks for fewer would give a scrambled scan.
"""

from __future__ import annotations

import io
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from brats3d.errors import ArrayError, ImageError, first_line
from brats3d.files import whole_file
from brats3d.geometry import AFFINE_TOLERANCE, Grid, corner_shift
from brats3d.images.stream import Stream, opened
from brats3d.images.volume import AGAIN, Volume, check_grid, check_size

if TYPE_CHECKING:
    import nibabel as nib

FIRST = 348
"""Bytes of a NIfTI-1 header; the first four of them say how many there are."""
WORTH_SAYING = 30
"""nibabel's level of header faults that it reads around and shows; from `TOO_BAD` on it refuses the file."""
TOO_BAD = 40
FORMS_APART = 0.5
"""sform and qform contradict each other where a corner lies further apart by them, in voxels. Real files: 0.0006 at most."""


def read_nifti(path: Path, room: np.ndarray | None = None) -> Volume:
    """Read a ``.nii`` or ``.nii.gz`` file; see `read`.

    Args:
        path: the file.
        room: memory for the voxels, used where it fits.

    Raises:
        ImageError: the file is truncated, damaged, of another kind, or absurdly large.
    """
    try:
        with opened(path) as stream:
            header, faults = _header(stream)
            shape, kind = _layout(path, header)
            grid = _grid(path, header, shape, faults)
            raw = stream.take(prod(shape) * kind.itemsize, _fitting(room, shape, kind))
            source = stream.finish()
        return Volume(_values(raw.view(kind).reshape(shape, order="F"), header), grid, source, _step(header, kind))
    except (ImageError, MemoryError):
        raise
    except Exception as problem:  # nibabel, zlib and isal raise many kinds; each means the same to the user
        if isinstance(problem, OSError) and problem.errno:
            raise  # the system's fault, not the file's
        raise ImageError(
            f"{path}: cannot be read as NIfTI ({type(problem).__name__}: {first_line(problem)});"
            " the file is damaged, truncated or of another kind: copy it again from its source."
        ) from problem


class _Faults(list[str]):
    """What nibabel finds wrong in a header and reads around; stands in for its logger, which would write to the terminal."""

    def log(self, level: int, message: str) -> None:
        if level >= WORTH_SAYING:
            self.append(message)


def _header(stream: Stream) -> tuple[nib.Nifti1Header, list[str]]:
    """Read the header and all up to the voxels; header extensions say nothing of where voxels lie.

    Returns:
        The header as nibabel corrects it, and what it corrected.
    """
    import nibabel as nib

    block = stream.take(FIRST).tobytes()
    kind = nib.Nifti1Header
    if nib.Nifti2Header.sizeof_hdr in (int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")):
        kind = nib.Nifti2Header
        block += stream.take(kind.sizeof_hdr - FIRST).tobytes()
    header, faults = kind(block, check=False), _Faults()
    header.check_fix(faults, TOO_BAD)
    start = header.get_data_offset()
    if header["magic"].item() != kind.single_magic or start < len(block):
        raise ValueError(f"the voxels begin at byte {start}, or in another file (.img)")
    stream.skip(start - len(block))
    return header, faults


def _layout(path: Path, header: nib.Nifti1Header) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of the voxels; axes of one voxel after the third are dropped."""
    shape, kind = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_size(path, shape, kind.itemsize)
    if not np.issubdtype(kind, np.number) or np.issubdtype(kind, np.complexfloating):
        raise ImageError(f"{path}: the voxels are of type {kind}; expected real numbers.")
    return shape, kind


def _fitting(room: np.ndarray | None, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray | None:
    """Return memory as the bytes it is, where voxels of a shape and type fit it in the file's order."""
    if room is None or room.shape != shape or room.dtype != kind or not room.flags.f_contiguous:
        return None
    return room.reshape(-1, order="F").view(np.uint8)


def _values(voxels: np.ndarray, header: nib.Nifti1Header) -> np.ndarray:
    """Return the voxels in this machine's byte order, scaled as NIfTI defines it."""
    from nibabel.volumeutils import apply_read_scaling

    native = voxels.astype(voxels.dtype.newbyteorder("="), copy=False)
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope, intercept) == (1, 0):
        return native
    return apply_read_scaling(native, np.float64(slope), np.float64(intercept))


def _step(header: nib.Nifti1Header, kind: np.dtype) -> float:
    """Return how far neighbouring values of scaled whole numbers lie apart; 0 for voxels that are not scaled, or floating."""
    slope, intercept = header.get_slope_inter()
    if slope is None or (slope, intercept) == (1, 0) or not np.issubdtype(kind, np.integer):
        return 0.0
    return float(abs(slope))


def _grid(path: Path, header: nib.Nifti1Header, shape: tuple[int, ...], faults: list[str]) -> Grid:
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


def write(path: Path | str, array: np.ndarray, grid: Grid) -> None:
    """Write an array as NIfTI that lies on a grid: affine, qform, sform, their codes and units are the grid's.

    A header without a qform gets the affine's, with the code 0 it had: some readers look at the qform alone, whatever its code.
    The file is written under a temporary name, read back, compared with the grid and the array, and renamed: what has the
    right name is whole.

    Args:
        path: target, ``.nii`` or ``.nii.gz``.
        array: (X, Y, Z), or (R, X, Y, Z) which is written as a 4-D file with the channels last.
        grid: where it lies.

    Raises:
        ArrayError: the array has not the grid's shape.
        ImageError: the grid's axes are singular or sheared, or what was written does not read back as what was meant (a
            failing disk).
        SpaceError: the disk is full.
    """
    path = Path(path)
    if array.ndim not in (3, 4) or array.shape[-3:] != grid.shape:
        raise ArrayError(f"{path}: the array has shape {array.shape}; expected the grid's, {grid.shape}, regions before it.")
    check_grid(path, grid)
    if array.ndim == 4:
        array = np.moveaxis(array, 0, -1)
    with whole_file(path, megabytes=array.nbytes / 1e6) as temporary:
        _write_bytes(temporary, _image(array, grid).to_bytes())
        written = read_nifti(temporary)
        different = _not_as_meant(written.grid, grid)
        if different or not np.array_equal(written.array.reshape(array.shape), array):
            raise ImageError(f"{path}: what was written reads back differently ({different or 'voxels'}); check the disk.")


def _not_as_meant(written: Grid, grid: Grid) -> str:
    """Return how a grid that was read back differs from what was written, as words: less is forgiven than between scans."""
    if written.shape == grid.shape and np.abs(written.affine - grid.affine).max() <= AFFINE_TOLERANCE:
        return ""
    shown = [np.round(affine, 4).tolist() for affine in (written.affine, grid.affine)]
    return written.differences(grid) or f"affine {shown[0]} and {shown[1]}"


def nifti_bytes(array: np.ndarray, grid: Grid) -> bytes:
    """Return the content of the ``.nii.gz`` file that `write` would make of an array.

    Args:
        array: (X, Y, Z).
        grid: where it lies.

    Raises:
        ArrayError: the array has not the grid's shape.
    """
    if array.shape != grid.shape:
        raise ArrayError(f"the array has shape {array.shape}; expected the grid's, {grid.shape}.")
    packed = io.BytesIO()
    _compress(packed, _image(array, grid).to_bytes())
    return packed.getvalue()


def _image(array: np.ndarray, grid: Grid) -> nib.Nifti1Image:
    """Return an array, (X, Y, Z) or with channels last, as an image that lies on a grid."""
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

    # mtime 0 and no name, so that the same mask is the same bytes
    with igzip.IGzipFile(filename="", fileobj=target, mode="wb", compresslevel=2, mtime=0) as stream:
        stream.write(content)
