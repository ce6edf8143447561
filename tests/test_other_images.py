"""NIfTI pairs and FreeSurfer's volumes: what nibabel writes is read, and what does not say left from right is refused."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats3d import images
from brats3d.errors import ImageError

AFFINE = nib.affines.from_matvec(np.diag([-1.0, -1.0, 1.5]), [10.0, 20.0, -5.0])
ARRAY = np.random.default_rng(0).integers(0, 200, (5, 6, 7)).astype(np.int16)


def pair(folder: Path) -> Path:
    nib.save(nib.Nifti1Pair(ARRAY, AFFINE), folder / "a.img")
    return folder / "a.hdr"


def packed(folder: Path) -> Path:
    for suffix in (".hdr", ".img"):
        content = pair(folder).with_suffix(suffix).read_bytes()
        (folder / f"b{suffix}.gz").write_bytes(gzip.compress(content))
    return folder / "b.img.gz"


def capitals(folder: Path) -> Path:
    for suffix in (".hdr", ".img"):
        pair(folder).with_suffix(suffix).rename(folder / f"A{suffix.upper()}")
    return folder / "A.IMG"


def nifti2(folder: Path) -> Path:
    nib.save(nib.Nifti2Pair(ARRAY, AFFINE), folder / "c.img")
    return folder / "c.hdr"


def big_endian(folder: Path) -> Path:
    header = nib.nifti1.Nifti1PairHeader(endianness=">")
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Pair(ARRAY, AFFINE, header), folder / "d.img")
    return folder / "d.hdr"


@pytest.mark.parametrize("write", [pair, packed, capitals, nifti2, big_endian])
def test_a_pair_is_one_image_of_two_files(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path)
    volume = images.read(path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-6)
    header, voxels = images.parts_of(path)
    both = header.read_bytes() + voxels.read_bytes()
    assert volume.source == images.SourceFile(path.name, len(both), zlib.crc32(both)) == images.fingerprint(path)
    assert images.size_of(path) == len(both)
    assert (images.is_voxel_file(voxels), images.is_voxel_file(header)) == (True, False)


def test_scaled_voxels_and_bytes_before_them(tmp_path: Path) -> None:
    image = nib.Nifti1Pair(ARRAY, AFFINE)
    image.header.set_slope_inter(0.5, 3)
    image.header["vox_offset"] = 16
    (tmp_path / "a.hdr").write_bytes(image.header.binaryblock + bytes(4))
    (tmp_path / "a.img").write_bytes(bytes(16) + ARRAY.tobytes(order="F"))
    np.testing.assert_allclose(images.read(tmp_path / "a.img").array, ARRAY * 0.5 + 3)


def analyze(folder: Path) -> Path:
    nib.save(nib.AnalyzeImage(ARRAY, AFFINE), folder / "q.img")
    return folder / "q.hdr"


def without(part: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = pair(folder)
        path.with_suffix(part).unlink()
        return next(p for p in (path, path.with_suffix(".img")) if p.exists())

    return write


def single_named_as_pair(folder: Path) -> Path:
    nib.save(nib.Nifti1Image(ARRAY, AFFINE), folder / "s.nii")
    (folder / "s.nii").rename(folder / "s.hdr")
    (folder / "s.img").write_bytes(ARRAY.tobytes())
    return folder / "s.hdr"


def too_long(folder: Path) -> Path:
    path = pair(folder)
    path.with_suffix(".img").write_bytes(path.with_suffix(".img").read_bytes() + b"\0")
    return path


def unknown_position(folder: Path) -> Path:
    content = bytearray(nib.MGHImage(ARRAY, AFFINE).to_bytes())
    content[28:30] = b"\0\0"
    (folder / "m.mgz").write_bytes(gzip.compress(content))
    return folder / "m.mgz"


def wrong_checksum(folder: Path) -> Path:
    content = bytearray(gzip.compress(nib.MGHImage(ARRAY, AFFINE).to_bytes()))
    content[-5] ^= 1
    (folder / "w.mgz").write_bytes(content)
    return folder / "w.mgz"


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (analyze, r"q\.hdr: .*Analyze 7\.5.*which side is left"),
        (without(".img"), r"a\.hdr: no file of voxels \(\.img\)"),
        (without(".hdr"), r"a\.img: no header \(\.hdr\)"),
        (single_named_as_pair, r"s\.hdr: .*in the same file; rename it to \.nii"),
        (too_long, r"a\.hdr: .*more bytes"),
        (unknown_position, r"m\.mgz: .*goodRASFlag"),
        (wrong_checksum, r"w\.mgz: cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, write: Callable[[Path], Path], says: str) -> None:
    with pytest.raises(ImageError, match=says):
        images.read(write(tmp_path))
