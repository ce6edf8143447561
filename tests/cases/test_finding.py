"""What finding tells beside the cases: years by folders, labels by hand and by program, contradictions, files passed over."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from brats3d.cases import CORPORA, Case, Facts, corpus_of, find_cases, look_for_cases, patient_of, settle_label_set
from brats3d.errors import LabelError, NoCasesError, OptionError

MODERN = ("t1n", "t1c", "t2w", "t2f", "seg")


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def modern(folder: str, case: str) -> list[str]:
    return [f"{folder}/{case}/{case}-{part}.nii.gz" for part in MODERN]


def upenn(label: str) -> list[str]:
    case = "UPENN-GBM-00054_11"
    images = [f"images_structural/{case}/{case}_{part}.nii.gz" for part in ("T1", "T1GD", "T2", "FLAIR")]
    return [*images, label.format(case)]


@pytest.mark.parametrize(
    ("folder", "case", "corpus", "label_sets"),
    [
        ("BraTS2023", "BraTS-PED-00002-000", "BraTS 2023 PED", ("L23",)),
        ("ASNR-MICCAI-BraTS2023-PED-Challenge-TrainingData", "BraTS-PED-00002-000", "BraTS 2023 PED", ("L23",)),
        ("BraTS-PEDs2024_Training", "BraTS-PED-00002-000", "BraTS 2024-2025 PED", ("LPED",)),
        ("BraTS2025-PED", "BraTS-PED-00002-000", "BraTS 2024-2025 PED", ("LPED",)),
        ("cohort", "BraTS-PED-00002-000", "BraTS PED", ("L23", "LPED")),
        ("BraTS2024/BraTS2023-PED", "BraTS-PED-00002-000", "BraTS 2023 PED", ("L23",)),
        ("BraTS2023/old/brats2024_new", "BraTS-PED-00002-000", "BraTS 2024-2025 PED", ("LPED",)),
        # numbers of cases are no years
        ("BraTS2025", "BraTS-MET-02023-000", "BraTS 2025 MET", ("L24",)),
        ("cohort", "BraTS-MET-02025-000", "BraTS MET", ("L23", "L24")),
        ("cohort2025", "BraTS-MET-00001-000", "BraTS MET", ("L23", "L24")),
        ("BraTS2024", "BraTS-MET-00001-000", "BraTS 2024 MET", ("L23",)),
        ("BraTS2024/95_Glioma", "BraTS-SSA-00002-000", "BraTS-Africa", ("L23",)),
        ("BraTS2024", "BraTS-SSA-00002-000", "BraTS 2023 SSA", ("L23",)),
    ],
)
def test_the_deepest_folder_that_names_a_year_counts(
    tmp_path: Path, folder: str, case: str, corpus: str, label_sets: tuple[str, ...]
) -> None:
    [found] = find_cases(make(tmp_path, *modern(folder, case)))
    assert (found.corpus, found.label_sets, found.missing) == (corpus, label_sets, ())
    assert ("in a folder" in found.reason) == bool(CORPORA[corpus].folder)


@pytest.mark.parametrize(
    ("folder", "corpus", "grade"),
    [
        ("TCGA-GBM", "TCGA-GBM", "HGG"),
        ("Pre-operative_TCGA_LGG_NIfTI_and_Segmentations", "TCGA-LGG", "LGG"),
        ("BraTS-TCGA-GBM_and_TCGA-LGG", "TCGA", None),
        ("mixed", "TCGA", None),
        ("hgg_lgg/TCGA-GBM", "TCGA-GBM", "HGG"),
        ("TCGA-GBM-LGG/TCGA-LGG", "TCGA-LGG", "LGG"),
    ],
)
def test_a_folder_of_both_collections_tells_no_grade(tmp_path: Path, folder: str, corpus: str, grade: str | None) -> None:
    name = "TCGA-02-0006_1996.08.23"
    parts = ("t1", "t1Gd", "t2", "flair", "GlistrBoost_ManuallyCorrected")
    [found] = find_cases(make(tmp_path, *(f"{folder}/TCGA-02-0006/{name}_{part}.nii.gz" for part in parts)))
    assert (found.id, found.corpus, found.grade, found.missing) == ("TCGA-02-0006", corpus, grade, ())


def test_a_label_by_hand_counts_before_a_programs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, *upenn("automated_segm/{}_automated_approx_segm.nii.gz"))
    [case] = find_cases(tmp_path)
    assert case.label == tmp_path / "automated_segm/UPENN-GBM-00054_11_automated_approx_segm.nii.gz"
    assert "label made by a program" in case.reason
    assert caplog.messages == ["1 cases of UPENN-GBM have a label made by a program and not corrected by hand."]
    caplog.clear()
    make(tmp_path, *upenn("images_segm/{}_segm.nii.gz"))
    finding = look_for_cases(tmp_path)
    [case] = finding.cases
    assert case.label == tmp_path / "images_segm/UPENN-GBM-00054_11_segm.nii.gz"
    assert "program" not in case.reason
    assert list(finding.passed_over.values()) == ["UPENN-GBM-00054_11_segm.nii.gz is used"]
    assert caplog.messages == []


@pytest.mark.parametrize("names", [("GlistrBoost", "GlistrBoost_ManuallyCorrected"), ("GlistrBoost_ManuallyCorrected",)])
def test_a_corrected_label_counts_before_the_programs_own(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, *(f"TCGA-02-0006_1996.08.23_{n}.nii.gz" for n in ("t1", *names)))
    [case] = find_cases(tmp_path)
    assert case.label == tmp_path / "TCGA-02-0006_1996.08.23_GlistrBoost_ManuallyCorrected.nii.gz"
    assert "1996" not in case.id + case.patient + str(case.timepoint)


def test_two_days_of_one_patient_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "TCGA-02-0006_1996.08.23_t1.nii.gz", "TCGA-02-0006_1997.01.02_t1.nii.gz")
    with pytest.raises(OptionError, match=r"case TCGA-02-0006 has two files for its t1, .*1996.*1997"):
        find_cases(tmp_path)


def test_other_series_of_the_collections_are_passed_over(tmp_path: Path) -> None:
    ucsf, penn = "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_", "UPENN-GBM-00001_11_"
    make(tmp_path, *(f"{ucsf}{part}.nii.gz" for part in ("T1", "T1_bias", "SWI", "DWI", "brain_segmentation")))
    make(tmp_path, *(f"{penn}{part}.nii.gz" for part in ("T2", "T2_unstripped", "DTI_FA")))
    finding = look_for_cases(tmp_path)
    assert {case.id: list(case.images) for case in finding.cases} == {"UCSF-PDGM-0004": ["t1"], "UPENN-GBM-00001_11": ["t2"]}
    assert len(finding.passed_over) == 6
    assert set(finding.passed_over.values()) == {"no corpus has such image names"}


def test_contradictions_are_counted_and_told(tmp_path: Path) -> None:
    for case in ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000"):
        make(tmp_path, *modern("a", case), *modern("b", case))
    make(tmp_path, *modern("a", "BraTS-GLI-00003-000"))
    with pytest.raises(OptionError, match=r"00001-000 is in two folders, .*; 1 more like it"):
        find_cases(tmp_path)
    finding = look_for_cases(tmp_path)
    assert list(finding.conflicts) == ["BraTS-GLI-00001-000", "BraTS-GLI-00002-000"]
    assert len(finding.cases) == 3
    assert all("/a/" in str(file) for case in finding.cases for file in case.files)
    assert len(finding.passed_over) == 10
    assert set(finding.passed_over.values()) == {"the case is also in another folder"}


def test_several_years_and_collections_in_one_folder(tmp_path: Path) -> None:
    make(tmp_path, *modern("2023/BraTS2023-PED", "BraTS-PED-00002-000"), *modern("2025/BraTS2025-MET", "BraTS-MET-00001-000"))
    make(tmp_path, *modern("x", "BraTS-GLI-00001-101"), *upenn("images_segm/{}_segm.nii.gz"))
    make(tmp_path, "Task01_BrainTumour/imagesTr/BRATS_001.nii.gz", "old/BRATS_HG0001/BRATS_HG0001_T1.mha", "own/p_t1.nii")
    assert {case.id: case.corpus for case in find_cases(tmp_path)} == {
        "BraTS-PED-00002-000": "BraTS 2023 PED",
        "BraTS-MET-00001-000": "BraTS 2025 MET",
        "BraTS-GLI-00001-101": "BraTS 2024-2025 GLI",
        "UPENN-GBM-00054_11": "UPENN-GBM",
        "BRATS_001": "MSD Task01",
        "BRATS_HG0001": "BraTS 2012",
        "p": "plain",
    }


def test_synthetic_cases_of_2013_are_others_than_the_patients(tmp_path: Path) -> None:
    for folder in ("BRATS-2/Image_Data/HG/0001", "BRATS-2/Synthetic_Data/HG/0001"):
        make(tmp_path, f"{folder}/VSD.Brain.XX.O.MR_T1/VSD.Brain.XX.O.MR_T1.685.mha")
    assert [case.id for case in find_cases(tmp_path)] == ["HG_0001", "Synthetic_HG_0001"]


def test_a_case_of_one_modality(tmp_path: Path) -> None:
    make(tmp_path, "BraTS-MEN-RT-0004-1/BraTS-MEN-RT-0004-1_t1c.nii.gz", "BraTS-MEN-RT-0004-1/BraTS-MEN-RT-0004-1_gtv.nii.gz")
    [case] = find_cases(tmp_path)
    assert (case.corpus, list(case.images), case.missing) == ("BraTS 2024 MEN-RT", ["t1ce"], ("t1", "t2", "flair"))
    assert (case.patient, case.timepoint, case.label_sets) == ("BraTS-MEN-RT-0004", "1", ("GTV",))
    assert [file.name[-9:] for file in case.files] == ["1c.nii.gz", "tv.nii.gz"]


def test_the_files_of_a_4d_case_are_listed_once(tmp_path: Path) -> None:
    make(tmp_path, "imagesTr/BRATS_007.nii.gz", "labelsTr/BRATS_007.nii.gz", "imagesTs/BRATS_485.nii.gz")
    labelled, bare = find_cases(tmp_path)
    assert labelled.files == (tmp_path / "imagesTr/BRATS_007.nii.gz", tmp_path / "labelsTr/BRATS_007.nii.gz")
    assert labelled.channels == {"t1": 1, "t1ce": 2, "t2": 3, "flair": 0}
    assert (bare.id, bare.label, bare.files) == ("BRATS_485", None, (tmp_path / "imagesTs/BRATS_485.nii.gz",))


def test_a_file_that_is_no_source(tmp_path: Path) -> None:
    make(tmp_path, "scan.nii.gz")
    with pytest.raises(NoCasesError, match=r"scan\.nii\.gz is a file"):
        find_cases(tmp_path / "scan.nii.gz")


@pytest.mark.real
def test_the_real_2012_case(real_data: Path) -> None:
    [case] = find_cases(real_data / "corpora")
    assert (case.id, case.corpus, case.grade, case.missing) == ("BRATS_HG0015", "BraTS 2012", "HGG", ())
    assert {m: file.name for m, file in case.images.items()} == {
        "t1": "BRATS_HG0015_T1.mha",
        "t1ce": "BRATS_HG0015_T1C (1).mha",
        "t2": "BRATS_HG0015_T2 (1).mha",
        "flair": "BRATS_HG0015_FLAIR (1).mha",
    }
    assert case.label is not None
    assert case.label.name == "BRATS_HG0015_truth.mha"
    assert case.label_sets == ("L12", "L13")
    assert patient_of(case.id) == ("BRATS_HG0015", None)


@pytest.mark.parametrize(
    ("mask", "folder", "corpus"),
    [
        ("Brats18_2013_2_1", "/x", "BraTS 2018"),
        ("BraTS-PED-00001-000", "/x/BraTS-PEDs2024", "BraTS 2024-2025 PED"),
        ("BraTS-PED-00001-000", "/x/masks", "BraTS PED"),
        ("BraTS-MEN-RT-0004-1", "/x", "BraTS 2024 MEN-RT"),
        ("UPENN-GBM-00001_11", "/x", "UPENN-GBM"),
        ("TCGA-02-0006", "/x", "TCGA"),
        ("BRATS_HG0001", "/x", "BraTS 2012"),
        # L17 or the decathlon's: read as either without asking, core and edema might be swapped
        ("BRATS_001", "/x/masks", "BRATS_nnn"),
        ("patient 7", "/x", "plain"),
        ("", "/x", "plain"),
    ],
)
def test_the_corpus_of_a_mask_that_lies_alone(mask: str, folder: str, corpus: str) -> None:
    assert corpus_of(mask, folder).name == corpus


def test_masks_with_a_decathlons_name_are_doubtful() -> None:
    row = corpus_of("BRATS_001", "/x")
    case = Case("BRATS_001", Facts("BRATS_001", corpus=row.name), {}, None, row.label_sets)
    with pytest.raises(LabelError, match=r"which LMSD and L23 read differently"):
        settle_label_set(case, [0, 1, 2, 3])
    assert settle_label_set(case, [0, 1, 2, 3], "L23").name == "L23"
    assert settle_label_set(case, [0, 1, 2, 4]).name == "L17"


def test_quiet_where_nothing_is_odd(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        find_cases(make(tmp_path, *modern("a", "BraTS-GLI-00003-000")))
    assert caplog.messages == []
