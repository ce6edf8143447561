"""Predictions that do not lie on their references' grids: refused, resampled, or compared voxel by voxel."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from two_cases import FIRST, GRID, SECOND, SHAPE, expected, files_of, label

from brats3d import images
from brats3d.cases import Case, Facts
from brats3d.console import run
from brats3d.errors import GridError
from brats3d.evaluate import EvaluationSettings, evaluate_cases
from brats3d.evaluate.__main__ import main
from brats3d.evaluate.grids import says_nothing
from brats3d.evaluate.label_files import LabelFile, Side
from brats3d.evaluate.pair import Pair, read_pair
from brats3d.evaluate.scored_case import evaluate_pair
from brats3d.geometry import Grid
from brats3d.regions import LABEL_SETS

CUBE = (40, 40, 40)
LPS = np.array([[-1.0, 0, 0, 30], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
SPACED = LPS @ np.diag([1.0, 1, 2, 1])


def block(*sides: slice, value: int = 2) -> np.ndarray:
    found = np.zeros(CUBE, np.uint8)
    found[sides] = value
    return found


def whole(size: int) -> np.ndarray:
    return block(*[slice(8, 8 + size)] * 3)


def every_other(size: int, value: int = 2, first: int = 0) -> np.ndarray:
    """A block of planes with a gap of one between them, of which a grid of half as many planes sees all or none."""
    return block(slice(8, 8 + size), slice(8, 8 + size), slice(8 + first, 8 + size, 2), value=value)


def shifted(voxels: int) -> np.ndarray:
    affine = LPS.copy()
    affine[0, 3] -= voxels
    return affine


def pair(folder: Path, prediction: np.ndarray, affine: np.ndarray, reference: np.ndarray, there: np.ndarray, how: str) -> Pair:
    """The files of two arrays and their affines, to be compared as ``how`` says."""
    files = []
    for side, array, matrix in (("prediction", prediction, affine), ("reference", reference, there)):
        path = folder / f"{side}.nii.gz"
        nib.save(nib.Nifti1Image(array, matrix), path)
        files.append(LabelFile(FIRST, Side(side, folder, "--label-set", None, names_bind=False), path, LABEL_SETS["L17"]))
    return Pair(FIRST, *files, other_grid=how)


SMALL = block(slice(8, 10), slice(8, 10), slice(8, 11))
"""12 voxels, in planes 8, 9 and 10."""
HOLLOW = np.maximum(whole(20), every_other(16, value=4))
"""Of the 16 planes of value 4, every other one holds 2."""
SPECKED = np.maximum(whole(20), block(slice(9, 11), slice(9, 10), slice(9, 10), value=4))

LOSSES = {
    # name: (prediction, its affine, the reference's affine, what the refusal says; None: it is scored)
    "an identity header": (whole(20), np.eye(4), LPS, ("8000 of 8000 voxels of the mask", "--other-grid voxelwise")),
    "an identity header of ITK": (whole(20), np.diag([-1.0, -1, 1, 1]), LPS, (
        "8000 of 8000", "--other-grid voxelwise")),
    "2 of 100 outside": (block(slice(0, 40), slice(8, 18), slice(8, 18)), shifted(-1), shifted(0), (
        "100 of 4000 voxels of the mask",)),
    "1 of 125 outside": (
        np.maximum(block(slice(1, 32), slice(8, 24), slice(8, 24)), block(slice(0, 1), slice(8, 16), slice(8, 16))),
        shifted(-1), shifted(0), None),
    "twice the volume": (every_other(20), LPS, SPACED, ("the mask has 4 ml, and 8 ml",)),
    "twice the volume of a tissue": (HOLLOW, LPS, SPACED, ("its value 2 has 5.95 ml, and 3.9 ml",)),
    "a small mask": (SMALL, LPS, SPACED, None),
    "nothing left": (every_other(4, first=1), LPS, SPACED, ("nothing is left of the mask (32 voxels, 0.032 ml)",)),
    "a speck lost": (SPECKED, LPS, SPACED, None),
    "an empty mask": (np.zeros(CUBE, np.uint8), LPS, SPACED, None),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_a_case_is_refused_where_resampling_loses_what_is_scored(name: str, tmp_path: Path) -> None:
    prediction, affine, there, says = LOSSES[name]
    reference = prediction[:, :, :: int(there[2, 2])]
    compared = pair(tmp_path, prediction, affine, reference, there, "resample")
    if says is None:
        warned = read_pair(compared).warnings
        assert ["nothing is left of its value 4 (2 voxels, 0.002 ml)" in w for w in warned] == [True] * (name == "a speck lost")
        return
    with pytest.raises(GridError) as refused:
        read_pair(compared)
    for words in (f"{compared.prediction.path}", f"{compared.reference.path}", *says):
        assert words in str(refused.value)
    assert ("--other-grid voxelwise" in str(refused.value)) == ("identity" in name)


def test_resampling_brings_a_mirrored_mask_back(folders: tuple[Path, Path], tmp_path: Path) -> None:
    affine = GRID.affine.copy()
    affine[:3, 0], affine[:3, 3] = -affine[:3, 0], affine[:3, 3] + affine[:3, 0] * (SHAPE[0] - 1)
    images.write(folders[0] / f"{FIRST}.nii.gz", label(0)[::-1], Grid(SHAPE, affine))  # the same mask, mirrored on file
    refused = evaluate_cases(*folders, out=tmp_path / "out")
    assert list(refused.scores) == [SECOND]
    assert "--other-grid resample" in refused.refused[FIRST]
    found = evaluate_cases(*folders, out=tmp_path / "out", force=True, settings=EvaluationSettings(other_grid="resample"))
    assert found.of() == {FIRST: expected(0), SECOND: expected(1)}


def test_a_header_that_says_nothing_is_passed_over_when_asked(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mask is right voxel by voxel; the header is what `nib.Nifti1Image(array, np.eye(4))` writes."""
    nib.save(nib.Nifti1Image(label(0), np.eye(4)), folders[0] / f"{FIRST}.nii.gz")
    line = [*map(str, folders), "--out"]
    nib.save(nib.Nifti1Image(label(1), np.eye(4)), folders[0] / f"{SECOND}.nii.gz")
    for how in ("refuse", "resample"):
        assert run(main, [*line, str(tmp_path / "out"), "--other-grid", how]) == 3
        assert capsys.readouterr().err.count("--other-grid voxelwise") == 2
        assert files_of(tmp_path / "out") == []
    assert run(main, [*line, str(tmp_path / "out"), "--other-grid", "voxelwise", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cases"][FIRST]["casewise"]["WT"]["dice"] == expected(0)["WT"].dice


def test_voxelwise_needs_equal_shapes_and_warns_of_mirrored_axes(tmp_path: Path) -> None:
    mirrored = GRID.affine @ np.diag([-1.0, 1, 1, 1])
    found = read_pair(pair(tmp_path, label(0), mirrored, label(5), GRID.affine, "voxelwise"))
    np.testing.assert_array_equal(found.prediction.volume.array, label(0))
    assert "its axes are RPS" in found.warnings[0]
    for affine, there in ((GRID.affine, np.eye(4)), (np.eye(4), GRID.affine)):  # one header knows the size of a voxel
        found = read_pair(pair(tmp_path, label(0), affine, label(5), there, "voxelwise"))
        assert [side.volume.grid.spacing_mm for side in (found.prediction, found.reference)] == [(1, 2, 1.5)] * 2
    with pytest.raises(GridError, match=r"shape \(8, 10, 11\) and \(9, 10, 11\)"):
        read_pair(pair(tmp_path, label(0)[1:], np.eye(4), label(5), GRID.affine, "voxelwise"))


def test_a_label_whose_origin_is_not_its_scans_is_not_resampled_to(folders: tuple[Path, Path]) -> None:
    """Of some releases; the prediction lies where the scans do, and resampling it to the label's origin would shift it."""
    affine = GRID.affine.copy()
    affine[0, 3] += 2
    compared = pair(folders[1], label(0), GRID.affine, label(5), affine, "resample")
    scans = {"t1": folders[1] / FIRST / f"{FIRST}_t1.nii.gz"}
    case = Case(FIRST, Facts(FIRST, corpus="BraTS 2021"), scans, compared.reference.path, ("L17",))
    found = read_pair(replace(compared, reference=replace(compared.reference, named=case)))
    np.testing.assert_array_equal(found.prediction.volume.array, label(0))
    assert "compared voxel by voxel" in found.warnings[0]


def test_probabilities_are_compared_voxel_by_voxel_too(tmp_path: Path) -> None:
    compared = pair(tmp_path, label(0), np.eye(4), label(0), GRID.affine, "voxelwise")
    masks = np.stack([label(0) > 0, np.isin(label(0), (1, 4)), label(0) == 4], -1)
    nib.save(nib.Nifti1Image(np.where(masks, 0.75, 0.25).astype(np.float32), np.eye(4)), tmp_path / "p.nii.gz")
    listed = replace(compared.prediction, probabilities=tmp_path / "p.nii.gz")
    found = evaluate_pair(replace(compared, prediction=listed, calibration=True))
    for row, region in enumerate(("WT", "TC", "ET")):
        assert sum(found.calibration[region].positives) == masks[..., row].sum()
        assert found.calibration[region].ece == pytest.approx(0.25)


@pytest.mark.parametrize(("affine", "codes", "nothing"), [
    (np.eye(4), (1, 1), True),
    (np.diag([-1.0, -1, 1, 1]), (1, 1), True),
    (np.diag([0.5, 0.5, 3, 1]), (0, 2), True),
    (GRID.affine, (0, 0), True),
    (GRID.affine, (1, 1), False),
    (np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]), (1, 1), False),
    (np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), (1, 1), False),
])  # fmt: skip
def test_headers_that_say_nothing(affine: np.ndarray, codes: tuple[int, int], nothing: bool) -> None:
    assert says_nothing(Grid(SHAPE, affine, qform_code=codes[0], sform_code=codes[1])) is nothing
