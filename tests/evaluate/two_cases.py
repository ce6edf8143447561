"""Two small cases, a prediction and a reference each, for the tests of `evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from brats3d.geometry import Grid
from brats3d.regions import LABEL_SETS
from brats3d.scores import RegionScores, Scoring, case_scores

SHAPE = (9, 10, 11)
GRID = Grid(SHAPE, np.array([[-1.0, 0, 0, 4], [0, -2.0, 0, 239], [0, 0, 1.5, -3], [0, 0, 0, 1]]))
FIRST, SECOND = "BraTS2021_00001", "BraTS2021_00002"


def label(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A label of L17: nested blocks, a few voxels of noise."""
    rng = np.random.default_rng(seed)
    found = np.zeros(shape, np.uint8)
    found[1:7, 2:8, 2:9] = 2
    found[2:6, 3:7, 3:8] = 1
    found[3:5, 4:6, 3:6] = 4
    where = tuple(rng.integers(0, n, 20) for n in shape)
    found[where] = rng.choice([0, 1, 2, 4], 20)
    return found


def expected(number: int, protocol: str = "casewise") -> dict[str, RegionScores]:
    """The scores of case 0 (`FIRST`) or 1 (`SECOND`)."""
    return case_scores(label(number), label(number + 5), GRID.spacing_mm, Scoring(protocol), label_set=LABEL_SETS["L17"])


def files_of(out: Path) -> list[str]:
    return sorted(p.name for p in out.iterdir()) if out.exists() else []


def write_list(folder: Path, label_sets: dict[str, str], **changes: object) -> None:
    cases = {case: {"file": f"{case}.nii.gz", "label_set": name} for case, name in label_sets.items()}
    (folder / "predictions.json").write_text(json.dumps({"schema": 1, "model": {}, "options": {}, "cases": cases} | changes))
