"""NIfTI in and out: headers to the bit, and what is said of damaged files."""

from __future__ import annotations

import errno
import gzip
import itertools
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats3d import images
from brats3d.errors import ArrayError, BratsError, ImageError, SpaceError
from brats3d.geometry import Grid

SHAPE = (6, 7, 8)
OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.1, -0.2, 0.3) @ np.diag([-1.0, -0.9, 2.5]), [12.5, 239.0, -71.25]
)  # fmt: skip
OTHER = nib.affines.from_matvec(np.diag([-1.0, -0.9, 2.5]), [0, 239, 0])
CODES = [(1, 1), (2, 1), (1, 0), (0, 1), (0, 0), (4, 2)]


def scan(kind: type = np.int16) -> np.ndarray:
    return (np.random.default_rng(0).random(SHAPE) * 100).astype(kind)


def save(path: Path, array: np.ndarray, qform_code: int = 1, sform_code: int = 1, **header: object) -> Path:
    """Write a file with nibabel: the qform oblique, the sform another one where both count."""
    image = nib.Nifti1Image(array, None)
    image.header.set_zooms((1.0, 0.9, 2.5) + (1.0,) * (array.ndim - 3))
    image.set_qform(OBLIQUE if qform_code else None, qform_code)
    image.set_sform((OTHER if qform_code else OBLIQUE) if sform_code else None, sform_code)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_values_keep_the_type_they_have_on_disk(tmp_path: Path, suffix: str, kind: type) -> None:
    save(tmp_path / "a.nii", scan(kind))
    path = tmp_path / f"b{suffix}"
    content = (tmp_path / "a.nii").read_bytes()
    path.write_bytes(gzip.compress(content) if suffix.lower().endswith("gz") else content)
    volume = images.read(str(path))
    assert volume.array.dtype == kind
    np.testing.assert_array_equal(volume.array, scan(kind))


def test_what_a_name_says_of_gzip_does_not_matter(tmp_path: Path) -> None:
    content = save(tmp_path / "a.nii", scan()).read_bytes()
    for name, there in (("b.nii.gz", content), ("c.nii", gzip.compress(content))):
        (tmp_path / name).write_bytes(there)
        volume = images.read(tmp_path / name)
        np.testing.assert_array_equal(volume.array, scan())
        assert volume.source == images.SourceFile(name, len(there), zlib.crc32(there))
        (tmp_path / name).write_bytes(there[:-9])
        with pytest.raises(ImageError, match=rf"{name}: cannot be read as NIfTI"):
            images.read(tmp_path / name)


@pytest.mark.parametrize(
    ("place", "field", "said"),
    [
        (254, struct.pack("<h", 9), "sform_code 9 not valid; setting to 0"),
        (80, struct.pack("<f", -1), "pixdim[1,2,3] should be positive; setting to abs of pixdim values"),
        (70, struct.pack("<h", 9999), ""),
    ],
)
def test_what_nibabel_corrects_is_kept_and_not_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: int, field: bytes, said: str
) -> None:
    path = save(tmp_path / "a.nii", scan())
    content = path.read_bytes()
    path.write_bytes(content[:place] + field + content[place + len(field) :])
    with caplog.at_level(1):
        if said:
            assert said in images.read(path).grid.doubts[0]
        else:
            with pytest.raises(ImageError, match=r"a\.nii: cannot be read as NIfTI .*data code 9999 not recognized"):
                images.read(path)
    assert [record.name for record in caplog.records if record.name.startswith("nibabel")] == []


@pytest.mark.parametrize("suffix", [".nii", ".mha"])
def test_sheared_axes_are_refused_and_rounded_ones_are_read(tmp_path: Path, suffix: str) -> None:
    """The third axis leans towards the first, by a tangent that is nearly the cosine."""
    for lean, refused in ((0.009, False), (0.02, True)):
        path = tmp_path / f"a{suffix}"
        if suffix == ".mha":
            header = (
                "NDims = 3\nDimSize = 6 7 8\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
                f"TransformMatrix = 1 0 0 0 1 0 {lean} 0 1\nElementDataFile = LOCAL\n"
            )
            path.write_bytes(header.encode() + scan().tobytes(order="F"))
        else:
            nib.save(nib.Nifti1Image(scan(), np.eye(4) + np.eye(4)[:, [0]] * np.eye(4)[[2]] * lean), path)
        if refused:
            with pytest.raises(ImageError, match=r"mask\.nii: the axes .* are sheared"):
                images.write(tmp_path / "mask.nii", scan(), Grid(SHAPE, np.eye(4) + np.eye(4)[:, [0]] * np.eye(4)[[2]] * lean))
            assert not (tmp_path / "mask.nii").exists()
            with pytest.raises(ImageError, match=rf"a\{suffix}: the axes .* are sheared, up to 1\.1 degrees"):
                images.read(path)
        else:
            images.read(path)


@pytest.mark.parametrize(("qform_code", "sform_code"), CODES)
def test_the_grid_is_the_headers(tmp_path: Path, qform_code: int, sform_code: int) -> None:
    path = save(tmp_path / "a.nii.gz", scan(), qform_code, sform_code)
    grid = images.read(path).grid
    peer = nib.load(path)
    np.testing.assert_allclose(grid.affine, peer.affine, atol=1e-6)
    assert (grid.shape, grid.qform_code, grid.sform_code) == (SHAPE, qform_code, sform_code)


@pytest.mark.parametrize(
    ("qform_code", "sform_code", "units"), [(*codes, u) for codes, u in itertools.product(CODES, (2, 0, 10))]
)
def test_a_mask_lies_on_its_source(tmp_path: Path, qform_code: int, sform_code: int, units: int) -> None:
    source = save(tmp_path / "scan.nii.gz", scan(), qform_code, sform_code, xyzt_units=units)
    mask = (scan() > 50).astype(np.uint8)
    images.write(tmp_path / "mask.nii.gz", mask, images.read(source).grid)
    ours, theirs = nib.load(tmp_path / "mask.nii.gz"), nib.load(source)
    np.testing.assert_array_equal(np.asarray(ours.dataobj), mask)
    assert ours.header.get_data_dtype() == np.uint8
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-6)
    for name in ("qform_code", "sform_code", "xyzt_units", "dim"):
        np.testing.assert_array_equal(ours.header[name], theirs.header[name], err_msg=name)
    np.testing.assert_allclose(ours.header.get_zooms(), theirs.header.get_zooms(), atol=1e-6)
    for form in ("get_qform", "get_sform"):
        mine, yours = getattr(ours, form)(coded=True), getattr(theirs, form)(coded=True)
        assert mine[1] == yours[1]
        if yours[0] is not None:
            np.testing.assert_allclose(mine[0], yours[0], atol=1e-6)
    if not qform_code:  # some readers look at the qform whatever its code, so it is the affine
        np.testing.assert_allclose(ours.header.get_qform(), theirs.affine, atol=1e-5)  # four-byte quaternions


def test_a_grid_without_forms_is_written_with_its_affine(tmp_path: Path) -> None:
    images.write(tmp_path / "a.nii", scan(), Grid(SHAPE, OBLIQUE))
    peer = nib.load(tmp_path / "a.nii")
    for affine in (peer.affine, peer.get_qform(), peer.get_sform()):
        np.testing.assert_allclose(affine, OBLIQUE, atol=1e-5)


@pytest.mark.parametrize("regions", [1, 3])
def test_probabilities_are_written_with_the_channels_last(tmp_path: Path, regions: int) -> None:
    array = np.random.default_rng(1).random((regions, *SHAPE)).astype(np.float32)
    images.write(tmp_path / "p.nii.gz", array, Grid(SHAPE, OBLIQUE))
    peer = nib.load(tmp_path / "p.nii.gz")
    assert peer.shape == (*SHAPE, regions)
    np.testing.assert_array_equal(np.moveaxis(np.asarray(peer.dataobj), -1, 0), array)


def test_the_same_mask_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        images.write(tmp_path / name, scan(np.uint8), Grid(SHAPE, OBLIQUE))
    content = (tmp_path / "a.nii.gz").read_bytes()
    assert content == (tmp_path / "b.nii.gz").read_bytes()
    assert content[3:8] == bytes(5), "neither a name nor a time"


@pytest.mark.parametrize(
    ("slope", "intercept", "factor", "offset"),
    [(0, 0, 1, 0), (np.nan, np.nan, 1, 0), (1, 0, 1, 0), (0, 7, 1, 0), (2, 0, 2, 0), (0.5, -3, 0.5, -3)],
)
def test_scaling_as_nifti_defines_it(tmp_path: Path, slope: float, intercept: float, factor: float, offset: float) -> None:
    path = save(tmp_path / "a.nii", scan())
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", slope, intercept)
    path.write_bytes(content)
    array = images.read(path).array
    np.testing.assert_allclose(array, scan() * factor + offset)
    if factor == 1:
        assert array.dtype == np.int16


def test_a_fourth_axis_of_one_is_dropped_and_others_stay(tmp_path: Path) -> None:
    assert images.read(save(tmp_path / "one.nii", scan()[..., None])).array.shape == SHAPE
    four = images.read(save(tmp_path / "four.nii", np.repeat(scan()[..., None], 4, 3)))
    assert (four.array.shape, four.grid.shape) == ((*SHAPE, 4), SHAPE)


def test_what_follows_the_voxels_is_refused(tmp_path: Path) -> None:
    """As where a damaged header asks for fewer voxels than there are: they would be read scrambled."""
    path = save(tmp_path / "a.nii", scan())
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ImageError, match=r"cannot be read as NIfTI \(ValueError: .*more bytes"):
        images.read(path)


def test_nifti_2_is_read(tmp_path: Path) -> None:
    for order in "<>":
        image = nib.Nifti2Image(scan().astype(f"{order}i2"), OBLIQUE, nib.Nifti2Header(endianness=order))
        image.header.set_data_dtype(f"{order}i2")
        path = tmp_path / "a.nii.gz"
        path.write_bytes(gzip.compress(image.to_bytes()))
        volume = images.read(path)
        np.testing.assert_array_equal(volume.array, scan())
        np.testing.assert_allclose(volume.grid.affine, OBLIQUE)


def test_a_header_whose_voxels_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", scan())
    content = path.read_bytes()
    path.write_bytes(content[:344] + b"ni1\0" + content[348:])
    with pytest.raises(ImageError, match=r"byte 352, .*\.img"):
        images.read(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha"])
def test_the_source_is_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".mha":
        header = "NDims = 3\nDimSize = 6 7 8\nElementSpacing = 1 1 1\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
        path.write_bytes(header.encode() + scan().tobytes(order="F"))
    else:
        save(path, scan())
    volume = images.read(path)
    np.testing.assert_array_equal(volume.array, scan())
    content = path.read_bytes()
    assert volume.source == images.SourceFile(path.name, len(content), zlib.crc32(content))


def test_header_extensions_are_skipped(tmp_path: Path) -> None:
    image = nib.Nifti1Image(scan(), OBLIQUE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(4, b"<AFNI_attributes/>" * 99))
    nib.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(images.read(tmp_path / "a.nii.gz").array, scan())


def set_dims(path: Path, dims: list[int]) -> Path:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[40:56] = struct.pack("<8h", *dims)
    path.write_bytes(gzip.compress(bytes(content)))
    return path


FIELDS = {
    "bad affine": (312, [0.0] * 4),  # srow_z
    "bad sform": (280, [float("nan")]),  # srow_x
    "long quaternion": (256, [0.9, 0.9, 0.9]),  # quatern_b, c, d
    "undefined quaternion": (256, [float("nan")]),
    "infinite offset": (268, [float("inf")]),  # qoffset_x
}
"""Damage → where in the header, and what is written there."""


def damaged(folder: Path, how: str) -> Path:
    path = folder / "scan.nii.gz"
    if how == "absent":
        return path
    big = np.random.default_rng(0).integers(0, 99, (20, 21, 22)).astype(np.int16)
    content = save(path, big).read_bytes()
    if how == "flipped bit":
        position = len(content) // 2
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    elif how == "wrong checksum":
        path.write_bytes(content[:-8] + bytes(4) + content[-4:])
    elif how in FIELDS:
        plain = bytearray(gzip.decompress(content))
        start, values = FIELDS[how]
        plain[start : start + 4 * len(values)] = struct.pack(f"<{len(values)}f", *values)
        path.write_bytes(gzip.compress(bytes(plain)))
    else:
        changed = {
            "empty": b"",
            "truncated": content[: len(content) // 2],
            "text": b"id,age\n1,60\n" * 99,
            "header only": content[:200],
        }
        dims = {
            "huge": [3, 32000, 32000, 32000, 1, 1, 1, 1],
            "flat": [2, 20, 21, 1, 1, 1, 1, 1],
            "zero": [3, 20, 0, 22, 1, 1, 1, 1],
        }
        if how in dims:
            return set_dims(path, dims[how])
        path.write_bytes(changed[how])
    return path


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("absent", "no such file; expected an image"),
        ("empty", r"the file is empty \(0 bytes\); copy it again"),
        ("truncated", "cannot be read as NIfTI .*damaged, truncated or of another kind: copy it again"),
        ("header only", "cannot be read as NIfTI"),
        ("text", "cannot be read as NIfTI"),
        ("flipped bit", "cannot be read as NIfTI"),
        ("wrong checksum", "cannot be read as NIfTI"),
        ("huge", r"\(32000, 32000, 32000\); expected a brain scan of at most \d+ voxels"),
        ("zero", r"\(20, 0, 22\).* 0 voxels; the header is damaged"),
        ("flat", r"the image has 2 axes \(20, 21\); expected 3"),
        ("bad affine", "the affine .* cannot be inverted"),
        ("bad sform", "the affine .* cannot be inverted"),
        ("long quaternion", "the qform cannot be read .*; the header is damaged: copy the file again"),
        ("undefined quaternion", "the qform .*nan.* is not finite; the header is damaged: copy the file again"),
        ("infinite offset", "the qform .*inf.* is not finite"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, how: str, says: str) -> None:
    path = damaged(tmp_path, how)
    with pytest.raises(ImageError, match=says) as caught:
        images.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b" + bytes(500)])
def test_what_is_no_plain_nifti(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scan.nii"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"scan\.nii: "):
        images.read(path)


@pytest.mark.parametrize("kind", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_voxels_that_are_no_real_numbers(tmp_path: Path, kind: np.dtype) -> None:
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, kind), OBLIQUE), tmp_path / "a.nii")
    with pytest.raises(ImageError, match=r"the voxels are of type .*; expected real numbers"):
        images.read(tmp_path / "a.nii")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite(value: float) -> None:
    array = scan(np.float32)
    images.check_finite("scan.nii", array)
    images.check_finite("scan.nii", scan())
    array[1, 2, 3:5] = value
    with pytest.raises(ImageError, match=r"scan\.nii: 2 voxels are NaN or infinite"):
        images.check_finite("scan.nii", array)


@pytest.mark.parametrize("shape", [(7, 6, 8), (3, 7, 6, 8), (6, 7), (1, 1, 6, 7, 8), (*SHAPE, 3)])
def test_an_array_that_does_not_lie_on_the_grid_is_not_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ArrayError, match=r"mask\.nii\.gz: .*shape .*\(6, 7, 8\)"):
        images.write(tmp_path / "mask.nii.gz", np.zeros(shape, np.uint8), Grid(SHAPE, OBLIQUE))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Path.write_bytes

    def half(path: Path, content: bytes) -> None:
        right(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(SpaceError, match=r"mask\.nii: no space .* 0\.1 MB"):
        images.write(tmp_path / "mask.nii", scan(np.uint8), Grid(SHAPE, OBLIQUE))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("position", "what"), [(-1, "voxels"), (293, "affine .* and ")], ids=["voxels", "affine"])
def test_what_reads_back_differently_never_gets_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int, what: str
) -> None:
    images.write(tmp_path / "mask.nii", scan(np.uint8), Grid(SHAPE, OBLIQUE))
    whole = (tmp_path / "mask.nii").read_bytes()
    right = Path.write_bytes

    def wrong(path: Path, content: bytes) -> None:
        changed = bytearray(content)
        changed[position] ^= 0x40
        right(path, bytes(changed))

    monkeypatch.setattr(Path, "write_bytes", wrong)
    with pytest.raises(ImageError, match=rf"mask\.nii.*read back .*\({what}"):
        images.write(tmp_path / "mask.nii", scan(np.uint8), Grid(SHAPE, OBLIQUE))
    assert [p.name for p in tmp_path.iterdir()] == ["mask.nii"]
    assert (tmp_path / "mask.nii").read_bytes() == whole


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Path.write_bytes

    def interrupted(path: Path, content: bytes) -> None:
        right(path, content[:99])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        images.write(tmp_path / "mask.nii", scan(np.uint8), Grid(SHAPE, OBLIQUE))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a_t1.nii.gz", "a_t1"), ("a.b.NII", "a.b"), ("x.mha", "x"), ("x.nii.txt", "x.nii.txt"), (".nii", ""), ("gz", "gz")],
)
def test_strip_suffix(name: str, stem: str) -> None:
    assert images.strip_suffix(name) == stem


@pytest.mark.real
@pytest.mark.slow
def test_masks_on_real_cases(real_data: Path, tmp_path: Path) -> None:
    for source in sorted((real_data / "brats").glob("*/*flair.nii.gz")) + sorted((real_data / "brats").glob("*/*t2f.nii.gz")):
        peer = nib.load(source)
        volume = images.read(source)
        np.testing.assert_array_equal(volume.array, np.asanyarray(peer.dataobj))
        images.write(tmp_path / "mask.nii.gz", (volume.array > 0).astype(np.uint8), volume.grid)
        ours = nib.load(tmp_path / "mask.nii.gz")
        np.testing.assert_allclose(ours.affine, peer.affine, atol=1e-6)
        for name in ("qform_code", "sform_code", "xyzt_units"):
            assert ours.header[name] == peer.header[name], (source.name, name)


def test_only_our_errors_reach_the_user() -> None:
    assert issubclass(ImageError, BratsError)
