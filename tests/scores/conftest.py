"""What the tests of `scores` share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def golden(real_data: Path) -> dict:
    """Hand-made pairs and the numbers that the challenges' own scripts gave for them."""
    return json.loads((real_data / "metrics" / "lesionwise_cases.json").read_text(encoding="utf-8"))
