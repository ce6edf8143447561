"""What `predict` reads, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hand_made import own_messages

from brats3d.predict.sources import open_sources
from brats3d.preprocess import build_store


def test_a_header_that_contradicts_itself_is_said_once_per_case(
    tmp_path: Path, make_case: Callable[..., dict[str, np.ndarray]], caplog: pytest.LogCaptureFixture
) -> None:
    """Hand-worked: of 11 × 14 × 9 voxels of 1 mm the far corner moves by 13 × 0.1 mm where y is a tenth larger."""
    label = np.zeros((11, 14, 9), np.uint8)
    label[3:6, 3:9, 3:6], label[4, 4, 4] = 2, 4
    grid: dict[str, Any] = {"label": label}
    make_case(tmp_path, "BraTS2021_00001", **grid)
    make_case(tmp_path, "BraTS2021_00002", **grid)
    path = tmp_path / "BraTS2021_00001" / "BraTS2021_00001_t1.nii.gz"
    image = nib.load(path)
    image.set_qform(image.affine @ np.diag([1, 1.1, 1, 1]), 1)
    nib.save(image, path)
    for read_labels in (True, False):
        caplog.clear()
        cases = [source.open() for source in open_sources([tmp_path], read_labels=read_labels).values()]
        assert [case.id for case in cases] == ["BraTS2021_00001", "BraTS2021_00002"]
        (said,) = own_messages(caplog)
        assert said.startswith("case BraTS2021_00001: the header of t1 has an sform and a qform that put corners 1.3 voxels")


def test_ids_that_differ_in_letter_case_alone_are_said(
    tmp_path: Path, make_case: Callable[..., dict[str, np.ndarray]], caplog: pytest.LogCaptureFixture
) -> None:
    """Their masks would be one file on many systems."""
    for name in ("P01", "p01"):
        make_case(tmp_path / "scans" / name, name)
        build_store(tmp_path / "scans" / name, out=tmp_path / name)
    assert list(open_sources([tmp_path / "P01", tmp_path / "p01"])) == ["P01", "p01"]
    assert "cases P01 and p01 differ only in letter case" in caplog.messages[-1]
