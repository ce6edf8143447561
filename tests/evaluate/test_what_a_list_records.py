"""What ``predictions.json`` says beside the label sets: the regions of probabilities, and the patients of the training."""

from __future__ import annotations

import csv
import json
import logging
import os
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import pytest
from two_cases import FIRST, GRID, SECOND, expected, label, write_list

from brats3d import images
from brats3d.errors import CaseError
from brats3d.evaluate import EvaluationSettings, evaluate_cases
from brats3d.evaluate.__main__ import main
from brats3d.evaluate.find_labels import find_labels
from brats3d.evaluate.label_files import Side
from brats3d.evaluate.pair import OtherGrid, Pair
from brats3d.evaluate.probabilities import calibration_notes
from brats3d.evaluate.scored_case import evaluate_pair
from brats3d.evaluate.unfinished import Unfinished
from brats3d.geometry import Grid
from brats3d.regions import LABEL_SETS, paint_regions, region_masks

Folders = tuple[Path, Path]


def write_probabilities(predictions: Path, regions: tuple[str, ...], *, recorded: bool = True, grid: Grid = GRID) -> None:
    """Write probabilities that are 0.85 in the reference's regions and 0.15 elsewhere, in the order of the regions."""
    write_list(predictions, {FIRST: "L17", SECOND: "L17"}, **({"regions": list(regions)} if recorded else {}))
    listed = json.loads((predictions / "predictions.json").read_text(encoding="utf-8"))
    (predictions / "probabilities").mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        masks = region_masks(label(number + 5), LABEL_SETS["L17"], regions)
        array = np.where(masks, 0.85, 0.15).astype(np.float32)
        images.write(predictions / "probabilities" / f"{case}.nii.gz", array, grid)
        listed["cases"][case]["probabilities"] = f"probabilities/{case}.nii.gz"
    (predictions / "predictions.json").write_text(json.dumps(listed))


def pairs(folders: Folders, other_grid: OtherGrid = "refuse") -> list[Pair]:
    """Return the two cases as the command pairs them, with calibration."""
    mine = find_labels(Side("prediction", folders[0], "--label-set", None, names_bind=False))
    theirs = find_labels(Side("reference", folders[1], "--reference-label-set", None, names_bind=True))
    return [Pair(case, mine[case], theirs[case], other_grid=other_grid, calibration=True) for case in (FIRST, SECOND)]


@pytest.mark.parametrize(
    ("regions", "recorded", "found", "said"),
    [
        (("WT", "TC", "ET"), True, ("WT", "TC", "ET"), ()),
        (("ET", "TC", "WT"), True, ("WT", "TC", "ET"), ()),
        (("TC", "WT"), True, ("WT", "TC"), ("not calibrated: ET", "probabilities of TC, WT.")),
        (("WT",), True, ("WT",), ("not calibrated: TC, ET", "probabilities of WT.")),
        (("WT", "TC", "ET"), False, ("WT", "TC", "ET"), ("does not record", "WT, TC, ET, in this order")),
        (("WT",), False, (), ("not calibrated: WT, TC, ET", "does not record")),
    ],
)
def test_probabilities_are_read_by_the_names_of_their_regions(
    folders: Folders, regions: tuple[str, ...], recorded: bool, found: tuple[str, ...], said: tuple[str, ...]
) -> None:
    write_probabilities(folders[0], regions, recorded=recorded)
    both = pairs(folders)
    for number, pair in enumerate(both):
        result = evaluate_pair(pair)
        assert result.scores["casewise"] == {r: row for r, row in expected(number).items() if not recorded or r in regions}
        # every voxel is called 0.15 or 0.85 and is what it is called: off by 0.15 everywhere
        assert {name: row.ece for name, row in result.calibration.items()} == pytest.approx(dict.fromkeys(found, 0.15))
    notes = calibration_notes([pair.prediction for pair in both], ("WT", "TC", "ET"), found)
    assert len(notes) == bool(said)
    assert all(words in notes[0] for words in said)


def write_second(folder: Path, label_set: dict[str, object], **changes: object) -> None:
    """Write a list of schema 2 for masks in a label set of somebody's own."""
    entries = {
        case: {"file": f"{case}.nii.gz", "label_set": "mine", "probabilities": f"probabilities/{case}.nii.gz"}
        for case in (FIRST, SECOND)
    }
    content = {
        "schema": 2, "model": {"file": "m", "checksum": "0", "members": [], "combine": "", "label_set": "mine"},
        "kind": "regions", "channels": ["WT"], "regions": ["WT"], "inference": {},
        "options": {"label_set": None, "probabilities": True}, "label_sets": {"mine": label_set}, "cases": entries,
    }  # fmt: skip
    (folder / "predictions.json").write_text(json.dumps(content | changes))
    (folder / "probabilities").mkdir()


OWN: dict[str, object] = {
    "name": "mine", "used_by": "one clinic", "tissues": {"7": "solid", "9": "oedema"},
    "regions": {"WT": [7, 9], "TC": [7]}, "paint": [["WT", 9], ["TC", 7]],
}  # fmt: skip


def test_of_exclusive_labels_a_region_has_the_sum_of_its_values(folders: Folders) -> None:
    """Worked by hand: 0.2, 0.5 and 0.3 of background, oedema and solid tumour are 0.8 of WT and 0.3 of TC, in every voxel."""
    write_second(folders[0], OWN, kind="labels", channels=["0", "9", "7"], regions=["WT", "TC"])
    for case in (FIRST, SECOND):
        constant = np.broadcast_to(np.array([0.2, 0.5, 0.3], np.float32)[:, None, None, None], (3, *GRID.shape))
        images.write(folders[0] / f"probabilities/{case}.nii.gz", np.ascontiguousarray(constant), GRID)
        mask = images.read(folders[0] / f"{case}.nii.gz").array
        images.write(folders[0] / f"{case}.nii.gz", np.array([0, 7, 9, 0, 7], np.uint8)[mask], GRID)
    for number, pair in enumerate(pairs(folders)):
        result = evaluate_pair(pair)
        reference = label(number + 5)
        shares = {"WT": np.isin(reference, (1, 2, 4)).mean(), "TC": np.isin(reference, (1, 4)).mean()}
        # all voxels are in one bin, and the box of the tumour, 20 voxels wider, is the whole volume
        found = {region: row.ece for region, row in result.calibration.items()}
        assert found == pytest.approx({"WT": abs(0.8 - shares["WT"]), "TC": abs(0.3 - shares["TC"])}, abs=1e-6)
        assert result.label_sets == ("mine", "L17")
        assert result.untold == ()  # ET is no region of this label set, and was never expected
        assert {r: row.dice for r, row in result.scores["casewise"].items()} == {
            region: expected(number)[region].dice for region in ("WT", "TC")
        }


def test_labels_are_read_by_the_content_that_the_list_gives(folders: Folders, tmp_path: Path) -> None:
    """A table may change: this L17 calls the oedema tumour core, and its WT is without 4."""
    other = {
        "tissues": {"1": "a", "2": "b", "4": "c"}, "regions": {"WT": [1, 2], "TC": [2], "RC": [4]},
        "paint": [["WT", 1], ["TC", 2], ["RC", 4]],
    }  # fmt: skip
    write_second(folders[0], OWN | {"name": "L17"} | other, regions=["WT", "TC"])
    found = evaluate_cases(*folders, out=tmp_path / "out").of()[FIRST]
    mask, reference = label(0), label(5)
    for region, mine, theirs in (("WT", (1, 2), (1, 2, 4)), ("TC", (2,), (1, 4))):
        a, b = np.isin(mask, mine), np.isin(reference, theirs)
        assert found[region].dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum())), region
    refused = evaluate_cases(*folders, out=tmp_path / "other", settings=EvaluationSettings(label_set="L17")).refused[FIRST]
    assert all(words in refused for words in ("recorded as L17", "['WT', 1], ", "['WT', 2], "))


def test_a_region_without_probabilities_is_named_in_log_summary_and_report(
    folders: Folders, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_probabilities(folders[0], ("WT",))
    with caplog.at_level(logging.WARNING):
        evaluation = evaluate_cases(*folders, out=tmp_path / "out", settings=EvaluationSettings(calibration=True))
    assert evaluation.of() == {case: {"WT": expected(i)["WT"]} for i, case in enumerate((FIRST, SECOND))}
    summary = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    assert {region: row["ece"] for region, row in summary["calibration"].items()} == pytest.approx({"WT": 0.15})
    (note,) = summary["calibration_notes"]
    assert "TC, ET" in note
    assert caplog.messages.count(note) == 1
    assert note in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("model", "protocol", "scored", "left_out"),
    [
        (("WT",), "casewise", ["WT"], "TC and ET are not scored"),
        (("WT",), "all", ["WT"], "TC, ET, NETC, SNFH and RC are not scored"),
        (("ET", "WT"), "brats2023", ["WT", "ET"], "TC is not scored"),
        (("ET", "TC", "WT"), "casewise", ["WT", "TC", "ET"], ""),
        (("WT", "TC", "ET"), "brats2024", ["WT", "TC", "NETC", "SNFH", "ET"], "RC is not scored"),
    ],
)
def test_regions_that_the_model_does_not_give_are_no_misses(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    model: tuple[str, ...],
    protocol: Literal["casewise", "brats2023", "brats2024", "all"],
    scored: list[str],
    left_out: str,
) -> None:
    """A model of the whole tumour alone got Dice 0 and the penalty for every core."""
    case, coding = "BraTS-GLI-00001-100", LABEL_SETS["L24"]
    masks, references = tmp_path / "masks", tmp_path / "references"
    reference = np.array([0, 1, 2, 0, 3], np.uint8)[label(5)]
    reference[0, 0, :3] = 4 if protocol == "brats2024" else 0  # a resection cavity
    mask = paint_regions(region_masks(reference, coding, model), coding, model)
    mask[4:7] = 0
    for folder, array in ((masks, mask), (references, reference)):
        folder.mkdir()
        nib.save(nib.Nifti1Image(array, GRID.affine), folder / f"{case}.nii.gz")
    write_list(masks, {case: "L24"}, regions=list(model))
    found = evaluate_cases(masks, references, out=tmp_path / "out", settings=EvaluationSettings(protocol=protocol))
    assert {p: list(rows) for p, rows in found.scores[case].items()} == {s.protocol: scored for s in found.scorings}
    whole = [np.isin(array, (1, 2, 3)) for array in (mask, reference)]
    by_hand = 2 * (whole[0] & whole[1]).sum() / (whole[0].sum() + whole[1].sum())
    assert found.of()[case]["WT"].dice == pytest.approx(by_hand)
    assert not any(rows["WT"].penalised for rows in found.scores[case].values())
    said = [w for w in found.warnings if "not scored" in w]
    assert len(said) == bool(left_out)
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert all(left_out in w and caplog.messages.count(w) == 1 and left_out in page for w in said)
    assert json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))["warnings"] == list(found.warnings) == said


def test_probabilities_that_cannot_be_used_refuse_their_case(folders: Folders) -> None:
    write_probabilities(folders[0], ("WT", "TC", "ET"))
    wrong = folders[0] / f"probabilities/{FIRST}.nii.gz"
    shifted = Grid(GRID.shape, GRID.affine + 7 * np.eye(4, k=3))
    logits = np.full((3, *GRID.shape), -4, np.float32)
    for array, grid, words in (
        (logits[:2], GRID, ("2 channels", "WT, TC, ET")),
        (logits, GRID, ("WT", "-4.0")),
        (np.zeros_like(logits), shifted, ("grid (", "--calibration")),
    ):
        images.write(wrong, array, grid)
        with pytest.raises(CaseError) as refused:
            evaluate_pair(pairs(folders)[0])
        assert all(word in str(refused.value) for word in (str(wrong), *words))


def test_probabilities_on_another_grid_are_brought_over_with_their_masks(folders: Folders) -> None:
    affine = GRID.affine.copy()
    affine[:3, 0], affine[:3, 3] = -affine[:3, 0], affine[:3, 3] + affine[:3, 0] * (GRID.shape[0] - 1)
    write_probabilities(folders[0], ("WT", "TC", "ET"))
    path = folders[0] / f"probabilities/{FIRST}.nii.gz"
    images.write(path, np.moveaxis(images.read(path).array[::-1], -1, 0), Grid(GRID.shape, affine))  # mirrored on file
    images.write(folders[0] / f"{FIRST}.nii.gz", label(0)[::-1], Grid(GRID.shape, affine))
    found = evaluate_pair(pairs(folders, "resample")[0]).calibration
    assert {region: row.ece for region, row in found.items()} == pytest.approx(dict.fromkeys(("WT", "TC", "ET"), 0.15))


def test_cases_of_training_patients_are_marked(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_list(folders[0], {FIRST: "L17", SECOND: "L17"})
    listed = json.loads((folders[0] / "predictions.json").read_text(encoding="utf-8"))
    listed["cases"][SECOND]["trained_on"] = True
    (folders[0] / "predictions.json").write_text(json.dumps(listed))
    assert main([*map(str, folders), "--out", str(tmp_path / "out")]) == 0
    (said,) = (line for line in capsys.readouterr().err.splitlines() if "trained on" in line)
    assert f"1 of the scored cases, such as {SECOND}," in said
    assert json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))["trained_on"] == [SECOND]
    rows = list(csv.DictReader((tmp_path / "out/scores.csv").read_text(encoding="utf-8").splitlines()))
    assert {(row["case"], row["trained_on"]) for row in rows} == {(FIRST, "0"), (SECOND, "1")}
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert f"<dt>seen in training</dt><dd>{SECOND}</dd>" in page


def test_a_stopped_evaluation_knows_files_by_their_content(folders: Folders, tmp_path: Path) -> None:
    """Of the same size and time: an archive that is unpacked keeps times, and all uncompressed masks have one size."""
    write_probabilities(folders[0], ("WT", "TC", "ET"))
    listing = folders[0] / "predictions.json"
    listed = json.loads(listing.read_text(encoding="utf-8"))
    listed["cases"][FIRST] |= {"file": "mask.nii", "probabilities": "mask4.nii"}
    listing.write_text(json.dumps(listed))
    reference = folders[1] / FIRST / f"{FIRST}_seg.nii"
    reference.with_name(f"{FIRST}_seg.nii.gz").unlink()
    files = {folders[0] / "mask.nii": (0, 7), reference: (5, 7), folders[0] / "mask4.nii": (0.25, 0.75)}

    def write(path: Path, content: float) -> None:
        array = label(content) if isinstance(content, int) else np.full((*GRID.shape, 3), content, np.float32)
        nib.save(nib.Nifti1Image(array, GRID.affine), path)
        os.utime(path, ns=(10**18, 10**18))

    for path, (before, _) in files.items():
        write(path, before)
    begun = Unfinished(tmp_path / "out", {"a": 1})
    for pair in pairs(folders):
        begun.add(pair, evaluate_pair(pair))

    def known() -> list[str]:
        return [pair.id for pair in pairs(folders) if Unfinished(tmp_path / "out", {"a": 1}).known(pair) is not None]

    assert known() == [FIRST, SECOND]
    for path, (before, after) in files.items():
        write(path, after)
        assert known() == [SECOND], path
        write(path, before)
    assert known() == [FIRST, SECOND]
    listed["cases"][FIRST]["label_set"] = "L13"
    listing.write_text(json.dumps(listed))
    assert known() == [SECOND]
