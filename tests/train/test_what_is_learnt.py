"""Whatever a recipe says is learnt goes the whole way: train, predict with probabilities, evaluate. Counted again by hand."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brats3d import images
from brats3d.cases import load_split
from brats3d.evaluate import evaluate_cases
from brats3d.phantom import make_phantom, phantom_grid
from brats3d.preprocess import StoreSettings, build_store

pytest.importorskip("keras")
pytestmark = [pytest.mark.network, pytest.mark.slow]

SHAPE = (24, 24, 16)
CASES = 6
TINY = {
    "network.options": {"base_filters": 2, "depth": 2, "segmentation_levels": 1},
    "data": {"patch_size": [8, 8, 8], "spacing_mm": 10.0, "batch_size": 1, "batches": 12},
    "training.epochs": 1,
    "training.health_steps": 0,
    "optimiser": {"learning_rate": 0.02},
    "prediction.flips": [],
}
OWN = {
    "name": "two", "used_by": "a study of rims", "tissues": {"3": "rim", "9": "inside"},
    "regions": {"LESION": [3, 9], "INSIDE": [9]}, "paint": [["LESION", 3], ["INSIDE", 9]],
}  # fmt: skip
LABELS: dict[str, dict[int, int]] = {"L17": {}, "without t2": {}, "L24": {1: 1, 2: 2, 4: 3}, "two": {1: 9, 2: 3, 4: 3}}
"""Cases → value of a phantom's label → value in the cases' label set. In L24 a corner of the oedema is RC; every other case of
those without T2 has one."""
CODINGS = {"L17": "L17", "without t2": "L17", "L24": "L24", "two": OWN}


@dataclass(frozen=True)
class Row:
    """What is learnt, and the tables that it is counted again by.

    Attributes:
        cases: a key of `LABELS`.
        settings: of the recipe.
        channels: channel → the value that it paints, in the order of painting.
        united: region → its values.
    """

    cases: str
    settings: dict[str, Any]
    channels: dict[str, int]
    united: dict[str, Sequence[int]]


BRATS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
ROWS = {
    "three regions in another order": Row("L17", {"regions": ["ET", "TC", "WT"]}, {"WT": 2, "TC": 1, "ET": 4}, BRATS),
    "one region, of cases that may lack a modality": Row(
        "without t2", {"regions": ["WT"], "data.may_be_absent": ["t2"]}, {"WT": 2}, {"WT": (1, 2, 4)}
    ),
    "with a resection cavity": Row(
        "L24",
        {"regions": ["WT", "ET", "RC"]},
        {"WT": 2, "ET": 3, "RC": 4},
        {"WT": (1, 2, 3), "ET": (3,), "RC": (4,)},
    ),
    "exclusive labels": Row(
        "L17", {"output": "labels", "loss.name": "dice_ce", "loss.options": {}}, {"0": 0, "1": 1, "2": 2, "4": 4}, BRATS
    ),
    "a label set of one's own": Row(
        "two",
        {"regions": ["INSIDE", "LESION"], "label_set": OWN},
        {"LESION": 3, "INSIDE": 9},
        {"LESION": (3, 9), "INSIDE": (9,)},
    ),
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Key of `LABELS` → folder of the same phantoms, so labelled."""
    grid, folder = phantom_grid(SHAPE), tmp_path_factory.mktemp("scans")
    for number in range(CASES):
        phantom = make_phantom(np.random.default_rng([5, number]), SHAPE)
        for name, table in LABELS.items():
            case = folder / name / f"Phantom_{number:03d}"
            case.mkdir(parents=True)
            for modality, image in zip(("t1", "t1ce", "t2", "flair"), phantom.images, strict=True):
                if (name, modality, number % 2) != ("without t2", "t2", 1):
                    images.write(case / f"{case.name}_{modality}.nii.gz", image, grid)
            label = np.array([table.get(value, value) for value in range(5)], np.uint8)[phantom.label]
            if name == "L24":
                corner = np.argwhere(phantom.label == 2).mean(axis=0)
                there = (np.indices(SHAPE) > corner[:, None, None, None]).all(axis=0)
                label[there & (phantom.label == 2)] = 4
            images.write(case / f"{case.name}_seg.nii.gz", label, grid)
    return {name: folder / name for name in LABELS}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_learnt_goes_the_whole_way(name: str, scans: dict[str, Path], tmp_path: Path) -> None:
    from brats3d.models import load_model
    from brats3d.predict import PredictionSettings, predict_cases
    from brats3d.train import train_model

    row = ROWS[name]
    build_store(scans[row.cases], out=tmp_path / "store", settings=StoreSettings(label_set=CODINGS[row.cases]))
    run = tmp_path / "run"
    result = train_model(tmp_path / "store", out=run, recipe="cpu_small", settings={**TINY, **row.settings})
    card = load_model(run / "best.keras").card
    assert set(card.channels) == set(row.channels)
    assert card.inputs.may_be_absent == tuple(row.settings.get("data.may_be_absent", ()))
    with (run / "log.csv").open() as stream:
        (line,) = csv.DictReader(stream)
    counted = {*row.united, "mean"}
    assert {name for name in line if "dice" in name} == {n for r in counted for n in (f"dice_{r.lower()}", f"val_dice_{r}")}
    cases = f"{run}/split.json:test"
    asked = PredictionSettings(probabilities=True)
    predict_cases(run / "best.keras", [tmp_path / "store"], out=tmp_path / "masks", cases=cases, settings=asked)
    evaluate_cases(tmp_path / "masks", tmp_path / "store", out=tmp_path / "scores", cases=cases)
    with (tmp_path / "scores" / "scores.csv").open() as stream:
        scored = {(line["case"], line["region"]): float(line["dice"]) for line in csv.DictReader(stream)}
    for case in load_split(run / "split.json").folds[0].test:
        mask, probabilities, label = (
            np.asarray(nib.load(path).dataobj)
            for path in (
                tmp_path / "masks" / f"{case}.nii.gz",
                tmp_path / "masks" / "probabilities" / f"{case}.nii.gz",
                scans[row.cases] / case / f"{case}_seg.nii.gz",
            )
        )
        np.testing.assert_array_equal(mask, painted(probabilities, card.channels, row))
        for region, values in row.united.items():
            ours, theirs = np.isin(mask, values), np.isin(label, values)
            dice = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
            assert scored[case, region] == pytest.approx(dice, abs=1e-6)
            assert result.test[case][region] == pytest.approx(dice, abs=1e-6)
        assert set(result.test[case]) == set(row.united)
        assert len(np.unique(mask)) > 1, "a mask without tumour shows nothing"


def painted(probabilities: np.ndarray, channels: Sequence[str], row: Row) -> np.ndarray:
    """Return the label that (X, Y, Z, C) probabilities mean."""
    if "0" in row.channels:
        return np.array([row.channels[c] for c in channels])[probabilities.argmax(axis=-1)]
    label = np.zeros(probabilities.shape[:3], int)
    for channel, value in row.channels.items():
        label[probabilities[..., channels.index(channel)] > 0.5] = value
    return label
