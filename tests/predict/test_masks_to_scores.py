"""From scans over masks to scores, with what is not BraTS' usual: exclusive labels, and a label set of one's own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from cards import flat_card
from hand_made import expected_label, write_nifti

from brats3d.console import run
from brats3d.evaluate import evaluate_cases
from brats3d.evaluate.__main__ import main as evaluate
from brats3d.models import save_model
from brats3d.predict.__main__ import main

pytest.importorskip("keras")
pytestmark = pytest.mark.network

CASE = "BraTS2021_00001"
MINE = """
name = "mine"
tissues = {5 = "oedema", 6 = "core", 7 = "rim"}
regions = {WT = [5, 6, 7], TC = [6, 7], ET = [7]}
paint = [["WT", 5], ["TC", 6], ["ET", 7]]
"""


def calibration_error(probabilities: np.ndarray, mask: np.ndarray) -> float:
    """Return the expected calibration error in ten bins, voxel by voxel."""
    bins = np.minimum((probabilities.astype(float) * 10).astype(int), 9)
    gaps = [abs(probabilities[bins == b].mean() - mask[bins == b].mean()) * (bins == b).mean() for b in set(bins.ravel())]
    return float(sum(gaps))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_exclusive_labels_are_scored_and_calibrated_by_regions(tmp_path: Path, make_case: Any) -> None:
    import keras

    layer = keras.layers.Conv3D(4, 1, name="logits")
    images = keras.Input((None, None, None, 4))
    network = keras.Model(images, keras.layers.Activation("softmax", name="probabilities")(layer(images)))
    weights = np.array([[0, 3, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0, 0, 0, 4.0]])
    layer.set_weights([weights[None, None, None], np.array([1.0, 0, 0.5, -1])])
    save_model(tmp_path / "m.keras", network, flat_card(regions=("0", "1", "2", "4"), kind="labels", label_set="L17"))
    make_case(tmp_path / "scans", CASE)
    masks = tmp_path / "masks"
    assert main([str(tmp_path / "m.keras"), str(tmp_path / "scans"), "--out", str(masks), "--probabilities"]) == 0
    listed = json.loads((masks / "predictions.json").read_text(encoding="utf-8"))
    assert (listed["kind"], listed["channels"]) == ("labels", ["0", "1", "2", "4"])
    assert listed["regions"] == ["WT", "TC", "ET", "NETC", "SNFH"]
    reference = np.random.default_rng(3).choice(np.array([0, 1, 2, 4], np.uint8), (11, 14, 9))
    write_nifti(tmp_path / f"references/{CASE}.nii.gz", reference)
    out = tmp_path / "scores"
    assert evaluate([str(masks), str(tmp_path / "references"), "--out", str(out), "--calibration"]) == 0
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    rows = {row["region"]: row for row in csv.DictReader((out / "scores.csv").read_text(encoding="utf-8").splitlines())}
    channels = np.asarray(nib.load(masks / f"probabilities/{CASE}.nii.gz").dataobj)
    mask = np.array([0, 1, 2, 4])[channels.argmax(-1)]
    for region, values, columns in (("WT", (1, 2, 4), (1, 2, 3)), ("TC", (1, 4), (1, 3)), ("ET", (4,), (3,))):
        there = np.isin(reference, values)
        wanted = calibration_error(np.minimum(channels[..., columns].sum(-1), 1), there)
        assert summary["calibration"][region]["ece"] == pytest.approx(wanted, abs=1e-5), region
        assert float(rows[region]["dice"]) == pytest.approx(dice(np.isin(mask, values), there)), region
    assert "calibration_notes" not in summary


def test_masks_in_a_label_set_of_ones_own(tmp_path: Path, make_case: Any, make_model: Any, capsys: Any) -> None:
    scans = make_case(tmp_path / "scans", CASE)
    (tmp_path / "mine.toml").write_text(MINE)
    masks = tmp_path / "masks"
    arguments = [str(make_model()), str(tmp_path / "scans"), "--out", str(masks), "--label-set", str(tmp_path / "mine.toml")]
    assert run(main, arguments) == 0
    written = np.asarray(nib.load(masks / f"{CASE}.nii.gz").dataobj)
    np.testing.assert_array_equal(written, expected_label(scans, (5, 6, 7)))
    write_nifti(tmp_path / f"references/{CASE}.nii.gz", expected_label(scans, (2, 1, 4)))
    (tmp_path / "mine.toml").unlink()  # the list knows what the values mean
    found = evaluate_cases(masks, tmp_path / "references", out=tmp_path / "scores")
    assert found.label_sets == {CASE: ("mine", "L17")}
    assert [found.of()[CASE][region].dice for region in ("WT", "TC", "ET")] == [1, 1, 1]
    (tmp_path / "mine.toml").write_text(MINE.replace("rim", "enhancing"))
    capsys.readouterr()
    assert run(main, arguments) == 2
    assert "label_set was 'mine (" in capsys.readouterr().err
