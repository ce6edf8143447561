"""Folders of masks against references: what is scored, what is written, what is refused and how it is said."""

from __future__ import annotations

import csv
import errno
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats3d import images
from brats3d.console import run
from brats3d.errors import ArrayError, GridError, NoCasesError, OptionError, OutputExistsError, SpaceError
from brats3d.evaluate import COLUMNS, evaluate_case, evaluate_cases, summarise_scores
from brats3d.evaluate import command as evaluate_command
from brats3d.evaluate.__main__ import main
from brats3d.geometry import Grid, to_stored
from brats3d.images import Volume
from brats3d.regions import LABEL_SETS, convert_label
from brats3d.scores import case_scores
from brats3d.store import CaseFacts, summarise, write_case

SHAPE = (9, 10, 11)
GRID = Grid(SHAPE, np.array([[-1.0, 0, 0, 4], [0, -2.0, 0, 239], [0, 0, 1.5, -3], [0, 0, 0, 1]]))
FIRST, SECOND = "BraTS2021_00001", "BraTS2021_00002"


def label(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A label of L17: nested blocks, a few voxels of noise."""
    rng = np.random.default_rng(seed)
    found = np.zeros(shape, np.uint8)
    found[1:7, 2:8, 2:9] = 2
    found[2:6, 3:7, 3:8] = 1
    found[3:5, 4:6, 3:6] = 4
    where = tuple(rng.integers(0, n, 20) for n in shape)
    found[where] = rng.choice([0, 1, 2, 4], 20)
    return found


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Masks and case folders of two cases."""
    predictions, references = tmp_path / "masks", tmp_path / "cases"
    predictions.mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        (references / case).mkdir(parents=True)
        images.write(predictions / f"{case}.nii.gz", label(number), GRID)
        images.write(references / case / f"{case}_seg.nii.gz", label(number + 5), GRID)
        images.write(references / case / f"{case}_t1.nii.gz", np.ones(SHAPE, np.int16), GRID)
    return predictions, references


def expected(number: int, protocol: str = "casewise") -> dict:
    return case_scores(label(number), label(number + 5), GRID.spacing_mm, label_set=LABEL_SETS["L17"], protocol=protocol)


def files_of(out: Path) -> list[str]:
    return sorted(p.name for p in out.iterdir()) if out.exists() else []


@pytest.mark.parametrize("protocol", ["casewise", "brats2021"])
def test_scores_are_those_of_the_arrays_and_stand_in_the_table(
    folders: tuple[Path, Path], tmp_path: Path, protocol: str
) -> None:
    out = tmp_path / "new" / "scores"
    found = evaluate_cases(*folders, out=out, protocol=protocol)
    assert found.scores == {FIRST: expected(0, protocol), SECOND: expected(1, protocol)}
    assert files_of(out) == ["scores.csv", "summary.json"]
    rows = list(csv.reader((out / "scores.csv").read_text().splitlines()))
    assert rows[0] == list(COLUMNS)
    assert rows[0][:9] == ["case", "region", "protocol", "dice", "hd95_mm", "sensitivity", "specificity", "precision", "iou"]
    assert [r[:3] for r in rows[1:]] == [[c, r, protocol] for c in (FIRST, SECOND) for r in ("WT", "TC", "ET")]
    for row in rows[1:]:
        values = astuple(found.scores[row[0]][row[1]])
        assert [float(v) for v in row[3:]] == pytest.approx(values)


def test_summary_says_how_scores_are_spread_and_by_which_rules(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    without_tumour = np.zeros(SHAPE, np.uint8)
    images.write(predictions / "BraTS2021_00003.nii.gz", without_tumour, GRID)
    images.write(references / "BraTS2021_00003_seg.nii.gz", label(8), GRID)
    images.write(predictions / "BraTS2021_00004.nii.gz", label(9), GRID)
    images.write(references / "BraTS2021_00004_seg.nii.gz", without_tumour, GRID)
    evaluate_cases(predictions, references, out=tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["schema"], summary["protocol"], summary["n"], summary["refused"]) == (1, "casewise", 4, {})
    assert "surface elements" in summary["hd95"]
    assert "the grid's diagonal in mm" in summary["empty_rule"]
    assert summary["label_sets"] == {"predictions": ["L17"], "references": ["L17"]}
    whole = summary["regions"]["WT"]
    assert (whole["cases"], whole["empty_references"], whole["penalties"]) == (4, 1, 2)
    dice = [expected(0)["WT"].dice, expected(1)["WT"].dice, 0, 0]
    mean = sum(dice) / 4
    deviation = (sum((d - mean) ** 2 for d in dice) / 3) ** 0.5
    assert whole["dice"]["mean"] == pytest.approx(mean)
    assert whole["dice"]["sd"] == pytest.approx(deviation)
    assert whole["dice"]["median"] == pytest.approx(sorted(dice)[1] / 2 + sorted(dice)[2] / 2)
    assert whole["dice"]["q25"] == 0
    diagonal = (9**2 + 20**2 + 16.5**2) ** 0.5
    hd95 = sum((expected(0)["WT"].hd95_mm, expected(1)["WT"].hd95_mm, 2 * diagonal)) / 4
    assert whole["hd95_mm"]["mean"] == pytest.approx(hd95)
    assert (whole["hd95_mm"]["n"], whole["sensitivity"]["n"]) == (4, 3)
    last = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))[-1]
    assert (last["sensitivity"], last["dice"], last["precision"]) == ("", "0.0", "0.0")


def test_spread_of_one_case_and_of_none() -> None:
    assert summarise_scores({}) == {}
    one = summarise_scores({"a": expected(0)})["ET"]["dice"]
    assert (one["n"], one["sd"], one["median"]) == (1, None, one["mean"])


def test_a_reference_as_its_own_prediction_is_perfect(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, references = folders
    found = evaluate_cases(references, references, out=tmp_path / "out")
    assert len(found.scores) == 2
    for rows in found.scores.values():
        assert [(rows[r].dice, rows[r].hd95_mm) for r in ("WT", "TC", "ET")] == [(1, 0)] * 3


@pytest.mark.real
def test_real_references_as_their_own_predictions_are_perfect(real_data: Path, tmp_path: Path) -> None:
    found = evaluate_cases(real_data / "brats", real_data / "brats", out=tmp_path / "out")
    assert len(found.scores) == 12
    assert not found.refused
    assert {(row.dice, row.hd95_mm) for rows in found.scores.values() for row in rows.values()} == {(1, 0)}
    assert found.label_sets["BraTS-GLI-00000-000"] == ("L23", "L23")


# --- label sets ---------------------------------------------------------------------------------------------------------


def write_list(folder: Path, label_sets: dict[str, str], **changes: object) -> None:
    cases = {case: {"file": f"{case}.nii.gz", "label_set": name} for case, name in label_sets.items()}
    (folder / "predictions.json").write_text(json.dumps({"schema": 1, "model": {}, "options": {}, "cases": cases} | changes))


def recode(path: Path, target: str) -> None:
    volume = images.read(path)
    images.write(path, convert_label(volume.array, LABEL_SETS["L17"], LABEL_SETS[target]), volume.grid)


def test_each_side_is_read_in_its_own_label_set(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    for path in predictions.iterdir():
        recode(path, "L23")
    write_list(predictions, {FIRST: "L23", SECOND: "L23"})
    found = evaluate_cases(predictions, references, out=tmp_path / "listed")
    assert found.scores == {FIRST: expected(0), SECOND: expected(1)}
    assert found.label_sets[FIRST] == ("L23", "L17")
    (predictions / "predictions.json").unlink()
    assert evaluate_cases(predictions, references, out=tmp_path / "said", label_set="L23").scores == found.scores


def test_doubt_about_a_label_set_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    for path in (predictions / f"{FIRST}.nii.gz", references / SECOND / f"{SECOND}_seg.nii.gz"):
        recode(path, "L23")
    found = evaluate_cases(predictions, references, out=tmp_path / "out")
    assert not found.scores
    assert f"masks/{FIRST}.nii.gz: the label of {FIRST} holds the values [0, 1, 2, 3]" in found.refused[FIRST]
    assert "say which with --label-set NAME" in found.refused[FIRST]
    assert f"{SECOND}_seg.nii.gz: " in found.refused[SECOND]
    assert "say which with --reference-label-set NAME" in found.refused[SECOND]
    told = evaluate_cases(predictions, references, out=tmp_path / "out2", label_set="L23", reference_label_set="L23")
    assert f"{SECOND}.nii.gz: the label holds [4], which L23 [0, 1, 2, 3] does not know" in told.refused[SECOND]


def test_options_and_records_must_agree(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    write_list(predictions, {FIRST: "L17", SECOND: "L17"})
    found = evaluate_cases(predictions, references, out=tmp_path / "out", label_set="L23")
    assert "the prediction is recorded as L17, --label-set says L23; leave the option out" in found.refused[FIRST]
    named = evaluate_cases(predictions, references, out=tmp_path / "out2", reference_label_set="LMSD")
    assert "--reference-label-set LMSD" in named.refused[FIRST]


BAD_LISTS = [
    ({"schema": 2}, "has schema 2; expected 1"),
    ({"cases": None}, "cannot be read"),
    ({"cases": {FIRST: {"file": "a.nii.gz"}}}, "cannot be read .KeyError: 'label_set'"),
    ({"cases": {FIRST: {"file": "a.nii.gz", "label_set": "L99"}}}, f"says label set 'L99' of {FIRST}"),
]


@pytest.mark.parametrize(("change", "message"), BAD_LISTS)
def test_a_bad_list_of_predictions_is_refused(folders: tuple[Path, Path], tmp_path: Path, change: dict, message: str) -> None:
    write_list(folders[0], {FIRST: "L17"}, **change)
    with pytest.raises(OptionError, match=f"predictions.json: {message}"):
        evaluate_cases(*folders, out=tmp_path / "out")
    assert files_of(tmp_path / "out") == []


def test_only_regions_that_both_sets_define_are_scored() -> None:
    mask = (label(0) > 0).astype(np.uint8)
    found = evaluate_case(mask, label(0), label_set="GTV", reference_label_set="L17")
    assert list(found) == ["WT"]
    assert found["WT"].dice == 1


# --- kinds of folders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "_seg", "-seg", "_SEG"])
def test_references_may_be_plain_masks(folders: tuple[Path, Path], tmp_path: Path, ending: str) -> None:
    references = tmp_path / "plain"
    references.mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        images.write(references / f"{case}{ending}.nii.gz", label(number + 5).astype(np.float32), GRID)
    (references / "README.txt").write_text("not a mask")
    assert evaluate_cases(folders[0], references, out=tmp_path / "out").scores[SECOND] == expected(1)


def test_two_masks_of_one_case_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images.write(folders[0] / f"{FIRST}-seg.nii.gz", label(0), GRID)
    with pytest.raises(OptionError, match=rf"holds two masks of case {FIRST}, {FIRST}-seg.nii.gz and {FIRST}.nii.gz"):
        evaluate_cases(*folders, out=tmp_path / "out")


def store_of(folder: Path, affine: np.ndarray) -> Path:
    """A store whose cases come from a grid with other axes."""
    folder.mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        source = Grid(SHAPE, affine)
        turned, grid = to_stored(label(number + 5), source)
        facts = CaseFacts(case, case, None, "BraTS 2021", None, "L17", ("t1",))
        scan = np.ones((1, *grid.shape), np.int16)
        write_case(folder, summarise(facts, scan, np.ascontiguousarray(turned), grid, source))
    return folder


def test_references_in_a_store_are_compared_on_the_grid_of_their_source(folders: tuple[Path, Path], tmp_path: Path) -> None:
    affine = np.array([[0, 0, 1.5, -3], [1.0, 0, 0, 4], [0, 2.0, 0, 7], [0, 0, 0, 1]])  # axes A, S, R
    store = store_of(tmp_path / "store", affine)
    for number, case in enumerate((FIRST, SECOND)):
        images.write(folders[0] / f"{case}.nii.gz", label(number), Grid(SHAPE, affine))
    found = evaluate_cases(folders[0], store, out=tmp_path / "out")
    assert found.scores == {FIRST: expected(0), SECOND: expected(1)}
    contradicted = evaluate_cases(folders[0], store, out=tmp_path / "out2", reference_label_set="L23")
    assert "the reference is recorded as L17, --reference-label-set says L23" in contradicted.refused[FIRST]


def test_a_damaged_case_of_a_store_is_refused_and_others_go_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", GRID.affine)
    (store / f"{FIRST}.h5").write_bytes(b"no HDF5")
    found = evaluate_cases(folders[0], store, out=tmp_path / "out")
    assert list(found.scores) == [SECOND]
    assert f"{FIRST}.h5" in found.refused[FIRST]


def test_only_cases_asked_for_are_scored(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text(f"{SECOND}\nBraTS2021_09999\n")
    found = evaluate_cases(*folders, out=tmp_path / "out", cases=str(tmp_path / "ids.txt"))
    assert list(found.scores) == [SECOND]
    assert list(found.refused) == ["BraTS2021_09999"]
    assert "neither" in found.refused["BraTS2021_09999"]


# --- what is refused ----------------------------------------------------------------------------------------------------


def test_a_case_on_one_side_only_is_refused_by_name_with_exit_code_3(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, references = folders
    (predictions / f"{FIRST}.nii.gz").rename(predictions / "BraTS2021_00007.nii.gz")
    assert run(main, [str(predictions), str(references), "--out", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr()
    assert f"refused {FIRST}: there is a reference, but no prediction in {predictions}; predict it" in printed.err
    assert f"refused BraTS2021_00007: there is a prediction, but no reference in {references}; add it" in printed.err
    assert "1 cases scored, 2 refused" in printed.out
    assert set(json.loads((tmp_path / "out" / "summary.json").read_text())["refused"]) == {FIRST, "BraTS2021_00007"}


def test_nothing_in_common_is_an_error_that_lists_what_is_there(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, references = folders
    for number, path in enumerate(sorted(predictions.iterdir())):
        path.rename(predictions / f"mask{number}.nii.gz")
    assert run(main, [str(predictions), str(references), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "no case has both a prediction and a reference" in said
    assert f"holds 2 (mask0, mask1), {references} holds 2 ({FIRST}, {SECOND})" in said
    assert files_of(tmp_path / "out") == []


def test_folders_that_are_missing_or_empty_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(NoCasesError, match="nowhere: no such folder; expected the predictions"):
        evaluate_cases(tmp_path / "nowhere", folders[1], out=tmp_path / "out")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    with pytest.raises(NoCasesError, match=r"empty: no reference found among 1 entries \(notes.txt\)"):
        evaluate_cases(folders[0], tmp_path / "empty", out=tmp_path / "out")


def write_raw(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    nib.save(nib.Nifti1Image(array, GRID.affine if affine is None else affine), path)


def shifted() -> np.ndarray:
    affine = GRID.affine.copy()
    affine[0, 3] += 0.5
    return affine


BAD_MASKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "values outside the set": (lambda p: write_raw(p, label(0) + np.uint8(5)), "holds the values .5, 6, 7, 9."),
    "no whole numbers": (lambda p: write_raw(p, label(0) * np.float32(0.7)), "expected whole numbers from 0 to 255"),
    "NaN": (lambda p: write_raw(p, np.full(SHAPE, np.nan, np.float32)), "990 voxels are NaN or infinite"),
    "empty file": (lambda p: p.write_bytes(b""), r"the file is empty \(0 bytes\)"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:200]), "cannot be read as NIfTI"),
    "text": (lambda p: p.write_text("this is no image"), "cannot be read as NIfTI"),
    "4-D": (lambda p: write_raw(p, np.zeros((*SHAPE, 3), np.uint8)), r"the mask has shape \(9, 10, 11, 3\); expected one 3-D"),
    "another shape": (
        lambda p: write_raw(p, label(0)[1:]),
        r"do not lie on one grid \(shape \(8, 10, 11\) and \(9, 10, 11\)\)",
    ),
    "another origin": (lambda p: write_raw(p, label(0), shifted()), "do not lie on one grid .affine .*4.5.* and .*4.0"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_a_bad_mask_is_refused_and_others_go_on(folders: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    spoil, message = BAD_MASKS[kind]
    spoil(folders[0] / f"{FIRST}.nii.gz")
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert list(found.scores) == [SECOND]
    assert list(found.refused) == [FIRST]
    assert re.search(message, found.refused[FIRST]), found.refused[FIRST]
    assert f"{FIRST}.nii.gz" in found.refused[FIRST]
    assert files_of(tmp_path / "out") == ["scores.csv", "summary.json"]


def test_a_listed_mask_that_is_gone_and_scans_without_a_label_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    write_list(predictions, {FIRST: "L17", SECOND: "L17"})
    (predictions / f"{FIRST}.nii.gz").unlink()
    (references / SECOND / f"{SECOND}_seg.nii.gz").unlink()
    found = evaluate_cases(predictions, references, out=tmp_path / "out")
    assert "no such file" in found.refused[FIRST]
    assert f"{SECOND} (BraTS 2021): found t1; missing t1ce, t2, flair; expected a label" in found.refused[SECOND]


def test_a_label_with_another_origin_than_its_scans_is_taken_with_a_warning(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folders[1] / FIRST / f"{FIRST}_seg.nii.gz"
    write_raw(path, label(5), shifted())
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert found.scores[FIRST] == expected(0)
    assert f"{path}: the label's header differs from its scans'" in caplog.text


def test_volumes_and_arrays() -> None:
    mine, theirs = Volume(label(0), GRID), Volume(label(5), GRID)
    found = evaluate_case(mine, theirs, label_set="L17")
    assert found == expected(0) == evaluate_case(label(0), label(5), label_set="L17", spacing_mm=GRID.spacing_mm)
    np.testing.assert_array_equal(mine.array, label(0))
    with pytest.raises(GridError, match=r"do not lie on one grid \(affine"):
        evaluate_case(mine, Volume(label(5), Grid(SHAPE, shifted())), label_set="L17")
    with pytest.raises(ArrayError, match="the prediction is a Volume, the reference a ndarray"):
        evaluate_case(mine, label(5), label_set="L17")


# --- the output folder --------------------------------------------------------------------------------------------------


def test_results_are_not_overwritten_without_force(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    line = [*map(str, folders), "--out", str(out)]
    assert run(main, line) == 0
    before = (out / "scores.csv").read_text()
    images.write(folders[0] / f"{FIRST}.nii.gz", label(5), GRID)
    assert run(main, line) == 2
    assert f"{out} holds scores.csv and summary.json already; choose another --out, or use --force" in capsys.readouterr().err
    assert (out / "scores.csv").read_text() == before
    assert run(main, [*line, "--force"]) == 0
    assert (out / "scores.csv").read_text() != before
    with pytest.raises(OutputExistsError, match=r"scores.csv is a file; expected a folder"):
        evaluate_cases(*folders, out=out / "scores.csv")


def test_a_stopped_evaluation_goes_on(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out, real = tmp_path / "out", evaluate_command.evaluate_pair
    scored: list[str] = []

    def stop_at_second(pair: object, protocol: str) -> object:
        if pair.case == SECOND:
            raise KeyboardInterrupt
        return real(pair, protocol)

    def count(pair: object, protocol: str) -> object:
        scored.append(pair.case)
        return real(pair, protocol)

    monkeypatch.setattr(evaluate_command, "evaluate_pair", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        evaluate_cases(*folders, out=out)
    assert files_of(out) == [".scores.unfinished"]
    with (out / ".scores.unfinished").open("a") as file:
        file.write('{"case": "cut o')  # as a kill may leave it
    monkeypatch.setattr(evaluate_command, "evaluate_pair", count)
    with pytest.raises(OutputExistsError, match=r"unfinished evaluation with other settings \(protocol\)"):
        evaluate_cases(*folders, out=out, protocol="brats2021")
    found = evaluate_cases(*folders, out=out)
    assert scored == [SECOND]
    assert found.kept == (FIRST,)
    assert "going on, 1 of 2 cases are scored already" in caplog.text
    assert found.scores == {FIRST: expected(0), SECOND: expected(1)}
    assert files_of(out) == ["scores.csv", "summary.json"]


def test_a_mask_that_changed_since_the_stop_is_scored_again(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = evaluate_command.evaluate_pair
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_command, "write_results", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate_cases(*folders, out=tmp_path / "out")
    images.write(folders[0] / f"{FIRST}.nii.gz", label(7), GRID)
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert found.kept == (SECOND,)
    assert found.scores[FIRST] != expected(0)
    assert evaluate_command.evaluate_pair is real


def test_a_full_disk_is_said_and_leaves_no_results(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SpaceError, match=r"scores.csv: no space left on the disk; 0.\d+ MB are needed"):
        evaluate_cases(*folders, out=tmp_path / "out")
    assert files_of(tmp_path / "out") == [".scores.unfinished"]


BAD_OPTIONS = [
    (["--protocol", "lesionwise"], "invalid choice"),
    (["--label-set", "L71"], "label set is 'L71' .did you mean 'L17'"),
    (["--workers", "0"], "workers is 0; expected 1 or more"),
    (["--cases", "nowhere.txt"], "nowhere.txt: cannot be read"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_bad_options_end_with_2_and_write_nothing(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    try:
        code = run(main, [*map(str, folders), "--out", str(tmp_path / "out"), *options])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert re.search(message, capsys.readouterr().err)
    assert files_of(tmp_path / "out") == []


def test_the_command_prints_every_case_and_the_means(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, [*map(str, folders), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    for number, case in enumerate((FIRST, SECOND)):
        line = next(line for line in printed.splitlines() if line.startswith(case))
        scores = expected(number)
        assert line.split()[1:] == [f"{getattr(scores[r], m):.3f}" for m in ("dice", "hd95_mm") for r in ("WT", "TC", "ET")]
    assert any(line.startswith("ET ") for line in printed.splitlines())
    assert run(main, [*map(str, folders), "--out", str(tmp_path / "out2"), "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cases"][FIRST]["ET"]["dice"] == expected(0)["ET"].dice
    assert told["regions"]["WT"]["cases"] == 2


@pytest.mark.slow
def test_two_workers_give_the_same_and_load_no_framework(folders: tuple[Path, Path], tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from brats3d.evaluate import evaluate_cases\n"
        "if __name__ == '__main__':\n"
        "    evaluate_cases(Path(sys.argv[1]), Path(sys.argv[2]), out=Path(sys.argv[3]), workers=2)\n"
        "    print([m for m in ('keras', 'tensorflow', 'jax', 'matplotlib') if m in sys.modules])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    line = [sys.executable, str(script), *map(str, folders), str(tmp_path / "two")]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (ended.stdout.strip(), ended.returncode) == ("[]", 0), ended.stderr
    evaluate_cases(*folders, out=tmp_path / "one")
    assert (tmp_path / "one" / "scores.csv").read_text() == (tmp_path / "two" / "scores.csv").read_text()
