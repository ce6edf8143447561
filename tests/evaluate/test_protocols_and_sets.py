"""Several protocols side by side, several sets of predictions, a second rater, groups, calibration, other grids."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from two_cases import FIRST, GRID, SECOND, SHAPE, expected, label, write_list

from brats3d import images
from brats3d.errors import OptionError
from brats3d.evaluate import EvaluationSettings, evaluate_cases
from brats3d.geometry import Grid
from brats3d.regions import LABEL_SETS, region_masks

Folders = tuple[Path, Path]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_all_protocols_stand_side_by_side(folders: Folders, tmp_path: Path) -> None:
    found = evaluate_cases(*folders, out=tmp_path / "out", settings=EvaluationSettings(protocol="all"))
    assert [s.protocol for s in found.scorings] == ["casewise", "brats2021", "brats2023", "brats2024"]
    for protocol in ("casewise", "brats2021", "brats2023", "brats2024"):
        assert found.of(protocol) == {FIRST: expected(0, protocol), SECOND: expected(1, protocol)}
    rows = table(tmp_path / "out" / "scores.csv")
    whole = {row["protocol"]: row for row in rows if (row["case"], row["region"]) == (FIRST, "WT")}
    assert whole["casewise"]["lesion_dice"] == whole["brats2021"]["lesions_fp"] == ""
    assert whole["brats2023"]["precision"] == whole["brats2023"]["assd_mm"] == ""
    assert float(whole["brats2023"]["lesion_dice"]) == expected(0, "brats2023")["WT"].lesion_dice
    lesions = table(tmp_path / "out" / "lesions.csv")
    assert {row["protocol"] for row in lesions} == {"brats2023", "brats2024"}
    first = [row for row in lesions if (row["case"], row["region"], row["protocol"]) == (FIRST, "WT", "brats2023")]
    counted = [row for row in first if row["counted"] == "1"]
    mean = sum(float(row["dice"]) for row in counted) / len(counted)
    assert mean == pytest.approx(expected(0, "brats2023")["WT"].lesion_dice)


def test_all_leaves_out_what_has_no_such_task(folders: Folders, tmp_path: Path) -> None:
    found = evaluate_cases(*folders, out=tmp_path / "out", settings=EvaluationSettings(protocol="all", task="MEN"))
    assert [s.protocol for s in found.scorings] == ["casewise", "brats2021", "brats2023"]
    assert "task MEN" in found.summary["protocols"]["brats2023"]["task"]
    with pytest.raises(OptionError, match="task of brats2023 is 'LUNG'"):
        evaluate_cases(*folders, out=tmp_path / "none", settings=EvaluationSettings(protocol="all", task="LUNG"))
    with pytest.raises(OptionError, match="casewise .* no task GLI"):
        evaluate_cases(*folders, out=tmp_path / "none", settings=EvaluationSettings(task="GLI"))
    assert not (tmp_path / "none").exists()


def test_another_set_of_predictions_is_compared_case_by_case(folders: Folders, tmp_path: Path) -> None:
    other = tmp_path / "better"
    other.mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        images.write(other / f"{case}.nii.gz", label(number + 5), GRID)  # the references themselves
    found = evaluate_cases(*folders, out=tmp_path / "out", settings=EvaluationSettings(against=[other]))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert [place["name"] for place in summary["ranking"]["places"]] == ["better", "masks"]
    (row,) = [r for r in summary["comparison"]["rows"] if (r["region"], r["metric"]) == ("WT", "dice")]
    gain = [1 - expected(n)["WT"].dice for n in (0, 1)]
    assert -row["difference"] == pytest.approx(sum(gain) / 2)
    assert found.of() == {FIRST: expected(0), SECOND: expected(1)}
    with pytest.raises(OptionError, match="is given twice"):
        evaluate_cases(*folders, out=tmp_path / "out2", settings=EvaluationSettings(against=[folders[0]]))


def test_a_second_rater_stands_beside_the_model(folders: Folders, tmp_path: Path) -> None:
    rater = tmp_path / "rater"
    for number, case in enumerate((FIRST, SECOND)):
        (rater / case).mkdir(parents=True)
        images.write(rater / case / f"{case}_seg.nii.gz", label(number + 9), GRID)
    found = evaluate_cases(*folders, out=tmp_path / "out", settings=EvaluationSettings(rater=rater))
    assert found.comparison is not None
    assert {place["name"] for place in found.summary["ranking"]["places"]} == {"masks", "rater"}


def test_groups_come_from_a_table(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text(f"case,scanner\n{FIRST},A\n{SECOND},B\nBraTS2021_09999,A\n")
    found = evaluate_cases(*folders, out=tmp_path / "out", settings=EvaluationSettings(groups=tmp_path / "groups.csv"))
    groups = found.summary["groups"]["scanner"]
    assert {name: group["WT"]["n"] for name, group in groups.items()} == {"A": 1, "B": 1}
    assert groups["A"]["WT"]["dice"]["mean"] == expected(0)["WT"].dice
    (tmp_path / "bad.csv").write_text("id,scanner\n1,2\n")
    with pytest.raises(OptionError, match=r"bad.csv: has the columns id, scanner; expected case"):
        evaluate_cases(*folders, out=tmp_path / "out2", settings=EvaluationSettings(groups=tmp_path / "bad.csv"))
    assert not (tmp_path / "out2").exists()
    (tmp_path / "others.csv").write_text("case,scanner\nBraTS2021_09999,A\n")
    (said,) = evaluate_cases(
        *folders, out=tmp_path / "out3", settings=EvaluationSettings(groups=tmp_path / "others.csv")
    ).warnings
    assert "BraTS2021_09999" in said
    assert FIRST in said


def test_probabilities_are_compared_with_the_references(folders: Folders, tmp_path: Path) -> None:
    predictions, _ = folders
    write_list(predictions, {FIRST: "L17", SECOND: "L17"})
    listed = json.loads((predictions / "predictions.json").read_text(encoding="utf-8"))
    (predictions / "probabilities").mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        masks = region_masks(label(number + 5), LABEL_SETS["L17"])
        images.write(predictions / "probabilities" / f"{case}.nii.gz", np.where(masks, 0.85, 0.15).astype(np.float32), GRID)
        listed["cases"][case]["probabilities"] = f"probabilities/{case}.nii.gz"
    missing = evaluate_cases(*folders, out=tmp_path / "none", settings=EvaluationSettings(calibration=True))
    assert "predict with --probabilities" in missing.refused[FIRST]
    (predictions / "predictions.json").write_text(json.dumps(listed))
    found = evaluate_cases(*folders, out=tmp_path / "out", settings=EvaluationSettings(calibration=True))
    # every voxel is called 0.15 or 0.85 and is what it is called: off by 0.15 everywhere
    assert found.calibration["WT"].ece == pytest.approx(0.15, abs=1e-6)
    assert found.summary["calibration"]["ET"]["ece"] == pytest.approx(0.15, abs=1e-6)


def test_a_mirrored_reference_is_not_laid_on_its_scans(folders: Folders, tmp_path: Path) -> None:
    """Another origin is an oddity of some releases; another orientation is another label."""
    _, references = folders
    shifted, mirrored = GRID.affine.copy(), GRID.affine.copy()
    shifted[0, 3] += 7
    mirrored[:3, 0] *= -1
    images.write(references / FIRST / f"{FIRST}_seg.nii.gz", label(5), Grid(SHAPE, shifted))
    images.write(references / SECOND / f"{SECOND}_seg.nii.gz", label(6), Grid(SHAPE, mirrored))
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert found.of() == {FIRST: expected(0)}
    assert "not on the same grid" in found.refused[SECOND]


def test_failures_are_classed_and_counted(folders: Folders, tmp_path: Path) -> None:
    predictions, _ = folders
    images.write(predictions / f"{FIRST}.nii.gz", np.zeros(SHAPE, np.uint8), GRID)
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert set(found.failures) == {FIRST, SECOND}
    assert all(set(rows) == {"WT", "TC", "ET"} for rows in found.failures.values())
    assert sum(found.summary["failures"]["WT"].values()) == 2
    assert "missed" in found.failures[FIRST]["WT"]
