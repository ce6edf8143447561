"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real cases, or a skip that says what is missing."""
    folder = os.environ.get("BRATS3D_TEST_DATA", "")
    if not folder or not (Path(folder) / "brats").is_dir():
        pytest.skip(f"no real cases: BRATS3D_TEST_DATA is {folder!r}; set it to a folder with brats/<case>/")
    return Path(folder)
