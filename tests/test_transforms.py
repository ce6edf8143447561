"""One interpolation through one transform: SimpleITK's own resampling, and points moved by hand, are the independent routes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from brats3d.errors import ArrayError, GridError, OptionError
from brats3d.geometry import Grid
from brats3d.transforms import Transforms, back_to_scan, nearest_rigid, resample

STORED = Grid((23, 20, 19), np.array([[-2.0, 0, 0, 3], [0, -2, 0, 41], [0, 0, 2, -4], [0, 0, 0, 1]]))
SMALL_TURNS = (6.0, -9.0, 14.0)


Triple = tuple[float, float, float]


def rigid(degrees: Triple = SMALL_TURNS, shift: Triple = (3.0, -5.0, 7.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def scan_grid(to_stored: np.ndarray) -> Grid:
    """Return an oblique scan of thick slices, axes R, A, S, that shows the middle of the stored grid."""
    steps = Rotation.from_euler("xyz", (4, -3, 8), degrees=True).as_matrix() @ np.diag([1.5, 1.7, 5.0])
    middle = np.linalg.inv(to_stored) @ STORED.affine @ [11, 9.5, 9, 1]
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = middle[:3] - steps @ [12, 11, 4]
    return Grid((25, 23, 9), affine)


def by_simpleitk(array: np.ndarray, source: Grid, target: Grid, to_target: np.ndarray, interpolator: int) -> np.ndarray:
    sitk = pytest.importorskip("SimpleITK")
    flip = np.diag([-1.0, -1, 1, 1])

    def image(values: np.ndarray, grid: Grid) -> object:
        made = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
        affine = flip @ grid.affine
        made.SetSpacing(grid.spacing_mm)
        made.SetDirection((affine[:3, :3] / grid.spacing_mm).ravel().tolist())
        made.SetOrigin(affine[:3, 3].tolist())
        return made

    inverse = flip @ np.linalg.inv(to_target) @ flip
    transform = sitk.AffineTransform(inverse[:3, :3].ravel().tolist(), inverse[:3, 3].tolist())
    wanted = image(np.zeros(target.shape, array.dtype), target)
    return sitk.GetArrayFromImage(sitk.Resample(image(array, source), wanted, transform, interpolator, 0.0)).T


@pytest.mark.parametrize("onto_scan", [True, False])
def test_linear_interpolation_is_simpleitks(onto_scan: bool) -> None:
    to_stored = rigid()
    scan = scan_grid(to_stored)
    source, target, matrix = (STORED, scan, np.linalg.inv(to_stored)) if onto_scan else (scan, STORED, to_stored)
    array = np.random.default_rng(0).uniform(1, 100, source.shape).astype(np.float32)
    found = resample(array, source, target, matrix)
    expected = by_simpleitk(array, source, target, matrix, 2)
    assert found.dtype == np.float32
    assert 0.3 < (expected > 0).mean() < 1, "part of the target lies outside"
    assert ((found > 0) != (expected > 0)).mean() < 1e-3, "one voxel or the other on the very edge"
    both = (found > 0) & (expected > 0)
    np.testing.assert_allclose(found[both], expected[both], atol=0.02)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, bool])
def test_whole_numbers_take_the_nearest_voxel(kind: type) -> None:
    to_stored = rigid()
    scan = scan_grid(to_stored)
    label = np.random.default_rng(0).integers(0, 2 if kind is bool else 5, STORED.shape).astype(kind)
    transforms = Transforms("t1", {"t1": to_stored}, {"t1": scan})
    found = back_to_scan(label, STORED, transforms)
    assert found.dtype == kind
    places = np.moveaxis(np.indices(scan.shape), 0, -1).reshape(-1, 3)
    world = np.c_[places, np.ones(len(places))] @ (np.linalg.inv(STORED.affine) @ to_stored @ scan.affine).T
    nearest = np.floor(world[:, :3] + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < STORED.shape)).all(1)
    expected = np.zeros(len(places), kind)
    expected[inside] = label[tuple(nearest[inside].T)]
    assert 0.2 < inside.mean() < 1
    assert (found.ravel() != expected).mean() < 1e-3


def test_probabilities_are_interpolated_region_by_region() -> None:
    to_stored = rigid()
    transforms = Transforms("t2", {"t2": to_stored, "t1": np.eye(4)}, {"t2": scan_grid(to_stored), "t1": STORED})
    probabilities = np.random.default_rng(0).uniform(0, 1, (3, *STORED.shape)).astype(np.float32)
    found = back_to_scan(probabilities, STORED, transforms)
    assert found.shape == (3, 25, 23, 9)
    for one, region in zip(found, probabilities, strict=True):
        np.testing.assert_array_equal(one, back_to_scan(region, STORED, transforms))
    np.testing.assert_allclose(back_to_scan(probabilities, STORED, transforms, "t1"), probabilities, atol=1e-6)


def test_there_and_back_keeps_a_mask_as_well_as_ideal_resampling() -> None:
    """Drawn on the stored grid, to the scan's 5 mm slices and back: as much is kept as SimpleITK's nearest neighbours keep."""
    to_stored = rigid()
    scan = scan_grid(to_stored)
    i, j, k = np.indices(STORED.shape)
    mask = ((i - 11) / 6) ** 2 + ((j - 9) / 5) ** 2 + ((k - 9) / 5) ** 2 < 1
    transforms = Transforms("t1", {"t1": to_stored}, {"t1": scan})
    again = resample(back_to_scan(mask, STORED, transforms), scan, STORED, to_stored, order=0)
    there = by_simpleitk(mask.astype(np.uint8), STORED, scan, np.linalg.inv(to_stored), 1)
    ideal = by_simpleitk(there, scan, STORED, to_stored, 1) > 0

    def kept(found: np.ndarray) -> float:
        return 2 * (found & mask).sum() / (found.sum() + mask.sum())

    assert kept(ideal) > 0.75
    assert kept(again) >= 0.98 * kept(ideal)


def test_outer_voxels_have_an_extent() -> None:
    thick = Grid((1, 1, 3), np.diag([1.0, 1, 6, 1]))
    fine = Grid((1, 1, 30), np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -7.9], [0, 0, 0, 1]]))
    array = np.array([[[4.0, 6, 8]]], np.float32)
    heights = np.arange(30) - 7.9
    inside = (heights >= -3) & (heights <= 15)
    expected = np.where(inside, np.interp(heights, [0, 6, 12], [4, 6, 8]), 0)
    np.testing.assert_allclose(resample(array, thick, fine)[0, 0], expected, atol=1e-5)


def test_the_nearest_rigid_matrix() -> None:
    nearly = rigid()
    nearly[:3, :3] += np.random.default_rng(0).normal(0, 1e-3, (3, 3))
    found = nearest_rigid(nearly)
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(found, rigid(), atol=5e-3)


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.diag([1.1, 1, 1, 1]), r"1\.1, .*without scaling"), (np.diag([-1.0, 1, 1, 1]), r"-1\.0, .*without scaling"),
        (np.eye(3), r"a \(4, 4\) matrix"), (np.full((4, 4), np.nan), r"a \(4, 4\) matrix"), (2 * np.eye(4), "last row 0 0 0 1"),
    ],
)  # fmt: skip
def test_what_is_not_rigid_is_refused(matrix: np.ndarray, said: str) -> None:
    with pytest.raises(GridError, match=f"transform of flair.*{said}"):
        Transforms("t1", {"t1": np.eye(4), "flair": matrix}, {"t1": STORED, "flair": STORED})


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(GridError, match="lack the matrix or the grid of t2"):
        Transforms("t2", {"t1": np.eye(4)}, {"t1": STORED})
    transforms = Transforms("t1", {"t1": np.eye(4)}, {"t1": STORED})
    with pytest.raises(OptionError, match="modality is 'flair'; expected one of: t1"):
        back_to_scan(np.zeros(STORED.shape), STORED, transforms, "flair")
    with pytest.raises(ArrayError, match=r"\(3, 4, 5\); expected .*\(23, 20, 19\)"):
        back_to_scan(np.zeros((3, 4, 5)), STORED, transforms)
    with pytest.raises(OptionError, match="order is 3"):
        resample(np.zeros(STORED.shape), STORED, replace(STORED), order=3)
