"""The raw studies at hand: T1, T1c, T2 and FLAIR of a TCIA patient with given brain masks, and a DICOM study without T1c."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from brats3d import images
from brats3d.raw import BRATS_GRID, RawStudy, find_studies, prepare_study
from brats3d.transforms import back_to_scan, resample

pytest.importorskip("SimpleITK")
pytest.importorskip("nilearn")

MASKS = {"t1": "t1", "t1ce": "t1c", "t2": "t2", "flair": "fla"}


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def check(study: RawStudy) -> None:
    """Every pair of scans shares more than before, nothing is flagged, and a mask survives the way to the scan and back."""
    assert study.grid is BRATS_GRID
    assert all(image.shape == (240, 240, 155) for image in study.images.values())
    quality = study.quality
    assert all(quality.information_after[p] >= was - 0.005 for p, was in quality.information_before.items())
    assert min(quality.covered.values()) > 0.9
    assert quality.flags == ()
    i, j, k = np.indices((240, 240, 155))
    mask = ((i - 90) / 21) ** 2 + ((j - 120) / 17) ** 2 + ((k - 80) / 14) ** 2 < 1
    matrix, scan = study.transforms.to_stored[study.transforms.reference], study.scan_grid
    again = resample(back_to_scan(mask, study.grid, study.transforms), scan, study.grid, matrix, order=0)

    def nearest(array: np.ndarray, to_array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return ndimage.affine_transform(array.astype(np.uint8), to_array, output_shape=shape, order=0, mode="grid-constant") > 0

    there = nearest(mask, np.linalg.inv(study.grid.affine) @ matrix @ scan.affine, scan.shape)
    ideal = nearest(there, np.linalg.inv(scan.affine) @ np.linalg.inv(matrix) @ study.grid.affine, mask.shape)
    assert dice(ideal, mask) > 0.9
    assert dice(again, mask) >= 0.98 * dice(ideal, mask)


@pytest.mark.real
@pytest.mark.slow
def test_a_study_of_four_scans_with_given_brain_masks(real_data: Path) -> None:
    folder = real_data / "raw" / "TCGA-FG-6692"
    (study,) = find_studies(folder)
    prepared = prepare_study(study, brain="atlas")
    assert list(prepared.images) == ["t1", "t1ce", "t2", "flair"]
    check(prepared)
    for modality, name in MASKS.items():
        given = images.read(next(folder.glob(f"masks*/*_{name}.nii.gz")))
        found = back_to_scan(prepared.brain, prepared.grid, prepared.transforms, modality)
        assert dice(found, given.array > 0) >= 0.90, modality
    information = prepared.quality
    assert information.information_after["t1-t1ce"] > 2 * information.information_before["t1-t1ce"]


@pytest.mark.real
@pytest.mark.slow
def test_a_dicom_study_of_three_scans(real_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data / "raw" / "BRAINIX_dicom.zip") as archive:
        archive.extractall(tmp_path)
    (study,) = find_studies(tmp_path)
    assert [s.modality for s in study.series] == ["flair", "t1", "t2"]
    assert study.left_out == (("FLAIR_ROI", "a mask or a drawing ('roi')"),)
    prepared = prepare_study(study, brain="atlas")
    assert list(prepared.images) == ["t1", "t2", "flair"]
    assert prepared.transforms.reference == "t1"
    check(prepared)
    assert prepared.scan_grid.shape == (512, 512, 22)
