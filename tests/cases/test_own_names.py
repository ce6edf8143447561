"""Cases under names of anybody's own making: every scan in the case's folder is found, or said to be left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brats3d.cases import Case, find_cases, look_for_cases
from brats3d.errors import NoCasesError, OptionError

BIDS = ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR")
LABELS = {"background": 0, "edema": 1, "non-enhancing": 2, "enhancing": 3}
CHANNELS = {"0": "T1", "1": "T1Gd", "2": "T2", "3": "FLAIR"}


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root: Path) -> dict[str, dict[str, str]]:
    """Return case → modality or label → file, from the root."""
    return {
        case.id: {
            kind: file.relative_to(root).as_posix()
            for kind, file in (*case.images.items(), *([("label", case.label)] if case.label else []))
        }
        for case in find_cases(root)
    }


PARTS = ("t1", "t1ce", "t2", "flair", "label")
TREES = {
    # id, then files of t1, t1ce, t2, flair and the label
    "since 2023": ("pat1", [f"pat1/pat1_{p}.nii.gz" for p in ("t1n", "t1c", "t2w", "t2f", "seg")]),
    "hyphens": ("pat1", [f"pat1-{p}.nii.gz" for p in ("T1", "T1CE", "T2", "FLAIR", "SEG")]),
    "long words": (
        "P 7", [f"P 7_{p}.nii" for p in ("T1_pre", "T1_post_contrast", "T2_tse", "t2_tirm_dark-fluid", "tumor_segmentation")]),
    "contrast before": ("x", [f"x_{p}.nii.gz" for p in ("pre_T1", "post_T1", "T2", "FLAIR", "Seg")]),
    "bare": ("pat1", [f"HGG/pat1/{p}.nii.gz" for p in ("t1", "t1c", "t2", "flair", "seg")]),
    "bare, a folder a scan": (
        "EGD-1", [f"EGD-1/{n}_{p}/NIFTI/{p}.nii.gz" for n, p in enumerate(("T1", "T1GD", "T2", "FLAIR", "SEG"))]),
    "a bare label": ("pat1", [*(f"pat1/pat1_{p}.nii.gz" for p in ("t1", "t1ce", "t2", "flair")), "pat1/seg.nii.gz"]),
    "labels apart": ("pat1", [*(f"images/pat1_{p}.nii.gz" for p in ("t1", "t1ce", "t2", "flair")), "labels/pat1_seg.nii.gz"]),
    "pairs": ("pat1", [f"pat1/pat1_{p}.hdr" for p in ("t1", "t1gd", "t2", "flair", "seg")]),
    "FreeSurfer": ("pat1", [f"pat1_{p}.mgz" for p in ("T1", "T1post", "T2", "FLAIR", "seg")]),
    "BIDS": ("sub-01", [*(f"sub-01/anat/sub-01_{p}.nii.gz" for p in BIDS), "derivatives/m/sub-01/anat/sub-01_dseg.nii.gz"]),
    "BIDS, sessions": (
        "sub-a_ses-2",
        [*(f"rawdata/sub-a/ses-2/anat/sub-a_ses-2_acq-3d_{p}.nii" for p in BIDS),
         "derivatives/manual_masks/sub-a/ses-2/anat/sub-a_ses-2_desc-tumor_mask.nii"]),
    "BIDS, contrast otherwise": (
        "sub-1", [*(f"sub-1_{p}.nii" for p in ("T1w", "acq-post_T1w", "T2w", "FLAIR")), "sub-1_space-T1_label-tumor.nii"]),
    "brain and mask": ("P1_T1", [f"P1_T1_brain_{p}.nii.gz" for p in ("t1n", "t1c", "t2w", "t2f")] + ["P1_T1_tumorMask.nii.gz"]),
    "time points": ("p_T1", [f"p_T1_{p}.nii.gz" for p in ("t1", "t1ce", "t2", "flair", "seg")]),
    "visits": ("p7_post", [f"p7_post_{p}.nii.gz" for p in ("t1", "t1ce", "t2", "flair", "seg")]),
}  # fmt: skip


@pytest.mark.parametrize("tree", TREES)
def test_a_tree_is_one_case(tmp_path: Path, tree: str) -> None:
    name, files = TREES[tree]
    make(tmp_path, *files, *(file.replace(".hdr", ".img") for file in files))
    assert found(tmp_path) == {name: dict(zip(PARTS, files, strict=True))}
    assert look_for_cases(tmp_path).passed_over == {}


def test_visits_of_one_patient(tmp_path: Path) -> None:
    make(tmp_path, *(f"P-1/week-{n:03}/{p}.nii.gz" for n in (0, 12) for p in ("T1", "CT1")), "P-2/T1.nii.gz")
    assert [(case.id, case.patient, case.timepoint) for case in find_cases(tmp_path)] == [
        ("P-1_week-000", "P-1", "week-000"), ("P-1_week-012", "P-1", "week-012"), ("P-2", "P-2", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "cases", "left"),
    [
        # a flat folder of names without a modality, or with another case in it, is no case
        (["001.nii.gz", "002.nii.gz", "a_t1.nii.gz"], ["a"], ["001.nii.gz", "002.nii.gz"]),
        (["t1.nii.gz", "seg.nii.gz", "a/a_t1.nii.gz", "b/b_t1.nii.gz"], ["a", "b"], ["seg.nii.gz", "t1.nii.gz"]),
        (["t1.nii.gz", "a/t1.nii.gz", "b/flair.nii.gz"], ["a", "b"], ["t1.nii.gz"]),
        (["t1.nii.gz", "a_t1.nii.gz"], ["a"], ["t1.nii.gz"]),
        (["a/t1.nii", "a/T2.nii", "a/tool/native/seg.nii"], ["a"], ["seg.nii"]),
        # numbers of series, as converters of DICOM write them
        (["p/3_t1_mprage.nii", "p/7_t2_tse.nii", "q_t1.nii"], ["q"], ["3_t1_mprage.nii", "7_t2_tse.nii"]),
        # beside a case
        (["a_t1.nii.gz", "a_dwi.nii.gz", "a_t2.nrrd"], ["a"], ["a_dwi.nii.gz", "a_t2.nrrd"]),
        (["a_t1.nii", "a_t1_brain.nii", "a_seg.nii", "a_et_seg.nii"], ["a"], ["a_et_seg.nii", "a_t1_brain.nii"]),
        (["p_t1.nii.gz", "p_t1.nii"], ["p"], ["p_t1.nii"]),
        # where others are there only as registered, the native scan lies elsewhere
        (["p_t1.nii", "p_t1_reg.nii", "p_t2_reg.nii", "p_seg.nii"], ["p"], ["p_t1.nii"]),
        # brain masks, tissues, single tissues and pipelines' images are no tumour's
        (
            ["sub-1_T1w.nii", "derivatives/x/sub-1/sub-1_desc-brain_mask.nii", "derivatives/x/sub-1/sub-1_label-ET_mask.nii",
             "derivatives/fmriprep/sub-1/sub-1_desc-preproc_T1w.nii", "derivatives/fmriprep/sub-1/sub-1_dseg.nii"],
            ["sub-1"],
            ["sub-1_desc-brain_mask.nii", "sub-1_label-ET_mask.nii", "sub-1_dseg.nii", "sub-1_desc-preproc_T1w.nii"],
        ),
        # without another file of x or x_post, nothing says which of the two is meant
        (["x_post_t1.nii.gz", "y_t2.nii.gz"], ["y"], ["x_post_t1.nii.gz"]),
    ],
)  # fmt: skip
def test_what_is_left_out_is_named(
    tmp_path: Path, files: list[str], cases: list[str], left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, *files)
    finding = look_for_cases(tmp_path)
    assert caplog.messages == []
    assert [case.id for case in finding.cases] == cases
    assert sorted(Path(path).name for path in finding.passed_over) == sorted(left)
    assert [case.id for case in find_cases(tmp_path)] == cases
    [warning] = caplog.messages
    assert f"{len(left)} image files are not used" in warning
    assert all(name in warning for name in left)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["a_t1c.nii.gz", "a_t1ce.nii.gz"], r"case a has two files for its t1ce, .*a_t1c\.nii\.gz and .*a_t1ce\.nii\.gz"),
        (["a_t1c.nii.gz", "a_t1ce.nii"], r"case a has two files for its t1ce"),
        (["sub-1_run-1_T2w.nii", "sub-1_run-2_T2w.nii"], r"case sub-1 has two files for its t2, .*run-1.*run-2"),
        (["a_seg.nii.gz", "a_label.nii.gz"], r"case a has two files for its label"),
        (["P01/P01_t1.nii", "p01/p01_t1.nii"], r"case p01 has two files .* \(as P01 and p01: .*letter case"),
        (["a/v/t1.nii", "b/v/t1.nii"], r"case v is in two folders, .*/a/v and .*/b/v"),
    ],
)  # fmt: skip
def test_two_files_for_one_thing_are_refused(tmp_path: Path, files: list[str], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        find_cases(make(tmp_path, *files))


@pytest.mark.parametrize(
    ("case", "parts", "other"),
    [
        *(("BraTS2021_00495", "_t1 _t1ce _t2 _flair _seg", f"BraTS2021_00495_{kind}")
          for kind in ("t2f", "T1_post", "segmentation", "tumor_mask", "t1ce_seg")),
        ("BraTS2021_00495", "_t1 _t1ce _t2 _flair _seg", "label"),
        ("BraTS-GLI-00001-000", "-t1n -t1c -t2w -t2f -seg", "BraTS-GLI-00001-000_t1"),
        ("UPENN-GBM-00001_11", "_T1 _T1GD _T2 _FLAIR _automated_approx_segm", "UPENN-GBM-00001_11_seg"),
    ],
)  # fmt: skip
def test_a_corpus_own_names_come_first(
    tmp_path: Path, case: str, parts: str, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    official = [f"{case}/{case}{part}.nii.gz" for part in parts.split()]
    make(tmp_path, *official, f"{case}/{other}.nii.gz")
    assert found(tmp_path) == {case: dict(zip(PARTS, official, strict=True))}
    assert f"{other}.nii.gz" in caplog.text
    (tmp_path / case / f"{other}.nii.gz").rename(tmp_path / case / "label.nii.gz")
    (tmp_path / official[-1]).unlink()
    assert found(tmp_path)[case]["label"] == f"{case}/label.nii.gz"


@pytest.mark.parametrize("name", ["scan.dcm", "IM0001"])
def test_a_folder_of_dicom_files_is_told_of_raw(tmp_path: Path, name: str) -> None:
    make(tmp_path, f"study/{name}")
    (tmp_path / "study" / name).write_bytes(bytes(128) + b"DICM" + bytes(60))
    with pytest.raises(NoCasesError, match=r"--raw"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["D/imagesTr/a_0000.nrrd", "D/dataset.json"], r"1 images are skipped: \.nrrd is not read"),
        (["in/a_0000.nii.gz", "in/a_0001.nii.gz", "b.nii.gz"], r"2 images are skipped: named like nnU-Net.* imagesTr"),
    ],
)
def test_why_nothing_was_found(tmp_path: Path, names: list[str], says: str) -> None:
    with pytest.raises(NoCasesError, match=says):
        find_cases(make(tmp_path, *names))


def test_what_a_manifest_names_is_no_case_of_its_folder(tmp_path: Path) -> None:
    make(tmp_path, "scans/a/t1.nii.gz", "scans/q_t2.hdr", "scans/q_t2.img", "scans/r_t2.nii")
    (tmp_path / "m.csv").write_text("case,t1,t2\none,scans/a/t1.nii.gz,scans/q_t2.img\n")
    assert [case.id for case in find_cases([tmp_path / "m.csv", tmp_path / "scans"])] == ["one", "r"]


def nnunet(root: Path, content: Any, *, labels: bool = True) -> list[Case]:
    make(root, *(f"Dataset1/imagesTr/P_{n:04}.nii.gz" for n in range(4)))
    if labels:
        make(root, "Dataset1/labelsTr/P.nii.gz")
    if content is not None:
        (root / "Dataset1/dataset.json").write_text(json.dumps(content))
    return find_cases(root)


@pytest.mark.parametrize(
    ("labels", "label_sets"),
    [
        (LABELS, ("LMSD",)),
        ({"background": 0, "NCR": 1, "ED": 2, "ET": 3}, ("L23",)),
        ({"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}, ("L24",)),
        ({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}, ("LMSD",)),
        ({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": 3}, ("L23",)),
        ({"background": 0, "WT": [1, 2, 3, 4], "TC": [1, 2, 3], "ET": 1, "CC": 3}, ("LPED",)),
        ({"background": 0, "tumor": 1}, ("GTV",)),
    ],
)
def test_nnunet_says_in_its_file_what_channels_and_labels_are(tmp_path: Path, labels: Any, label_sets: tuple[str, ...]) -> None:
    names = {"0": "T2w", "1": "FLAIR", "2": "T1", "3": "T1ce"}
    [case] = nnunet(tmp_path, {"channel_names": names, "labels": labels, "file_ending": ".nii.gz"})
    assert (case.id, case.corpus, case.label_sets, case.channels) == ("P", "nnU-Net", label_sets, {})
    assert {m: file.name for m, file in case.images.items()} == {
        "t1": "P_0002.nii.gz", "t1ce": "P_0003.nii.gz", "t2": "P_0000.nii.gz", "flair": "P_0001.nii.gz",
    }  # fmt: skip
    assert case.label == tmp_path / "Dataset1/labelsTr/P.nii.gz"


def test_the_decathlon_as_nnunet_converts_it(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(f"imagesTr/BRATS_001_{n:04}.nii.gz" for n in range(4)),
        "labelsTr/BRATS_001.nii.gz",
        "imagesTs/z_0000.nii.gz",
    )
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": CHANNELS, "labels": {"0": "background", "1": "edema",
                                                       "2": "non-enhancing tumor", "3": "enhancing tumour"}}))  # fmt: skip
    labelled, bare = find_cases(tmp_path)
    assert (labelled.id, labelled.missing, labelled.label_sets) == ("BRATS_001", (), ("LMSD",))
    assert labelled.label == tmp_path / "labelsTr/BRATS_001.nii.gz"
    assert (bare.id, list(bare.images), bare.label) == ("z", ["t1"], None)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"Dataset1 has nnU-Net's numbered channels .* no dataset\.json"),
        ({"channel_names": CHANNELS}, r"labels are None"),
        ({"channel_names": CHANNELS, "labels": {"background": 0, "liver": 1}}, r"labels are .*'liver': 1.*no known label set"),
        ({"channel_names": CHANNELS, "labels": {"WT": [1, 2, 3], "TC": [1, 2], "ET": 3}}, r"'TC': \[1, 2\].*no known label"),
        ({"channel_names": CHANNELS, "labels": {**LABELS, "ignore": 4}}, r"'ignore': 4.*no known label set"),
        ({"channel_names": {"T1": 0}, "labels": LABELS}, r"channel_names is \{'T1': 0\}; expected a name per channel"),
        ({"channel_names": {"0": "CT"}, "labels": LABELS}, r"channel 0 is called 'CT'; expected one of: t1"),
    ],
)  # fmt: skip
def test_what_nnunets_file_does_not_tell_is_refused(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        nnunet(tmp_path, content)


def test_labels_of_scans_without_any_are_not_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [case] = nnunet(tmp_path, {"channel_names": {"0": "T1", "2": "T2"}, "labels": {"x": 1}}, labels=False)
    assert list(case.images) == ["t1", "t2"]
    assert "P_0001.nii.gz" in caplog.text, "a channel that the file does not know"
    assert "P_0003.nii.gz" in caplog.text
