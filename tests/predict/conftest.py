"""Cases and models that the tests of `predict` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cards import flat_card
from hand_made import CUTS, MODALITIES, WEIGHTS, cut_network, scan, write_nifti

from brats3d.models import save_model


@pytest.fixture
def make_case() -> Callable[..., dict[str, np.ndarray]]:
    """Write a case's four scans; returns modality → array."""

    def make(
        folder: Path,
        name: str,
        shape: tuple[int, int, int] = (11, 14, 9),
        *,
        seed: int = 0,
        modalities: tuple[str, ...] = MODALITIES,
        label: np.ndarray | None = None,
        **grid: Any,
    ) -> dict[str, np.ndarray]:
        scans = {m: scan(shape, seed + i) for i, m in enumerate(modalities)}
        for modality, array in scans.items():
            write_nifti(folder / name / f"{name}_{modality}.nii.gz", array, **grid)
        if label is not None:
            write_nifti(folder / name / f"{name}_seg.nii.gz", label, **grid)
        return scans

    return make


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Save the model of `WEIGHTS` and `CUTS`, with any field of its card changed."""

    def make(name: str = "model", *, rows: tuple[int, ...] = (0, 1, 2, 3), **card: Any) -> Path:
        fields = {
            "network": "cut", "modalities": tuple(MODALITIES[r] for r in rows), **card,
        }  # fmt: skip
        path = tmp_path / f"{name}.keras"
        save_model(path, cut_network(WEIGHTS[list(rows)], -8 * CUTS), flat_card(**fields))
        return path

    return make
