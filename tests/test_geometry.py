"""Grids, boxes and blocks, against nibabel's orientations, NumPy's padding, scikit-image and SciPy."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation
from skimage.measure import block_reduce

from brats3d import geometry
from brats3d.errors import ArrayError, GridError
from brats3d.geometry import Grid

SHAPE = (6, 7, 8)
ORIENTATIONS = ["".join(codes) for axes in itertools.permutations(("LR", "AP", "SI")) for codes in itertools.product(*axes)]


def affine_of(axes: str, tilt_degrees: float = 0) -> np.ndarray:
    """An affine with these axis codes, spacing 1.0 × 0.9 × 2.5 mm, tilted about an odd axis."""
    affine = np.zeros((4, 4))
    for axis, (code, spacing) in enumerate(zip(axes, (1.0, 0.9, 2.5), strict=True)):
        world = next(i for i, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[world, axis] = spacing if code in "RAS" else -spacing
    turn = Rotation.from_rotvec(np.deg2rad(tilt_degrees) * np.array([1, -2, 1.5]) / np.linalg.norm([1, -2, 1.5]))
    affine[:3, :3] = turn.as_matrix() @ affine[:3, :3]
    affine[:, 3] = -71.3, 12.9, 40.2, 1
    return affine


def grid_of(axes: str = "LPS", tilt_degrees: float = 0) -> Grid:
    return Grid(SHAPE, affine_of(axes, tilt_degrees))


def random_array(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("tilt", [0, 17])
@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_every_orientation_goes_in_as_nibabel_says_and_comes_back(axes: str, tilt: float) -> None:
    grid = grid_of(axes, tilt)
    array = random_array(4, *SHAPE)
    stored, stored_grid = geometry.to_stored(array, grid)

    assert grid.axes == "".join(nib.aff2axcodes(grid.affine))
    change = nib.orientations.ornt_transform(nib.io_orientation(grid.affine), nib.orientations.axcodes2ornt("LPS"))
    for channel, expected in zip(stored, array, strict=True):
        np.testing.assert_array_equal(channel, nib.apply_orientation(expected, change))
    np.testing.assert_allclose(stored_grid.affine, grid.affine @ nib.orientations.inv_ornt_aff(change, SHAPE), atol=1e-12)
    assert stored_grid.axes == "LPS"
    assert stored_grid.shape == stored.shape[1:]
    np.testing.assert_array_equal(geometry.from_stored(stored, grid), array)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR"])
def test_a_voxel_keeps_its_place_in_the_world(axes: str) -> None:
    grid = grid_of(axes, 17)
    places = np.moveaxis(np.indices(SHAPE), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    stored, stored_grid = geometry.to_stored(np.moveaxis(places, -1, 0), grid)
    expected = np.moveaxis(np.indices(stored_grid.shape), 0, -1) @ stored_grid.affine[:3, :3].T + stored_grid.affine[:3, 3]
    np.testing.assert_allclose(np.moveaxis(stored, 0, -1), expected, atol=1e-9)


def test_a_brats_case_is_not_moved() -> None:
    array = random_array(*SHAPE)
    grid = Grid(SHAPE, np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    stored, stored_grid = geometry.to_stored(array, grid)
    assert np.shares_memory(stored, array)
    np.testing.assert_array_equal(stored, array)
    np.testing.assert_array_equal(stored_grid.affine, grid.affine)


@pytest.mark.parametrize("angles", [(45, 45, 45), (0, 40, 40), (0, 0, 45)])
def test_an_affine_between_the_axes_still_comes_back(angles: tuple[int, int, int]) -> None:
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()  # at (0, 40, 40) two axes lie nearest to one
    grid = Grid(SHAPE, np.block([[turn, np.ones((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]))
    array = random_array(*SHAPE)
    stored, stored_grid = geometry.to_stored(array, grid)
    assert sorted(stored.shape) == sorted(SHAPE)
    assert len(set(stored_grid.axes)) == 3
    np.testing.assert_array_equal(geometry.from_stored(stored, grid), array)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArrayError, match=r"last axes are \(6, 8, 7\); the grid has \(6, 7, 8\)"):
        geometry.to_stored(np.zeros((6, 8, 7)), grid_of())
    with pytest.raises(ArrayError, match=r"brought back has shape \(8, 7, 6\); its source has \(6, 7, 8\)"):
        geometry.from_stored(np.zeros((6, 7, 8)), grid_of("SPL"))


@pytest.mark.parametrize(("axes", "tilt"), [("LPS", 0), ("SAR", 0), ("RIA", 23)])
def test_spacing_and_volume(axes: str, tilt: float) -> None:
    grid = grid_of(axes, tilt)
    np.testing.assert_allclose(grid.spacing_mm, nib.affines.voxel_sizes(grid.affine))
    assert grid.voxel_ml == pytest.approx(abs(np.linalg.det(grid.affine)) / 1000)


BRATS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
WIDE = (241, 241, 151)
"""Its far corner is 240, 240 and 150 voxels from the first."""


def moved(shift: float = 0, turn: float = 0, scale: float = 1, about: float = 0) -> np.ndarray:
    """BraTS' affine shifted along y (mm), turned about the patient's long axis (rad) through x = about, or larger in z."""
    affine = np.array(BRATS)
    affine[:2, 3] += 0, shift
    affine[2, 2] *= scale
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, -sin, 0, 0], [sin, cos, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    there = np.eye(4)
    there[0, 3] = about
    return there @ rotation @ np.linalg.inv(there) @ affine


@pytest.mark.parametrize(
    ("affine", "voxels"),
    [
        (moved(0.002), 0.002), (moved(0.0999), 0.0999), (moved(0.1001), 0.1001),
        (moved(turn=1e-5), 1e-5 * np.hypot(240, 239)), (moved(turn=4e-4), 4e-4 * np.hypot(240, 239)),
        (moved(scale=1 + 0.0999 / 150), 0.0999), (moved(scale=1 + 0.1001 / 150), 0.1001),
        (BRATS * [-1, 1, 1, 1], 480), (BRATS * [0.5, 1, 1, 1], 120 / 0.5),
    ],
)  # fmt: skip
def test_grids_are_one_as_far_as_no_corner_moves(affine: np.ndarray, voxels: float) -> None:
    """Ways worked out by hand, as multiples of the shorter voxel edge of the two."""
    one, other = Grid(WIDE, BRATS), Grid(WIDE, affine)
    assert geometry.corner_shift(WIDE, BRATS, affine) == pytest.approx(voxels, rel=1e-4)
    for said in (one.differences(other), other.differences(one)):
        assert bool(said) == (voxels > 0.1)
        assert not said or f"corners {voxels:.3g} voxels apart" in said


def test_what_differs_is_shown() -> None:
    grid, undefined = grid_of(), affine_of("LPS")
    undefined[1, 1] = np.nan
    far = grid.affine.copy()
    far[0, 3] += 2
    assert grid.differences(Grid((6, 7, 9), grid.affine)) == "shape (6, 7, 8) and (6, 7, 9)"
    assert "-71.3" in grid.differences(Grid(SHAPE, far))
    assert "-69.3" in grid.differences(Grid(SHAPE, far))
    assert grid.differences(Grid(SHAPE, undefined)).startswith("affine ")


def test_another_origin_is_told_from_another_direction() -> None:
    one = Grid(WIDE, BRATS)
    assert one.differs_in_origin_alone(Grid(WIDE, moved(50)))
    assert one.differs_in_origin_alone(Grid(WIDE, moved(50, turn=1e-5)))
    assert not one.differs_in_origin_alone(Grid(WIDE, moved(turn=0.01, about=-120)))
    assert not one.differs_in_origin_alone(Grid((*WIDE[:2], 150), BRATS))


@pytest.mark.parametrize(("axes", "tilt"), [("LPS", 0), ("SAR", 0), ("RIA", 23)])
def test_shear_and_its_volume(axes: str, tilt: float) -> None:
    """A parallelepiped's volume is its base times its height, whatever the length of its slanted edge."""
    assert grid_of(axes, tilt).shear() == ""
    for degrees, words in ((0.5, ""), (0.6, "0.6 degrees"), (15, "15.0 degrees")):
        slanted = np.eye(4)
        slanted[0, 2] = np.tan(np.radians(degrees)) * 2.5  # the third axis, 2.5 mm high, leans towards the first
        slanted[2, 2] = 2.5
        grid = Grid(SHAPE, affine_of(axes, tilt) @ np.diag([1, 1 / 0.9, 1 / 2.5, 1]) @ slanted)
        assert words in grid.shear()
        assert bool(words) == bool(grid.shear())
        assert grid.voxel_ml == pytest.approx(2.5 / 1000)


@pytest.mark.parametrize("seed", range(4))
def test_bounding_box(seed: int) -> None:
    mask = np.random.default_rng(seed).random(SHAPE) < 0.01 * (seed + 1)
    where = np.argwhere(mask)
    expected = np.stack([where.min(0), where.max(0) + 1], 1)
    box = geometry.bounding_box(mask)
    np.testing.assert_array_equal(box, expected)
    cut = mask[geometry.box_slices(box)]
    assert cut.sum() == mask.sum()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("order", ["C", "F", "turned"])
def test_bounding_box_of_an_image_in_any_order_of_memory(kind: type, order: str) -> None:
    for voxels in ([(2, 3, 4)], [(0, 6, 1), (5, 2, 7)], [(5, 6, 7)], [(1, 0, 0), (4, 5, 2), (3, 3, 3)]):
        image = np.zeros(SHAPE, kind)
        image[tuple(np.transpose(voxels))] = kind(-3.5) if kind != np.uint8 else 128
        where = np.argwhere(image)
        turned = {
            "C": image,
            "F": np.asfortranarray(image),
            "turned": np.ascontiguousarray(image[::-1, :, ::-1])[::-1, :, ::-1],
        }
        np.testing.assert_array_equal(geometry.bounding_box(turned[order]), np.stack([where.min(0), where.max(0) + 1], 1))


def test_united_box() -> None:
    nothing, one, other = np.zeros((3, 2), int), np.array([[3, 9], [8, 16], [2, 4]]), np.array([[4, 7], [1, 9], [3, 5]])
    np.testing.assert_array_equal(geometry.united_box([one, nothing, other]), [[3, 9], [1, 16], [2, 5]])
    np.testing.assert_array_equal(geometry.united_box([nothing, nothing]), nothing)


def test_bounding_box_of_nothing() -> None:
    np.testing.assert_array_equal(geometry.bounding_box(np.zeros(SHAPE, bool)), np.zeros((3, 2)))


def test_widen_box() -> None:
    box = np.array([[3, 9], [8, 16], [0, 1]])
    np.testing.assert_array_equal(geometry.widen_box(box, 4), [[0, 12], [8, 16], [0, 4]])
    np.testing.assert_array_equal(geometry.widen_box(box, (4, 2, 3)), [[0, 12], [8, 16], [0, 3]])
    np.testing.assert_array_equal(geometry.widen_box(box, 1), box)


def test_box_at() -> None:
    np.testing.assert_array_equal(geometry.box_at((-1, 0, 7), np.array([2, 3, 4])), [[-1, 1], [0, 3], [7, 11]])
    for corner, size, says in (
        ((0, 0), (1, 1, 1), r"the corner of the box is \[0, 0\]; expected three whole numbers"),
        ((0, 0, 0), (1, 1.5, 1), r"the size of the box is \[1\.0, 1\.5, 1\.0\]; expected three whole numbers"),
        ((0, 0, 0), (4, 0, 4), r"the size of the box is \[4, 0, 4\]; expected at least 1 voxel"),
    ):
        with pytest.raises(ArrayError, match=says):
            geometry.box_at(corner, size)


@pytest.mark.parametrize(
    "box",
    [
        [[1, 4], [0, 7], [2, 3]],
        [[-2, 4], [3, 9], [-1, 10]],
        [[-5, -1], [0, 7], [0, 8]],
        [[6, 9], [0, 7], [0, 8]],
        [[2, 2], [0, 7], [0, 8]],
    ],
)
def test_crop_padded(box: list[list[int]]) -> None:
    array = random_array(2, *SHAPE)
    around = np.pad(array, [(0, 0), (10, 10), (10, 10), (10, 10)])
    expected = around[:, *(slice(a + 10, b + 10) for a, b in box)]
    cropped = geometry.crop_padded(array, np.array(box))
    assert cropped.dtype == array.dtype
    np.testing.assert_array_equal(cropped, expected)
    assert not np.shares_memory(cropped, array)


@pytest.mark.parametrize(
    ("spacing", "wanted", "factor"),
    [
        ((1.0, 1.0, 1.0), 2.0, (2, 2, 2)),
        ((1.0, 1.0, 1.0), 1.0, (1, 1, 1)),
        ((0.5, 1.0, 2.0), 2.0, (4, 2, 1)),
        ((0.96, 1.0, 1.04), 2.0, (2, 2, 2)),
        ((0.667, 0.667, 1.0), 2.0, (3, 3, 2)),
    ],
)
def test_block_factor(spacing: tuple[float, float, float], wanted: float, factor: tuple[int, int, int]) -> None:
    assert geometry.block_factor(spacing, wanted) == factor


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.5), (0.9, 1.0, 1.0), (1.0, 1.9, 1.0)])
def test_a_ratio_that_is_not_whole_is_refused(spacing: tuple[float, float, float]) -> None:
    found = " × ".join(f"{s:.4g}" for s in spacing)
    with pytest.raises(
        GridError, match=f"2.0 mm is no whole multiple of the scan's voxels of {found} mm; resample the scan to 1 mm"
    ):
        geometry.block_factor(spacing, 2.0)


@pytest.mark.parametrize("factor", [(1, 1, 1), (2, 2, 2), (3, 2, 4), (1, 5, 3), (7, 1, 9)])
@pytest.mark.parametrize("kind", [np.float32, np.int16, bool])
def test_block_average(factor: tuple[int, int, int], kind: type) -> None:
    array = (random_array(2, *SHAPE) * 3).astype(kind)
    averaged = geometry.block_average(array, factor)
    expected = block_reduce(array.astype(float), (1, *factor), np.mean)  # pads the last block with zeros too
    assert averaged.dtype == np.float32
    np.testing.assert_allclose(averaged, expected, atol=1e-6)


@pytest.mark.parametrize("factor", [(1, 1, 1), (2, 2, 2), (3, 2, 4), (1, 5, 3)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_block_expand(factor: tuple[int, int, int], kind: type) -> None:
    coarse = random_array(2, *SHAPE).astype(kind)
    fine = geometry.block_expand(coarse, factor)
    places = np.meshgrid(
        *((np.arange(n * f) - (f - 1) / 2) / f for n, f in zip(SHAPE, factor, strict=True)), indexing="ij"
    )  # fmt: skip
    assert fine.dtype == kind
    assert fine.flags.c_contiguous
    for channel, source in zip(fine, coarse, strict=True):
        np.testing.assert_allclose(channel, ndimage.map_coordinates(source, places, order=1, mode="nearest"), atol=1e-5)


def test_a_single_block_expands_to_a_constant() -> None:
    np.testing.assert_array_equal(geometry.block_expand(np.full((1, 1, 1), 3.0), (2, 3, 4)), np.full((2, 3, 4), 3.0))


def test_a_linear_image_comes_back_between_the_outermost_centres() -> None:
    x, y, z = np.indices((12, 9, 8)).astype(np.float32)
    image = 2 * x - y + 0.5 * z
    back = geometry.block_expand(geometry.block_average(image, (2, 3, 4)), (2, 3, 4))
    inner = (slice(1, -1), slice(1, -1), slice(2, -2))
    np.testing.assert_allclose(back[inner], image[inner], atol=1e-5)
