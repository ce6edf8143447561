"""A recipe of one region from its settings to its scores: nothing on the way takes it for granted that there are three."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from run_folders import Train

from brats3d.evaluate import evaluate_cases
from brats3d.train import read_recipe

pytest.importorskip("keras")
pytestmark = [pytest.mark.network, pytest.mark.slow]


def test_a_model_of_the_whole_tumour_alone_trains_predicts_and_is_scored(train: Train, store: Path, tmp_path: Path) -> None:
    from brats3d.models import load_model
    from brats3d.predict import predict_cases

    scans, run = store.parent / "scans", tmp_path / "run"
    result = train(run, {"regions": "WT", "data.batches": 2, "training.epochs": 1})
    assert list(result.test_mean) == ["WT", "mean"]
    recipe = read_recipe(str(run / "recipe.toml"))
    assert (recipe.regions, recipe.prediction.thresholds) == (("WT",), (0.5,))
    model = load_model(run / "best.keras")
    assert (model.card.regions, model.card.thresholds) == (("WT",), (0.5,))
    assert model.network.output_shape[-1] == 1
    with (run / "log.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert {name for name in row if "dice" in name} == {"dice_wt", "dice_mean", "val_dice_WT", "val_dice_mean"}

    split = f"{run}/split.json:test"
    predict_cases(run / "best.keras", [scans], out=tmp_path / "masks", cases=split)
    evaluate_cases(tmp_path / "masks", scans, out=tmp_path / "scores", cases=split)
    with (tmp_path / "scores" / "scores.csv").open() as stream:
        scored = {row["case"]: float(row["dice"]) for row in csv.DictReader(stream) if row["region"] == "WT"}
    assert list(scored) == list(result.test)
    for case, dice in scored.items():
        paths = tmp_path / "masks" / f"{case}.nii.gz", scans / case / f"{case}_seg.nii.gz"
        mask, label = (np.asarray(nib.load(path).dataobj) for path in paths)
        assert set(np.unique(mask)) == {0, 2}, "whole tumour that is not core is oedema"
        by_hand = 2 * ((mask > 0) & (label > 0)).sum() / ((mask > 0).sum() + (label > 0).sum())
        assert dice == pytest.approx(by_hand, abs=1e-6)
        assert result.test[case]["WT"] == pytest.approx(by_hand, abs=1e-6)
