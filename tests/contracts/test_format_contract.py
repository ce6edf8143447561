"""The format contract: what is written is read again, voxels to the bit and affine to 1e-6; damage is a named error.

A new format joins by a row in `FORMATS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats3d import geometry, images
from brats3d.cases import Facts
from brats3d.errors import BratsError
from brats3d.geometry import Grid
from brats3d.store import CaseHeader, StoredCase, summarise, verify_file, write_case

SHAPE = (33, 35, 6)  # two chunks of the store along two axes


@dataclass(frozen=True)
class Format:
    """How a volume goes into a folder and comes back.

    Attributes:
        write: (folder, array, grid) → the file written.
        read: file → array and grid.
        dtypes: types of voxels it keeps.
        files: how many files it is written to.
        forms: whether it keeps a header's qform and sform, and units; else the affine alone.
    """

    write: Callable[[Path, np.ndarray, Grid], Path]
    read: Callable[[Path], tuple[np.ndarray, Grid]]
    dtypes: tuple[str, ...]
    files: int = 1
    forms: bool = True


def read(path: Path) -> tuple[np.ndarray, Grid]:
    volume = images.read(path)
    assert volume.source == images.fingerprint(path)
    return volume.array, volume.grid


def nifti(suffix: str) -> Format:
    def write(folder: Path, array: np.ndarray, grid: Grid) -> Path:
        images.write(folder / f"case{suffix}", array, grid)
        return folder / f"case{suffix}"

    return Format(write, read, ("uint8", "int16", "uint16", "float32", "float64"))


def pair(named: str) -> Format:
    """A NIfTI pair by nibabel, read by the name of one of its two files."""

    def write(folder: Path, array: np.ndarray, grid: Grid) -> Path:
        image = nib.Nifti1Pair(array, grid.affine)
        image.set_qform(grid.qform, grid.qform_code)
        image.set_sform(grid.sform, grid.sform_code)
        image.header["xyzt_units"] = grid.xyzt_units
        nib.save(image, folder / "case.img")
        return folder / f"case{named}"

    return Format(write, read, ("uint8", "int16", "float32"), files=2)


def freesurfer(suffix: str) -> Format:
    def write(folder: Path, array: np.ndarray, grid: Grid) -> Path:
        nib.save(nib.MGHImage(array, grid.affine), folder / f"case{suffix}")
        return folder / f"case{suffix}"

    return Format(write, read, ("uint8", "int16", "int32", "float32"), forms=False)


def store(codec: str) -> Format:
    def write(folder: Path, array: np.ndarray, grid: Grid) -> Path:
        stored, stored_grid = geometry.to_stored(array, grid)
        header = CaseHeader("case", Facts("patient"), ("t1", "flair"))
        channels = np.ascontiguousarray(np.stack([stored, stored[::-1]]))
        return write_case(folder, summarise(header, channels, None, stored_grid, grid), codec=codec)

    def read(path: Path) -> tuple[np.ndarray, Grid]:
        with StoredCase(path) as case:
            array = geometry.from_stored(case.patch((0, 0, 0), case.images.shape[1:])[0], case.source)
            verify_file(path)
            np.testing.assert_allclose(case.grid.affine, geometry.to_stored(array, case.source)[1].affine, atol=1e-6)
            return array, case.source

    return Format(write, read, ("int16", "float32"))


FORMATS = {
    ".nii": nifti(".nii"),
    ".nii.gz": nifti(".nii.gz"),
    "pair, .hdr": pair(".hdr"),
    "pair, .img": pair(".img"),
    ".mgz": freesurfer(".mgz"),
    ".mgh": freesurfer(".mgh"),
    "store, zstd": store("zstd"),
    "store, gzip": store("gzip"),
}
TILTED = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, -0.2, 0.3) @ np.diag([-1.1, 0.9, 2.5]), [12.5, -239, 71.25])
AFFINES = {
    "BraTS": nib.affines.from_matvec(np.diag([-1.0, -1.0, 1.0]), [0, 239, 0]),
    "RAS": nib.affines.from_matvec(np.diag([0.859, 0.859, 1.5]), [-110, -109, -80]),
    "tilted": TILTED,
    "permuted": TILTED[:, [2, 0, 1, 3]],
}


def array_of(dtype: str) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=SHAPE) * 50
    values[:5] = 0
    return np.abs(values).astype(dtype)


@pytest.mark.parametrize("name", FORMATS)
def test_written_is_read(tmp_path: Path, name: str, subtests: pytest.Subtests) -> None:
    kind = FORMATS[name]
    for dtype, affine in itertools.product(kind.dtypes, AFFINES):
        with subtests.test(dtype=dtype, affine=affine):
            folder = tmp_path / f"{dtype} {affine}"
            folder.mkdir()
            grid = Grid(SHAPE, AFFINES[affine], AFFINES[affine], AFFINES[affine], 1, 2, 10)
            path = kind.write(folder, array_of(dtype), grid)
            array, back = kind.read(path)
            assert array.dtype == dtype
            np.testing.assert_array_equal(array, array_of(dtype))
            np.testing.assert_allclose(back.affine, grid.affine, atol=1e-6)
            for form in ("qform", "sform") if kind.forms else ():
                np.testing.assert_allclose(getattr(back, form), getattr(grid, form), atol=1e-5)
            known = (back.shape, back.qform_code, back.sform_code, back.xyzt_units)
            assert known == ((SHAPE, 1, 2, 10) if kind.forms else (SHAPE, 1, 1, 2))
            assert path in (written := list(folder.iterdir()))
            assert len(written) == kind.files


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.forms])
def test_a_grid_of_one_form_or_none(tmp_path: Path, name: str) -> None:
    for qform, sform, qcode, scode in ((TILTED, None, 1, 0), (None, TILTED, 0, 2)):
        path = FORMATS[name].write(tmp_path, array_of("int16"), Grid(SHAPE, TILTED, qform, sform, qcode, scode))
        _, back = FORMATS[name].read(path)
        # a NIfTI qform is three float32 numbers; what came from a file comes back to 1e-6 (tests/test_images.py)
        np.testing.assert_allclose(back.affine, TILTED, atol=1e-5 if sform is None else 1e-6)
        assert (back.qform_code, back.sform_code) == (qcode, scode)
        assert (back.qform is None, back.sform is None) == (qform is None, sform is None)


@pytest.mark.parametrize("name", FORMATS)
def test_writing_again_replaces(tmp_path: Path, name: str) -> None:
    grid = Grid(SHAPE, TILTED)
    FORMATS[name].write(tmp_path, array_of("int16") + 1, grid)
    path = FORMATS[name].write(tmp_path, array_of("int16"), grid)
    np.testing.assert_array_equal(FORMATS[name].read(path)[0], array_of("int16"))
    assert len(list(tmp_path.iterdir())) == FORMATS[name].files


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_truncated_or_of_another_kind_is_a_named_error(tmp_path: Path, name: str) -> None:
    array = array_of("int16")
    path = FORMATS[name].write(tmp_path, array, Grid(SHAPE, TILTED))
    np.testing.assert_array_equal(array, array_of("int16"), err_msg="writing changed the array given")
    whole = path.read_bytes()
    damaged = {f"{kept:.0%} kept": whole[: int(len(whole) * kept)] for kept in (0.0, 0.02, 0.5, 0.95)}
    damaged["a table"] = b"case,dice\nc1,0.9\n" * 200
    exit_codes = {}
    for what, content in damaged.items():
        path.write_bytes(content)
        with pytest.raises(BratsError, match=path.name) as caught:
            FORMATS[name].read(path)
        exit_codes[what] = caught.value.exit_code
    assert exit_codes == dict.fromkeys(damaged, 3)
