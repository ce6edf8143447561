"""Finding cases: one tree a corpus as its year nested it, and the oddities of mirrors. Files are empty; only names count."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from brats3d.cases import CORPORA, MODALITIES, Case, find_cases
from brats3d.errors import NoCasesError, OptionError

LEGACY = ("t1", "t1ce", "t2", "flair", "seg")
SINCE_2023 = ("t1n", "t1c", "t2w", "t2f", "seg")


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def legacy(folder: str, case: str, suffix: str = ".nii.gz") -> list[str]:
    return [f"{folder}/{case}_{part}{suffix}" for part in LEGACY]


def since_2023(folder: str, case: str) -> list[str]:
    return [f"{folder}/{case}-{part}.nii.gz" for part in SINCE_2023]


def vsd(folder: str, tool: str = "VSD", label: str = "Brain_3more.XX.O.OT") -> list[str]:
    parts = ["Brain.XX.O.MR_T1", "Brain.XX.O.MR_T1c", "Brain.XX.O.MR_T2", "Brain.XX.O.MR_Flair", label]
    return [f"{folder}/{tool}.{p}.{54512 + i}/{tool}.{p}.{54512 + i}.mha" for i, p in enumerate(parts)]


TREES = {
    # files, corpus, id, grade
    "2012": (
        [f"Images/BRATS_LG0008/BRATS_LG0008_{p}.mha" for p in ("T1", "T1C", "T2", "FLAIR", "truth")],
        "BraTS 2012", "BRATS_LG0008", "LGG",
    ),
    "2012, copied by a browser": (
        [f"BRATS_HG0015/BRATS_HG0015_{p}.mha" for p in ("T1", "T1C (1)", "T2 (1)", "FLAIR (1)", "truth")],
        "BraTS 2012", "BRATS_HG0015", "HGG",
    ),
    "2012, truth beside the folder": (
        [*(f"BRATS_HG0001/BRATS_HG0001_{p}.mha" for p in ("T1", "T1C", "T2", "FLAIR")), "BRATS_HG0001_truth.mha"],
        "BraTS 2012", "BRATS_HG0001", "HGG",
    ),
    "2012, synthetic": (
        [f"SimBRATS_HG0001/SimBRATS_HG0001_{p}.mha" for p in ("T1", "T1C", "T2", "FLAIR", "complete_truth")],
        "BraTS 2012", "SimBRATS_HG0001", "HGG",
    ),
    "2013": (vsd("BRATS-2/Image_Data/HG/0001", label="Brain_3more.XX.XX.OT"), "BraTS 2013-2016", "HG_0001", "HGG"),
    "2015": (vsd("BRATS2015_Training/LGG/brats_2013_pat0001_1"), "BraTS 2013-2016", "brats_2013_pat0001_1", "LGG"),
    "2015, SMIR": (vsd("HGG/brats_tcia_pat153_0109", "SMIR"), "BraTS 2013-2016", "brats_tcia_pat153_0109", "HGG"),
    "2015, no folder a file": (
        [f"HGG/brats_tcia_pat1_1/{f.rsplit('/', 1)[1]}" for f in vsd("x")],
        "BraTS 2013-2016", "brats_tcia_pat1_1", "HGG",
    ),
    "2017": (
        legacy("Brats17TrainingData/HGG/Brats17_TCIA_192_1", "Brats17_TCIA_192_1"),
        "BraTS 2017", "Brats17_TCIA_192_1", "HGG",
    ),
    "2018": (
        legacy("MICCAI_BraTS_2018_Data_Training/LGG/Brats18_2013_0_1", "Brats18_2013_0_1"),
        "BraTS 2018", "Brats18_2013_0_1", "LGG",
    ),
    "2018, without grade": (legacy("Brats18_CBICA_ABM_1", "Brats18_CBICA_ABM_1"), "BraTS 2018", "Brats18_CBICA_ABM_1", None),
    "2019, nii": (
        legacy("HGG/BraTS19_CBICA_AAB_1", "BraTS19_CBICA_AAB_1", ".nii"), "BraTS 2019", "BraTS19_CBICA_AAB_1", "HGG",
    ),
    "2020": (
        legacy("MICCAI_BraTS2020_TrainingData/BraTS20_Training_001", "BraTS20_Training_001", ".nii"),
        "BraTS 2020", "BraTS20_Training_001", None,
    ),
    "2020, case 355": (
        [*legacy("BraTS20_Training_355", "BraTS20_Training_355", ".nii")[:4], "BraTS20_Training_355/W39_1998.09.19_Segm.nii"],
        "BraTS 2020", "BraTS20_Training_355", None,
    ),
    "2021": (legacy("BraTS2021_00000", "BraTS2021_00000"), "BraTS 2021", "BraTS2021_00000", None),
    "2021, folders named like files": (
        [f"BraTS2021_00714/BraTS2021_00714_{p}.nii/00000377_brain_{p}.nii" for p in LEGACY],
        "BraTS 2021", "BraTS2021_00714", None,
    ),
    "2020, folders named like files": (
        [f"x/BraTS20_Training_002/BraTS20_Training_002_{p}.nii.gz/BraTS20_Training_002_{p}.nii.gz" for p in LEGACY],
        "BraTS 2020", "BraTS20_Training_002", None,
    ),
    "2023 GLI": (
        since_2023("ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/BraTS-GLI-00000-000", "BraTS-GLI-00000-000"),
        "BraTS 2023 GLI", "BraTS-GLI-00000-000", None,
    ),
    "2023 SSA": (since_2023("BraTS-SSA-00002-000", "BraTS-SSA-00002-000"), "BraTS 2023 SSA", "BraTS-SSA-00002-000", None),
    "2023 MEN": (
        since_2023("ASNR-MICCAI-BraTS2023-MEN-Challenge-TrainingData/T/BraTS-MEN-00004-000", "BraTS-MEN-00004-000"),
        "BraTS 2023 MEN", "BraTS-MEN-00004-000", None,
    ),
    "2023 MET": (
        since_2023("ASNR-MICCAI-BraTS2023-MET-Challenge-TrainingData_Additional/BraTS-MET-00001-001", "BraTS-MET-00001-001"),
        "BraTS 2023 MET", "BraTS-MET-00001-001", None,
    ),
    "2024 MET": (
        since_2023("MICCAI-BraTS2024-MET-Challenge-TrainingData_1/BraTS-MET-00232-000", "BraTS-MET-00232-000"),
        "BraTS 2024 MET", "BraTS-MET-00232-000", None,
    ),
    "2025 MET": (
        since_2023("MICCAI-LH-BraTS2025-MET-Challenge-Training/UCSD - Training/BraTS-MET-00418-000", "BraTS-MET-00418-000"),
        "BraTS 2025 MET", "BraTS-MET-00418-000", None,
    ),
    "MET, no year": (since_2023("BraTS-MET-00001-001", "BraTS-MET-00001-001"), "BraTS MET", "BraTS-MET-00001-001", None),
    "2023 PED": (
        since_2023("ASNR-MICCAI-BraTS2023-PED-Challenge-TrainingData/BraTS-PED-00002-000", "BraTS-PED-00002-000"),
        "BraTS 2023 PED", "BraTS-PED-00002-000", None,
    ),
    "2024 PED": (
        since_2023("BraTS-PEDs2024_Training/BraTS-PED-00001-000", "BraTS-PED-00001-000"),
        "BraTS 2024-2025 PED", "BraTS-PED-00001-000", None,
    ),
    "2024 GLI": (
        since_2023("training_data1_v2/BraTS-GLI-00005-100", "BraTS-GLI-00005-100"),
        "BraTS 2024-2025 GLI", "BraTS-GLI-00005-100", None,
    ),
    "2024 GoAT": (
        since_2023("MICCAI2024-BraTS-GoAT-TrainingData-With-GroundTruth/BraTS-GoAT-02235", "BraTS-GoAT-02235"),
        "BraTS 2024 GoAT", "BraTS-GoAT-02235", None,
    ),
    "BraTS-Africa": (
        since_2023("BraTS-Africa/95_Glioma/BraTS-SSA-00002-000", "BraTS-SSA-00002-000"),
        "BraTS-Africa", "BraTS-SSA-00002-000", None,
    ),
    "PED, no year": (since_2023("BraTS-PED-00002-000", "BraTS-PED-00002-000"), "BraTS PED", "BraTS-PED-00002-000", None),
    "UPENN": (
        [*(f"NIfTI-files/images_structural/UPENN-GBM-00054_11/UPENN-GBM-00054_11_{p}.nii.gz"
           for p in ("T1", "T1GD", "T2", "FLAIR")),
         "NIfTI-files/images_segm/UPENN-GBM-00054_11_segm.nii.gz"],
        "UPENN-GBM", "UPENN-GBM-00054_11", "HGG",
    ),
    "UCSF": (
        [f"UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_{p}.nii.gz" for p in ("T1", "T1c", "T2", "FLAIR", "tumor_segmentation")],
        "UCSF-PDGM", "UCSF-PDGM-0004", None,
    ),
    "UCSF, second scan": (
        [f"UCSF-PDGM-0429_FU003d_nifti/UCSF-PDGM-0429_FU003d_{p}.nii.gz"
         for p in ("T1", "T1c", "T2", "FLAIR", "tumor_segmentation")],
        "UCSF-PDGM", "UCSF-PDGM-0429_FU003d", None,
    ),
    "TCGA-GBM": (
        [f"Pre-operative_TCGA_GBM_NIfTI_and_Segmentations/TCGA-02-0006/TCGA-02-0006_1996.08.23_{p}.nii.gz"
         for p in ("t1", "t1Gd", "t2", "flair", "GlistrBoost_ManuallyCorrected")],
        "TCGA-GBM", "TCGA-02-0006", "HGG",
    ),
    "TCGA-LGG": (
        [f"Pre-operative_TCGA_LGG_NIfTI_and_Segmentations/TCGA-CS-4942/TCGA-CS-4942_1997.02.22_{p}.nii.gz"
         for p in ("t1", "t1Gd", "t2", "flair", "GlistrBoost")],
        "TCGA-LGG", "TCGA-CS-4942", "LGG",
    ),
    "TCGA, no folder": (
        [f"TCGA-02-0006_1996.08.23_{p}.nii.gz" for p in ("t1", "t1Gd", "t2", "flair", "GlistrBoost_ManuallyCorrected")],
        "TCGA", "TCGA-02-0006", None,
    ),
    "MSD": (
        [*["Task01_BrainTumour/imagesTr/BRATS_001.nii.gz"] * 4, "Task01_BrainTumour/labelsTr/BRATS_001.nii.gz"],
        "MSD Task01", "BRATS_001", None,
    ),
    "synthetic": (legacy("demo/scans/Phantom_003", "Phantom_003"), "synthetic heads", "Phantom_003", None),
    "BIDS": (
        [*(f"sub-01/ses-a/anat/sub-01_ses-a_{p}.nii.gz" for p in ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR")),
         "derivatives/manual_masks/sub-01/ses-a/anat/sub-01_ses-a_label-tumor_dseg.nii.gz"],
        "BIDS", "sub-01_ses-a", None,
    ),
    "plain": (legacy("HGG/ward 7", "patient 12"), "plain", "patient 12", None),
}  # fmt: skip


@pytest.mark.parametrize("year", TREES)
def test_a_years_tree(tmp_path: Path, year: str) -> None:
    files, corpus, case_id, grade = TREES[year]
    [case] = find_cases(make(tmp_path, *files))
    assert (case.id, case.corpus, case.grade) == (case_id, corpus, grade)
    assert case.missing == ()
    assert list(case.images) == list(MODALITIES)
    # files were listed in the order t1, t1ce, t2, flair, label
    found = [*(case.images[m] for m in MODALITIES), case.label]
    assert found == [tmp_path / f for f in files]


def test_every_corpus_has_a_tree() -> None:
    # no files; masks alone; one modality (test_finding.py); needs what its dataset.json says (test_own_names.py)
    without = {"manifest", "BRATS_nnn", "BraTS 2024 MEN-RT", "nnU-Net"}
    assert {corpus for _, corpus, _, _ in TREES.values()} == set(CORPORA) - without


@pytest.mark.parametrize("year", ["2012, truth beside the folder", "2015", "2018", "2021", "2023 GLI", "UPENN", "plain"])
@pytest.mark.parametrize("wrap", ["a/b c/d", "Training/Training", "deep/Task01.nii_files"])
def test_wrapping_folders_change_nothing(tmp_path: Path, year: str, wrap: str) -> None:
    files, corpus, case_id, grade = TREES[year]
    [case] = find_cases(make(tmp_path / wrap, *files).parents[0])
    assert (case.id, case.corpus, case.grade, case.missing) == (case_id, corpus, grade, ())


def test_files_lying_flat(tmp_path: Path) -> None:
    make(tmp_path, *legacy(".", "BraTS2021_00001"), *since_2023(".", "BraTS-GLI-00003-001"), *legacy(".", "b"))
    assert [c.id for c in find_cases(tmp_path)] == ["BraTS-GLI-00003-001", "BraTS2021_00001", "b"]


def test_upper_case(tmp_path: Path) -> None:
    case = "BRATS18_CBICA_ABM_1"
    make(tmp_path, *(f"hgg/{case}/{case}_{p.upper()}.NII.GZ" for p in LEGACY))
    make(tmp_path, *(f"g/BraTS-GLI-00000-000-{p}.nii.gz" for p in ("t1n", "t1c", "t2W", "t2f", "seg")))
    old, new = find_cases(tmp_path)
    assert (old.id, old.corpus, old.grade, old.patient, old.missing) == (case, "BraTS 2018", "HGG", "CBICA_ABM", ())
    assert (new.corpus, new.images["t2"].name) == ("BraTS 2023 GLI", "BraTS-GLI-00000-000-t2W.nii.gz")


def test_a_folder_named_like_a_case_is_no_file(tmp_path: Path) -> None:
    make(tmp_path, *legacy("all_t1", "a"), *legacy("all_t1", "b"))
    assert [(c.id, c.missing) for c in find_cases(tmp_path)] == [("a", ()), ("b", ())]


def test_the_nearest_grade_counts(tmp_path: Path) -> None:
    make(tmp_path, *legacy("LGG/x/hgg/Brats18_2013_2_1", "Brats18_2013_2_1"))
    assert [c.grade for c in find_cases(tmp_path)] == ["HGG"]


def test_strangers_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, *legacy("BraTS2021_00001", "BraTS2021_00001"))
    make(
        tmp_path,
        "name_mapping.csv", ".DS_Store", "BraTS2021_00001/._BraTS2021_00001_t1.nii.gz", "BraTS2021_00001/mask.nii.gz",
        ".hidden/c_t1.nii.gz", "__MACOSX/BraTS2021_00009/BraTS2021_00009_t1.nii.gz", "BraTS2021_00001/notes_t1.txt",
    )  # fmt: skip
    [case] = find_cases(tmp_path)
    assert (case.id, case.missing) == ("BraTS2021_00001", ())


@pytest.mark.parametrize("order", [(".nii.gz", ".nii", ".mha"), (".mha", ".nii", ".nii.gz"), (".nii", ".nii.gz")])
def test_the_packed_file_is_preferred(tmp_path: Path, order: tuple[str, ...]) -> None:
    for suffix in order:
        make(tmp_path, *legacy("x", "c", suffix))
    [case] = find_cases(tmp_path)
    assert {p.name for p in case.images.values()} == {f"c_{m}.nii.gz" for m in MODALITIES}
    assert case.label == tmp_path / "x/c_seg.nii.gz"


def test_one_id_in_two_folders_is_refused(tmp_path: Path) -> None:
    make(tmp_path, *legacy("a", "BraTS2021_00001"), *legacy("b", "brats2021_00001"))
    with pytest.raises(OptionError, match=rf"brats2021_00001 .*two folders, {tmp_path}/a and {tmp_path}/b"):
        find_cases(tmp_path)


def test_two_files_of_one_modality_are_refused(tmp_path: Path) -> None:
    make(tmp_path, *vsd("HGG/p"), "HGG/p/VSD.Brain.XX.O.MR_T2.7/x.mha")
    with pytest.raises(OptionError, match=r"case p has two files for its t2, .*MR_T2.54514.*MR_T2.7"):
        find_cases(tmp_path)


def test_one_number_under_two_grades_is_two_cases(tmp_path: Path) -> None:
    make(tmp_path, *vsd("Image_Data/HG/0001"), *vsd("Image_Data/LG/0001"))
    assert [(c.id, c.patient, c.grade) for c in find_cases(tmp_path)] == [
        ("HG_0001", "HG_0001", "HGG"),
        ("LG_0001", "LG_0001", "LGG"),
    ]


def test_incomplete_and_unlabelled_cases_say_what_is_missing(tmp_path: Path) -> None:
    make(tmp_path, "a_t2.nii", "a_t1.nii", *legacy(".", "b")[:4], "c_seg.nii.gz")
    a, b, c = find_cases(tmp_path)
    assert (a.missing, a.label) == (("t1ce", "flair"), None)
    assert (b.missing, b.label) == ((), None)
    assert (c.missing, c.label) == (MODALITIES, tmp_path / "c_seg.nii.gz")
    assert a.describe() == "a (plain): found t1, t2; missing t1ce, flair"
    assert b.describe() == "b (plain): found t1, t1ce, t2, flair"
    assert c.describe() == "c (plain): found label; missing t1, t1ce, t2, flair"


def test_a_case_knows_patient_and_time_point(tmp_path: Path) -> None:
    make(tmp_path, *since_2023(".", "BraTS-MET-00630-001"))
    [case] = find_cases(tmp_path)
    assert (case.patient, case.timepoint, case.label_sets) == ("BraTS-MET-00630", "001", ("L23", "L24"))


def test_2024_names_are_not_taken_for_2023(tmp_path: Path) -> None:
    make(tmp_path, *since_2023(".", "BraTS-GLI-00005-000"), *since_2023(".", "BraTS-GLI-00005-100"))
    assert [(c.corpus, c.label_sets, c.patient) for c in find_cases(tmp_path)] == [
        ("BraTS 2023 GLI", ("L23",), "BraTS-GLI-00005"),
        ("BraTS 2024-2025 GLI", ("L24",), "BraTS-GLI-00005"),
    ]


def test_several_sources(tmp_path: Path) -> None:
    make(tmp_path, *legacy("one", "a"), *legacy("two", "b"))
    two = [str(tmp_path / "two"), tmp_path / "one"]
    assert [c.id for c in find_cases(two)] == ["a", "b"]
    assert [c.id for c in find_cases([*two, tmp_path])] == ["a", "b"], "a folder named twice is listed once"


def test_a_source_that_is_the_grade_folder_or_the_case_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *vsd("HGG/brats_tcia_pat1_1"))
    [case] = find_cases(tmp_path / "HGG/brats_tcia_pat1_1")
    assert (case.id, case.grade, case.missing) == ("brats_tcia_pat1_1", "HGG", ())
    monkeypatch.chdir(tmp_path / "HGG")
    assert find_cases(".") == [case]


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    real = make(tmp_path / "elsewhere", *legacy("BraTS2021_00001", "BraTS2021_00001"))
    source = tmp_path / "cohort"
    source.mkdir()
    os.symlink(real / "BraTS2021_00001", source / "BraTS2021_00001")
    os.symlink(source, source / "again")
    assert [c.missing for c in find_cases(source)] == [()]


def test_a_folder_that_cannot_be_listed_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, *legacy("open", "a"), *legacy("shut", "b"))
    listed = os.scandir

    def scandir(folder: str) -> object:
        if folder.endswith("shut"):
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [c.id for c in find_cases(tmp_path)] == ["a"]
    assert f"{tmp_path}/shut cannot be listed (Permission denied)" in caplog.text


def test_nothing_recognised_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    make(tmp_path, "d/one.dcm", "d/two.dcm", "readme.txt", "scan.nii.gz")
    with pytest.raises(NoCasesError) as caught:
        find_cases(tmp_path)
    message = str(caught.value)
    assert f"no case found in {tmp_path}, which has 4 files, such as readme.txt, scan.nii.gz, one.dcm" in message
    for row in CORPORA.values():
        assert row.example in message
    assert "name them in a manifest" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("name", "says"), [("absent", "does not exist"), ("file", "is a file"), ("empty", "has no files")])
def test_no_folder_no_cases(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoCasesError, match=rf"{name}.*{says}"):
        find_cases(tmp_path / name)


def test_a_corpus_recognises_its_own_example() -> None:
    folders = {
        "BraTS 2023": "/x/BraTS2023", "BraTS 2024": "/x/BraTS2024", "BraTS 2025": "/x/BraTS2025", "TCGA-GBM": "/x/TCGA_GBM",
        "TCGA-LGG": "/x/TCGA_LGG", "BraTS-Africa": "/x/95_Glioma", "MSD Task01": "/x/imagesTr",
        "nnU-Net": "/x/imagesTr",
    }  # fmt: skip
    for name, row in CORPORA.items():
        if row.example:
            stem = row.example.rsplit("/", 1)[-1].removesuffix(".mha").removesuffix(".nii.gz")
            folder = next((f for start, f in folders.items() if name.startswith(start)), "/x")
            assert next(n for n, r in CORPORA.items() if r.readings(stem, folder)) == name


def test_cases_travel_to_other_processes(tmp_path: Path) -> None:
    [case] = find_cases(make(tmp_path, *legacy(".", "a")))
    copy: Case = pickle.loads(pickle.dumps(case))
    assert copy == case


@pytest.mark.real
def test_the_real_cases(real_data: Path) -> None:
    cases = find_cases(real_data / "brats")
    assert len(cases) == len([p for p in (real_data / "brats").iterdir() if p.is_dir()])
    for case in cases:
        assert case.missing == ()
        assert case.label is not None
        assert case.corpus != "plain"
        assert {p.parent.name for p in case.images.values()} == {case.id}
    assert len({c.patient for c in cases}) == len(cases)
