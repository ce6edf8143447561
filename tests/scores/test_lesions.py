"""Lesion-wise scores of 2023: the official scripts' numbers, one case worked out by hand for each rule; all tasks' duties."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from boxes import paint, paint_golden
from lesion_cases import L23, SHAPE, A, averages, counts, cube, score

from brats3d.errors import ArrayError, OptionError
from brats3d.scores import TASKS, Scoring, case_scores, lesion_scores

# --- the scripts' own numbers -------------------------------------------------------------------------------------------

COLUMNS = {
    "num_tp": "lesions_tp", "num_fp": "lesions_fp", "num_fn": "lesions_fn", "lesionwise_dice": "lesion_dice",
    "lesionwise_hd95": "lesion_hd95_mm", "legacy_dice": "dice", "legacy_hd95": "hd95_mm",
    "sensitivity": "sensitivity", "specificity": "specificity",
}  # fmt: skip


@pytest.mark.real
def test_every_number_of_the_official_scripts(golden: dict) -> None:
    tissues = {**L23.tissues, 4: "what 2012 to 2022 wrote, which the scripts take for background"}
    coding = dataclasses.replace(L23, tissues=tissues)
    compared = 0
    for case in golden["cases"]:
        prediction, reference = (paint_golden(case["shape"], case[side]) for side in ("prediction", "reference"))
        for key, regions in case["expected"].items():
            year, task = key.split("/BraTS-")
            found = case_scores(prediction, reference, case["spacing"], Scoring(f"brats{year}", task), label_set=coding)
            for region, expected in regions.items():
                for name, value in expected.items():
                    ours = found[region].reference_ml * 1000 if name == "ref_volume_mm3" else None
                    ours = getattr(found[region], COLUMNS[name]) if ours is None else ours
                    assert ours == pytest.approx(value, abs=1e-6), (case["name"], key, region, name)
                    compared += 1
    assert compared >= 3744


# --- 2023: R1 to R7 -----------------------------------------------------------------------------------------------------


def test_r1_regions_are_masks_of_values() -> None:
    wanted = [cube(4, value=2), (1, (6, 6, 6), (4, 4, 4)), (3, (7, 7, 7), (2, 2, 2))]
    found = {region: score(wanted, wanted, region=region) for region in ("WT", "TC", "ET")}
    volumes = {region: scores.lesions[0].reference_mm3 for region, scores in found.items() if scores.lesions}
    assert volumes == {"WT": 512, "TC": 64, "ET": 8}
    assert counts(found["TC"]) == (1, 0, 0)
    assert counts(found["ET"]) == (0, 0, 0)  # of 8 mm³: left out


def test_r2_pieces_of_a_lesion_are_joined_over_gaps_of_twice_the_dilations() -> None:
    found = score([A], [A, cube(18)])  # 6 empty voxels between
    assert counts(found) == (1, 0, 0)
    assert found.lesions[0].reference_mm3 == 1024
    assert averages(found) == pytest.approx((2 * 512 / (512 + 1024), 14))  # the far face: 26 - 12
    assert averages(score([A], [A, cube(19)])) == pytest.approx((0.5, (0 + 374) / 2))  # 7 between: two lesions
    apart = score([A], [A, cube(18)], task="MEN")  # dilated once
    assert averages(apart) == pytest.approx(((1 + 0) / 2, (0 + 374) / 2))
    assert counts(apart) == (1, 0, 1)
    assert counts(score([A], [A, cube(14)], task="MEN")) == (1, 0, 0)  # 2 between
    assert counts(score([A], [A, cube(15)], task="MEN")) == (1, 0, 1)  # 3 between


def test_r3_predicted_components_are_26_connected_not_merged_and_of_any_size() -> None:
    corner = score([A, cube(12, 12, 12)], [A])  # two cubes that share a corner: one component
    assert counts(corner) == (1, 0, 0)
    assert corner.lesion_dice == pytest.approx(2 * 512 / (1024 + 512))
    two = score([A, (3, (26, 26, 4), (4, 4, 4)), (3, (33, 26, 4), (4, 4, 4))], [A])  # 3 empty voxels between
    assert counts(two) == (1, 2, 0)
    assert averages(two) == pytest.approx((1 / 3, 2 * 374 / 3))
    stray = score([A, (3, (30, 30, 10), (1, 1, 1))], [A])
    assert counts(stray) == (1, 1, 0)
    assert averages(stray) == pytest.approx((0.5, 187))


REACHED = [((2, 2, 2), True), ((3, 3, 0), True), ((3, 3, 1), False), ((4, 0, 0), False), ((0, 0, 3), True)]


@pytest.mark.parametrize(("offset", "reached"), REACHED)
def test_r4_a_component_matches_when_it_reaches_into_the_dilation(offset: tuple[int, ...], reached: bool) -> None:
    voxel = tuple(11 + step for step in offset)  # seen from the lesion's last corner
    found = score([(3, voxel, (1, 1, 1))], [A])
    assert counts(found) == ((1, 0, 0) if reached else (0, 1, 1))
    assert found.lesion_dice == 0


def test_r4_a_component_counts_whole_for_every_lesion_that_it_matches() -> None:
    bar = (3, (4, 4, 4), (30, 8, 8))
    found = score([bar], [A, cube(26)])
    assert counts(found) == (2, 0, 0)
    assert averages(found) == pytest.approx((2 * 512 / (512 + 1920), 22))  # each: 1024 / 2432; the bar's far end: 34 - 12
    assert [lesion.components for lesion in found.lesions] == [(1,), (1,)]
    joined = score([A, cube(18)], [bar])  # and a lesion takes all components that match it
    assert counts(joined) == (1, 0, 0)
    assert joined.lesion_dice == pytest.approx(2 * 1024 / (1920 + 1024))


def test_r5_a_match_without_overlap_is_a_hit_with_dice_0_and_a_distance() -> None:
    found = score([cube(14)], [A])  # 2 empty voxels between; every face is 10 mm further
    assert counts(found) == (1, 0, 0)
    assert averages(found) == pytest.approx((0, 10))
    silent = score([], [A])
    assert counts(silent) == (0, 0, 1)
    assert averages(silent) == (0, 374)


def test_r6_small_lesions_leave_the_average_and_what_matches_them_is_used_up() -> None:
    fifty, fifty_one = (3, (25, 25, 5), (5, 5, 2)), (3, (20, 25, 5), (17, 3, 1))
    assert averages(score([A], [A, fifty])) == (1, 0)
    assert averages(score([A], [A, fifty_one])) == pytest.approx((0.5, 187))
    for lesion in (fifty, fifty_one):
        assert averages(score([A], [A, lesion], task="MET")) == pytest.approx((0.5, 187))
    two, three = (3, (25, 25, 5), (2, 1, 1)), (3, (25, 25, 14), (3, 1, 1))
    assert averages(score([A], [A, two, three], task="MET")) == pytest.approx((0.5, 187))  # only the three count
    found = score([A, (3, (25, 25, 5), (3, 3, 3))], [A, (3, (25, 25, 5), (3, 3, 3))])
    assert counts(found) == (1, 0, 0)  # as if it were not there; not even its component is a false alarm
    assert [(lesion.reference_mm3, lesion.counted) for lesion in found.lesions] == [(512, True), (27, False)]


def test_r6_the_limit_is_a_volume() -> None:
    small = (3, (25, 25, 5), (5, 5, 1))
    assert averages(score([A], [A, small], spacing=(1, 1, 2))) == (1, 0)  # 25 voxels of 2 mm³: 50
    assert averages(score([A], [A, small], spacing=(1, 1, 2.1))) == pytest.approx((0.5, 187))


def test_r7_nothing_counted_is_perfect_and_false_alarms_alone_are_the_worst() -> None:
    small = (3, (25, 25, 5), (3, 3, 3))
    assert averages(score([], [small])) == (1, 0)
    alarm = score([A], [small])
    assert averages(alarm) == (0 / (0 + 1), 374)
    assert counts(alarm) == (0, 1, 0)
    two = score([A, cube(30, 20)], [])
    assert averages(two) == (0, 374)  # not 748
    assert counts(two) == (0, 2, 0)
    nothing = score([], [])
    assert averages(nothing) == (1, 0)
    assert (nothing.dice, nothing.hd95_mm, nothing.sensitivity, nothing.specificity) == (1, 0, 1, 1)


# --- what holds for all -------------------------------------------------------------------------------------------------


def test_one_region_alone_scores_as_in_a_case() -> None:
    predicted, wanted = [A, cube(18), (3, (30, 30, 10), (1, 1, 1))], [A, cube(24, 6)]
    masks = paint(SHAPE, predicted) > 0, paint(SHAPE, wanted) > 0
    for protocol, task in (("brats2023", "GLI"), ("brats2023", "MET"), ("brats2024", "SSA")):
        rules = TASKS[protocol][task]
        whole = score(predicted, wanted, protocol, task)
        alone = lesion_scores(*masks, (1, 1, 1), rules.regions["WT"], rules.penalty)
        assert vars(alone) == {name: getattr(whole, name) for name in vars(alone)}


OTHER_LABELS = {("brats2024", "PED"), ("brats2024", "MEN-RT")}
OF_L23 = [(p, task) for p, tasks in TASKS.items() for task in tasks if (p, task) not in OTHER_LABELS]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize(("protocol", "task"), OF_L23)
def test_inputs_are_never_modified(protocol: str, task: str, dtype: type) -> None:
    labels = [paint(SHAPE, boxes).astype(dtype) for boxes in ([A, cube(20, value=1)], [A, cube(19, 8, value=2)])]
    before = [label.copy() for label in labels]
    for label in labels:
        label.flags.writeable = False
    case_scores(*labels, (1, 1, 1), Scoring(protocol, task), label_set=L23)
    np.testing.assert_array_equal(labels, before)


REFUSED = [
    ("brats2023", "GLIO", r"task of brats2023 is 'GLIO' .did you mean 'GLI'.*GLI, SSA, PED, MEN, MET"),
    ("brats2023", "MEN-RT", "task of brats2023 is 'MEN-RT'"),
    ("casewise", "GLI", "casewise .* no task GLI"),
    ("brats2021", "MET", "protocol brats2021 scores whole cases"),
    ("lesionwise", None, "protocol is 'lesionwise'"),
]


@pytest.mark.parametrize(("protocol", "task", "message"), REFUSED)
def test_tasks_that_a_protocol_does_not_have_are_refused(protocol: str, task: str | None, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Scoring(protocol, task)


def test_planes_have_no_lesion_wise_scores() -> None:
    plane = paint((12, 12), [(3, (2, 2), (4, 4))])
    with pytest.raises(ArrayError, match=r"\(12, 12\).* 3 axes"):
        case_scores(plane, plane, (1, 1), Scoring("brats2023"), label_set=L23)
    with pytest.raises(ArrayError, match=r"\(12, 12\).* 3 axes"):
        lesion_scores(plane > 0, plane > 0, (1, 1), TASKS["brats2023"]["GLI"].regions["WT"])


WITHOUT_RULES = [
    (("WT", "NETC"), "task GLI of brats2023 has no rules for NETC; it has WT, TC, ET"),
    (("3",), "task GLI of brats2023 has no rules for 3; it has WT, TC, ET"),
    (("SNFH", "ET", "2"), "task GLI of brats2023 has no rules for SNFH, 2"),
]


@pytest.mark.parametrize(("regions", "message"), WITHOUT_RULES)
def test_regions_without_rules_are_refused(regions: tuple[str, ...], message: str) -> None:
    label = paint(SHAPE, [A])
    with pytest.raises(OptionError, match=message):
        case_scores(label, label, (1, 1, 1), Scoring("brats2023", regions=regions), label_set=L23)


def test_regions_that_a_label_set_lacks_are_refused() -> None:
    label = paint(SHAPE, [A])
    with pytest.raises(OptionError, match="L23 does not define RC; it has WT"):
        case_scores(label, label, (1, 1, 1), Scoring("brats2024", regions=("ET", "RC")), label_set=L23)
