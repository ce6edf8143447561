"""One case: what is read, how it is turned, and what is refused."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats3d import images
from brats3d.cases import Case, find_cases
from brats3d.errors import BratsError, CaseError, GridError, ImageError, LabelError, OptionError
from brats3d.preprocess import prepare_case

Make = Callable[..., dict[str, Path]]
MODALITIES = ("t1", "t1ce", "t2", "flair")


def found(tmp_path: Path) -> Case:
    return find_cases(tmp_path / "source")[0]


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> None:
    image = nib.load(path)
    array = change(np.asanyarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(array, image.affine if affine is None else affine), path)


def test_a_case_is_its_files(tmp_path: Path, make_case: Make) -> None:
    paths = make_case(1)
    case = prepare_case(found(tmp_path))
    assert (case.id, case.patient, case.corpus) == ("BraTS2021_00001", found(tmp_path).patient, "BraTS 2021")
    assert (case.label_set, case.modalities) == ("L17", MODALITIES)
    assert case.images.dtype == np.int16
    for modality, channel in zip(MODALITIES, case.images, strict=True):
        np.testing.assert_array_equal(channel, nib.load(paths[modality]).get_fdata())
    np.testing.assert_array_equal(case.label, nib.load(paths["seg"]).get_fdata())
    np.testing.assert_array_equal(case.grid.affine, nib.load(paths["t1"]).affine)
    np.testing.assert_array_equal(case.brain_box, [[1, 11], [1, 9], [1, 7]])
    assert list(case.header.sources) == [
        {"name": p.name, "bytes": p.stat().st_size, "crc32": zlib.crc32(p.read_bytes())} for p in paths.values()
    ]


def test_the_label_set_that_a_manifest_states_binds(tmp_path: Path, make_case: Make) -> None:
    paths = make_case(1)
    rewrite(paths["seg"], lambda label: np.where(label == 4, 3, label))
    stated = found(tmp_path)
    stated = dataclasses.replace(stated, facts=dataclasses.replace(stated.facts, corpus="manifest"), label_sets=("LMSD",))
    assert prepare_case(stated).label_set == "LMSD"
    with pytest.raises(LabelError):
        prepare_case(dataclasses.replace(stated, label_sets=("GTV",)))


AXES = ["".join(c) for axes in itertools.permutations(("LR", "AP", "IS")) for c in itertools.product(*axes)]


def test_any_orientation_is_brought_to_lps(tmp_path: Path, make_case: Make, subtests: pytest.Subtests) -> None:
    for axes in AXES:
        with subtests.test(axes=axes):
            is_brought_to_lps(tmp_path, make_case, axes)


def is_brought_to_lps(tmp_path: Path, make_case: Make, axes: str) -> None:
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes))
    shape = (13, 11, 9)
    straight = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.2, -0.2, 0.1) @ np.diag([0.9, 1.1, 2]), [-9, 4, 7])
    affine = straight @ nib.orientations.inv_ornt_aff(turn, shape)
    paths = make_case(1, shape=tuple(np.array(shape)[np.argsort(turn[:, 0])].tolist()), affine=affine)
    assert "".join(nib.aff2axcodes(nib.load(paths["t1"]).affine)) == axes
    case = prepare_case(found(tmp_path))
    for name, stored in (*zip(MODALITIES, case.images, strict=True), ("seg", case.label)):
        ras = nib.as_closest_canonical(nib.load(paths[name]))  # nibabel's own way, then the first two axes turned round
        np.testing.assert_array_equal(stored, ras.get_fdata()[::-1, ::-1])
    corner = np.array([ras.shape[0] - 1, ras.shape[1] - 1, 0, 1])
    np.testing.assert_allclose(case.grid.affine[:, 3], ras.affine @ corner, atol=1e-5)
    np.testing.assert_allclose(case.grid.affine[:3, :3], ras.affine[:3, :3] * [-1, -1, 1], atol=1e-6)
    assert case.grid.axes == "LPS"
    assert (case.source.shape, case.source.axes) == (nib.load(paths["t1"]).shape, axes)
    np.testing.assert_allclose(case.source.affine, affine, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (np.uint8, 255, np.int16), (np.uint16, 32767, np.int16), (np.uint16, 32768, np.float32), (np.int32, -7, np.int16),
        (np.int32, 70_000, np.float32), (np.float32, 12.0, np.int16), (np.float32, 12.25, np.float32),
        (np.float64, -32768.0, np.int16), (np.float64, 1e5, np.float32),
    ],
)  # fmt: skip
def test_images_are_int16_where_that_loses_nothing(
    tmp_path: Path, make_case: Make, kind: type, value: float, stored: type
) -> None:
    paths = make_case(1, kind=kind)
    rewrite(paths["flair"], lambda array: np.where(array == array.max(), value, array).astype(kind))
    case = prepare_case(found(tmp_path))
    assert case.images.dtype == stored
    assert np.isin(value, case.images[3])
    for modality, channel in zip(MODALITIES, case.images, strict=True):
        np.testing.assert_array_equal(channel, nib.load(paths[modality]).get_fdata())


def test_the_label_influences_neither_box_nor_histograms(tmp_path: Path, make_case: Make) -> None:
    paths = make_case(1)
    rewrite(paths["seg"], lambda label: np.where(np.indices(label.shape).sum(0) == 0, 2, label).astype(np.uint8))
    with_label = prepare_case(found(tmp_path))
    assert with_label.label[0, 0, 0] == 2, "tumour outside the brain stays where it is"
    paths["seg"].unlink()
    without = prepare_case(found(tmp_path))
    assert (without.label, without.label_set, without.tumour) == (None, None, {})
    np.testing.assert_array_equal(with_label.images, without.images)
    np.testing.assert_array_equal(with_label.brain_box, without.brain_box)
    for modality in MODALITIES:
        for name, array in with_label.histograms[modality].arrays().items():
            np.testing.assert_array_equal(array, without.histograms[modality].arrays()[name])


@pytest.mark.parametrize("kind", [np.float32, np.int16, np.uint16, np.float64])
def test_a_label_of_any_type_is_its_whole_numbers(tmp_path: Path, make_case: Make, kind: type) -> None:
    paths = make_case(1)
    expected = nib.load(paths["seg"]).get_fdata()
    rewrite(paths["seg"], lambda label: label.astype(kind))
    label = prepare_case(found(tmp_path)).label
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, expected)


def test_a_label_of_another_origin_is_taken_with_a_warning(tmp_path: Path, make_case: Make) -> None:
    paths = make_case(1)
    expected = nib.load(paths["seg"]).get_fdata()
    rewrite(paths["seg"], lambda label: label, np.diag([-1.0, -1.0, 1.0, 1.0]))
    case = prepare_case(found(tmp_path))
    np.testing.assert_array_equal(case.label, expected)
    (said,) = [warning for warning in case.header.warnings if "voxel by voxel" in warning]
    assert "239.0" in said


def test_an_empty_label_and_one_value_are_said(tmp_path: Path, make_case: Make) -> None:
    paths = make_case(1)
    rewrite(paths["seg"], np.zeros_like)
    case = prepare_case(found(tmp_path))
    assert (case.label_set, case.header.warnings[-1].split(";")[0]) == ("L17", "the label is empty")


def test_an_orientation_that_nobody_says_is_said(tmp_path: Path, make_case: Make) -> None:
    """nibabel guesses LAS for a header without orientation; where sform and qform disagree, it takes the sform."""
    paths = make_case(1, labelled=False)
    for path in paths.values():
        image = nib.load(path)
        image.set_sform(None, 0)
        image.set_qform(None, 0)
        nib.save(image, path)
    (said,) = prepare_case(found(tmp_path)).header.warnings
    assert re.search("t1, t1ce, t2, flair .*no orientation.* LAS", said)
    for path in paths.values():
        image = nib.load(path)
        image.set_sform(np.diag([-1.0, -1, 1, 1]), 1)
        image.set_qform(np.diag([1.0, -1, 1, 1]), 1)
        nib.save(image, path)
    (said,) = prepare_case(found(tmp_path)).header.warnings
    assert said == "the header of t1, t1ce, t2, flair says LPS (sform) and RPS (qform); the sform is used."


def test_files_lie_on_one_grid_within_a_tenth_of_a_voxel(tmp_path: Path, make_case: Make) -> None:
    paths = make_case(1)
    straight = nib.load(paths["t2"]).affine
    turned = straight.copy()
    turned[:3, :3] = nib.eulerangles.euler2mat(1e-5, 0, 0) @ straight[:3, :3]
    for affine, refused in ((0.002, False), (turned, False), (0.09, False), (0.11, True)):
        if isinstance(affine, float):
            affine = straight + np.eye(4)[:, [1]] * np.eye(4)[[3]] * affine
        for name in ("t2", "seg"):
            rewrite(paths[name], lambda image: image, affine)
        if refused:
            with pytest.raises(GridError, match=r"t1 and t2 .*239\.0.*239\.11.* 0\.11 voxels"):
                prepare_case(found(tmp_path))
        else:
            assert not [said for said in prepare_case(found(tmp_path)).header.warnings if "differs" in said]


def test_a_label_that_nibabel_scaled_is_read_and_other_fractions_are_not(tmp_path: Path, make_case: Make) -> None:
    """As ``Nifti1Image(image.get_fdata(), affine, header)`` writes it where the header says uint8."""
    paths = make_case(1)
    image = nib.load(paths["seg"])
    expected = image.get_fdata()
    nib.save(nib.Nifti1Image(expected, image.affine, image.header), paths["seg"])
    scaled = nib.load(paths["seg"])
    assert scaled.dataobj.slope == pytest.approx(4 / 255)
    assert np.unique(scaled.get_fdata())[2] == pytest.approx(1.992, abs=1e-3)
    np.testing.assert_array_equal(prepare_case(found(tmp_path)).label, expected)
    expected[5, 4, 3] = 3.5
    expected[6, 5, 4] = 4
    nib.save(nib.Nifti1Image(expected, image.affine, image.header), paths["seg"])
    with pytest.raises(LabelError, match=r"seg\.nii\.gz: .* 3\.4\d+ in 1 voxels .* 0\.01569"):
        prepare_case(found(tmp_path))


def test_what_a_header_contradicts_itself_in_is_said_with_the_case(tmp_path: Path, make_case: Make) -> None:
    """The far corner of 13 × 11 × 9 voxels of 1 mm, hand-worked: 12 of them, 4% larger in x, are 0.48 mm; 5% are 0.6 mm."""
    paths = make_case(1)
    for name, scale in (("t1", 1.04), ("flair", 1.05), ("seg", 1.05)):
        image = nib.load(paths[name])
        image.set_qform(image.affine @ np.diag([scale, 1, 1, 1]), 1)
        nib.save(image, paths[name])
    image = nib.load(paths["t2"])
    image.header["qform_code"] = 9
    nib.save(image, paths["t2"])
    said = [warning for warning in prepare_case(found(tmp_path)).header.warnings if "header" in warning]
    apart = "has an sform and a qform that put corners 0.6 voxels apart; the sform is used."
    assert said == [
        "the header of t2 has a fault that was worked around (qform_code 9 not valid; setting to 0).",
        f"the header of flair {apart}", f"the header of the label {apart}",
    ]  # fmt: skip


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def put(value: float, kind: type) -> Callable[[Path], None]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.astype(kind)
        array[5, 4, 3] = value
        return array

    return lambda path: rewrite(path, change)


BAD: dict[str, tuple[str, Callable[[Path], None], type[BratsError], str]] = {
    "truncated": ("t1ce", cut, ImageError, r"t1ce\.nii\.gz: cannot be read as NIfTI"),
    "empty": ("flair", lambda p: p.write_bytes(b""), ImageError, r"flair\.nii\.gz: .*empty \(0 bytes\)"),
    "text": ("t1", lambda p: p.write_text("id,age\n1,60\n"), ImageError, r"t1\.nii\.gz: cannot be read as NIfTI"),
    "NaN": ("t1", put(np.nan, np.float32), ImageError, r"t1\.nii\.gz: 1 voxels are NaN or infinite"),
    "infinite": ("t2", put(-np.inf, np.float32), ImageError, r"t2\.nii\.gz: 1 voxels are NaN or infinite"),
    "too large for a float": ("t2", put(1e300, np.float64), ImageError, r"t2\.nii\.gz: 1 voxels are NaN or infinite"),
    "another shape": (
        "t2", lambda p: rewrite(p, lambda a: a[:, :, :-1]), GridError,
        r"t1 and t2 .*shape \(13, 11, 9\) and \(13, 11, 8\)"),
    "another affine": (
        "flair", lambda p: rewrite(p, lambda a: a, np.diag([-1.0, -1, 1, 1])), GridError,
        r"t1 and flair .*affine \[\[-1\.0,.*239\.0.* and \[\[-1\.0,"),
    "sheared": (
        "t1", lambda p: rewrite(p, lambda a: a, np.array([[-1.0, 0, 0.2, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])),
        ImageError, r"t1\.nii\.gz: .* sheared.* 11\.3 degrees"),
    "all zero": (
        "t1ce", lambda p: rewrite(p, np.zeros_like), ImageError, r"t1ce\.nii\.gz: all voxels are 0"),
    "vanishing as float32": (
        "t1", lambda p: rewrite(p, lambda a: a * 1e-60), ImageError, r"t1\.nii\.gz: all voxels are 0"),
    "constant": ("t2", lambda p: rewrite(p, lambda a: (a > 0) * np.int16(9)), ImageError, r"t2: .*do not vary"),
    "four axes": (
        "t1", lambda p: rewrite(p, lambda a: np.stack([a, a], -1)), ImageError,
        r"t1\.nii\.gz: the image has shape \(13, 11, 9, 2\); expected one 3-D volume per modality"),
    "label outside its set": (
        "seg", put(3, np.uint8), LabelError,
        r"BraTS2021_00001 .*\[0, 1, 2, 3\].* BraTS 2021 .* L17 \[0, 1, 2, 4\]"),
    "label of fractions": (
        "seg", put(2.5, np.float32), LabelError, r"seg\.nii\.gz: .* 2\.5 in 1 voxels"),
    "label below zero": ("seg", put(-1, np.int16), LabelError, r"seg\.nii\.gz: .* -1 in 1 voxels"),
    "label above 255": ("seg", put(258, np.int16), LabelError, r"seg\.nii\.gz: .* 258 in 1 voxels"),
    "label of NaN": ("seg", put(np.nan, np.float32), ImageError, r"seg\.nii\.gz: 1 voxels are NaN or infinite"),
    "label of another shape": (
        "seg", lambda p: rewrite(p, lambda a: a[:-1]), GridError,
        r"seg\.nii\.gz: .*\(12, 11, 9\).*\(13, 11, 9\)"),
    "label mirrored": (
        "seg", lambda p: rewrite(p, lambda a: a[::-1], np.diag([1.0, -1, 1, 1])), GridError,
        r"seg\.nii\.gz: .*affine \[\[-1\.0,.* and \[\[1\.0,"),
    "label of other spacing": (
        "seg", lambda p: rewrite(p, lambda a: a, np.diag([-1.0, -1, 1.02, 1])), GridError,
        r"seg\.nii\.gz: .*affine .*1\.02"),
    "label truncated": ("seg", cut, ImageError, r"seg\.nii\.gz: cannot be read as NIfTI"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_correctly_is_refused(tmp_path: Path, make_case: Make, what: str) -> None:
    paths = make_case(1)
    name, spoil, kind, says = BAD[what]
    spoil(paths[name])
    with pytest.raises(kind, match=says) as caught:
        prepare_case(found(tmp_path))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert "BraTS2021_00001" in str(caught.value)


def test_a_label_set_may_be_asked_for(tmp_path: Path, make_case: Make) -> None:
    make_case(1)
    assert prepare_case(found(tmp_path), "L17").label_set == "L17"
    with pytest.raises(LabelError, match="--label-set L23"):
        prepare_case(found(tmp_path), "L23")
    with pytest.raises(OptionError, match=r"label set is 'L71'"):
        prepare_case(found(tmp_path), "L71")


def test_region_masks_are_a_label_whose_meaning_is_known(tmp_path: Path, make_case: Make) -> None:
    """As programs with a channel a region write them; a core without oedema around it shows that nothing is guessed."""
    paths = make_case(1)
    label = nib.load(paths["seg"]).get_fdata()
    whole, core, enhancing = label > 0, np.isin(label, (1, 4)), label == 4
    rewrite(paths["seg"], lambda _: np.stack([core, whole, enhancing], -1).astype(np.float32))
    for asked in (None, "LMSD"):
        case = prepare_case(found(tmp_path), asked)
        assert case.label_set == "LMSD"
        np.testing.assert_array_equal(case.label, whole.astype(int) + core + enhancing)
    rewrite(paths["seg"], lambda masks: np.where(np.arange(3) < 2, masks, 0) * 255)
    case = prepare_case(found(tmp_path))
    assert case.label_set == "LMSD", "also where the values without enhancing tumour would be those of the name's own set"
    np.testing.assert_array_equal(case.label, whole.astype(int) + core)
    with pytest.raises(LabelError, match=r"BraTS2021_00001 .*region masks.* LMSD.*--label-set L17"):
        prepare_case(found(tmp_path), "L17")
    rewrite(paths["seg"], lambda masks: np.stack([np.roll(masks[..., 0], 3, 0), masks[..., 1], masks[..., 2]], -1))
    with pytest.raises(LabelError, match=r"seg\.nii\.gz: the three masks are not nested"):
        prepare_case(found(tmp_path))


def test_a_file_of_all_modalities_is_read_once(tmp_path: Path, make_case: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_case(1)
    expected = prepare_case(found(tmp_path))
    order = ("flair", "t1", "t1ce", "t2")
    stack = np.stack([np.asanyarray(nib.load(paths[m]).dataobj) for m in order], -1)
    nib.save(nib.Nifti1Image(stack.astype(np.float32), nib.load(paths["t1"]).affine), tmp_path / "stack.nii.gz")
    case = dataclasses.replace(
        found(tmp_path),
        images=dict.fromkeys(expected.modalities, tmp_path / "stack.nii.gz"),
        channels={m: order.index(m) for m in order},
    )
    opened = []
    read = images.read
    monkeypatch.setattr("brats3d.images.read", lambda path, *room: opened.append(path.name) or read(path, *room))
    got = prepare_case(case)
    assert opened == ["stack.nii.gz", paths["seg"].name]
    assert [source["name"] for source in got.header.sources] == opened
    assert got.images.dtype == np.int16
    np.testing.assert_array_equal(got.images, expected.images)
    np.testing.assert_array_equal(got.label, expected.label)


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        ({"t1": 2}, r"stack\.nii\.gz: .*2 channels \(13, 11, 9, 2\).* 3 "),
        ({}, r"stack\.nii\.gz: the image has shape \(13, 11, 9, 2\); expected one 3-D volume per modality"),
    ],
)
def test_a_channel_that_is_not_there_is_refused(tmp_path: Path, make_case: Make, channels: dict, says: str) -> None:
    t1 = nib.load(make_case(1)["t1"])
    stack = np.stack([np.asanyarray(t1.dataobj)] * 2, -1)
    nib.save(nib.Nifti1Image(stack, t1.affine), tmp_path / "stack.nii.gz")
    case = dataclasses.replace(found(tmp_path), images={"t1": tmp_path / "stack.nii.gz"}, channels=channels)
    with pytest.raises(ImageError, match=says):
        prepare_case(case)


def test_a_case_without_images_is_refused(tmp_path: Path, make_case: Make) -> None:
    make_case(1)
    with pytest.raises(CaseError, match=r"BraTS2021_00001 has no image"):
        prepare_case(dataclasses.replace(found(tmp_path), images={}))


def test_sources_tell_files_apart(tmp_path: Path, make_case: Make) -> None:
    paths = make_case(1)
    for source, path in zip(prepare_case(found(tmp_path)).header.sources, paths.values(), strict=True):
        content = path.read_bytes()
        assert source == {"name": path.name, "bytes": len(content), "crc32": zlib.crc32(content)}


@pytest.mark.parametrize("odd", [*MODALITIES, None])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, ">i2"])
def test_a_modality_of_another_type_is_as_good(tmp_path: Path, make_case: Make, odd: str | None, kind: type | str) -> None:
    """Files alike are read into one array; one that is not must not disturb the others."""
    paths = make_case(1)
    expected = np.stack([nib.load(paths[m]).get_fdata() for m in MODALITIES])
    if odd is not None:
        half = 0.5 if kind is np.float32 else 0
        image = nib.load(paths[odd])
        array = np.asanyarray(image.dataobj)
        changed = (array + half * (array > 0)).astype(kind)
        header = nib.Nifti1Header(endianness=">" if kind == ">i2" else "<")
        header.set_data_dtype(changed.dtype)
        paths[odd].write_bytes(gzip.compress(nib.Nifti1Image(changed, image.affine, header).to_bytes()))
        expected[MODALITIES.index(odd)] += half * (expected[MODALITIES.index(odd)] > 0)
    case = prepare_case(found(tmp_path))
    assert case.images.dtype == (np.float32 if odd and kind is np.float32 else np.int16)
    np.testing.assert_array_equal(case.images, expected)
    rows = [(row.__array_interface__["data"][0], row.nbytes) for row in case.images]
    assert all(b - a == n for (a, n), (b, _) in itertools.pairwise(rows))
