"""Rigid registration against motions that are known, on a head made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from heads_made import GRID, MIDDLE, Head, make_head, rigid, scan_grid, scanned

from brats3d.errors import GridError
from brats3d.geometry import Grid
from brats3d.images import Volume
from brats3d.raw import align_atlas, brain_by_atlas, coregister, correct_bias, make_atlas
from brats3d.raw.heads import head_centre, near_mask

pytest.importorskip("SimpleITK")


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head(3)


def error_mm(found: np.ndarray, known: np.ndarray, head: Head) -> float:
    """Return how far points of the brain lie from where the known motion takes them, on average."""
    points = np.argwhere(head.brain)[::50] @ GRID.affine[:3, :3].T + GRID.affine[:3, 3]
    apart = points @ (found - known)[:3, :3].T + (found - known)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("modality", "degrees", "shift"), [("flair", (-10, 4, 5), (-12, 3, 8))])
def test_a_known_motion_is_found_across_contrasts(
    head: Head, modality: str, degrees: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    world = rigid(degrees, shift, MIDDLE)
    fixed_grid, grid = scan_grid((2.5, 2.5, 3.0), np.eye(4)), scan_grid((2.0, 2.0, 5.0), world)
    fixed = Volume(scanned(head.images["t1ce"], fixed_grid, np.eye(4)), fixed_grid)
    moving = Volume(scanned(head.images[modality], grid, world), grid)
    brain = scanned(head.brain.astype(np.float32), fixed_grid, np.eye(4)) > 0.5
    found = coregister(fixed, moving, near_mask(brain, fixed_grid, 10))
    before = error_mm(world, np.eye(4), head)
    assert before > 10
    assert error_mm(found @ world, np.eye(4), head) < 1.2, "less than half a voxel"


@pytest.mark.slow
def test_what_lies_right_stays_where_it_is(head: Head) -> None:
    fixed, moving = Volume(head.images["t1"], GRID), Volume(head.images["t1ce"], GRID)
    found = coregister(fixed, moving, head.brain)
    assert error_mm(found, np.eye(4), head) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("modality", "nod"), [("t1", 25.0), ("t2", -8.0)])
def test_the_pose_of_a_head_with_skull_is_found(head: Head, modality: str, nod: float) -> None:
    """The atlas is the same head's T1 without skull, so that the pose is the motion it was scanned in."""
    atlas = make_atlas("phantom", Volume(head.stripped["t1"], GRID), GRID)
    np.testing.assert_allclose(atlas.to_stored, np.eye(4), atol=1e-9)
    world = rigid((nod, 3, -5), (8, 10, -60), MIDDLE)
    grid = scan_grid((2.5, 2.5, 5.0), world)
    scan = Volume(scanned(head.images[modality], grid, world), grid)
    found = align_atlas(atlas, scan)
    assert error_mm(found, world, head) < 2.5, "a voxel"
    brain = brain_by_atlas({modality: scan.array}, grid, atlas, found)
    truth = scanned(head.brain.astype(np.float32), grid, world) > 0.5
    assert 2 * (brain & truth).sum() / (brain.sum() + truth.sum()) > 0.92


def test_a_slab_counts_where_it_shows_anything(head: Head) -> None:
    """A scan of a part of the head must not darken the rest, and one that shows nothing there says nothing."""
    atlas = make_atlas("phantom", Volume(head.stripped["t1"], GRID), GRID)
    slab = np.where(np.indices(GRID.shape)[2] < 20, head.images["t2"], 0)
    elsewhere = np.where(head.brain, 0, head.images["flair"])
    alone = brain_by_atlas({"t1": head.images["t1"]}, GRID, atlas, np.eye(4))
    beside = brain_by_atlas({"t1": head.images["t1"], "t2": slab, "flair": elsewhere}, GRID, atlas, np.eye(4))
    above = np.indices(GRID.shape)[2] > 24
    assert 2 * (alone & beside & above).sum() / ((alone & above).sum() + (beside & above).sum()) > 0.99
    with pytest.raises(GridError, match=r"no scan \(flair\) shows anything"):
        brain_by_atlas({"flair": np.where(head.brain, 0, 0)}, GRID, atlas, np.eye(4))


def test_nothing_to_compare_is_refused(head: Head) -> None:
    volume = Volume(head.images["t1"], GRID)
    with pytest.raises(GridError, match=r"is empty \(0 of"):
        coregister(volume, volume, np.zeros(GRID.shape, bool))
    with pytest.raises(GridError, match="shows no head"):
        head_centre(Volume(np.zeros(GRID.shape, np.float32), GRID))


def test_a_smooth_field_is_taken_off(head: Head) -> None:
    coarse = Grid((40, 40, 26), GRID.affine @ np.diag([2.0, 2, 2, 1]))
    x, y, z = (np.linspace(-1, 1, n) for n in coarse.shape)
    field = np.exp(0.5 * x[:, None, None] - 0.3 * y[None, :, None] + 0.3 * z[None, None])
    clean, brain = head.images["t1"][::2, ::2, ::2], head.brain[::2, ::2, ::2]
    given = (clean * field).astype(np.float32)
    kept = given.copy()
    corrected = correct_bias(given, coarse)
    np.testing.assert_array_equal(given, kept)
    assert corrected.dtype == np.float32

    def unevenness(image: np.ndarray) -> float:
        ratio = np.log(image[brain] / clean[brain])
        return float(ratio.std())

    assert unevenness(corrected) < 0.5 * unevenness(given)
    assert (corrected[given == 0] == 0).all()


def test_the_outline_tells_the_middle_of_the_head(head: Head) -> None:
    world = rigid((0, 0, 0), (30, -20, 55), MIDDLE)
    grid = scan_grid((3.0, 3.0, 5.0), world)
    found = head_centre(Volume(scanned(head.images["t2"], grid, world), grid))
    middle = (world @ np.append(np.argwhere(head.brain).mean(0) @ GRID.affine[:3, :3].T + GRID.affine[:3, 3], 1))[:3]
    assert np.abs(found - middle).max() < 20
