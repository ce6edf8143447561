"""What descriptions and file names say about a series."""

from __future__ import annotations

from rows import wrong

from brats3d.raw.words import by_timing, by_words
from brats3d.spellings import normalise

MODALITIES = [
    ("t1", "t1"), ("sT1W_SE", "t1"), ("T1_AX_SE_10_se2d1", "t1"), ("Ax T1 FSE", "t1"), ("t1_mprage_sag_p2_iso", "t1"),
    ("MPRAGE", "t1"), ("SAG 3D BRAVO", "t1"), ("AX T1 PRE GAD", "t1"), ("T1 without contrast", "t1"), ("T1 w/o", "t1"),
    ("case_01_t1n", "t1"), ("AX T1 FLAIR", "t1"), ("Post_op_01_t1", "t1"), ("T1W_3D_TFE", "t1"), ("eT1W", "t1"),
    ("T1 vor KM", "t1"), ("T1 sans gado", "t1"), ("t2_tse_restore_tra", "t2"),
    ("t1ce", "t1ce"), ("x_t1Gd", "t1ce"), ("AX T1 +C", "t1ce"), ("T1 C+", "t1ce"), ("T1_AX_POST_GAD_se2d1r_t1c", "t1ce"),
    ("Ax T1 POST", "t1ce"), ("SAG MPRAGE GD", "t1ce"), ("t1_tse_tra KM", "t1ce"), ("sub-01_ce-gadolinium_T1w", "t1ce"),
    ("T1-contrast", "t1ce"), ("T1 post contrast", "t1ce"), ("t1_c", "t1ce"),
    ("t2", "t2"), ("sT2W_TSE", "t2"), ("t2_tse_tra_512", "t2"), ("BraTS-GLI-00000-000-t2w", "t2"), ("AX T2 FRFSE FS", "t2"),
    ("FLAIR", "flair"), ("sT2W/FLAIR", "flair"), ("t2_tirm_tra_dark-fluid", "flair"), ("x_fla", "flair"),
    ("y-t2f", "flair"), ("t2_flair_sag", "flair"), ("T2W_FLAIR_SPAIR POST", "flair"),
]  # fmt: skip
LEFT_OUT = [
    ("3-plane localizer", "localiser"), ("LOC", "localiser"), ("Survey", "localiser"), ("AAHScout", "localiser"),
    ("T2* GRE", "susceptibility"), ("SWI_Images", "susceptibility"), ("ep2d_diff_3scan_trace ADC", "diffusion"),
    ("AX DWI b1000", "diffusion"), ("Ax T1 PERFUSION DSC", "perfusion"), ("ASL T1", "perfusion"), ("T1 map", "map"),
    ("t1_mask", "mask"), ("hdbet_mask_native_t1c", "mask"), ("T2_ROI", "mask"), ("TOF MRA", "angiography"),
    ("Calibration Scan", "calibration"), ("fMRI rest", "functional"), ("PD/T2 dual", "proton"), ("T1 subtraction", "map"),
    ("T1 and T2", "both"), ("SUB T1 AX", "map"), ("T2 FFE", "susceptibility"), ("AX T1 POST IAC", "part of the body"),
    ("T1 SAG C SPINE", "part of the body"), ("T2 SWAN", "susceptibility"), ("T2 Pha", "susceptibility"),
    ("T2 PHASE", "susceptibility"), ("T2 MIP", "susceptibility"), ("T2 minIP", "susceptibility"),
]  # fmt: skip
BY_TIMING = [
    ((12, 500, None), "t1"), ((12, 500, 0), "t1"), ((100, 4000, None), "t2"), ((120, 9000, 2500), "flair"),
    ((12, 500, 900), None), ((50, 3000, None), None), ((None, 500, None), None), ((12, None, None), None),
    ((100, 1500, None), None),
]  # fmt: skip


def test_a_description_names_its_modality() -> None:
    found = [(text, *by_words(text), expected) for text, expected in MODALITIES]
    assert not [row for row in found if row[1] != row[3]]
    reasons = [(text, why) for text, _, why, _ in found]
    assert not [(text, why) for text, why in reasons if why.strip("'").split("'")[0] not in normalise(text)]


def test_what_is_left_out_says_why() -> None:
    found = [(text, *by_words(text), reason) for text, reason in LEFT_OUT]
    assert not [row for row in found if row[1] is not None or row[3] not in row[2]]


def test_words_that_say_nothing() -> None:
    texts = ("", "AX", "scan_001", "IM-0001", "t10", "cat12", "fat sat", "t21 t100")
    assert not wrong(by_words, (((text,), (None, "")) for text in texts))


def test_timing_tells_where_words_do_not() -> None:
    assert not wrong(lambda *times: by_timing(*times)[0], BY_TIMING)
