"""Tiny scans on any grid, and a model whose answer can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

MODALITIES = ("t1", "t1ce", "t2", "flair")
LPS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


def own_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the library logged; TensorFlow says more, of functions traced again, after many networks in one process."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("brats3d")]


def scan(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Return int16 intensities with a background of zeros around a box of noise."""
    image = np.zeros(shape, np.int16)
    inside = tuple(slice(1, n - 2) for n in shape)
    image[inside] = np.random.default_rng(seed).integers(1, 1000, image[inside].shape)
    return image


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray = LPS, codes: tuple[int, int] = (1, 1)) -> None:
    """Write a file with given qform and sform codes (0: that form is left empty)."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine if codes[0] else None, codes[0])
    image.set_sform(affine if codes[1] else None, codes[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def cut_network(weights: np.ndarray, biases: np.ndarray) -> Any:
    """Return a network of one 1×1×1 convolution: each region is a weighted sum of channels above a cut."""
    import keras

    images = keras.Input((None, None, None, len(weights)))
    layer = keras.layers.Conv3D(weights.shape[1], 1, name="logits")
    network = keras.Model(images, keras.layers.Activation("sigmoid", name="probabilities")(layer(images)))
    layer.set_weights([weights[None, None, None], biases])
    return network


WEIGHTS = np.array([[8.0, 0, 0], [0, 8, 0], [0, 0, 0], [0, 0, 8]], np.float32)
"""WT where t1, TC where t1ce, ET where flair is high; t2 is not looked at."""
CUTS = np.array([0.2, 0.6, 1.0], np.float32)


def expected_probabilities(scans: dict[str, np.ndarray]) -> np.ndarray:
    """Return (R, X, Y, Z) on the scans' own grid, by NumPy alone."""
    normalised = {}
    for modality, array in scans.items():
        inside = array[array != 0].astype(float)
        clamped = np.clip(inside, *np.percentile(inside, [2, 98]))
        normalised[modality] = np.where(array == 0, 0, np.clip((array - clamped.mean()) / clamped.std(), -5, 5))
    logits = [8 * (normalised[m] - cut) for m, cut in zip(("t1", "t1ce", "flair"), CUTS, strict=True)]
    brain = np.zeros(array.shape, bool)
    where = np.argwhere(np.any([a != 0 for a in scans.values()], 0))
    brain[tuple(slice(a, b + 1) for a, b in zip(where.min(0), where.max(0), strict=True))] = True
    return np.where(brain, 1 / (1 + np.exp(-np.array(logits))), 0)


def expected_label(scans: dict[str, np.ndarray], values: tuple[int, int, int] = (2, 1, 4)) -> np.ndarray:
    """Return the label on the scans' own grid: WT, then TC, then ET."""
    label = np.zeros(next(iter(scans.values())).shape, np.uint8)
    for probability, value in zip(expected_probabilities(scans), values, strict=True):
        label[probability > 0.5] = value
    return label
