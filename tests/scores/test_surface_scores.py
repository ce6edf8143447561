"""HD, ASSD, surface Dice and volumes against slow twins by all pairs of points, and what empty masks give."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import surface_distance
from surface_distance import lookup_tables

from brats3d.scores import PROTOCOLS, region_scores
from brats3d.scores.surfaces import border_surface, element_surface, largest_distance, mean_distance, measure, surface_dice

TOLERANCES = (0.5, 1.0, 1.7, 2.0, 4.0)
Pair = tuple[np.ndarray, np.ndarray]
Sides = list[tuple[np.ndarray, np.ndarray]]


def box(shape: tuple[int, ...], first: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + n) for a, n in zip(first, size, strict=True))] = True
    return mask


def pairs(shape: tuple[int, ...]) -> dict[str, Pair]:
    axes, rng = len(shape), np.random.default_rng(5)
    noise = rng.random((2, *shape)) < 0.3
    whole = np.ones(shape, bool)
    middle = box(shape, (2,) * axes, (3, 4, 2)[:axes])
    return {
        "moved by one": (middle, np.roll(middle, 1, 0)),
        "far apart": (box(shape, (0,) * axes, (2,) * axes), box(shape, tuple(n - 1 for n in shape), (1,) * axes)),
        "one voxel in a box": (box(shape, (3,) * axes, (1,) * axes), middle),
        "two single voxels": (box(shape, (1,) * axes, (1,) * axes), box(shape, (2,) * axes, (1,) * axes)),
        "at the border": (box(shape, (0,) * axes, (3,) * axes), box(shape, (0,) * axes, (*shape[:-1], 4))),
        "all voxels": (whole, middle),
        "noise": (noise[0], noise[1]),
        "noise on a box": (noise[0] | middle, middle),
        "a second lesion missed": (middle, middle | box(shape, tuple(n - 2 for n in shape), (2,) * axes)),
        "equal": (middle, middle),
    }


def slow_elements(mask: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Voxel corners at which the mask ends and the area of the surface there, corner after corner, by the package's table."""
    table = {
        2: lookup_tables.create_table_neighbour_code_to_contour_length,
        3: lookup_tables.create_table_neighbour_code_to_surface_area,
    }[mask.ndim](spacing)
    padded, points, areas = np.pad(mask, 1), [], []
    for corner in np.ndindex(tuple(n + 1 for n in mask.shape)):
        bits = [
            padded[tuple(c + s for c, s in zip(corner, step, strict=True))]
            for step in itertools.product((0, 1), repeat=mask.ndim)
        ]
        if any(bits) and not all(bits):
            points.append(corner)
            areas.append(table[int("".join(str(int(bit)) for bit in bits), 2)])
    return np.array(points) * np.array(spacing), np.array(areas)


def slow_border(mask: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Voxels with a face neighbour outside the mask, voxel after voxel, each weighing 1."""
    padded, points = np.pad(mask, 1), []
    for voxel in np.argwhere(mask):
        steps = [sign * np.eye(mask.ndim, dtype=int)[axis] for axis in range(mask.ndim) for sign in (-1, 1)]
        if not all(padded[tuple(voxel + 1 + step)] for step in steps):
            points.append(voxel)
    return np.array(points) * np.array(spacing), np.ones(len(points))


def slow_sides(surfaces: Sides) -> Sides:
    """(distances to the other surface, weights) of both, by all pairs of points."""
    (a, a_weights), (b, b_weights) = surfaces
    between = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    return [(between.min(1), a_weights), (between.min(0), b_weights)]


def slow_hd(sides: Sides) -> float:
    return max(distances.max() for distances, _ in sides)


def slow_assd(sides: Sides) -> float:
    return sum((distances * weights).sum() for distances, weights in sides) / sum(weights.sum() for _, weights in sides)


def slow_nsd(sides: Sides, tolerance: float) -> float:
    near = sum(weights[distances <= tolerance].sum() for distances, weights in sides)
    return near / sum(weights.sum() for _, weights in sides)


GRIDS = [((7, 9, 8), (1.0, 1.0, 1.0)), ((7, 9, 8), (0.6, 2.1, 1.3)), ((11, 13), (1.0, 1.0)), ((11, 13), (0.4, 2.5))]
on_grids = pytest.mark.parametrize(("shape", "spacing"), GRIDS)


@on_grids
def test_casewise_surface_scores_are_those_of_all_pairs_of_points(
    shape: tuple[int, ...], spacing: tuple[float, ...], subtests: pytest.Subtests
) -> None:
    for name, (prediction, reference) in pairs(shape).items():
        with subtests.test(name):
            sides = slow_sides([slow_elements(mask, spacing) for mask in (prediction, reference)])
            found = region_scores(prediction, reference, spacing, tolerances_mm=TOLERANCES)
            assert found.hd_mm == pytest.approx(slow_hd(sides), abs=1e-9)
            assert found.assd_mm == pytest.approx(slow_assd(sides), abs=1e-9)
            assert found.nsd == pytest.approx({t: slow_nsd(sides, t) for t in TOLERANCES}, abs=1e-9)
            assert found.hd95_mm <= found.hd_mm


@on_grids
def test_casewise_surface_scores_are_the_packages(
    shape: tuple[int, ...], spacing: tuple[float, ...], subtests: pytest.Subtests
) -> None:
    for name, (prediction, reference) in pairs(shape).items():
        with subtests.test(name):
            found = region_scores(prediction, reference, spacing, tolerances_mm=TOLERANCES)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the package uses names that SciPy has moved
                distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
            assert found.hd_mm == pytest.approx(surface_distance.compute_robust_hausdorff(distances, 100), abs=1e-9)
            directed = surface_distance.compute_average_surface_distance(distances)
            areas = [distances[f"surfel_areas_{side}"].sum() for side in ("gt", "pred")]
            assert found.assd_mm == pytest.approx(np.average(directed, weights=areas), abs=1e-9)
            shares = {t: surface_distance.compute_surface_dice_at_tolerance(distances, t) for t in TOLERANCES}
            assert found.nsd == pytest.approx(shares, abs=1e-9)


@on_grids
def test_border_voxels_give_the_other_definition(
    shape: tuple[int, ...], spacing: tuple[float, ...], subtests: pytest.Subtests
) -> None:
    for name, masks in pairs(shape).items():
        with subtests.test(name):
            sides = slow_sides([slow_border(mask, spacing) for mask in masks])
            pair = measure(*(border_surface(mask, spacing) for mask in masks), spacing)
            assert largest_distance(pair) == pytest.approx(slow_hd(sides), abs=1e-9)
            assert mean_distance(pair) == pytest.approx(slow_assd(sides), abs=1e-9)
            shares = {t: slow_nsd(sides, t) for t in TOLERANCES}
            assert {t: surface_dice(pair, t) for t in TOLERANCES} == pytest.approx(shares, abs=1e-9)


@pytest.mark.parametrize("kind", [element_surface, border_surface])
def test_the_order_in_memory_does_not_matter(kind: type) -> None:
    shape, spacing = (7, 9, 8), (0.6, 2.1, 1.3)
    for name in ("noise", "far apart", "noise on a box"):
        a, b = pairs(shape)[name]
        expected = measure(kind(a, spacing), kind(b, spacing), spacing)
        others = (b, np.asfortranarray(b), np.stack([b, b], -1)[..., 0])
        for one, other in itertools.product((a, np.asfortranarray(a)), others):
            found = measure(kind(one, spacing), kind(other, spacing), spacing)
            for side, same in zip(found, expected, strict=True):
                np.testing.assert_array_equal(side.lengths, same.lengths, err_msg=name)
                np.testing.assert_array_equal(side.weights, same.weights, err_msg=name)


def test_boxes_worked_out_by_hand() -> None:
    """Two slabs, one voxel thick, that fill a plane of the volume each: half of a slab's surface is its inner face."""
    shape = (12, 6, 6)
    near, far = box(shape, (2, 0, 0), (1, 6, 6)), box(shape, (6, 0, 0), (1, 6, 6))
    found = region_scores(near, far, (2, 1, 1), tolerances_mm=(5.9, 6, 7.9, 8))
    # faces at x = 2, 3 and 6, 7: the inner ones are 3 voxels of 2 mm apart, the outer ones lie 4 voxels from the other slab
    assert (found.hd95_mm, found.hd_mm) == (8, 8)
    assert found.assd_mm == pytest.approx((6 + 8) / 2)
    assert found.nsd == pytest.approx({5.9: 0, 6: 0.5, 7.9: 0.5, 8: 1})
    assert (found.reference_ml, found.volume_error_ml) == pytest.approx((36 * 2 / 1000, 0))


def test_volumes_are_counted_voxels_times_their_size() -> None:
    spacing = (0.6, 2.1, 1.3)
    for prediction, reference in pairs((7, 9, 8)).values():
        found = region_scores(prediction, reference, spacing)
        counted = [sum(bool(voxel) for voxel in mask.flat) * 0.6 * 2.1 * 1.3 / 1000 for mask in (prediction, reference)]
        assert (found.predicted_ml, found.reference_ml) == pytest.approx(counted)
        assert found.volume_error_ml == pytest.approx(counted[0] - counted[1])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_empty_masks(protocol: str) -> None:
    shape, spacing = (7, 9, 8), (0.6, 2.1, 1.3)
    mask, empty = box(shape, (2, 2, 2), (3, 3, 3)), np.zeros(shape, bool)
    diagonal = np.sqrt((7 * 0.6) ** 2 + (9 * 2.1) ** 2 + (8 * 1.3) ** 2)
    penalty = {"casewise": diagonal, "brats2021": 373.1287, "brats2023": 374, "brats2024": 337}[protocol]
    expected = {(True, False): (penalty, 0.0), (False, True): (penalty, 0.0), (False, False): (0, 1)}
    for (predicted, wanted), (distance, share) in expected.items():
        found = region_scores(mask if predicted else empty, mask if wanted else empty, spacing, protocol, tolerances_mm=(2,))
        assert found.hd95_mm == pytest.approx(distance)
        if protocol == "casewise":
            assert (found.hd_mm, found.assd_mm) == pytest.approx((distance, distance))
            assert found.nsd == {2: share}
        else:
            assert (found.hd_mm, found.assd_mm, found.nsd) == (None, None, {2: None})
        assert found.predicted_ml == pytest.approx(27 * 0.6 * 2.1 * 1.3 / 1000 if predicted else 0)


def test_a_tolerance_of_nothing_counts_only_what_coincides() -> None:
    shape = (9, 9, 9)
    found = region_scores(box(shape, (2, 2, 2), (4, 4, 4)), box(shape, (2, 2, 2), (4, 4, 5)), (1, 1, 1), tolerances_mm=(0,))
    surface = element_surface(box(shape, (2, 2, 2), (4, 4, 4)), (1, 1, 1))
    assert 0.5 < found.nsd[0] < 1
    assert len(surface.points) == 5**3 - 3**3
