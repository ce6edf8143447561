"""MetaImage (``.mha``): what SimpleITK writes is read without it, and what is said of damaged files."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats3d import images
from brats3d.errors import ImageError

SHAPE = (6, 7, 8)


def scan(kind: type = np.int16) -> np.ndarray:
    return (np.random.default_rng(0).random(SHAPE) * 100).astype(kind)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    itk = pytest.importorskip("SimpleITK", reason="needs SimpleITK (extra raw) to write a .mha")
    image = itk.GetImageFromArray(np.transpose(scan()))
    image.SetSpacing((1.0, 0.9, 2.5))
    image.SetOrigin((-12.5, -239.0, -71.25))
    image.SetDirection(nib.eulerangles.euler2mat(0.1, -0.2, 0.3).ravel().tolist())
    itk.WriteImage(image, str(tmp_path / "a.mha"), useCompression=True)
    itk.WriteImage(image, str(tmp_path / "a.nii"))
    return tmp_path / "a.mha"


def test_it_reads_as_the_nifti_that_simpleitk_writes(path: Path) -> None:
    ours, peer = images.read(path), images.read(path.with_name("a.nii"))
    np.testing.assert_array_equal(ours.array, scan())
    np.testing.assert_allclose(ours.grid.affine, peer.grid.affine, atol=1e-5)


def test_a_mask_can_be_written_for_it(path: Path) -> None:
    grid = images.read(path).grid
    images.write(path.with_name("mask.nii.gz"), scan(np.uint8), grid)
    np.testing.assert_allclose(nib.load(path.with_name("mask.nii.gz")).affine, grid.affine, atol=1e-6)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize("packed", [True, False])
def test_it_reads_as_simpleitk_reads(tmp_path: Path, kind: str, packed: bool) -> None:
    itk = pytest.importorskip("SimpleITK", reason="needs SimpleITK (extra raw) to write a .mha")
    image = itk.GetImageFromArray(np.transpose(scan()).astype(kind))
    image.SetSpacing((0.7, 0.9, 2.5))
    itk.WriteImage(image, str(tmp_path / "a.mha"), useCompression=packed)
    array = images.read(tmp_path / "a.mha").array
    assert array.dtype == np.dtype(kind)
    np.testing.assert_array_equal(array, np.transpose(itk.GetArrayFromImage(itk.ReadImage(str(tmp_path / "a.mha")))))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("LOCAL", "other.raw"), r"ElementDataFile is 'other\.raw'; expected LOCAL, voxels in the same file"),
        (("MET_SHORT", "MET_OTHER"), r"KeyError: 'MET_OTHER'"),
        (("DimSize = 6 7 8", "DimSize = 6 7 9"), r"EOFError|ValueError: \d+ bytes"),
        (("DimSize = 6 7 8", "DimSize = 9999 9999 9999"), r"\(9999, 9999, 9999\)"),
        (("DimSize = 6 7 8", "DimSize = 6 7"), r"DimSize is '6 7'; expected 3 numbers"),
        (("ElementSpacing = 1", "ElementSpacing = -1"), r"ElementSpacing is '-1 .*'; expected distances above 0"),
        (("NDims = 3", "NDims = 2"), r"NDims is '2'; expected 3, three axes"),
    ],
)
def test_a_header_that_is_not_read_is_told(path: Path, change: tuple[str, str], says: str) -> None:
    old, new = (text.encode() for text in change)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(ImageError, match=says):
        images.read(path)


def test_the_checksum_of_packed_voxels_is_compared(path: Path) -> None:
    content = path.read_bytes()
    for changed in (content[:-1], content[:-4], content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(changed)
        with pytest.raises(ImageError, match=r"a\.mha: cannot be read as MetaImage"):
            images.read(path)


@pytest.mark.parametrize("keep", [0, 40, 400])
def test_a_damaged_file_is_named(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageError, match=r"a\.mha: .*copy it again"):
        images.read(path)


def test_simpleitk_is_not_needed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    np.testing.assert_array_equal(images.read(path).array, scan())
