"""Who a case is, by its name."""

from __future__ import annotations

from rows import wrong

from brats3d.cases import patient_of

PATIENTS = [
    ("Brats17_CBICA_ABM_1", "CBICA_ABM", "1"),
    ("BraTS19_2013_20_1", "2013_20", "1"),
    ("Brats18_TCIA13_623_1", "TCIA_623", "1"),
    ("Brats18_UAB_3498_2", "UAB_3498", "2"),
    ("BraTS20_Training_001", "BraTS20_Training_001", None),
    ("BraTS2021_00005", "BraTS-GLI-00005", None),
    ("BraTS-GLI-00005-100", "BraTS-GLI-00005", "100"),
    ("BraTS-MEN-00004-000", "BraTS-MEN-00004", "000"),
    ("BraTS-GoAT-02235", "BraTS-GoAT-02235", None),
    ("brats_2013_pat0006_1", "brats_2013_pat0006", "1"),
    ("brats_tcia_pat153_0109", "brats_tcia_pat153", "0109"),
    ("sub-01_ses-1_acq-3d", "sub-01", "1"),
    ("sub-PAT7_ses-20190304", "sub-pat7", "20190304"),
    ("sub-01", "sub-01", None),
    ("sub-01_T1w", "sub-01", None),
    ("subject-01_ses-1", "subject-01_ses-1", None),
    ("BraTS20_validation_007", "BraTS20_Validation_007", None),
    ("BraTS-MEN-RT-0004-1", "BraTS-MEN-RT-0004", "1"),
    ("UPENN-GBM-00001_21", "UPENN-GBM-00001", "21"),
    ("UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429", "FU003d"),
    ("UCSF-PDGM-541", "UCSF-PDGM-0541", None),
    ("tcga-02-0006", "TCGA-02-0006", None),
    ("BRATS_HG0015", "BRATS_HG0015", None),
    ("BRATS_001", "BRATS_001", None),
    ("HG_0001", "HG_0001", None),
    ("ward 7_2", "ward 7_2", None),
    ("", "", None),
]


def test_patient_and_time_point() -> None:
    assert not wrong(patient_of, (((case,), (patient, timepoint)) for case, patient, timepoint in PATIENTS))


def test_names_of_one_patient() -> None:
    several = [
        ("Brats17_CBICA_ABM_1", "Brats18_CBICA_ABM_1", "BraTS19_CBICA_ABM_1", "BRATS18_cbica_abm_2"),
        ("Brats17_TCIA_623_1", "Brats18_TCIA13_623_1"),
        ("BraTS2021_00000", "BraTS-GLI-00000-000", "BraTS-GLI-00000-001", "brats2021_0"),
        ("brats_tcia_pat153_0109", "brats_tcia_pat153_0181"),
        ("sub-01_ses-1_t1", "SUB-01_ses-2", "sub-01"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001_21"),
        ("UCSF-PDGM-004", "UCSF-PDGM-0004"),
        # six numbers of the first release were second scans
        ("UCSF-PDGM-0429", "UCSF-PDGM-0429_FU003d", "UCSF-PDGM-138"),
        ("UCSF-PDGM-0315", "UCSF-PDGM-0433"),
        ("UCSF-PDGM-0278", "UCSF-PDGM-0431"),
        ("UCSF-PDGM-0175", "UCSF-PDGM-0396"),
        ("UCSF-PDGM-0181", "UCSF-PDGM-0409"),
        ("UCSF-PDGM-0289", "UCSF-PDGM-0391"),
    ]
    patients = {names: {patient_of(name)[0] for name in names} for names in several}
    assert not {names: found for names, found in patients.items() if len(found) != 1}


def test_names_of_different_patients() -> None:
    several = [
        # the numbers of 2015 are not those of 2017: pat0006 became 2013_20
        ("brats_2013_pat0006_1", "Brats17_2013_6_1"),
        ("BraTS-GLI-00002-000", "BraTS-MET-00002-000"),
        ("Brats18_2013_2_1", "Brats18_2013_20_1"),
        ("sub-01_ses-1", "sub-011_ses-1", "sub-1_ses-1"),
        ("BraTS-MEN-RT-0004-1", "BraTS-MEN-00004-000"),
        ("BraTS20_Training_001", "BraTS20_Validation_001"),
    ]
    patients = {names: [patient_of(name)[0] for name in names] for names in several}
    assert not {names: found for names, found in patients.items() if len(set(found)) < len(names)}
