"""What the tests of `evaluate` share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from two_cases import FIRST, GRID, SECOND, SHAPE, label

from brats3d import images


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Masks and case folders of two cases."""
    predictions, references = tmp_path / "masks", tmp_path / "cases"
    predictions.mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        (references / case).mkdir(parents=True)
        images.write(predictions / f"{case}.nii.gz", label(number), GRID)
        images.write(references / case / f"{case}_seg.nii.gz", label(number + 5), GRID)
        images.write(references / case / f"{case}_t1.nii.gz", np.ones(SHAPE, np.int16), GRID)
    return predictions, references
