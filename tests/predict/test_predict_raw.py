"""Masks of raw clinical cases: drawn on the stored grid, written on the scan's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hand_made import MODALITIES, expected_probabilities, scan
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brats3d.cases import Facts
from brats3d.geometry import Grid
from brats3d.predict import PredictionSettings, predict_cases
from brats3d.store import CaseHeader, PreparedCase, summarise, write_case
from brats3d.transforms import Transforms

STORED = Grid((24, 22, 20), np.array([[-1.0, 0, 0, 0], [0, -1, 0, 21], [0, 0, 1, 0], [0, 0, 0, 1]]))


def raw_case() -> tuple[PreparedCase, dict[str, np.ndarray], np.ndarray]:
    """Return a stored case whose reference scan is oblique with slices of 3 mm; its scans; and scan world → stored world."""
    smooth = {m: ndimage.gaussian_filter(scan(STORED.shape, i).astype(float), 2) for i, m in enumerate(MODALITIES)}
    scans = {m: np.where(scan(STORED.shape, 0) > 0, np.rint(v) + 1, 0).astype(np.int16) for m, v in smooth.items()}
    to_stored = np.eye(4)
    to_stored[:3, :3] = Rotation.from_euler("xyz", (8, -5, 20), degrees=True).as_matrix()
    to_stored[:3, 3] = (4, -3, 9)
    affine = np.diag([1.2, 1.1, 3.0, 1.0])
    affine[:3, 3] = (np.linalg.inv(to_stored) @ STORED.affine @ [12, 11, 10, 1])[:3] - affine[:3, :3] @ [8, 9, 3]
    grid = Grid((17, 19, 7), affine, affine, affine, 2, 1)
    header = CaseHeader("raw1", Facts("raw1", corpus="raw"), MODALITIES)
    case = summarise(header, np.stack(list(scans.values())), None, STORED, grid)
    matrices = dict.fromkeys(MODALITIES, to_stored)
    return replace(case, transforms=Transforms("t1ce", matrices, dict.fromkeys(MODALITIES, grid))), scans, to_stored


def test_the_mask_lies_on_the_scans_own_grid(tmp_path: Path, make_model: Callable[..., Path]) -> None:
    case, scans, to_stored = raw_case()
    store = tmp_path / "store"
    store.mkdir()
    write_case(store, case)
    predict_cases(
        make_model(), [store], out=tmp_path / "masks", settings=PredictionSettings(label_set="L17", probabilities=True)
    )
    mask = nib.load(tmp_path / "masks" / "raw1.nii.gz")
    np.testing.assert_allclose(mask.affine, case.source.affine, atol=1e-5)
    assert (mask.shape, int(mask.header["qform_code"]), int(mask.header["sform_code"])) == ((17, 19, 7), 2, 1)
    # by hand: each voxel's place in the stored grid, linear interpolation there, then threshold and paint
    places = np.moveaxis(np.indices((17, 19, 7)), 0, -1).reshape(-1, 3)
    voxels = np.c_[places, np.ones(len(places))] @ (np.linalg.inv(STORED.affine) @ to_stored @ case.source.affine).T
    expected = np.zeros((17, 19, 7), np.uint8)
    well_inside = ((voxels[:, :3] >= 0) & (voxels[:, :3] <= np.array(STORED.shape) - 1)).all(1).reshape(expected.shape)
    assert well_inside.mean() > 0.6
    for probability, value in zip(expected_probabilities(scans), (2, 1, 4), strict=True):
        there = ndimage.map_coordinates(probability, voxels[:, :3].T, order=1).reshape(expected.shape)
        expected[there > 0.5] = value
    found = np.asanyarray(mask.dataobj)
    assert set(np.unique(expected[well_inside])) == {0, 1, 2, 4}
    assert (found[well_inside] == expected[well_inside]).mean() > 0.995, "but for rounding at a threshold"
    written = nib.load(tmp_path / "masks" / "probabilities" / "raw1.nii.gz")
    assert written.shape == (17, 19, 7, 3)


def test_a_case_without_transforms_is_turned_only(tmp_path: Path, make_model: Callable[..., Path]) -> None:
    case, _, _ = raw_case()
    plain = replace(case, transforms=None, source=STORED)
    store = tmp_path / "store"
    store.mkdir()
    write_case(store, plain)
    predict_cases(make_model(), [store], out=tmp_path / "masks")
    assert nib.load(tmp_path / "masks" / "raw1.nii.gz").shape == STORED.shape
    with pytest.raises(AttributeError):
        plain.transforms.reference  # type: ignore[union-attr]  # noqa: B018
