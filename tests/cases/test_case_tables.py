"""The corpora's tables: facts of a case, and names that are one patient's, with the releases' own headers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from brats3d.cases import Case, find_cases, make_split

LEGACY = ("t1", "t1ce", "t2", "flair", "seg")
NAME_MAPPING = (
    "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID,BraTS_2020_subject_ID\n"
    "HGG,Brats17_CBICA_AAB_1,Brats18_CBICA_AAB_1,NA,BraTS19_CBICA_AAB_1,BraTS20_Training_001\n"
    "LGG,Brats17_TCIA_623_1,Brats18_TCIA13_623_1,TCGA-HT-7694,BraTS19_TCIA13_623_1,BraTS20_Training_300\n"
    "HGG,NA,NA,NA,BraTS19_CBICA_ABC_1,BraTS20_Training_027\n"
)
SURVIVAL_2020 = (
    "Brats20ID,Age,Survival_days,Extent_of_Resection\n"
    "BraTS20_Training_001,60.463,289,GTR\n"
    "BraTS20_Training_027,54.8,ALIVE (361 days later),NA\n"
)
MAPPING_2021 = (
    "BraTS2021,BraTS2020,BraTS2019,BraTS2018,BraTS2017,Data Collection (as on TCIA+additional),"
    "Site No (represents the originating institution)\n"
    "BraTS2021_00140,BraTS20_Training_001,BraTS19_CBICA_AAB_1,Brats18_CBICA_AAB_1,Brats17_CBICA_AAB_1,UPENN-GBM,1\n"
    "BraTS2021_01000,,,,,Collection7,18.0\n"
)
UCSF = (
    "ID,Sex,Age at MRI,WHO CNS Grade,1-dead 0-alive,OS,EOR,BraTS21 ID\n"
    "UCSF-PDGM-004,M,66,4,1,1303,STR,BraTS2021_00097\n"
    "UCSF-PDGM-005,F,80,2,0,274,biopsy,\n"
    "UCSF-PDGM-007,M,70,3,1,unknown,STR,\n"
    "UCSF-PDGM-0429_FU003d,M,45,4,1,100,GTR,\n"
)
UPENN = (
    "ID,Gender,Age_at_scan_years,Survival_from_surgery_days_UPDATED,Survival_Status,GTR_over90percent\n"
    "UPENN-GBM-00001_11,M,63.74,404,Deceased,Y\n"
    "UPENN-GBM-00001_21,M,64.5,404,Deceased,N\n"
    "UPENN-GBM-00002_11,F,50.1,900,Alive,Not Available\n"
)


def case_files(root: Path, *cases: str) -> None:
    for case in cases:
        modern = case.startswith("BraTS-")
        for part in ("t1n", "t1c", "t2w", "t2f", "seg") if modern else LEGACY:
            path = root / case / f"{case}{'-' if modern else '_'}{part}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def found(root: Path) -> dict[str, Case]:
    return {case.id: case for case in find_cases(root)}


def facts(case: Case) -> tuple[object, ...]:
    return case.grade, case.age, case.survival_days, case.resection, case.site


def test_2020_with_its_tables(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    case_files(tmp_path, "BraTS20_Training_001", "BraTS20_Training_027", "BraTS20_Training_300", "BraTS20_Training_301")
    (tmp_path / "name_mapping.csv").write_text(NAME_MAPPING)
    (tmp_path / "survival_info.csv").write_text(SURVIVAL_2020)
    cases = found(tmp_path)
    assert facts(cases["BraTS20_Training_001"]) == ("HGG", 60.463, 289, "GTR", None)
    assert facts(cases["BraTS20_Training_027"]) == ("HGG", 54.8, None, None, None)
    assert facts(cases["BraTS20_Training_300"]) == ("LGG", None, None, None, None)
    assert facts(cases["BraTS20_Training_301"]) == (None,) * 5
    assert [case.patient for case in cases.values()] == ["CBICA_AAB", "CBICA_ABC", "TCIA_623", "BraTS20_Training_301"]
    assert (
        "grade by name_mapping.csv; age, survival days, resection by survival_info.csv" in cases["BraTS20_Training_001"].reason
    )
    assert "patient (BraTS20_Training_001) by tables of names" in cases["BraTS20_Training_001"].reason
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("name", "text", "case", "expected"),
    [
        ("survival_data.csv", "Brats17ID,Age,Survival\nBrats17_CBICA_AAB_1,60.4,289\n", "Brats17_CBICA_AAB_1",
         (None, 60.4, 289, None, None)),
        ("survival_data.csv", "BraTS18ID,Age,Survival,ResectionStatus\nBrats18_CBICA_AAB_1,60.4,289.0,NA\n",
         "Brats18_CBICA_AAB_1", (None, 60.4, 289, None, None)),
        # other years' names of the same study are the same study
        ("survival_data.csv", "BraTS18ID,Age,Survival,ResectionStatus\nBrats18_CBICA_AAB_1,60.4,289,GTR\n",
         "BraTS19_CBICA_AAB_1", (None, 60.4, 289, "GTR", None)),
        ("mapping.csv", MAPPING_2021, "BraTS2021_00140", (None, None, None, None, "1")),
        ("mapping.csv", MAPPING_2021.replace(",", ";").replace("BraTS2021;", "BraTS2023;", 1), "BraTS-GLI-01000-000",
         (None, None, None, None, "18")),
        ("UCSF.csv", UCSF, "BraTS2021_00097", ("HGG", 66, 1303, "STR", None)),
        ("PTG.csv", "BraTS Subject ID,Site,Train/Test/Validation \nBraTS-GLI-00005-100,UCSF,Train\n", "BraTS-GLI-00005-100",
         (None, None, None, None, "UCSF")),
    ],
)  # fmt: skip
def test_a_years_table(tmp_path: Path, name: str, text: str, case: str, expected: tuple[object, ...]) -> None:
    case_files(tmp_path / "deep", case)
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert facts(found(tmp_path)[case]) == expected


def test_facts_of_one_time_point_are_not_anothers(tmp_path: Path) -> None:
    case_files(tmp_path, "BraTS-GLI-01000-000", "BraTS-GLI-01000-100")
    (tmp_path / "m.csv").write_text(MAPPING_2021)
    assert [case.site for case in found(tmp_path).values()] == ["18", None]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("UCSF-PDGM-0004", ("HGG", 66, 1303, "STR", None)),
        ("UCSF-PDGM-0005", ("LGG", 80, None, "biopsy", None)),
        ("UCSF-PDGM-0007", (None, 70, None, "STR", None)),
        ("UCSF-PDGM-0429_FU003d", ("HGG", 45, 100, "GTR", None)),
        ("UPENN-GBM-00001_11", ("HGG", 63.74, 404, "over 90%", None)),
        ("UPENN-GBM-00001_21", ("HGG", 64.5, 404, "up to 90%", None)),
        ("UPENN-GBM-00002_11", ("HGG", 50.1, None, None, None)),
    ],
)
def test_the_collections_tables(tmp_path: Path, case: str, expected: tuple[object, ...]) -> None:
    (tmp_path / f"{case}_T1.nii.gz").touch()
    (tmp_path / "UCSF-PDGM-metadata_v5.csv").write_text(UCSF)
    (tmp_path / "UPENN-GBM_clinical_info_v2.1.csv").write_text(UPENN)
    assert facts(found(tmp_path)[case]) == expected


def test_a_wider_table_brings_all_names_of_a_patient_together(tmp_path: Path) -> None:
    """2018 and 2020 by one table, 2020 and 2021 by another, TCGA by the first: one person each."""
    case_files(tmp_path, "Brats18_CBICA_AAB_1", "BraTS20_Training_001", "BraTS2021_00140", "BraTS-GLI-00140-000")
    case_files(tmp_path, "Brats17_TCIA_623_1", "BraTS20_Training_300", "BraTS2021_00097")
    for name in ("TCGA-HT-7694_1995.04.04_t1.nii.gz", "UCSF-PDGM-0004_T1.nii.gz"):
        (tmp_path / name).touch()
    for name, text in (("a.csv", NAME_MAPPING), ("b.csv", MAPPING_2021), ("c.csv", UCSF)):
        (tmp_path / name).write_text(text)
    people: dict[str, set[str]] = {}
    for case in found(tmp_path).values():
        people.setdefault(case.patient, set()).add(case.id)
    assert people == {
        "CBICA_AAB": {"Brats18_CBICA_AAB_1", "BraTS20_Training_001", "BraTS2021_00140", "BraTS-GLI-00140-000"},
        "TCIA_623": {"Brats17_TCIA_623_1", "BraTS20_Training_300", "TCGA-HT-7694"},
        "BraTS-GLI-00097": {"BraTS2021_00097", "UCSF-PDGM-0004"},
    }


def test_renamed_copies_stay_together_in_splits(tmp_path: Path) -> None:
    numbers = range(12)
    for n in numbers:
        case_files(tmp_path, f"Brats18_CBICA_A{chr(65 + n)}A_1", f"BraTS20_Training_{n:03}")
    rows = [f"HGG,NA,Brats18_CBICA_A{chr(65 + n)}A_1,NA,NA,BraTS20_Training_{n:03}" for n in numbers]
    header = NAME_MAPPING.split("\n", 1)[0]
    (tmp_path / "name_mapping.csv").write_text("\n".join([header, *rows]))
    split = make_split(find_cases(tmp_path), folds=4, seed=1)
    number = {f"Brats18_CBICA_A{chr(65 + n)}A_1": n for n in numbers} | {f"BraTS20_Training_{n:03}": n for n in numbers}
    for fold in split.folds:
        parts = [{number[case] for case in part} for part in (fold.test, fold.validation, fold.train)]
        assert sum(map(len, parts)) == len(numbers), "a patient on two sides"


def test_what_cannot_be_read_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    case_files(tmp_path, "Brats18_2013_2_1", "Brats18_2013_3_1")
    (tmp_path / "survival_data.csv").write_text(
        "BraTS18ID,Age,Survival,Grade\nBrats18_2013_2_1,sixty,-3,HGG\nBrats18_2013_3_1,61,nan,V\n"
    )
    cases = found(tmp_path)
    assert [facts(case)[:3] for case in cases.values()] == [("HGG", None, None), (None, 61, None)]
    assert caplog.messages == [
        f"{tmp_path}/survival_data.csv: line 2, column age is 'sixty'; expected years from 0 to 130; left out, as 2 more."
    ]


def test_folders_and_tables_that_contradict_each_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    case_files(tmp_path / "LGG", "Brats18_CBICA_AAB_1")
    (tmp_path / "name_mapping.csv").write_text(NAME_MAPPING)
    (tmp_path / "z.csv").write_text("BraTS18ID,Grade\nBrats18_CBICA_AAB_1,LGG\n")
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path)["Brats18_CBICA_AAB_1"].grade == "LGG"
    assert caplog.messages == [
        "Brats18_CBICA_AAB_1: grade is HGG in name_mapping.csv and LGG in z.csv; the first is used.",
        "Brats18_CBICA_AAB_1: grade is LGG by its place and HGG in name_mapping.csv; the first is used.",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\n\n", b"id\n", b"ID,Age\nmy patient,60\n", b"colour,Age\nBrats18_2013_2_1,60\n", b"\x89PNG\r\n\x1a\n\x00\x00",
        b"BraTS18ID,Age\n" + b'"' + b"x" * 200_000,
    ],
)  # fmt: skip
def test_other_files_are_no_tables(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    case_files(tmp_path, "Brats18_2013_2_1")
    (tmp_path / "t.csv").write_bytes(content)
    assert found(tmp_path)["Brats18_2013_2_1"].age is None
    assert caplog.messages == []
