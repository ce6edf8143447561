"""DICOM series on disk: found, picked, read, and left out by name; nothing of the patient is kept."""

from __future__ import annotations

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_made import PATIENT, write_series

from brats3d.errors import CaseError, GridError, ImageError, NoCasesError
from brats3d.raw import choose_series, find_studies
from brats3d.raw.dicom import is_drawing, read_series, read_tags


@pytest.mark.parametrize("turn", [(0, 0, 0), (8, -5, 12), (90, 0, 0)])
def test_a_series_is_read_as_it_was_written(tmp_path: Path, turn: tuple[float, float, float]) -> None:
    array, affine = write_series(tmp_path / "p1" / "scans", "AX T2 TSE", turn=turn)
    (study,) = find_studies(tmp_path)
    assert study.id == "p1_scans"
    chosen, left_out = choose_series(study)
    assert (list(chosen), left_out) == (["t2"], [])
    volume = chosen["t2"].read()
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-4)


def test_a_nifti_pair_is_one_series(tmp_path: Path) -> None:
    for name in ("t1", "flair"):
        nib.save(nib.Nifti1Pair(np.ones((9, 9, 9), np.int16), np.eye(4)), tmp_path / f"{name}.img")
    (study,) = find_studies(tmp_path)
    assert [(series.name, series.modality) for series in study.series] == [("flair.hdr", "flair"), ("t1.hdr", "t1")]
    assert study.series[0].read().array.sum() == 9**3


def test_one_study_of_many_series(tmp_path: Path) -> None:
    study = tmp_path / "case7"
    write_series(study / "a", "AX T1 SE")
    write_series(study / "b", "AX T1 POST")
    write_series(study / "c", "T2 FLAIR")
    write_series(study / "d", "SAG T1", spacing_mm=(2, 2, 7), turn=(90, 0, 90))
    write_series(study / "e", "3 plane loc")
    write_series(study / "f", "T2 TSE", slice_tags={4: {"0020|0037": "1\\0\\0\\0\\0\\1"}})
    write_series(study / "g", "T2 dual", slice_tags={k: {"0018|0081": "20" if k < 5 else "90"} for k in range(9)})
    write_series(study / "h", "T2 report", tags={"0008|0060": "OT"})
    write_series(study / "i", "T2 screen", array=np.zeros((12, 10, 9, 3), np.uint8))
    write_series(study / "j", "FLAIR tumour", array=np.ones((12, 10, 9), np.int16))
    write_series(study / "k", "T2 computed", tags={"0008|0008": "DERIVED\\SECONDARY"})
    write_series(study / "l", "T2 TSE", array=np.random.default_rng(0).integers(0, 99, (12, 10, 4)).astype(np.int16))
    (study / "notes.txt").write_text("no image")
    (study / "x.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"nothing")
    (found,) = find_studies(tmp_path)
    assert found.id == "case7"
    chosen, left_out = choose_series(found)
    assert {m: s.name for m, s in chosen.items()} == {"t1": "AX T1 SE", "t1ce": "AX T1 POST", "flair": "T2 FLAIR"}
    reasons = dict(left_out)
    assert "t1 as well, with slices of 7 mm" in reasons["SAG T1"]
    assert "localiser" in reasons["3 plane loc"]
    assert reasons["T2 dual"] == "multi-echo (TE 20, 90 ms)"
    assert reasons["T2 report"] == "not an MR image (OT)"
    assert reasons["T2 screen"] == "a colour picture"
    assert "a drawing" in reasons["FLAIR tumour"]
    assert "derived" in reasons["T2 computed"]
    assert {why for name, why in left_out if name == "T2 TSE"} == {"a localiser (slices in 2 directions)", "only 4 slices"}


def test_nothing_of_the_patient_is_kept(tmp_path: Path) -> None:
    write_series(tmp_path / "case" / "t1", "AX T1")
    (study,) = find_studies(tmp_path)
    series = study.series[0]
    kept = b"".join(pickle.dumps((f.tags, f.patient)) for f in series.dicom) + study.describe().encode()
    for secret in (PATIENT, "DOE", "19700101", "12345"):
        assert secret.encode() not in kept
    assert PATIENT.split("^")[0] in series.files[0].name, "the test's files do name the patient"


def test_two_series_alike_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a", "AX T1")
    write_series(tmp_path / "b", "AX T1 again")
    (study,) = find_studies(tmp_path)
    with pytest.raises(CaseError, match=r"two series for t1, 'AX T1' \(a\) and 'AX T1 again' \(b\), .*5 mm.* leave one"):
        choose_series(study)


SCAN = np.random.default_rng(8).integers(0, 900, (12, 10, 9)).astype(np.int16)
OTHER = np.random.default_rng(9).integers(0, 900, (12, 10, 9)).astype(np.int16)


def export_again(folder: Path, how: str) -> None:
    """Write the series of ``folder/one`` once more, into ``folder/two``."""
    first = read_tags(min((folder / "one").glob("*.dcm"))).tags
    numbers = {"0020|000e": first["series"]}
    (folder / "two").mkdir()
    if how.startswith("copied"):
        for path in sorted((folder / "one").glob("*.dcm"))[: 4 if how.endswith("in part") else None]:
            (folder / "two" / f"again{path.name}").write_bytes(path.read_bytes())
    elif how == "new image numbers":
        write_series(folder / "two", "AX T1", array=SCAN, tags=numbers)
    elif how == "new series numbers":
        write_series(folder / "two", "AX T1", array=SCAN)
    elif how == "other voxels":
        images = {k: {"0008|0018": f"{first['series']}.{k}"} for k in range(9)}
        write_series(folder / "two", "AX T1", array=OTHER, tags=numbers, slice_tags=images)
    else:
        write_series(folder / "two", "AX T1", array=OTHER, tags=numbers)


@pytest.mark.parametrize("how", ["copied", "copied in part", "new image numbers", "new series numbers"])
def test_a_series_that_was_exported_twice_is_one(tmp_path: Path, how: str) -> None:
    _, affine = write_series(tmp_path / "p1" / "one", "AX T1", array=SCAN)
    write_series(tmp_path / "p1" / "one" / "t2", "AX T2")
    write_series(tmp_path / "p2", "AX T1", study="1.2.4")
    export_again(tmp_path / "p1", how)
    study, _ = find_studies(tmp_path)
    assert study.id == "p1"
    chosen, left_out = choose_series(study)
    assert list(chosen) == ["t1", "t2"]
    volume = chosen["t1"].read()
    np.testing.assert_array_equal(volume.array, SCAN)
    np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-4)
    (said,) = left_out
    copies = {"copied in part": "4 images", "new series numbers": "a copy of 'AX T1' (in two)"}.get(how, "9 images")
    assert (said[0], copies in said[1]) == ("AX T1", True)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            "other voxels",
            r".*SOP instance UID .*\(9 times\) .* \(in one and two\)",
        ),
        ("time points", r".*\(9 times: echoes or time points\)"),
    ],
)
def test_other_images_at_one_place_are_no_copies(tmp_path: Path, how: str, said: str) -> None:
    write_series(tmp_path / "one", "AX T1", array=SCAN)
    export_again(tmp_path, how)
    chosen, _ = choose_series(find_studies(tmp_path)[0])
    with pytest.raises(GridError, match=f"series 'AX T1' has {said}"):
        chosen["t1"].read()


def test_a_copy_beside_the_patients_own_folder_is_no_other_study(tmp_path: Path) -> None:
    for patient, study in (("p1", "1.2.3"), ("p2", "1.2.4")):
        write_series(tmp_path / patient / "one", "AX T1", array=SCAN, study=study)
        export_again(tmp_path / patient, "copied")
        (tmp_path / patient / "two").rename(tmp_path / f"{patient}_again")
    assert [study.id for study in find_studies(tmp_path)] == ["p1_one", "p2_one"]


def test_two_patients_of_one_study_number_are_two_cases(tmp_path: Path) -> None:
    """The first patient's name is spelled in two ways, and lacks in one series; the second has the same series number too."""
    series = {"0020|000e": "1.2.3.9"}
    write_series(tmp_path / "p1" / "a", "T1", array=SCAN, tags=series)
    write_series(tmp_path / "p1" / "b", "T2", tags={"0010|0010": "Doe Jane"})
    write_series(tmp_path / "p1" / "c", "FLAIR", tags={"0010|0010": ""})
    write_series(tmp_path / "p2", "T1", array=OTHER, tags={**series, "0010|0010": "ROE^RICHARD", "0010|0020": "12346"})
    one, two = find_studies(tmp_path)
    assert [(s.id, [x.modality for x in s.series]) for s in (one, two)] == [("p1", ["t1", "t2", "flair"]), ("p2", ["t1"])]
    for study, array in ((one, SCAN), (two, OTHER)):
        np.testing.assert_array_equal(choose_series(study)[0]["t1"].read().array, array)


@pytest.mark.parametrize("tags", [{"0010|0020": "777"}, {"0010|0010": "ROE^RICHARD"}])
def test_number_and_name_each_tell_patients_apart(tmp_path: Path, tags: dict[str, str]) -> None:
    write_series(tmp_path / "p1", "T1")
    write_series(tmp_path / "p1" / "x", "T2", tags=tags)
    assert [s.id for s in find_studies(tmp_path)] == ["p1", "p1_x"]


def test_studies_whose_folders_differ_in_the_date_alone_are_numbered(tmp_path: Path) -> None:
    for day, study in (("20200102", "1.2.4"), ("20190304", "1.2.3")):
        write_series(tmp_path / "anna" / day, f"T1 {day}", study=study)
    write_series(tmp_path / "anna_1", "T1", study="1.2.5")
    found = find_studies(tmp_path)
    assert {s.id: s.series[0].name for s in found} == {"anna_1": "T1", "anna_1_": "T1 20190304", "anna_2": "T1 20200102"}


def test_axial_comes_before_sagittal_and_thin_before_thick(tmp_path: Path) -> None:
    write_series(tmp_path / "a", "SAG T1", turn=(90, 0, 90))
    write_series(tmp_path / "b", "AX T1")
    write_series(tmp_path / "c", "COR T1", turn=(90, 0, 0))
    write_series(tmp_path / "d", "SAG T2", turn=(90, 0, 90), spacing_mm=(2, 2, 4))
    write_series(tmp_path / "e", "AX T2")
    chosen, _ = choose_series(find_studies(tmp_path)[0])
    assert {m: s.name for m, s in chosen.items()} == {"t1": "AX T1", "t2": "SAG T2"}


def test_a_broken_series_gives_way_to_a_whole_one(tmp_path: Path) -> None:
    write_series(tmp_path / "a", "AX T1", leave_out=(5,), array=np.arange(12 * 10 * 12, dtype=np.int16).reshape(12, 10, 12))
    write_series(tmp_path / "b", "AX T1 again", spacing_mm=(2, 2, 6))
    chosen, left_out = choose_series(find_studies(tmp_path)[0])
    assert chosen["t1"].name == "AX T1 again"
    assert "lacks 1 slices" in dict(left_out)["AX T1"]


def test_a_broken_series_alone_is_refused_by_name(tmp_path: Path) -> None:
    write_series(tmp_path / "a", "AX T1", leave_out=(4,), array=np.arange(12 * 10 * 12, dtype=np.int16).reshape(12, 10, 12))
    chosen, _ = choose_series(find_studies(tmp_path)[0])
    with pytest.raises(GridError, match="series 'AX T1' lacks 1 slices"):
        chosen["t1"].read()


def test_the_folder_and_the_timing_speak_where_the_description_does_not(tmp_path: Path) -> None:
    write_series(tmp_path / "T2", "ax brain")
    write_series(tmp_path / "x", "ax", tags={"0018|0081": "11", "0018|0080": "480"})
    write_series(tmp_path / "y", "ax se T1", tags={"0018|0010": "Gadovist"})
    write_series(tmp_path / "z", "unknown")
    study = find_studies(tmp_path)[0]
    assert {s.modality: s.why for s in study.series} == {
        "t2": "'t2'", "t1": "TE 11 ms, TR 480 ms", "t1ce": "'t1' and the contrast agent named in its header",
    }  # fmt: skip
    assert study.left_out == (("unknown", "of no known description"),)


def test_plain_words_outweigh_an_agent_in_the_header(tmp_path: Path) -> None:
    """Scanners keep the agent's name in the header of all series once somebody has typed it in."""
    for name, said in (("T1 PRE", "Gadovist"), ("T1 COR", "no"), ("T1 SAG", "Dotarem")):
        write_series(tmp_path / name, name, tags={"0018|0010": said})
    assert {s.name: s.modality for s in find_studies(tmp_path)[0].series} == {"T1 PRE": "t1", "T1 COR": "t1", "T1 SAG": "t1ce"}


def blank(array: np.ndarray, *slices: int) -> np.ndarray:
    """Return a scan with slices of air."""
    array = array.copy()
    array[:, :, list(slices)] = 0
    return array


def test_slices_of_air_make_no_drawing(tmp_path: Path) -> None:
    scan = np.random.default_rng(3).integers(0, 900, (12, 10, 9)).astype(np.int16)
    drawn = np.zeros_like(scan)
    drawn[3:8, 3:8, 2:7] = 1
    for name, array in (("ax", blank(scan, 4)), ("ay", blank(scan, 4, 2)), ("drawn", drawn)):
        write_series(tmp_path / name, f"T2 {name}", array=array)
    files = {name: [read_tags(path) for path in sorted((tmp_path / name).iterdir())] for name in ("ax", "ay", "drawn")}
    assert {name: is_drawing(tags) for name, tags in files.items()} == {"ax": False, "ay": False, "drawn": True}


def test_a_truncated_slice_is_missed_by_name(tmp_path: Path) -> None:
    write_series(tmp_path, "T2", array=np.random.default_rng(0).integers(0, 900, (64, 64, 9)).astype(np.int16))
    paths = sorted(tmp_path.iterdir())
    tags = [read_tags(path) for path in paths]
    paths[4].write_bytes(paths[4].read_bytes()[:-4000])
    assert not is_drawing(tags), "what cannot be read is no drawing"
    with pytest.raises(ImageError, match=rf"{paths[4].name}: cannot be read as DICOM"):
        read_series("T2", tags)
    with pytest.raises(GridError, match="series 'T2' lacks 1 slices"):
        choose_series(find_studies(tmp_path)[0])[0]["t2"].read()


def test_files_without_a_number_of_their_study_belong_to_their_folder(tmp_path: Path) -> None:
    for patient, scan in (("p1", "t1"), ("p1", "t2"), ("p2", "t1")):
        write_series(tmp_path / patient / scan, scan, study="1.2.77")
    for path in tmp_path.rglob("*.dcm"):
        content = path.read_bytes()
        tag = b"\x20\x00\x0d\x00\x06\x00\x00\x00"
        assert content.count(tag + b"1.2.77") == 1
        path.write_bytes(content.replace(tag + b"1.2.77", tag + b"\0" * 6))
    found = {study.id: [s.modality for s in study.series] for study in find_studies(tmp_path)}
    assert found == {"p1": ["t1", "t2"], "p2_t1": ["t1"]}


@pytest.mark.parametrize("folder", ["anna_2019-03-04", "anna 20190304", "04.03.2019 anna", "anna_4-3-2019", "anna"])
def test_dates_stay_out_of_names(tmp_path: Path, folder: str) -> None:
    write_series(tmp_path / folder / "t1", "T1")
    assert [study.id for study in find_studies(tmp_path)] == ["anna_t1"]


def test_a_whole_head_comes_before_a_part_of_it_and_words_before_timing(tmp_path: Path) -> None:
    scan = np.random.default_rng(5).integers(0, 900, (60, 60, 25)).astype(np.int16)
    write_series(tmp_path / "whole", "T1 AX", array=scan)
    write_series(tmp_path / "part", "T1 AX thin", array=scan, spacing_mm=(2, 2, 2))
    timing = {"0018|0081": "11", "0018|0080": "480"}
    write_series(tmp_path / "x", "axial", array=scan, spacing_mm=(2, 2, 4.5), tags=timing)
    chosen, left_out = choose_series(find_studies(tmp_path)[0])
    assert chosen["t1"].name == "T1 AX"
    assert set(dict(left_out)) == {"T1 AX thin", "axial"}


def test_two_studies_are_two_cases(tmp_path: Path) -> None:
    write_series(tmp_path / "p1" / "t1", "T1", study="1.2.3")
    write_series(tmp_path / "p1" / "t2", "T2", study="1.2.3")
    write_series(tmp_path / "p2", "T1", study="1.2.4")
    write_series(tmp_path / "p3", "T1", study="1.2.5")
    write_series(tmp_path / "p3" / "more", "T1", study="1.2.6")
    assert [s.id for s in find_studies(tmp_path)] == ["p1", "p2", "p3", "p3_more"]
    write_series(tmp_path / "p2" / "t2", "T2", study="1.2.9")
    write_series(tmp_path / "p2" / "flair", "FLAIR", study="1.2.9")
    clash = {s.id: s for s in find_studies(tmp_path)}["p2"]
    with pytest.raises(CaseError, match="p2 has 2 studies in one folder"):
        choose_series(clash)


def test_nifti_files_are_recognised_by_their_names(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.int16), np.eye(4)), path)

    for name in ("p1/x_t1.nii.gz", "p1/x_t1c.nii.gz", "p1/x_fla.nii", "p1/masks/x_mask_t1.nii.gz", "p1/x_other.nii.gz"):
        write(tmp_path / name)
    for name in ("p2/T1/image.nii.gz", "p2/T2/image.nii.gz"):
        write(tmp_path / name)
    one, two = find_studies(tmp_path)
    assert (one.id, two.id) == ("p1", "p2")
    assert {s.modality: s.name for s in one.series} == {"t1": "x_t1.nii.gz", "t1ce": "x_t1c.nii.gz", "flair": "x_fla.nii"}
    assert one.left_out == (("x_other.nii.gz", "of no known name"),)
    assert [s.modality for s in two.series] == ["t1", "t2"]
    assert "t1ce: 'x_t1c.nii.gz' by 't1c'" in one.describe()


def test_linked_studies_are_followed_once(tmp_path: Path) -> None:
    write_series(tmp_path / "elsewhere" / "t1", "T1")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "p1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "source")
    (study,) = find_studies(tmp_path / "source")
    assert (study.id, len(study.series)) == ("p1_t1", 1)


def test_nothing_recognised_is_refused_with_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(NoCasesError, match="does not exist"):
        find_studies(tmp_path / "no")
    with pytest.raises(NoCasesError, match="no series recognised"):
        find_studies(tmp_path)
    write_series(tmp_path / "p1", "SWI")
    with pytest.raises(CaseError, match=r"no series .*'SWI' is susceptibility"):
        choose_series(find_studies(tmp_path)[0])
