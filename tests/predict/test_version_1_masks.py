"""Masks that version 1 wrote are continued with the same model, and scored as before."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from brats3d import images
from brats3d.evaluate import EvaluationSettings, evaluate_cases
from brats3d.predict import PredictionSettings, predict_cases

pytest.importorskip("keras")
pytestmark = pytest.mark.network

VERSION_1 = Path(__file__).parents[1] / "version_1"


def test_they_are_continued_and_scored(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    shutil.copytree(VERSION_1 / "masks", masks)
    before = (masks / "Phantom_002.nii.gz").read_bytes()
    report = predict_cases(
        VERSION_1 / "whole.keras", [VERSION_1 / "scans"], out=masks, settings=PredictionSettings(probabilities=True)
    )
    assert (report.kept, report.predicted, report.refused) == (("Phantom_002",), ("Phantom_000",), {})
    assert (masks / "Phantom_002.nii.gz").read_bytes() == before
    listed = json.loads((masks / "predictions.json").read_text(encoding="utf-8"))
    first = json.loads((VERSION_1 / "masks/predictions.json").read_text(encoding="utf-8"))
    assert listed["schema"] == 2
    assert listed["cases"]["Phantom_002"] == first["cases"]["Phantom_002"]
    assert [source["name"][12:] for source in listed["cases"]["Phantom_000"]["sources"]] == [
        "t1.nii.gz", "t1ce.nii.gz", "t2.nii.gz", "flair.nii.gz",
    ]  # fmt: skip
    # what the model says of a case is what it said, too
    predict_cases(VERSION_1 / "whole.keras", [VERSION_1 / "scans"], out=tmp_path / "again", cases=_ids(tmp_path, "Phantom_002"))
    again = images.read(tmp_path / "again/Phantom_002.nii.gz").array
    np.testing.assert_array_equal(again, images.read(VERSION_1 / "masks/Phantom_002.nii.gz").array)


def test_they_are_scored_as_before(tmp_path: Path) -> None:
    evaluate_cases(VERSION_1 / "masks", VERSION_1 / "store", out=tmp_path, settings=EvaluationSettings(calibration=True))
    found, expected = (
        list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        for path in (tmp_path / "scores.csv", VERSION_1 / "masks_scores.csv")
    )
    assert len(found) == len(expected) == 3
    for row, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            assert row[name] == value or float(row[name]) == pytest.approx(float(value), rel=1e-9), (row["region"], name)


def _ids(folder: Path, *cases: str) -> str:
    (folder / "ids.txt").write_text("\n".join(cases))
    return str(folder / "ids.txt")
