"""HD95 under both definitions: the surface-distance package, a slow twin by all pairs of points, golden values."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import surface_distance
from scipy import ndimage

from brats3d.scores import region_scores
from brats3d.scores.surfaces import border_surface, distances, element_surface

Pair = tuple[np.ndarray, np.ndarray]


def blobs(shape: tuple[int, ...], seed: int) -> Pair:
    """Two smooth random masks that overlap in part and touch the border of the volume."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    other = field + 0.7 * ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    return field > np.quantile(field, 0.8), other > np.quantile(other, 0.85)


def one_voxel(shape: tuple[int, ...], at: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask.flat[at] = True
    return mask


def pairs(shape: tuple[int, ...]) -> list[Pair]:
    dense = np.random.default_rng(7).random((2, *shape)) < 0.4
    full = np.ones(shape, bool)
    return [
        *(blobs(shape, seed) for seed in range(4)),
        (dense[0], dense[1]),
        (one_voxel(shape, 0), one_voxel(shape, full.size - 1)),
        (one_voxel(shape, full.size // 2), full),
        (dense[0], full),
    ]


def package_hd95(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package uses names that SciPy has moved
        found = surface_distance.compute_surface_distances(reference, prediction, spacing)
        return float(surface_distance.compute_robust_hausdorff(found, 95))


VOLUME, PLANE = (13, 10, 17), (23, 31)
GRIDS = [
    (VOLUME, (1.0, 1.0, 1.0)), (VOLUME, (0.8, 1.7, 3.1)), (VOLUME, (2.5, 0.4, 1.0)),
    (PLANE, (1.0, 1.0)), (PLANE, (0.8, 3.1)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "spacing"), GRIDS)
def test_casewise_is_surface_distance(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    expected = [package_hd95(*pair, spacing) for pair in pairs(shape)]
    assert [region_scores(*pair, spacing).hd95_mm for pair in pairs(shape)] == pytest.approx(expected, abs=1e-9)


def slow_border(mask: np.ndarray) -> np.ndarray:
    """Indices of voxels with a face neighbour outside the mask, one voxel after the other."""
    found = []
    for index in np.argwhere(mask):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            other = index.copy()
            other[axis] += step
            if not 0 <= other[axis] < mask.shape[axis] or not mask[tuple(other)]:
                found.append(index)
                break
    return np.array(found)


def slow_medpy_hd95(prediction: np.ndarray, reference: np.ndarray) -> float:
    a, b = slow_border(prediction), slow_border(reference)
    between = np.linalg.norm(a[:, None] - b[None], axis=-1)
    union = np.sort(np.concatenate([between.min(0), between.min(1)]))
    place = 0.95 * (len(union) - 1)
    low = int(place)
    high = min(low + 1, len(union) - 1)
    return float(union[low] + (place - low) * (union[high] - union[low]))


@pytest.mark.parametrize("shape", [(9, 8, 11), (14, 19)])
def test_brats2021_is_medpys_definition_without_spacing(shape: tuple[int, ...]) -> None:
    spacing = (0.7, 2.0, 5.0)[: len(shape)]
    expected = [slow_medpy_hd95(*pair) for pair in pairs(shape)]
    assert [region_scores(*pair, spacing, "brats2021").hd95_mm for pair in pairs(shape)] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", [element_surface, border_surface])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.7, 3.1)])
def test_distances_are_those_of_all_pairs(spacing: tuple[float, ...], kind: type, subtests: pytest.Subtests) -> None:
    for number, masks in enumerate(pairs(VOLUME)):
        with subtests.test(pair=number):
            a, b = (kind(mask, spacing) for mask in masks)
            between = a.coordinates_mm(a.points, spacing)[:, None] - b.coordinates_mm(b.points, spacing)[None]
            expected = np.linalg.norm(between, axis=-1).min(1)
            np.testing.assert_allclose(distances(a, b, spacing), expected, atol=1e-9)
            cut = distances(a, b, spacing, share=0.6)
            known = np.isfinite(cut)
            np.testing.assert_allclose(cut[known], expected[known], atol=1e-9)
            assert a.weights[known].sum() >= 0.6 * a.weights.sum() * (1 - 1e-9)
    assert known.all() or expected[~known].min() > expected[known].max()


def test_hd95_of_boxes_worked_out_by_hand() -> None:
    box = np.zeros((30, 12, 12), bool)
    box[2:6, 2:10, 2:10] = True
    far = np.roll(box, 11, axis=0)
    # every element of the near face is 11 mm or 7 mm from the other box; the farthest face alone is over 5 % of the surface
    assert region_scores(box, far, (1, 1, 1)).hd95_mm == 11
    assert region_scores(box, far, (2, 1, 1)).hd95_mm == 22
    assert region_scores(box, far, (2, 1, 1), "brats2021").hd95_mm == 11


@pytest.fixture(scope="module")
def golden(real_data: Path) -> dict:
    return json.loads((real_data / "metrics" / "lesionwise_cases.json").read_text(encoding="utf-8"))


def paint(shape: list[int], boxes: list[dict]) -> np.ndarray:
    label = np.zeros(shape, np.uint8)
    for box in boxes:
        label[tuple(slice(a, b) for a, b in zip(box["start"], box["stop"], strict=True))] = box["label"]
    return label


@pytest.mark.real
def test_golden_values(golden: dict) -> None:
    values = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
    compared = 0
    for case in golden["cases"]:
        prediction, reference = (paint(case["shape"], case[side]) for side in ("prediction", "reference"))
        for region, expected in case["expected"]["2023/BraTS-GLI"].items():
            masks = np.isin(prediction, values[region]), np.isin(reference, values[region])
            found = region_scores(*masks, case["spacing"])
            assert found.dice == pytest.approx(expected["legacy_dice"], abs=1e-6), case["name"]
            if found.penalised:
                assert expected["legacy_hd95"] == 374
                assert found.hd95_mm == pytest.approx(np.linalg.norm(case["shape"]))
            else:
                assert found.hd95_mm == pytest.approx(expected["legacy_hd95"], abs=1e-6), case["name"]
                compared += 1
            if found.reference_voxels:
                assert found.sensitivity == pytest.approx(expected["sensitivity"], abs=1e-6), case["name"]
            assert found.specificity == pytest.approx(expected["specificity"], abs=1e-6), case["name"]
            assert found.reference_ml == pytest.approx(expected["ref_volume_mm3"] / 1000, abs=1e-9), case["name"]
        expected = golden["meta"]["hd95_definitions_WT"].get(case["name"])
        if expected:
            masks = np.isin(prediction, values["WT"]), np.isin(reference, values["WT"])
            assert region_scores(*masks, (1, 1, 1)).hd95_mm == pytest.approx(expected["surface_distance"], abs=1e-6)
            assert region_scores(*masks, (1, 1, 1), "brats2021").hd95_mm == pytest.approx(expected["medpy"], abs=1e-6)
    assert compared > 50
