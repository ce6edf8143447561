"""A network of slices on a grid of thick slices, from its settings to its masks."""

from __future__ import annotations

import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from run_folders import Train

pytest.importorskip("keras")
pytestmark = [pytest.mark.network, pytest.mark.slow]

SETTINGS = {
    "network.options": {
        "base_filters": 2,
        "depth": 2,
        "segmentation_levels": 1,
        "kernel_size": (3, 3, 1),
        "strides": (2, 2, 1),
    },
    "data.patch_size": [16, 16, 1],
    "data.spacing_mm": [7.5, 7.5, 14.8],
    "data.batches": 2,
    "training.epochs": 1,
}
"""The phantoms' voxels are 7.5 × 7.5 × 7.38 mm: one, one and two of them per voxel of the model."""


def test_a_network_of_slices_trains_and_predicts_on_thick_slices(train: Train, store: Path, tmp_path: Path) -> None:
    from brats3d.models import load_model
    from brats3d.predict import predict_cases

    scans, run = store.parent / "scans", tmp_path / "run"
    result = train(run, SETTINGS)
    written = tomllib.loads((run / "recipe.toml").read_text())
    assert (written["data"]["spacing_mm"], written["network"]["options"]["strides"]) == ([7.5, 7.5, 14.8], [2, 2, 1])
    model = load_model(run / "best.keras")
    card = model.card
    assert (card.spacing_mm, card.stride, card.inference.size) == ((7.5, 7.5, 14.8), (2, 2, 1), (16, 16, 1))
    assert card.network_options["kernel_size"] == (3, 3, 1)
    kernels = {layer.kernel_size for layer in model.network.layers if hasattr(layer, "kernel_size")}
    assert kernels == {(3, 3, 1), (1, 1, 1)}
    predict_cases(run / "best.keras", [scans], out=tmp_path / "masks", cases=f"{run}/split.json:test")
    assert len(result.test) == 2
    for case in result.test:
        paths = tmp_path / "masks" / f"{case}.nii.gz", scans / case / f"{case}_seg.nii.gz"
        mask, label = (np.asarray(nib.load(path).dataobj) > 0 for path in paths)
        assert mask.shape == label.shape == (32, 32, 21)
        assert mask.any()
        by_hand = 2 * (mask & label).sum() / (mask.sum() + label.sum())
        assert result.test[case]["WT"] == pytest.approx(by_hand, abs=1e-6)
