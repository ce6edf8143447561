"""Folders of masks against references: kinds of folders, label sets, tables and summaries."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from two_cases import FIRST, GRID, SECOND, SHAPE, expected, files_of, label, write_list

from brats3d import images
from brats3d.cases import Facts
from brats3d.errors import OptionError
from brats3d.evaluate import EvaluationSettings, evaluate_case, evaluate_cases, summarise_scores
from brats3d.geometry import Grid, to_stored
from brats3d.regions import LABEL_SETS, convert_label
from brats3d.store import CaseHeader, summarise, write_case


@pytest.mark.parametrize("protocol", ["casewise", "brats2021", "brats2023", "brats2024"])
def test_scores_are_those_of_the_arrays_and_stand_in_the_table(
    folders: tuple[Path, Path], tmp_path: Path, protocol: str
) -> None:
    out = tmp_path / "new" / "scores"
    found = evaluate_cases(*folders, out=out, settings=EvaluationSettings(protocol=protocol))
    assert found.of() == {FIRST: expected(0, protocol), SECOND: expected(1, protocol)}
    assert files_of(out) == ["lesions.csv", "report.html", "scores.csv", "summary.json"]
    rows = list(csv.reader((out / "scores.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0][:9] == ["case", "region", "protocol", "dice", "hd95_mm", "sensitivity", "specificity", "precision", "iou"]
    regions = ("WT", "TC", "NETC", "SNFH", "ET") if protocol == "brats2024" else ("WT", "TC", "ET")
    assert [r[:3] for r in rows[1:]] == [[c, r, protocol] for c in (FIRST, SECOND) for r in regions]
    for row in rows[1:]:
        values = found.of()[row[0]][row[1]].as_row()
        assert list(values) == rows[0][3:]
        assert [float(v) if v else None for v in row[3:]] == pytest.approx(list(values.values()))


def test_images_that_are_neither_masks_nor_labels_are_named(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folders[1] / "more").mkdir()
    images.write(folders[1] / "more/BraTS2021_00001_brain_mask.nii.gz", label(8), GRID)
    images.write(folders[0] / "case_seg.nii.gz", label(8), GRID)  # a label by its name, beside masks that are none
    evaluate_cases(*folders, out=tmp_path / "out")
    unused = [message for message in caplog.messages if "not used" in message]
    assert len(unused) == 1
    assert "1 image files" in unused[0]
    assert "more/BraTS2021_00001_brain_mask.nii.gz" in unused[0]


def test_summary_says_how_scores_are_spread_and_by_which_rules(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    without_tumour = np.zeros(SHAPE, np.uint8)
    images.write(predictions / "BraTS2021_00003.nii.gz", without_tumour, GRID)
    images.write(references / "BraTS2021_00003_seg.nii.gz", label(8), GRID)
    images.write(predictions / "BraTS2021_00004.nii.gz", label(9), GRID)
    images.write(references / "BraTS2021_00004_seg.nii.gz", without_tumour, GRID)
    evaluate_cases(predictions, references, out=tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["schema"], list(summary["protocols"]), summary["n"], summary["refused"]) == (2, ["casewise"], 4, {})
    card = summary["protocols"]["casewise"]
    assert "surface elements" in card["hd95"]
    assert "the grid's diagonal in mm" in card["empty_rule"]
    assert summary["label_sets"] == {"predictions": ["L17"], "references": ["L17"]}
    whole = card["regions"]["WT"]
    assert (whole["cases"], whole["empty_references"], whole["empty_answered_empty"], whole["penalties"]) == (4, 1, 0, 2)
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
    last = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text(encoding="utf-8").splitlines()))[-1]
    assert (last["sensitivity"], last["dice"], last["precision"]) == ("", "0.0", "0.0")


def test_spread_of_one_case_and_of_none() -> None:
    assert summarise_scores({}) == {}
    one = summarise_scores({"a": expected(0)})["ET"]["dice"]
    assert (one["n"], one["sd"], one["median"]) == (1, None, one["mean"])


def test_a_reference_as_its_own_prediction_is_perfect(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, references = folders
    found = evaluate_cases(references, references, out=tmp_path / "out")
    assert len(found.scores) == 2
    for rows in found.of().values():
        assert [(rows[r].dice, rows[r].hd95_mm) for r in ("WT", "TC", "ET")] == [(1, 0)] * 3


@pytest.mark.real
def test_real_references_as_their_own_predictions_are_perfect(real_data: Path, tmp_path: Path) -> None:
    found = evaluate_cases(real_data / "brats", real_data / "brats", out=tmp_path / "out")
    assert len(found.scores) == 12
    assert not found.refused
    assert {(row.dice, row.hd95_mm) for rows in found.of().values() for row in rows.values()} == {(1, 0)}
    assert found.label_sets["BraTS-GLI-00000-000"] == ("L23", "L23")


# --- label sets ---------------------------------------------------------------------------------------------------------


def recode(path: Path, target: str) -> None:
    volume = images.read(path)
    images.write(path, convert_label(volume.array, LABEL_SETS["L17"], LABEL_SETS[target]), volume.grid)


def test_each_side_is_read_in_its_own_label_set(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    for path in predictions.iterdir():
        recode(path, "L23")
    write_list(predictions, {FIRST: "L23", SECOND: "L23"})
    found = evaluate_cases(predictions, references, out=tmp_path / "listed")
    assert found.of() == {FIRST: expected(0), SECOND: expected(1)}
    assert found.label_sets[FIRST] == ("L23", "L17")
    (predictions / "predictions.json").unlink()
    assert (
        evaluate_cases(predictions, references, out=tmp_path / "said", settings=EvaluationSettings(label_set="L23")).scores
        == found.scores
    )


def test_labels_of_one_folder_that_say_different_things_stop_the_evaluation(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    for path in (predictions / f"{FIRST}.nii.gz", references / SECOND / f"{SECOND}_seg.nii.gz"):
        recode(path, "L23")
    with pytest.raises(OptionError, match=rf"{references}: .*--reference-label-set NAME"):
        evaluate_cases(predictions, references, out=tmp_path / "out")
    with pytest.raises(OptionError, match=rf"{predictions}: .*--label-set NAME"):
        evaluate_cases(predictions, references, out=tmp_path / "out", settings=EvaluationSettings(reference_label_set="L17"))
    told = evaluate_cases(
        predictions, references, out=tmp_path / "out", settings=EvaluationSettings(label_set="L23", reference_label_set="L23")
    )
    assert list(told.refused) == [FIRST, SECOND]
    assert f"{FIRST}_seg.nii.gz: the label of {FIRST} holds the values [0, 1, 2, 4]" in told.refused[FIRST]
    assert f"{SECOND}.nii.gz: the label holds [4], which L23 [0, 1, 2, 3] does not know" in told.refused[SECOND]


def test_options_and_records_must_agree(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    write_list(predictions, {FIRST: "L17", SECOND: "L17"})
    found = evaluate_cases(predictions, references, out=tmp_path / "out", settings=EvaluationSettings(label_set="L23"))
    assert "the prediction is recorded as L17, --label-set says L23; leave the option out" in found.refused[FIRST]
    named = evaluate_cases(
        predictions, references, out=tmp_path / "out2", settings=EvaluationSettings(reference_label_set="LMSD")
    )
    assert "--reference-label-set LMSD" in named.refused[FIRST]


BAD_LISTS = [
    ({"schema": 3}, "has schema 3; .* up to 2"),
    ({"cases": None}, "cannot be read"),
    ({"regions": "WT"}, "cannot be read .ValueError: regions is 'WT'; expected a list of names"),
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
    assert evaluate_cases(folders[0], references, out=tmp_path / "out").of()[SECOND] == expected(1)


def test_two_masks_of_one_case_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images.write(folders[0] / f"{FIRST}-seg.nii.gz", label(0), GRID)
    with pytest.raises(OptionError, match=rf"two masks of case {FIRST}, {FIRST}-seg.nii.gz and {FIRST}.nii.gz"):
        evaluate_cases(*folders, out=tmp_path / "out")


def store_of(folder: Path, affine: np.ndarray, label_set: str | None = "L17") -> Path:
    """A store whose cases come from a grid with other axes."""
    folder.mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        source = Grid(SHAPE, affine)
        turned, grid = to_stored(label(number + 5), source)
        header = CaseHeader(case, Facts(case, corpus="BraTS 2021"), ("t1",), LABEL_SETS[label_set] if label_set else None)
        scan = np.arange(1, 1 + np.prod(grid.shape), dtype=np.int16).reshape(1, *grid.shape)
        write_case(folder, summarise(header, scan, np.ascontiguousarray(turned), grid, source))
    return folder


def test_references_in_a_store_are_compared_on_the_grid_of_their_source(folders: tuple[Path, Path], tmp_path: Path) -> None:
    affine = np.array([[0, 0, 1.5, -3], [1.0, 0, 0, 4], [0, 2.0, 0, 7], [0, 0, 0, 1]])  # axes A, S, R
    store = store_of(tmp_path / "store", affine)
    for number, case in enumerate((FIRST, SECOND)):
        images.write(folders[0] / f"{case}.nii.gz", label(number), Grid(SHAPE, affine))
    found = evaluate_cases(folders[0], store, out=tmp_path / "out")
    assert found.of() == {FIRST: expected(0), SECOND: expected(1)}
    contradicted = evaluate_cases(
        folders[0], store, out=tmp_path / "out2", settings=EvaluationSettings(reference_label_set="L23")
    )
    assert "the reference is recorded as L17, --reference-label-set says L23" in contradicted.refused[FIRST]


def test_a_store_that_does_not_record_the_label_set_needs_the_option(folders: tuple[Path, Path], tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", GRID.affine, label_set=None)
    silent = evaluate_cases(folders[0], store, out=tmp_path / "out")
    assert f"the store does not record the label set of {FIRST}; give it with --reference-label-set" in silent.refused[FIRST]
    told = evaluate_cases(folders[0], store, out=tmp_path / "out2", settings=EvaluationSettings(reference_label_set="L17"))
    assert told.of()[FIRST] == expected(0)


def test_a_damaged_case_of_a_store_is_refused_and_others_go_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", GRID.affine)
    (store / f"{FIRST}.h5").write_bytes(b"no HDF5")
    found = evaluate_cases(folders[0], store, out=tmp_path / "out")
    assert list(found.scores) == [SECOND]
    assert f"{FIRST}.h5" in found.refused[FIRST]


def test_only_cases_asked_for_are_scored(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = evaluate_cases(*folders, out=tmp_path / "out", cases=[SECOND, "BraTS2021_09999"])
    assert list(found.scores) == [SECOND]
    assert list(found.refused) == ["BraTS2021_09999"]
    assert "neither" in found.refused["BraTS2021_09999"]
