"""Scans given as modality → file: what the case is called, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats3d.cases import find_cases
from brats3d.errors import OptionError
from brats3d.predict.given_case import case_of

NAMED = {
    # what the files are called → id, corpus
    ("p1_t1.nii.gz", "p1_t2.nii.gz"): ("p1", "plain"),  # their letters in common are p1_t
    ("BraTS2021_00007_t1.nii.gz", "BraTS2021_00007_t2.nii.gz"): ("BraTS2021_00007", "BraTS 2021"),
    ("BraTS-GLI-00007-000-t1n.nii.gz", "BraTS-GLI-00007-000-t2w.nii.gz"): ("BraTS-GLI-00007-000", "BraTS 2023 GLI"),
    ("T1.nii.gz", "T2.nii.gz"): ("patient9", "plain"),
    ("first.nii.gz", "second.nii.gz"): ("patient9", "plain"),
    ("a_t1.nii.gz", "b_t2.nii.gz"): ("patient9", "plain"),
}


def test_the_id_is_the_files_common_name(tmp_path: Path, make_case: Callable[..., Any]) -> None:
    scans = make_case(tmp_path / "made", "x")
    for names, (case_id, corpus) in NAMED.items():
        folder = tmp_path / names[0] / "patient9"
        folder.mkdir(parents=True)
        for name, modality in zip(names, ("t1", "t2"), strict=True):
            shutil.copy(tmp_path / f"made/x/x_{modality}.nii.gz", folder / name)
        case = case_of({"t2": str(folder / names[1]), "t1": folder / names[0]})
        assert (case.id, case.facts.corpus, case.modalities) == (case_id, corpus, ("t1", "t2")), names
        box = tuple(slice(*side) for side in case.brain_box.tolist())
        stored = case.patch((0, 0, 0), case.grid.shape)
        assert stored[:, *box].any()
        np.testing.assert_array_equal(np.sort(stored[1].ravel()), np.sort(scans["t2"].ravel()))


def test_a_found_case_is_read_with_or_without_its_label(tmp_path: Path, make_case: Callable[..., Any]) -> None:
    make_case(tmp_path, "someone", label=np.full((11, 14, 9), 4, np.uint8))
    (found,) = find_cases(tmp_path)
    read, unread = case_of(found), case_of(found, read_label=False)
    assert read.coding is not None
    assert (read.coding.name, unread.coding) == ("L17", None)
    assert case_of(read) is read


def test_what_cannot_be_a_case_is_refused_by_name(tmp_path: Path, make_case: Callable[..., Any]) -> None:
    make_case(tmp_path, "someone")
    scan = tmp_path / "someone/someone_t1.nii.gz"
    for given, words in (
        ({}, ("0 scans", "t1ce")),
        ({"t1c": scan}, ("'t1c'", "'t1ce'")),
        ({"t1": tmp_path / "no.nii.gz"}, ("t1", "no.nii.gz", "does not exist")),
        ({"t1": tmp_path / "someone"}, (str(tmp_path / "someone"), "is a folder")),
        ({"t1": scan, "t2": scan}, (str(scan), "t1", "t2")),
        (str(scan), (str(scan), "modality")),
    ):
        with pytest.raises(OptionError) as refused:
            case_of(given)  # type: ignore[arg-type]
        assert all(word in str(refused.value) for word in words), given
