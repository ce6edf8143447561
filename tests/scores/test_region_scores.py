"""Overlap, empty masks, whole cases and the origin's figures, against plain loops and numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from brats3d.errors import ArrayError, LabelError, OptionError
from brats3d.regions import LABEL_SETS, convert_label
from brats3d.scores import (
    PROTOCOLS,
    RegionScores,
    Scoring,
    case_scores,
    dice,
    origin_mean_channel_dice,
    origin_pooled_dice,
    region_scores,
)

SHAPE = (6, 7, 8)
SPACING = (1.0, 2.0, 0.5)
L17, L23 = LABEL_SETS["L17"], LABEL_SETS["L23"]
WHOLE_CASES = ("casewise", "brats2021")
"""The protocols that score no lesions; for the others see test_lesions.py."""


def random_masks(seed: int = 3, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random(shape) < 0.3, rng.random(shape) < 0.4


@pytest.mark.parametrize("shape", [(6, 7), SHAPE])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ratios_are_those_of_a_plain_loop(protocol: str, shape: tuple[int, ...]) -> None:
    prediction, reference = random_masks(shape=shape)
    counts = {(p, r): 0 for p in (False, True) for r in (False, True)}
    for p, r in zip(prediction.ravel().tolist(), reference.ravel().tolist(), strict=True):
        counts[p, r] += 1
    hit, false_alarm, miss, rest = counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    found = region_scores(prediction, reference, SPACING[: len(shape)], protocol)
    assert found.dice == dice(prediction, reference) == pytest.approx(2 * hit / (2 * hit + false_alarm + miss))
    ratios = {
        "iou": hit / (hit + false_alarm + miss),
        "sensitivity": hit / (hit + miss),
        "specificity": rest / (rest + false_alarm),
        "precision": hit / (hit + false_alarm),
    }
    for name, value in ratios.items():
        undefined = name in PROTOCOLS[protocol].undefined
        assert getattr(found, name) == (None if undefined else pytest.approx(value)), name
    assert (found.reference_voxels, found.predicted_voxels) == (hit + miss, hit + false_alarm)


def test_volumes_are_in_millilitres_and_a_plane_has_none() -> None:
    mask = np.ones((10, 10, 10), bool)
    assert region_scores(mask, mask, (1, 1, 1)).reference_ml == pytest.approx(1.0)
    assert region_scores(mask, mask, (1, 2, 1.5)).predicted_ml == pytest.approx(3.0)
    half = mask.copy()
    half[5:] = False
    assert region_scores(half, mask, (1, 2, 1.5)).volume_error_ml == pytest.approx(-1.5)
    assert region_scores(mask, half, (1, 2, 1.5)).volume_error_ml == pytest.approx(1.5)
    plane = region_scores(mask[0], mask[0], (1, 1))
    assert (plane.reference_ml, plane.predicted_ml, plane.volume_error_ml) == (None, None, None)


# prediction empty, reference empty → dice, hd95, sensitivity, specificity, precision, iou (tables of design: CaPTk, our own)
DIAGONAL = float(np.sqrt((6 * 1.0) ** 2 + (7 * 2.0) ** 2 + (8 * 0.5) ** 2))
EMPTY = {
    ("casewise", True, True): (1, 0, 1, 1, 1, 1),
    ("casewise", False, True): (0, DIAGONAL, None, 1 - 24 / 336, 0, 0),
    ("casewise", True, False): (0, DIAGONAL, 0, 1, 0, 0),
    ("brats2021", True, True): (1, 0, 1, 1, None, None),
    ("brats2021", False, True): (0, 373.1287, 0, 1 - 24 / 336, 0, 0),
    ("brats2021", True, False): (0, 373.1287, 0, 1, None, 0),
    # the scripts of 2023 and 2024: "both empty 1, one empty 0", HD95 374 and (gliomas 2024) 337; neither precision nor IoU
    ("brats2023", True, True): (1, 0, 1, 1, None, None),
    ("brats2023", False, True): (0, 374, 0, 1 - 24 / 336, None, None),
    ("brats2023", True, False): (0, 374, 0, 1, None, None),
    ("brats2024", True, True): (1, 0, 1, 1, None, None),
    ("brats2024", False, True): (0, 337, 0, 1 - 24 / 336, None, None),
    ("brats2024", True, False): (0, 337, 0, 1, None, None),
}


@pytest.mark.parametrize(("key", "expected"), EMPTY.items())
def test_empty_masks_give_what_the_table_says(key: tuple[str, bool, bool], expected: tuple[float | None, ...]) -> None:
    protocol, no_prediction, no_reference = key
    box = np.zeros(SHAPE, bool)
    box[1:3, 2:5, 3:7] = True
    empty = np.zeros(SHAPE, bool)
    found = region_scores(empty if no_prediction else box, empty if no_reference else box, SPACING, protocol)
    names = ("dice", "hd95_mm", "sensitivity", "specificity", "precision", "iou")
    for name, value in zip(names, expected, strict=True):
        assert getattr(found, name) == (None if value is None else pytest.approx(value)), name
    if "nsd" not in PROTOCOLS[protocol].undefined:  # the other distances follow HD95, the surface Dice follows Dice
        assert (found.hd_mm, found.assd_mm) == pytest.approx((expected[1], expected[1]))
        assert found.nsd == {1.0: expected[0], 2.0: expected[0]}
    else:
        assert (found.hd_mm, found.assd_mm, found.nsd) == (None, None, {1.0: None, 2.0: None})
    assert found.penalised == (no_prediction != no_reference)


def test_specificity_is_undefined_where_the_reference_fills_the_grid() -> None:
    full = np.ones(SHAPE, bool)
    assert region_scores(full, full, SPACING).specificity is None


def test_brats2021_penalty_is_the_diagonal_of_the_brats_grid() -> None:
    assert PROTOCOLS["brats2021"].hd95_one_empty == pytest.approx(np.linalg.norm([240, 240, 155]), abs=5e-5)


def random_labels(seed: int = 5, shape: tuple[int, ...] = (9, 7, 8)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prediction, reference = np.zeros((2, *shape), np.uint8)
    prediction[2:7, 1:5, 2:7] = rng.choice([0, 1, 2, 4], (5, 4, 5))
    reference[3:8, 2:6, 1:6] = rng.choice([0, 1, 2, 4], (5, 4, 5))
    return prediction, reference


@pytest.mark.parametrize("protocol", WHOLE_CASES)
def test_case_scores_are_the_scores_of_each_region_on_the_whole_grid(protocol: str) -> None:
    prediction, reference = random_labels()
    found = case_scores(prediction, reference, SPACING, Scoring(protocol), label_set=L17)
    assert list(found) == ["WT", "TC", "ET"]
    np.testing.assert_array_equal((prediction, reference), random_labels())  # untouched
    for region, values in (("WT", (1, 2, 4)), ("TC", (1, 4)), ("ET", (4,))):
        masks = np.isin(prediction, values), np.isin(reference, values)
        assert found[region] == region_scores(*masks, SPACING, protocol)


def test_regions_may_be_single_values_and_tissues_in_any_order() -> None:
    prediction, reference = random_labels()
    found = case_scores(prediction, reference, SPACING, Scoring(regions=("4", "NETC", "ET", "2")), label_set=L17)
    assert list(found) == ["4", "NETC", "ET", "2"]
    assert found["4"] == found["ET"] == region_scores(prediction == 4, reference == 4, SPACING)
    assert found["NETC"] == region_scores(prediction == 1, reference == 1, SPACING)
    assert found["2"] == region_scores(prediction == 2, reference == 2, SPACING)
    with pytest.raises(OptionError, match="L17 does not define RC, 3; it has WT"):
        case_scores(prediction, reference, SPACING, Scoring(regions=("WT", "RC", "3")), label_set=L17)


def test_usual_regions_that_one_label_set_lacks_are_left_out() -> None:
    prediction, reference = random_labels()
    gtv, l12 = LABEL_SETS["GTV"], LABEL_SETS["L12"]
    whole = (prediction > 0).astype(np.uint8)
    assert list(case_scores(whole, reference, SPACING, label_set=gtv, reference_label_set=L17)) == ["WT"]
    with pytest.raises(LabelError, match="L12 has none of the regions GTV"):
        case_scores(whole, whole, SPACING, Scoring("brats2024", "MEN-RT"), label_set=l12)


def test_each_label_is_read_in_its_own_label_set() -> None:
    prediction, reference = random_labels()
    expected = case_scores(prediction, reference, SPACING, label_set=L17)
    other = convert_label(reference, L17, L23).astype(np.float32)
    assert case_scores(prediction, other, SPACING, label_set=L17, reference_label_set=L23) == expected


def test_empty_labels_agree() -> None:
    empty = np.zeros(SHAPE, np.uint8)
    for scores in case_scores(empty, empty, SPACING, label_set=L17).values():
        assert (scores.dice, scores.hd95_mm, scores.specificity) == (1, 0, 1)


REFUSED_LABELS = [(3, LabelError, r"holds \[3\].*L17 \[0, 1, 2, 4\]"), (1.5, LabelError, "holds 1.5 in 1 voxels")]


@pytest.mark.parametrize(("value", "error", "message"), REFUSED_LABELS)
def test_labels_outside_their_set_are_refused(value: float, error: type[Exception], message: str) -> None:
    wrong = np.zeros(SHAPE)
    wrong[1, 2, 3] = value
    good = np.zeros(SHAPE, np.uint8)
    good[0, 0, 0] = 4
    for pair in ((wrong, good), (good, wrong)):
        with pytest.raises(error, match=message):
            case_scores(*pair, SPACING, label_set=L17)


BAD_MASKS = [
    (np.zeros(SHAPE), np.zeros((6, 7, 9)), SPACING, r"shapes differ: prediction \(6, 7, 8\), reference \(6, 7, 9\)"),
    (np.full(SHAPE, 0.3), np.zeros(SHAPE), SPACING, "the prediction holds 0.3 in 336 of 336 places"),
    (np.zeros(SHAPE), np.full(SHAPE, 2), SPACING, "the reference holds 2 in 336 of 336 places"),
    (np.full(SHAPE, np.nan), np.zeros(SHAPE), SPACING, "the prediction holds nan in 336 of 336 places"),
    (np.zeros(5), np.zeros(5), (1.0,), r"shape \(5,\); expected 2 or 3 axes"),
    (np.zeros(SHAPE), np.zeros(SHAPE), (1.0, 1.0), r"spacing_mm is \(1.0, 1.0\).*a positive number for each axis"),
    (np.zeros(SHAPE), np.zeros(SHAPE), (1.0, 0.0, 1.0), r"spacing_mm is \(1.0, 0.0, 1.0\)"),
    (np.zeros(SHAPE), np.zeros(SHAPE), (1.0, np.nan, 1.0), r"spacing_mm is \(1.0, nan, 1.0\)"),
]


@pytest.mark.parametrize(("prediction", "reference", "spacing", "message"), BAD_MASKS)
def test_what_is_no_pair_of_masks_is_refused(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ArrayError, match=message):
        region_scores(prediction, reference, spacing)


def test_unknown_protocol_offers_the_nearest() -> None:
    mask = np.ones(SHAPE, bool)
    with pytest.raises(OptionError, match=r"protocol is 'case' .*'casewise'.*brats2021"):
        region_scores(mask, mask, SPACING, "case")


@pytest.mark.parametrize("tolerance", [-0.5, float("nan")])
def test_a_tolerance_is_no_negative_number(tolerance: float) -> None:
    with pytest.raises(OptionError, match=f"tolerances_mm is {tolerance}; expected a number from 0"):
        Scoring(tolerances_mm=(1.0, tolerance))


def test_columns_come_in_the_order_of_the_table() -> None:
    mask = np.ones(SHAPE, bool)
    row = region_scores(mask, mask, SPACING, tolerances_mm=(0.5, 3)).as_row()
    assert list(row) == [
        "dice", "hd95_mm", "sensitivity", "specificity", "precision", "iou",
        "lesion_dice", "lesion_hd95_mm", "lesions_tp", "lesions_fp", "lesions_fn",
        "hd_mm", "assd_mm", "nsd_0.5mm", "nsd_3mm",
        "reference_ml", "predicted_ml", "volume_error_ml", "reference_voxels", "predicted_voxels",
    ]  # fmt: skip
    assert [name for name, value in row.items() if value is None] == ["specificity", *list(row)[6:11]]


@pytest.mark.parametrize("scoring", [Scoring(tolerances_mm=(0.5, 2)), Scoring("brats2023", "MET"), Scoring("brats2024", "SSA")])
def test_scores_come_back_from_plain_values(scoring: Scoring) -> None:
    prediction, reference = (convert_label(label, L17, L23) for label in random_labels())
    for scores in case_scores(prediction, reference, SPACING, scoring, label_set=L23).values():
        plain = json.loads(json.dumps(scores.as_dict()))
        assert RegionScores.from_dict(plain) == RegionScores.from_dict(scores.as_dict()) == scores


def test_empty_rules_are_told_in_words() -> None:
    assert "HD95 the grid's diagonal in mm, sensitivity undefined (no reference)" in PROTOCOLS["casewise"].empty_rule
    assert "HD95 373.1287" in PROTOCOLS["brats2021"].empty_rule
    assert "precision 0 (no reference) or undefined (no prediction)" in PROTOCOLS["brats2021"].empty_rule


def test_the_origins_figures() -> None:
    reference = np.zeros((2, 3, 2, 3, 4))
    reference[0, 0] = 1  # 24 voxels
    reference[1, 1, 0] = 1  # 12 voxels
    prediction = np.full_like(reference, 0.25)  # sums to 6 a channel, 36 in all
    assert origin_pooled_dice(prediction, reference) == pytest.approx((2 * 9 + 1) / (36 + 36 + 1))
    channels = [2 * 6 / (24 + 6), 0, 0, 0, 2 * 3 / (12 + 6), 0]
    assert origin_mean_channel_dice(prediction, reference) == pytest.approx(np.mean(channels), abs=1e-5)
    assert origin_pooled_dice(reference * 0, reference * 0) == 1
    assert origin_mean_channel_dice(reference * 0, reference * 0) == 1
    with pytest.raises(ArrayError, match="shapes differ"):
        origin_pooled_dice(prediction, reference[0])
