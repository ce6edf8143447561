"""Small cases written with nibabel alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

MODALITIES = ("t1", "t1ce", "t2", "flair")
LPS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Write the case ``BraTS2021_0000N`` under ``tmp_path/source``; returns modality (and ``seg``) → file."""

    def make(
        number: int,
        *,
        shape: tuple[int, int, int] = (13, 11, 9),
        affine: np.ndarray = LPS,
        kind: type = np.int16,
        labelled: bool = True,
    ) -> dict[str, Path]:
        rng = np.random.default_rng(number)
        name = f"BraTS2021_{number:05d}"
        folder = tmp_path / "source" / name
        paths = {}
        for modality in MODALITIES:
            image = np.zeros(shape, kind)
            inside = tuple(slice(1, n - 2) for n in shape)
            image[inside] = rng.integers(1, 200, image[inside].shape)
            paths[modality] = write_nifti(folder / f"{name}_{modality}.nii.gz", image, affine)
        if labelled:
            label = np.zeros(shape, np.uint8)
            label[3:9, 2:8, 2:6] = 2
            label[4:7, 3:6, 3:5] = 1
            label[5, 4, 3] = 4
            for axis, n in enumerate(shape):  # a label lies on its scans
                np.moveaxis(label, axis, 0)[n - 2 :] = 0
            paths["seg"] = write_nifti(folder / f"{name}_seg.nii.gz", label, affine)
        return paths

    return make
