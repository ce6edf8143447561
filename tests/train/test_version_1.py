"""Recipes and runs of version 1 are read for ever: its recipe, and a run that was stopped after its first epoch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_folders import CHANGING, rows

from brats3d.train import read_recipe

OLD = Path(__file__).parents[1] / "version_1"


def test_a_recipe_of_version_1_means_what_it_did() -> None:
    recipe = read_recipe(str(OLD / "run" / "recipe.toml"))
    assert (recipe.regions, recipe.output, recipe.label_set) == (("WT", "TC", "ET"), "regions", None)
    assert (recipe.data.patch_size, recipe.data.batches, recipe.data.may_be_absent) == ((4, 4, 4), 10, ())
    assert (recipe.augmentation.shift, recipe.loss.name, recipe.prediction.thresholds) == (0.4, "dice_bce", (0.5, 0.5, 0.5))
    assert recipe.resolved().regions == recipe.regions


@pytest.mark.network
@pytest.mark.slow
def test_a_run_of_version_1_continues_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    for name in ("run", "store"):
        shutil.copytree(OLD / name, tmp_path / name)
    from brats3d.train import train_model

    result = train_model(tmp_path / "store", out=tmp_path / "run", resume=True)
    assert result.epochs == 2
    found, expected = rows(tmp_path / "run" / "log.csv"), rows(OLD / "whole_log.csv")
    assert [row["epoch"] for row in found] == ["1", "2"]
    assert list(found[1]) == list(expected[1])
    for name in set(expected[1]) - CHANGING:
        assert float(found[1][name]) == pytest.approx(float(expected[1][name]), rel=1e-4, abs=1e-5), name
    scores, whole = rows(tmp_path / "run" / "test" / "scores.csv"), rows(OLD / "whole_test_scores.csv")
    assert [(row["case"], row["region"]) for row in scores] == [(row["case"], row["region"]) for row in whole]
    for ours, theirs in zip(scores, whole, strict=True):
        assert float(ours["dice"]) == pytest.approx(float(theirs["dice"]), abs=1e-3)
