"""How modalities and labels are spelt in file names: every reading, worked out by hand."""

from __future__ import annotations

from rows import wrong

from brats3d.spellings import EXAMPLES, name_readings, read_part

READINGS: list[tuple[str, list[tuple[str, str]]]] = [
        # one reading
        ("pat1_t1c", [("pat1", "t1ce")]), ("pat1_T1w", [("pat1", "t1")]), ("pat-1-T2W", [("pat-1", "t2")]),
        ("pat1_t1n", [("pat1", "t1")]), ("pat1.t2f", [("pat1", "flair")]), ("pat1_fla", [("pat1", "flair")]),
        ("pat1_T1_post", [("pat1", "t1ce")]), ("pat1_T1wCE", [("pat1", "t1ce")]), ("P 7 T1+C", [("P 7", "t1ce")]),
        ("pat1_MPRAGE_GD", [("pat1", "t1ce")]), ("pat1_t1_pre", [("pat1", "t1")]),
        ("pat1_t1_mprage", [("pat1", "t1"), ("pat1_t1", "t1")]),
        ("pat1-SEG", [("pat1", "label")]), ("pat1_Seg", [("pat1", "label")]), ("pat1_tumorMask", [("pat1", "label")]),
        ("t1", [("", "t1")]), ("CT1", [("", "t1ce")]), ("T1_Gd", [("", "t1ce")]), ("seg", [("", "label")]),
        # the last modality is the file's, the one before a time point's
        ("p_T1_t2", [("p_T1", "t2")]), ("p_T1_t1ce", [("p_T1", "t1ce")]),
        # two readings: whoever knows the other files decides
        ("p_t2_flair", [("p", "flair"), ("p_t2", "flair")]), ("p_T1_flair", [("p", "t1"), ("p_T1", "flair")]),
        ("x_post_t1", [("x", "t1ce"), ("x_post", "t1")]), ("x_post_t2", [("x_post", "t2")]),
        ("p_ax_t2", [("p", "t2"), ("p_ax", "t2")]), ("p_flair_seg", [("p", "label"), ("p_flair", "label")]),
        ("p_seg_t2", [("p", "label")]),
        ("t2_flair", [("", "flair")]),
        # not told by the name, or of something else
        ("p_brain_seg", []), ("p_mask", []), ("p_t1_bet_mask", []), ("p_flair_to_t1", []), ("p_t1_reg_flair", []),
        ("p_t1_1", []),
        ("p_hdbet_mask_native_t1", []), ("mask_GTV_T1", []), ("tumor_T1", []), ("ROI-x-flair", []),
        ("mask_007_t1", [("mask_007", "t1")]),
        # a bracket that closes is the name's own
        ("pat (1)_t1", [("pat (1)", "t1")]), ("pat_(t1)", [("pat", "t1")]), ("pat(2) T2", [("pat(2)", "t2")]),
        ("p_t2star", []), ("p_dwi", []), ("001", []), ("p_t1_postop", []), ("flair_t1", []),
]  # fmt: skip


def test_all_ways_to_read_a_name() -> None:
    def readings(stem: str) -> list[tuple[str, str]]:
        return [(case, part.kind) for case, part in name_readings(stem)]

    assert not wrong(readings, (((stem,), expected) for stem, expected in READINGS))


def test_a_processed_scan_comes_after_the_scan_itself() -> None:
    ranks = {stem: part.rank for stem in ("p_t1", "p_t1_brain", "p_flair_reg_n4") for _, part in name_readings(stem)[:1]}
    assert ranks == {"p_t1": 0, "p_t1_brain": 1, "p_flair_reg_n4": 1}


def test_the_examples_are_understood() -> None:
    kinds = ["t1", "t1", "t1", "t1ce", "t1ce", "t1ce", "t1ce", "t2", "t2", "flair", "flair"]
    assert [part.kind for part in map(read_part, EXAMPLES) if part] == kinds
