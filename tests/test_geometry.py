"""Grids, boxes and blocks, against nibabel's orientations, NumPy's padding, scikit-image and SciPy."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from rows import not_refused, wrong
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


def test_every_orientation_goes_in_as_nibabel_says_and_comes_back(subtests: pytest.Subtests) -> None:
    array = random_array(4, *SHAPE)
    for axes, tilt in itertools.product(ORIENTATIONS, (0, 17)):
        with subtests.test(axes=axes, tilt=tilt):
            grid = grid_of(axes, tilt)
            stored, stored_grid = geometry.to_stored(array, grid)
            assert grid.axes == "".join(nib.aff2axcodes(grid.affine))
            change = nib.orientations.ornt_transform(nib.io_orientation(grid.affine), nib.orientations.axcodes2ornt("LPS"))
            for channel, expected in zip(stored, array, strict=True):
                np.testing.assert_array_equal(channel, nib.apply_orientation(expected, change))
            moved_affine = grid.affine @ nib.orientations.inv_ornt_aff(change, SHAPE)
            np.testing.assert_allclose(stored_grid.affine, moved_affine, atol=1e-12)
            assert (stored_grid.axes, stored_grid.shape) == ("LPS", stored.shape[1:])
            np.testing.assert_array_equal(geometry.from_stored(stored, grid), array)


def test_a_voxel_keeps_its_place_in_the_world() -> None:
    for axes in ("LPS", "RAS", "PIR"):
        grid = grid_of(axes, 17)
        places = np.moveaxis(np.indices(SHAPE), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        stored, to = geometry.to_stored(np.moveaxis(places, -1, 0), grid)
        expected = np.moveaxis(np.indices(to.shape), 0, -1) @ to.affine[:3, :3].T + to.affine[:3, 3]
        np.testing.assert_allclose(np.moveaxis(stored, 0, -1), expected, atol=1e-9, err_msg=axes)


def test_a_brats_case_is_not_moved() -> None:
    array = random_array(*SHAPE)
    grid = Grid(SHAPE, np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    stored, stored_grid = geometry.to_stored(array, grid)
    assert np.shares_memory(stored, array)
    np.testing.assert_array_equal(stored, array)
    np.testing.assert_array_equal(stored_grid.affine, grid.affine)


def test_an_affine_between_the_axes_still_comes_back() -> None:
    for angles in ((45, 45, 45), (0, 40, 40), (0, 0, 45)):
        turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()  # at (0, 40, 40) two axes lie nearest to one
        grid = Grid(SHAPE, np.block([[turn, np.ones((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]))
        array = random_array(*SHAPE)
        stored, stored_grid = geometry.to_stored(array, grid)
        assert (sorted(stored.shape), len(set(stored_grid.axes))) == (sorted(SHAPE), 3), angles
        np.testing.assert_array_equal(geometry.from_stored(stored, grid), array, err_msg=str(angles))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArrayError, match=r"\(6, 8, 7\); expected .*\(6, 7, 8\)"):
        geometry.to_stored(np.zeros((6, 8, 7)), grid_of())
    with pytest.raises(ArrayError, match=r"\(8, 7, 6\); expected \(6, 7, 8\)"):
        geometry.from_stored(np.zeros((6, 7, 8)), grid_of("SPL"))


TURNED = [("LPS", 0), ("SAR", 0), ("RIA", 23)]


def test_spacing_and_volume() -> None:
    for axes, tilt in TURNED:
        grid = grid_of(axes, tilt)
        np.testing.assert_allclose(grid.spacing_mm, nib.affines.voxel_sizes(grid.affine), err_msg=axes)
        assert grid.voxel_ml == pytest.approx(abs(np.linalg.det(grid.affine)) / 1000), axes


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


CORNERS_MOVED = [
    (moved(0.002), 0.002), (moved(0.0999), 0.0999), (moved(0.1001), 0.1001),
    (moved(turn=1e-5), 1e-5 * np.hypot(240, 239)), (moved(turn=4e-4), 4e-4 * np.hypot(240, 239)),
    (moved(scale=1 + 0.0999 / 150), 0.0999), (moved(scale=1 + 0.1001 / 150), 0.1001),
    (BRATS * [-1, 1, 1, 1], 480), (BRATS * [0.5, 1, 1, 1], 120 / 0.5),
]  # fmt: skip
"""An affine, and how far a corner moves at most: by hand, in multiples of the shorter voxel edge of the two."""


def test_grids_are_one_as_far_as_no_corner_moves() -> None:
    for affine, voxels in CORNERS_MOVED:
        one, other = Grid(WIDE, BRATS), Grid(WIDE, affine)
        assert geometry.corner_shift(WIDE, BRATS, affine) == pytest.approx(voxels, rel=1e-4)
        for said in (one.differences(other), other.differences(one)):
            assert bool(said) == (voxels > 0.1), (voxels, said)
            assert not said or f"{voxels:.3g} voxels" in said


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


def test_shear_and_its_volume() -> None:
    """A parallelepiped's volume is its base times its height, whatever the length of its slanted edge."""
    for axes, tilt in TURNED:
        assert grid_of(axes, tilt).shear() == ""
    leaning = [(0.5, ""), (0.6, "0.6 degrees"), (15, "15.0 degrees")]
    for (axes, tilt), (degrees, words) in itertools.product(TURNED, leaning):
        slanted = np.eye(4)
        slanted[0, 2] = np.tan(np.radians(degrees)) * 2.5  # the third axis, 2.5 mm high, leans towards the first
        slanted[2, 2] = 2.5
        grid = Grid(SHAPE, affine_of(axes, tilt) @ np.diag([1, 1 / 0.9, 1 / 2.5, 1]) @ slanted)
        assert words in grid.shear()
        assert bool(words) == bool(grid.shear())
        assert grid.voxel_ml == pytest.approx(2.5 / 1000), (axes, degrees)


def test_bounding_box() -> None:
    for seed in range(4):
        mask = np.random.default_rng(seed).random(SHAPE) < 0.01 * (seed + 1)
        where = np.argwhere(mask)
        box = geometry.bounding_box(mask)
        np.testing.assert_array_equal(box, np.stack([where.min(0), where.max(0) + 1], 1), err_msg=f"seed {seed}")
        assert mask[geometry.box_slices(box)].sum() == mask.sum()


def test_bounding_box_of_an_image_in_any_order_of_memory() -> None:
    places = ([(2, 3, 4)], [(0, 6, 1), (5, 2, 7)], [(5, 6, 7)], [(1, 0, 0), (4, 5, 2), (3, 3, 3)])
    for voxels, kind in itertools.product(places, (np.uint8, np.int16, np.float32)):
        image = np.zeros(SHAPE, kind)
        image[tuple(np.transpose(voxels))] = kind(-3.5) if kind != np.uint8 else 128
        where = np.argwhere(image)
        turned = {
            "C": image,
            "F": np.asfortranarray(image),
            "turned": np.ascontiguousarray(image[::-1, :, ::-1])[::-1, :, ::-1],
        }
        for order, array in turned.items():
            expected = np.stack([where.min(0), where.max(0) + 1], 1)
            np.testing.assert_array_equal(geometry.bounding_box(array), expected, err_msg=f"{order} {kind}")


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


def test_crop_padded() -> None:
    array = random_array(2, *SHAPE)
    around = np.pad(array, [(0, 0), (10, 10), (10, 10), (10, 10)])
    for box in (
        [[1, 4], [0, 7], [2, 3]],
        [[-2, 4], [3, 9], [-1, 10]],
        [[-5, -1], [0, 7], [0, 8]],
        [[6, 9], [0, 7], [0, 8]],
        [[2, 2], [0, 7], [0, 8]],
    ):
        expected = around[:, *(slice(a + 10, b + 10) for a, b in box)]
        cropped = geometry.crop_padded(array, np.array(box))
        assert cropped.dtype == array.dtype, box
        np.testing.assert_array_equal(cropped, expected, err_msg=str(box))
        assert not np.shares_memory(cropped, array), box


BLOCK_FACTORS = [
    (((1.0, 1.0, 1.0), 2.0), (2, 2, 2)),
    (((1.0, 1.0, 1.0), 1.0), (1, 1, 1)),
    (((0.5, 1.0, 2.0), 2.0), (4, 2, 1)),
    (((0.96, 1.0, 1.04), 2.0), (2, 2, 2)),
    (((0.667, 0.667, 1.0), 2.0), (3, 3, 2)),
    (((1.0, 1.0, 1.0), (1, 2, 5)), (1, 2, 5)),
    (((0.5, 1.0, 5.0), [1, 1, 5.1]), (2, 1, 1)),
]
NO_FACTOR = [((1.0, 1.0, 1.5), "1 × 1 × 1.5"), ((0.9, 1.0, 1.0), "0.9 × 1 × 1"), ((1.0, 1.9, 1.0), "1 × 1.9 × 1")]


def test_block_factor_of_a_spacing() -> None:
    assert not wrong(geometry.block_factor, BLOCK_FACTORS)
    refused = [(spacing, GridError, f"2 mm.* {found} mm") for spacing, found in NO_FACTOR]
    assert not not_refused(lambda spacing: geometry.block_factor(spacing, 2.0), refused)
    assert not not_refused(lambda row: geometry.block_factor(*row), [(((1, 1, 1), (1, 1, 5.5)), GridError, "1 × 1 × 5.5 mm")])


FACTORS = [(1, 1, 1), (2, 2, 2), (3, 2, 4), (1, 5, 3)]


def test_block_average() -> None:
    for factor, kind in itertools.product([*FACTORS, (7, 1, 9)], (np.float32, np.int16, bool)):
        array = (random_array(2, *SHAPE) * 3).astype(kind)
        averaged = geometry.block_average(array, factor)
        expected = block_reduce(array.astype(float), (1, *factor), np.mean)  # pads the last block with zeros too
        assert averaged.dtype == np.float32
        np.testing.assert_allclose(averaged, expected, atol=1e-6, err_msg=f"{factor} {kind}")


def test_block_expand() -> None:
    for factor, kind in itertools.product(FACTORS, (np.float32, np.float64)):
        coarse = random_array(2, *SHAPE).astype(kind)
        fine = geometry.block_expand(coarse, factor)
        centres = ((np.arange(n * f) - (f - 1) / 2) / f for n, f in zip(SHAPE, factor, strict=True))
        places = np.meshgrid(*centres, indexing="ij")
        assert (fine.dtype, fine.flags.c_contiguous) == (kind, True)
        for channel, source in zip(fine, coarse, strict=True):
            expected = ndimage.map_coordinates(source, places, order=1, mode="nearest")
            np.testing.assert_allclose(channel, expected, atol=1e-5, err_msg=f"{factor} {kind}")


def test_a_single_block_expands_to_a_constant() -> None:
    np.testing.assert_array_equal(geometry.block_expand(np.full((1, 1, 1), 3.0), (2, 3, 4)), np.full((2, 3, 4), 3.0))


def test_a_linear_image_comes_back_between_the_outermost_centres() -> None:
    x, y, z = np.indices((12, 9, 8)).astype(np.float32)
    image = 2 * x - y + 0.5 * z
    back = geometry.block_expand(geometry.block_average(image, (2, 3, 4)), (2, 3, 4))
    inner = (slice(1, -1), slice(1, -1), slice(2, -2))
    np.testing.assert_allclose(back[inner], image[inner], atol=1e-5)
