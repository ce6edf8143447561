"""What changed since a case was stored is said by name; and one case in other formats is the same case."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats3d import images
from brats3d.cases import find_cases
from brats3d.console import run
from brats3d.geometry import from_stored
from brats3d.preprocess import build_store, prepare_case
from brats3d.preprocess.__main__ import main

Make = Callable[..., dict[str, Path]]
NAME = "BraTS2021_00001"


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        (["seg"], [], [f"without the label, and {NAME}_seg.nii.gz was added since"]),
        (["t2"], [], [f"without t2, and {NAME}_t2.nii.gz was added since"]),
        ([], ["t1"], [f"from {NAME}_t1.nii.gz of", f"where now {NAME} has no such file: t1 was removed since"]),
        ([], ["seg"], [f"from {NAME}_seg.nii.gz of", "the label was removed since"]),
        (["seg"], ["flair"], ["flair was removed since; it was stored without the label"]),
        (["t1", "seg"], [], ["without t1, and", "; it was stored without the label"]),
    ],
)
def test_what_was_added_or_removed(tmp_path: Path, make_case: Make, before: list[str], now: list[str], says: list[str]) -> None:
    """``before``: files that are not there when the case is stored; ``now``: those that are not there later."""
    files = make_case(1)
    hidden = {path: path.rename(tmp_path / path.name) for path in (files[part] for part in before)}
    build_store(tmp_path / "source", out=tmp_path / "store")
    for path, aside in hidden.items():
        aside.rename(path)
    for part in now:
        files[part].unlink()
    make_case(2)
    report = build_store(tmp_path / "source", out=tmp_path / "store")
    assert list(report.written) == ["BraTS2021_00002"]
    for words in says:
        assert words in report.refused[NAME]


def test_a_label_added_to_a_4d_case(tmp_path: Path, make_case: Make) -> None:
    files = make_case(1)
    task = tmp_path / "task"
    (task / "imagesTr").mkdir(parents=True)
    (task / "labelsTr").mkdir()
    stack = np.stack([np.asanyarray(nib.load(files[m]).dataobj) for m in ("flair", "t1", "t1ce", "t2")], -1)
    nib.save(nib.Nifti1Image(stack, nib.load(files["t1"]).affine), task / "imagesTr/BRATS_001.nii.gz")
    build_store(task, out=tmp_path / "store")
    nib.save(nib.load(files["seg"]), task / "labelsTr/BRATS_001.nii.gz")
    refused = build_store(task, out=tmp_path / "store").refused["BRATS_001"]
    assert "was stored without the label, and BRATS_001.nii.gz was added since; make it again" in refused


def convert(files: dict[str, Path], kind: Callable[..., object], suffix: str) -> dict[str, Path]:
    """Write a case's files in another format, in place of the old ones."""
    converted = {}
    for part, path in files.items():
        image = nib.load(path)
        converted[part] = path.with_name(path.name.replace(".nii.gz", suffix))
        nib.save(kind(np.asanyarray(image.dataobj), image.affine), converted[part])
        path.unlink()
    return converted


@pytest.mark.parametrize(("kind", "suffix"), [(nib.Nifti1Pair, ".hdr"), (nib.MGHImage, ".mgz")])
def test_another_format_is_the_same_case(tmp_path: Path, make_case: Make, kind: Callable[..., object], suffix: str) -> None:
    files = make_case(1)
    [case] = find_cases(tmp_path / "source")
    expected = prepare_case(case, "L17")
    files = convert(files, kind, suffix)
    [case] = find_cases(tmp_path / "source")
    assert dict(case.images) == {m: files[m] for m in case.images}
    prepared = prepare_case(case, "L17")
    np.testing.assert_array_equal(prepared.images, expected.images)
    assert prepared.label is not None
    np.testing.assert_array_equal(prepared.label, expected.label)
    np.testing.assert_allclose(prepared.source.affine, expected.source.affine, atol=1e-5)
    images.write(tmp_path / "mask.nii.gz", from_stored(prepared.label, prepared.source), prepared.source)
    mask, scan = nib.load(tmp_path / "mask.nii.gz"), nib.load(files["seg"])
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), np.asanyarray(scan.dataobj))


def test_the_voxels_of_a_pair_are_compared_too(tmp_path: Path, make_case: Make) -> None:
    voxels = convert(make_case(1), nib.Nifti1Pair, ".hdr")["t2"].with_suffix(".img")
    make_case(2)
    build_store(tmp_path / "source", out=tmp_path / "store")
    content = bytearray(voxels.read_bytes())
    content[len(content) // 2] ^= 1
    voxels.write_bytes(content)
    os.utime(voxels, (4e9, 4e9))
    refused = build_store(tmp_path / "source", out=tmp_path / "store").refused
    assert refused.keys() == {NAME}
    assert f"{NAME}_t2.hdr, where now that file has other bytes" in refused[NAME]
    with voxels.open("ab") as file:
        file.write(b"\0")
    assert "t2 was changed since" in build_store(tmp_path / "source", out=tmp_path / "store").refused[NAME]


def test_the_command_names_what_it_does_not_use(tmp_path: Path, make_case: Make, capsys: pytest.CaptureFixture[str]) -> None:
    files = make_case(1)
    files["t2"].rename(files["t2"].with_name(f"{NAME}_second_echo.nii.gz"))
    assert run(main, [str(tmp_path / "source"), "--out", str(tmp_path / "store"), "--workers", "1"]) == 0
    assert f"{NAME}_second_echo.nii.gz" in capsys.readouterr().err


def test_a_folder_of_dicom_files_is_told_of_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study/IM1").write_bytes(bytes(128) + b"DICM" + bytes(60))
    assert run(main, [str(tmp_path / "study"), "--out", str(tmp_path / "store")]) == 2
    assert "--raw" in capsys.readouterr().err


def test_files_that_changed_names_are_read(tmp_path: Path, make_case: Make) -> None:
    """Files that are not packed have one size, and keep their time when they are renamed."""
    files = {part: path for part, path in make_case(1).items() if part in ("t1", "t2")}
    for path in files.values():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    files = {part: path.with_suffix("") for part, path in files.items()}
    assert files["t1"].stat().st_size == files["t2"].stat().st_size
    build_store(tmp_path / "source", out=tmp_path / "store")
    aside = files["t1"].rename(tmp_path / "aside")
    files["t2"].rename(files["t1"])
    aside.rename(files["t2"])
    make_case(2)
    refused = build_store(tmp_path / "source", out=tmp_path / "store").refused[NAME]
    assert f"from {NAME}_t1.nii, where now that file has other bytes" in refused
    assert f"from {NAME}_t2.nii, where now that file has other bytes" in refused


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619"])
def test_dicom_beside_cases_is_named(tmp_path: Path, make_case: Make, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = make_case(1)
    files["flair"].unlink()
    (files["t1"].parent / name).write_bytes(bytes(128) + b"DICM" + bytes(60))
    (files["t1"].parent / "notes").write_bytes(b"no image")
    assert run(main, [str(tmp_path / "source"), "--out", str(tmp_path / "store"), "--workers", "1"]) == 0
    said = capsys.readouterr().err
    assert f"1 image files are not used: {files['t1'].parent / name} (DICOM is read by preprocess --raw)" in said


def test_a_name_that_is_no_text_is_refused_by_itself(
    tmp_path: Path, make_case: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in make_case(1).values():
        other = os.fsencode(path).replace(NAME.encode(), b"M\xfcller")
        os.makedirs(os.path.dirname(other), exist_ok=True)
        shutil.copy(path, other)
    assert run(main, [str(tmp_path / "source"), "--out", str(tmp_path / "store"), "--workers", "1"]) == 3
    assert [path.name for path in (tmp_path / "store").iterdir()] == [f"{NAME}.h5"]
    err = capsys.readouterr().err
    assert "the name 'M\\udcfcller.h5' is not text in utf-8" in err
    assert "bug" not in err


@pytest.mark.parametrize("force", [False, True])
def test_ids_that_differ_in_letter_case_alone(tmp_path: Path, make_case: Make, force: bool) -> None:
    """On many file systems the second case's file would replace the first one's."""
    files = make_case(1)
    for name in ("P01", "p01", "q"):
        manifest = [{"case": name, "t1": str(files["t1"])}]
        (tmp_path / f"{name}.json").write_text(json.dumps(manifest))
    build_store(tmp_path / "P01.json", out=tmp_path / "store")
    stored = (tmp_path / "store/P01.h5").read_bytes()
    report = build_store(tmp_path / "p01.json", out=tmp_path / "store", force=force)
    assert (report.written, list(report.refused)) == ((), ["p01"])
    assert "p01 and P01 differ only in letter case" in report.refused["p01"]
    assert (tmp_path / "store/P01.h5").read_bytes() == stored
