"""What the values of a folder's labels mean: one coding for all, what contradicts it, and what only looks wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from two_cases import FIRST, GRID, SECOND, files_of, label, write_list

from brats3d.console import run
from brats3d.evaluate import evaluate_cases
from brats3d.evaluate import scored_folders as evaluate_command
from brats3d.evaluate.__main__ import main
from brats3d.evaluate.doubts import unscored
from brats3d.evaluate.find_labels import find_labels
from brats3d.evaluate.label_files import Side
from brats3d.evaluate.scored_case import CaseResult
from brats3d.evaluate.shared_coding import settle_codings
from brats3d.scores import Scoring

THIRD = "BraTS2021_00003"
CASES = (FIRST, SECOND, THIRD)


def coded(seed: int, values: dict[int, int]) -> np.ndarray:
    """The label of a case with other numbers: what 1, 2 and 4 (necrosis, edema, enhancing) become."""
    table = np.zeros(5, np.uint8)
    for value, other in values.items():
        table[value] = other
    return table[label(seed)]


def folder(path: Path, labels: dict[str, np.ndarray]) -> Path:
    path.mkdir()
    for case, array in labels.items():
        nib.save(nib.Nifti1Image(array, GRID.affine), path / f"{case}.nii.gz")
    return path


def settled(path: Path, what: str = "prediction", requested: str | None = None) -> dict[str, str | None]:
    option = {"prediction": "--label-set", "reference": "--reference-label-set"}[what]
    side = Side(what, path, option, requested, names_bind=what == "reference")
    files = settle_codings(side, find_labels(side)).files
    return {case: file.settled.name if file.settled else None for case, file in files.items()}


NNUNET = {1: 1, 2: 2, 4: 3}
"""nnU-Net numbers the tissues 1, 2, 3 whatever the year."""
WITHOUT_ET = {1: 1, 2: 2, 4: 0}
PED = {1: 2, 2: 4, 4: 1}
"""LPED: 1 enhancing, 2 non-enhancing, 4 edema."""
EXCHANGED = {1: 2, 2: 1, 4: 0}


@pytest.mark.parametrize("side", ["prediction", "reference"])
def test_one_case_that_contradicts_the_year_puts_its_folder_in_doubt(
    side: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without 3, the third was read as L17 while the others were refused; L17 and L23 agree on it, LMSD does not."""
    told_by = {"prediction": "--label-set", "reference": "--reference-label-set"}[side]
    odd = {FIRST: coded(0, NNUNET), SECOND: coded(1, NNUNET), THIRD: coded(2, WITHOUT_ET)}
    plain = {case: label(seed) for seed, case in enumerate(CASES)}
    masks, references = folder(tmp_path / "odd", odd), folder(tmp_path / "plain", plain)
    line = [str(masks), str(references)] if side == "prediction" else [str(references), str(masks)]
    line += ["--out", str(tmp_path / "out")]
    (tmp_path / "ids.txt").write_text(f"{THIRD}\n")
    for subset in ([], ["--cases", str(tmp_path / "ids.txt")]):
        if side == "reference" and subset:
            continue  # only those references are read that are compared
        assert run(main, [*line, *subset]) == 2
        told = capsys.readouterr().err
        for words in (
            f"{masks}",
            "2 hold [0, 1, 2, 3]",
            "1 holds [0, 1, 2]",
            FIRST,
            THIRD,
            "L17 [0, 1, 2, 4]",
            f"{told_by} NAME",
        ):
            assert words in told
        assert files_of(tmp_path / "out") == []
    assert run(main, [*line, told_by, "L23", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [found["cases"][case]["casewise"]["TC"]["dice"] for case in (FIRST, SECOND)] == [1, 1]
    assert found["label_sets"] == {"predictions": ["L23"] if side == "prediction" else ["L17"],
                                   "references": ["L17"] if side == "prediction" else ["L23"]}  # fmt: skip


@pytest.mark.parametrize(
    ("cases", "values", "meant"),
    [
        (("plain_1", "plain_2"), (NNUNET, WITHOUT_ET), "L23"),
        (("BraTS-PED-00001-000", "BraTS-PED-00002-000"), (PED | {4: 3}, WITHOUT_ET), "LPED"),
        (("BraTS-MET-00001-000", "BraTS-MET-00002-000"), ({1: 1, 2: 3, 4: 4}, WITHOUT_ET), "L24"),
        ((FIRST, SECOND), (WITHOUT_ET, WITHOUT_ET), "L17"),
    ],
)
def test_all_labels_of_a_folder_are_read_in_the_coding_that_their_values_show_together(
    tmp_path: Path, cases: Sequence[str], values: Sequence[dict[int, int]], meant: str
) -> None:
    path = folder(tmp_path / "masks", {case: coded(i, values[i]) for i, case in enumerate(cases)})
    assert settled(path) == dict.fromkeys(cases, meant)


def test_names_that_bind_different_years_may_differ_and_foreign_values_say_nothing_of_the_others(tmp_path: Path) -> None:
    labels = {FIRST: label(0), "BraTS-GLI-00001-000": coded(0, NNUNET), SECOND: np.full(GRID.shape, 9, np.uint8)}
    path = folder(tmp_path / "mixed", labels)
    assert settled(path, "reference") == {FIRST: "L17", "BraTS-GLI-00001-000": "L23", SECOND: None}
    side = Side("reference", path, "--reference-label-set", None, names_bind=True)
    assert "no known label set" in settle_codings(side, find_labels(side)).refused[SECOND]


def test_a_list_that_says_each_coding_is_taken_at_its_word(tmp_path: Path) -> None:
    path = folder(tmp_path / "masks", {FIRST: coded(0, NNUNET), SECOND: coded(0, WITHOUT_ET)})
    write_list(path, {FIRST: "L23", SECOND: "L17"})
    references = folder(tmp_path / "references", {FIRST: label(0), SECOND: label(0)})
    found = evaluate_cases(path, references, out=tmp_path / "out")
    assert found.label_sets == {FIRST: ("L23", "L17"), SECOND: ("L17", "L17")}
    assert not found.warnings


def test_scores_of_a_stopped_call_are_not_kept_where_a_mask_that_was_added_changes_the_coding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of BraTS-PED without a year both L23 and LPED are likely; a 4 decides."""
    first, second = "BraTS-PED-00001-000", "BraTS-PED-00002-000"
    masks = folder(tmp_path / "masks", {first: np.zeros(GRID.shape, np.uint8)})
    references = folder(tmp_path / "references", {c: coded(0, PED) for c in (first, second)})
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_command, "write_results", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate_cases(masks, references, out=tmp_path / "out")
    nib.save(nib.Nifti1Image(coded(0, PED), GRID.affine), masks / f"{second}.nii.gz")
    found = evaluate_cases(masks, references, out=tmp_path / "out")
    assert (found.kept, found.label_sets[first]) == ((), ("LPED", "LPED"))


# --- what only looks wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "values", "requested", "warned"),
    [
        ("prediction", {1: 1, 2: 1, 4: 1}, None, True),
        ("reference", {1: 1, 2: 1, 4: 1}, None, True),
        ("prediction", {1: 1, 2: 1, 4: 1}, "GTV", False),
        ("reference", {1: 1, 2: 1, 4: 1}, "GTV", False),
        ("prediction", {1: 1, 2: 1, 4: 1}, "L17", False),
        ("prediction", {1: 2, 2: 2, 4: 2}, None, False),
    ],
)
def test_masks_of_the_whole_tumour_under_a_years_name(
    tmp_path: Path, side: str, values: dict[int, int], requested: str | None, warned: bool
) -> None:
    path = folder(tmp_path / "masks", {case: coded(seed, values) for seed, case in enumerate(CASES)})
    option = {"prediction": "--label-set", "reference": "--reference-label-set"}[side]
    wanted = Side(side, path, option, requested, names_bind=side == "reference")
    found = settle_codings(wanted, find_labels(wanted))
    assert not found.refused
    assert [[words in w for words in (f"3 of 3 {side}s", "L17", "NCR+NET", f"{option} GTV")] for w in found.warnings] == (
        [[True] * 4] if warned else []
    )
    nib.save(nib.Nifti1Image(label(0), GRID.affine), path / f"{THIRD}.nii.gz")
    if requested is None:
        assert settle_codings(wanted, find_labels(wanted)).warnings == ()


def test_what_looks_wrong_is_said_once_in_summary_and_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Edema and necrosis are exchanged in the references of two cases of three."""
    masks = folder(tmp_path / "masks", {c: coded(seed, {1: 1, 2: 2, 4: 0}) for seed, c in enumerate(CASES)})
    references = folder(
        tmp_path / "references",
        {c: coded(seed, EXCHANGED if c != THIRD else {1: 1, 2: 2, 4: 0}) for seed, c in enumerate(CASES)},
    )
    found = evaluate_cases(masks, references, out=tmp_path / "out")
    (swapped,) = found.warnings
    for words in (f"{masks}", "2 of 3 cases", FIRST, SECOND, "--label-set", "--reference-label-set", "L17", "LMSD"):
        assert words in swapped
    assert THIRD not in swapped
    assert caplog.text.count(swapped) == 1
    assert json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["warnings"] == [swapped]
    assert "of 3 cases" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_regions_that_a_protocol_does_not_score_are_named_once(tmp_path: Path) -> None:
    cases = ("BraTS-GLI-00001-100", "BraTS-GLI-00002-100")
    labels = {cases[0]: coded(0, {1: 1, 2: 3, 4: 4}), cases[1]: coded(1, NNUNET)}  # 4: resection cavity, in one of them
    path = folder(tmp_path / "masks", labels)
    found = evaluate_cases(path, path, out=tmp_path / "out")
    (warning,) = found.warnings
    for words in ("casewise", "RC", "1 of 2 cases", "--protocol brats2024 --task GLI"):
        assert words in warning
    scorings = [Scoring(), Scoring("brats2021"), Scoring("brats2024", "GLI")]
    (several,) = unscored([CaseResult({}, ("L24", "L24"), unscored={s.protocol: ("RC",) for s in scorings[:2]})], scorings)
    assert several.startswith("casewise and brats2021 do not score RC")
    assert "; brats2024 does" in several
