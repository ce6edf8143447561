"""What every protocol of `scores` must keep; a new row of the table joins by being there."""

from __future__ import annotations

import numpy as np
import pytest

from brats3d.scores import PROTOCOLS, dice, region_scores

SHAPES = [(6, 7), (6, 7, 8)]
SPACING = (1.0, 2.0, 0.5)
RATIOS = ("dice", "iou", "sensitivity", "specificity", "precision")

pytestmark = [pytest.mark.parametrize("shape", SHAPES), pytest.mark.parametrize("protocol", PROTOCOLS)]


def masks(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    return rng.random(shape) < 0.3, rng.random(shape) < 0.3


def one_voxel(shape: tuple[int, ...], at: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask.flat[at] = True
    return mask


@pytest.mark.parametrize("kind", ["random", "one voxel", "empty"])
def test_perfect_is_perfect(protocol: str, shape: tuple[int, ...], kind: str) -> None:
    mask = {"random": masks(shape)[0], "one voxel": one_voxel(shape, 20), "empty": np.zeros(shape, bool)}[kind]
    found = region_scores(mask, mask, SPACING[: len(shape)], protocol)
    assert found.dice == 1
    assert found.hd95_mm == 0
    assert not found.penalised
    assert all(getattr(found, name) in (1, None) for name in RATIOS)
    assert {found.hd_mm, found.assd_mm} <= {0, None}
    assert set(found.nsd.values()) <= {1, None}
    assert found.volume_error_ml == (0 if len(shape) == 3 else None)


def test_worst_is_worst(protocol: str, shape: tuple[int, ...]) -> None:
    _, reference = masks(shape)
    found = region_scores(~reference, reference, SPACING[: len(shape)], protocol)
    undefined = PROTOCOLS[protocol].undefined
    assert [getattr(found, name) for name in RATIOS] == [None if name in undefined else 0 for name in RATIOS]
    assert found.hd95_mm > 0


def test_an_empty_mask_never_leaves_the_mean(protocol: str, shape: tuple[int, ...]) -> None:
    _, mask = masks(shape)
    spacing = SPACING[: len(shape)]
    for prediction, reference in ((mask & False, mask), (mask, mask & False)):
        found = region_scores(prediction, reference, spacing, protocol)
        assert found.dice == 0
        assert found.penalised
        assert found.hd95_mm >= region_scores(one_voxel(shape, 0), one_voxel(shape, -1), spacing, protocol).hd95_mm
    assert region_scores(mask & False, mask, spacing, protocol).sensitivity == 0


def test_one_voxel_beside_another(protocol: str, shape: tuple[int, ...]) -> None:
    found = region_scores(one_voxel(shape, 0), one_voxel(shape, 1), SPACING[: len(shape)], protocol)
    assert (found.dice, found.sensitivity, found.reference_voxels, found.predicted_voxels) == (0, 0, 1, 1)
    assert found.hd95_mm == (SPACING[len(shape) - 1] if PROTOCOLS[protocol].spacing_counts else 1)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
def test_inputs_stay_as_they_are(protocol: str, shape: tuple[int, ...], dtype: type) -> None:
    prediction, reference = (mask.astype(dtype) for mask in masks(shape))
    before = prediction.copy(), reference.copy()
    region_scores(prediction, reference, SPACING[: len(shape)], protocol)
    np.testing.assert_array_equal((prediction, reference), before)
    for array in (prediction, reference):
        array.flags.writeable = False
    region_scores(prediction, reference, SPACING[: len(shape)], protocol)


def test_zeros_and_ones_of_any_type_score_as_bools(protocol: str, shape: tuple[int, ...]) -> None:
    prediction, reference = masks(shape)
    spacing = SPACING[: len(shape)]
    expected = region_scores(prediction, reference, spacing, protocol)
    assert region_scores(prediction.astype(np.float32), reference.astype(np.int8), spacing, protocol) == expected
    assert region_scores(np.asfortranarray(prediction), np.flip(np.flip(reference)), spacing, protocol) == expected


def test_both_directions_count(protocol: str, shape: tuple[int, ...]) -> None:
    prediction, reference = masks(shape)
    there, back = (
        region_scores(a, b, SPACING[: len(shape)], protocol) for a, b in ((prediction, reference), (reference, prediction))
    )
    assert there.hd95_mm == pytest.approx(back.hd95_mm)
    assert (there.dice, there.iou, there.hd_mm) == (back.dice, back.iou, back.hd_mm)
    assert there.assd_mm == (None if back.assd_mm is None else pytest.approx(back.assd_mm))
    if "precision" not in PROTOCOLS[protocol].undefined:
        assert (there.sensitivity, there.precision) == (back.precision, back.sensitivity)


def test_what_is_undefined_is_none_and_nothing_else(protocol: str, shape: tuple[int, ...]) -> None:
    row = region_scores(*masks(shape), SPACING[: len(shape)], protocol).as_row()
    undefined = set(PROTOCOLS[protocol].undefined)
    if "nsd" in undefined:
        undefined = undefined - {"nsd"} | {"nsd_1mm", "nsd_2mm"}
    undefined |= {name for name in row if name.startswith("lesion")}  # `case_scores` fills these in
    undefined |= {name for name in row if name.endswith("_ml")} if len(shape) == 2 else set()
    assert {name for name, value in row.items() if value is None} == undefined


def test_worsening_a_prediction_never_improves_it(protocol: str, shape: tuple[int, ...]) -> None:
    """Taking away a hit or adding a false alarm, voxel after voxel."""
    _, reference = masks(shape)
    prediction, rng = reference.copy(), np.random.default_rng(2)
    before = region_scores(prediction, reference, SPACING[: len(shape)], protocol)
    for at in rng.permutation(reference.size)[:60]:
        prediction.flat[at] = not reference.flat[at]
        after = region_scores(prediction, reference, SPACING[: len(shape)], protocol)
        assert after.dice <= before.dice
        assert after.sensitivity <= before.sensitivity
        assert after.dice == dice(prediction, reference)
        before = after
