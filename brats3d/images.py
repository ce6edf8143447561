"""NIfTI and MetaImage in and out.

Reading goes through isal's inflate where a file is gzipped: on a real BraTS case it takes about half the time of
``nibabel.load`` (five files 0.108 s against 0.233 s), and arrays keep the type they have on disk. MetaImage (``.mha``,
BraTS 2012 to 2016) is read by SimpleITK, extra ``raw``. Every fault of a file is an `ImageError` that names it; nibabel's own
exceptions never reach the user.

Masks are written to a temporary name, read back, compared with the grid they should lie on, and only then get their name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brats3d.errors import ArrayError, ImageError, MissingExtraError, first_line
from brats3d.files import whole_file
from brats3d.geometry import Grid

if TYPE_CHECKING:
    import nibabel as nib

SUFFIXES = (".nii.gz", ".nii", ".mha")
MAX_VOXELS = 1 << 29
"""Larger volumes are refused before memory is asked for: headers can be damaged (a scan has some 10 million voxels)."""


@dataclass(frozen=True, eq=False)
class Volume:
    """An array (X, Y, Z), or (X, Y, Z, C) for a 4-D file, and the `Grid` it lies on."""

    array: np.ndarray
    grid: Grid


def strip_suffix(name: str) -> str:
    """Return a file name without its image suffix; unchanged where it has none. Case is ignored."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def read(path: Path | str) -> Volume:
    """Read an image file with its grid; values as NIfTI defines them (``scl_slope`` 0 or NaN means none).

    Args:
        path: a ``.nii``, ``.nii.gz`` or ``.mha`` file.

    Returns:
        The volume; the array has the file's own type where no scaling applies, else a float type.

    Raises:
        ImageError: the file is missing, empty, truncated, of another kind, or absurdly large.
        MissingExtraError: a ``.mha`` file, and SimpleITK is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file; expected an image ({', '.join(SUFFIXES)}).")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty (0 bytes); copy it again from its source.")
    if path.name.lower().endswith(".mha"):
        return _read_metaimage(path)
    return _read_nifti(path)


def _read_nifti(path: Path) -> Volume:
    import nibabel as nib

    try:
        with _open(path) as stream:
            image = nib.Nifti1Image.from_stream(stream)
            _check_size(path, image.shape)
            array = np.asanyarray(image.dataobj)
    except ImageError:
        raise
    except Exception as problem:  # nibabel, zlib and isal raise many kinds; each means the same to the user
        raise ImageError(
            f"{path}: cannot be read as NIfTI ({type(problem).__name__}: {first_line(problem)});"
            " the file is damaged, truncated or of another kind: copy it again from its source."
        ) from problem
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim not in (3, 4):
        raise ImageError(f"{path}: the image has {array.ndim} axes {array.shape}; expected 3 (or 4 with the channels last).")
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ImageError(f"{path}: the voxels are of type {array.dtype}; expected real numbers.")
    return Volume(array, _grid(path, image))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    if path.name.lower().endswith(".gz"):
        from isal import igzip

        with igzip.open(path, "rb") as stream:
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    asked = f"{path}: the header asks for shape {shape}"
    if not shape or min(shape) < 1:
        raise ImageError(f"{asked}, an axis of 0 voxels; the header is damaged: copy the file again from its source.")
    if int(np.prod([int(n) for n in shape], dtype=object)) > MAX_VOXELS:
        raise ImageError(f"{asked}; expected a brain scan of at most {MAX_VOXELS} voxels: copy it again, or crop it.")


def _grid(path: Path, image: nib.Nifti1Image) -> Grid:
    header = image.header
    affine = np.asarray(image.affine, float)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ImageError(f"{path}: the affine {np.round(affine, 4).tolist()} cannot be inverted; the header is damaged.")
    try:
        qform, qcode = header.get_qform(coded=True)
        sform, scode = header.get_sform(coded=True)
    except ValueError as problem:  # a quaternion longer than 1
        raise ImageError(
            f"{path}: the qform cannot be read ({first_line(problem)}); the header is damaged: copy the file again."
        ) from problem
    for name, form in (("qform", qform), ("sform", sform)):
        if form is not None and not np.isfinite(form).all():
            raise ImageError(
                f"{path}: the {name} {np.round(form, 4).tolist()} is not finite; the header is damaged: copy the file again."
            )
    x, y, z = (int(n) for n in image.shape[:3])
    return Grid((x, y, z), affine, qform, sform, int(qcode), int(scode), int(header["xyzt_units"]))


def _read_metaimage(path: Path) -> Volume:
    try:
        import SimpleITK
    except ImportError as missing:
        raise MissingExtraError(f"{path}: reading .mha files needs SimpleITK; run: pip install 'brats3d[raw]'.") from missing
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as problem:
        raise ImageError(
            f"{path}: cannot be read as MetaImage; the file is damaged, truncated or of another kind:"
            " copy it again from its source."
        ) from problem
    array = np.transpose(SimpleITK.GetArrayFromImage(image))
    if array.ndim != 3:
        raise ImageError(f"{path}: the image has {array.ndim} axes {array.shape}; expected 3.")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # ITK's world is LPS, NIfTI's RAS
    x, y, z = array.shape
    return Volume(array, Grid((x, y, z), affine))


def check_finite(path: Path | str, array: np.ndarray) -> None:
    """Refuse an image with NaN or infinite voxels.

    Raises:
        ImageError: counts the voxels and names the file.
    """
    if np.issubdtype(array.dtype, np.floating):
        bad = array.size - int(np.isfinite(array).sum())
        if bad:
            raise ImageError(f"{path}: {bad} voxels are NaN or infinite; expected finite ones: repair or leave out the scan.")


def write(path: Path | str, array: np.ndarray, grid: Grid) -> None:
    """Write an array as NIfTI that lies on a grid: affine, qform, sform, their codes and units are the grid's.

    The file is written under a temporary name, read back, compared with the grid and the array, and renamed: what has the
    right name is whole.

    Args:
        path: target, ``.nii`` or ``.nii.gz``.
        array: (X, Y, Z), or (R, X, Y, Z) which is written as a 4-D file with the channels last.
        grid: where it lies.

    Raises:
        ArrayError: the array has not the grid's shape.
        ImageError: what was written does not read back as what was meant (a failing disk).
        SpaceError: the disk is full.
    """
    import nibabel as nib

    path = Path(path)
    if array.ndim not in (3, 4) or array.shape[-3:] != grid.shape:
        raise ArrayError(f"{path}: the array has shape {array.shape}; expected the grid's, {grid.shape}, regions before it.")
    if array.ndim == 4:
        array = np.moveaxis(array, 0, -1)
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    image = nib.Nifti1Image(array, None, header)
    # The zooms first: a header without either form has nothing else to say how far its voxels lie apart.
    image.header.set_zooms((*grid.spacing_mm, 1.0)[: array.ndim])
    image.set_qform(grid.affine if grid.qform is None and grid.qform_code else grid.qform, grid.qform_code)
    image.set_sform(grid.affine if grid.sform is None and grid.sform_code else grid.sform, grid.sform_code)
    image.header["xyzt_units"] = grid.xyzt_units
    with whole_file(path, megabytes=array.nbytes / 1e6) as temporary:
        _write_bytes(temporary, image.to_bytes())
        written = read(temporary)
        different = written.grid.differences(grid)
        if different or not np.array_equal(written.array.reshape(array.shape), array):
            raise ImageError(f"{path}: what was written reads back differently ({different or 'voxels'}); check the disk.")


def _write_bytes(path: Path, content: bytes) -> None:
    if path.name.lower().endswith(".gz"):
        from isal import igzip

        # mtime 0 and no name, so that the same mask is the same bytes
        with path.open("wb") as raw, igzip.IGzipFile(filename="", fileobj=raw, mode="wb", compresslevel=2, mtime=0) as stream:
            stream.write(content)
    else:
        path.write_bytes(content)
