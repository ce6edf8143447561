"""Lesion-wise scores of 2024: one case worked out by hand for each way in which they differ from those of 2023 (D1 to D7)."""

from __future__ import annotations

import math

import pytest
from boxes import paint_golden
from lesion_cases import CUBE, GTV, L23, L24, A, averages, counts, cube, score

from brats3d.scores import TASKS, Scoring, case_scores


def test_d1_predictions_are_merged_before_they_are_matched() -> None:
    parts = [A, cube(18)]  # 6 empty voxels between
    assert counts(score(parts, [A])) == (1, 1, 0)
    assert averages(score(parts, [A])) == pytest.approx((0.5, 187))
    merged = score(parts, [A], "brats2024")
    assert counts(merged) == (1, 0, 0)
    assert averages(merged) == pytest.approx((2 * 512 / (1024 + 512), 14))
    assert counts(score([A, cube(19)], [A], "brats2024")) == (1, 1, 0)


def test_d2_small_predictions_are_deleted_by_voxels_and_small_references_left_out_by_volume() -> None:
    twenty, twenty_one = (3, (25, 25, 5), (5, 2, 2)), (3, (25, 25, 5), (7, 3, 1))
    gone = score([A, twenty], [A], "brats2024")
    assert averages(gone) == (1, 0)
    assert (gone.dice, gone.hd95_mm, gone.predicted_voxels) == (1, 0, 512)  # from the case-wise numbers too
    assert averages(score([A, twenty_one], [A], "brats2024")) == pytest.approx((0.5, 337 / 2))
    assert counts(score([A, twenty], [A], "brats2024", spacing=(1, 1, 3))) == (1, 0, 0)  # 60 mm³, but 20 voxels
    assert counts(score([A], [A, twenty], "brats2024", spacing=(1, 1, 3))) == (1, 0, 1)
    assert counts(score([A, twenty], [A], "brats2024", region="ET")) == (1, 1, 0)  # ET: 10 voxels


@pytest.mark.parametrize(("depth", "false_alarms"), [(2, 0), (2.1, 1)])
def test_d2_the_radiotherapy_task_measures_predictions_in_mm3(depth: float, false_alarms: int) -> None:
    a, alarm = (1, *A[1:]), (1, (25, 25, 5), (5, 5, 1))  # 25 voxels of 2 mm³: 50
    found = score([a, alarm], [a], "brats2024", "MEN-RT", "GTV", coding=GTV, spacing=(1, 1, depth))
    assert found.lesions_fp == false_alarms


def test_d3_penalties() -> None:
    assert averages(score([], [A], "brats2024")) == (0, 337)
    assert averages(score([], [A], "brats2024", "SSA")) == (0, 374)
    a = (1, *A[1:])
    radiotherapy = score([], [a], "brats2024", "MEN-RT", "GTV", coding=GTV, spacing=(1, 2, 3))
    diagonal = math.sqrt(44**2 + 40**2 + 20**2)  # in voxels, whatever their size
    assert averages(radiotherapy) == pytest.approx((0, diagonal))
    assert radiotherapy.hd95_mm == pytest.approx(diagonal)


def test_d4_false_alarms_do_not_count_in_radiotherapy() -> None:
    a, alarm = (1, *A[1:]), cube(25, 25, value=1)
    found = score([a, alarm], [a], "brats2024", "MEN-RT", "GTV", coding=GTV)
    assert averages(found) == (1, 0)
    assert counts(found) == (1, 1, 0)
    assert [lesion.counted for lesion in found.lesions] == [True, False]


def test_d5_rows_of_the_tasks() -> None:
    assert {key: {task: tuple(row.regions) for task, row in tasks.items()} for key, tasks in TASKS.items()} == {
        "brats2023": dict.fromkeys(("GLI", "SSA", "PED", "MEN", "MET"), ("WT", "TC", "ET")),
        "brats2024": {
            "GLI": ("WT", "TC", "NETC", "SNFH", "ET", "RC"),
            "SSA": ("WT", "TC", "ET"),
            "MET": ("WT", "TC", "ET"),
            "PED": ("WT", "TC", "ET", "NETC", "CC", "ED"),
            "MEN-RT": ("GTV",),
        },
    }


BRIDGED = [
    ("SSA", "ET", 3, 1), ("MET", "ET", 3, 1), ("GLI", "ET", 3, 1), ("GLI", "ET", 3, 4),
    ("GLI", "RC", 4, 3), ("GLI", "RC", 4, 1), ("GLI", "NETC", 1, 3), ("GLI", "NETC", 1, 4),
    ("GLI", "SNFH", 2, 3), ("GLI", "SNFH", 2, 4), ("GLI", "SNFH", 2, 1),
]  # fmt: skip


@pytest.mark.parametrize(("task", "region", "tissue", "bridge"), BRIDGED)
def test_d6_lesions_that_touch_the_same_lesion_of_another_tissue_are_one(
    task: str, region: str, tissue: int, bridge: int
) -> None:
    ends = [cube(4, value=tissue), cube(24, value=tissue)]  # 12 empty voxels between: separate for 5 dilations too
    between = (bridge, (12, 6, 6), (12, 2, 2))
    coding = L24 if task == "GLI" else L23
    joined = score([ends[0], between], [*ends, between], "brats2024", task, region, coding=coding)
    assert counts(joined) == (1, 0, 0)
    assert averages(joined) == pytest.approx((2 * 512 / (512 + 1024), 20))  # the far face: 32 - 12
    apart = score([ends[0]], ends, "brats2024", task, region, coding=coding)
    assert counts(apart) == (1, 0, 1)


@pytest.mark.parametrize(("task", "region"), [("SSA", "TC"), ("SSA", "ET"), ("MET", "ET"), ("GLI", "ET"), ("GLI", "TC")])
def test_d6_edema_joins_none_of_these(task: str, region: str) -> None:
    ends, between = [cube(4), cube(24)], (2, (12, 6, 6), (12, 2, 2))
    found = score([ends[0], between], [*ends, between], "brats2024", task, region, coding=L24 if task == "GLI" else L23)
    assert counts(found) == (1, 0, 1)


def test_d6_a_lesion_between_two_bridges_goes_with_the_first() -> None:
    """Joining is not carried on: of three lesions in a row, the second touches both bridges, the third the second bridge."""
    row = [(3, (2, 4, 4), CUBE), (3, (17, 4, 4), CUBE), (3, (32, 4, 4), (4, 8, 8))]
    bridges = [(1, (10, 6, 6), (7, 1, 1)), (1, (25, 6, 6), (7, 1, 1))]
    found = score([], [*row, *bridges], "brats2024", "SSA", "ET")
    assert sorted(lesion.reference_mm3 for lesion in found.lesions) == [256, 512 + 512]


@pytest.mark.real
def test_d7_hd95_of_numbered_maps(golden: dict) -> None:
    case = next(case for case in golden["cases"] if case["name"] == "missed_50_voxels")
    labels = [paint_golden(case["shape"], case[side]) for side in ("prediction", "reference")]
    for protocol, expected in (("brats2023", 27.185), ("brats2024", 26.758)):
        found = case_scores(*labels, (1, 1, 1), Scoring(protocol), label_set=L23)["WT"]
        assert found.hd95_mm == pytest.approx(expected, abs=5e-4)


def test_d7_sensitivity_and_specificity_of_numbered_maps() -> None:
    two = [A, cube(24)]
    found = score(two, two, "brats2024")  # perfect, but only lesion 1 is a hit
    assert (found.dice, averages(found)) == (1, (1, 0))
    assert found.sensitivity == pytest.approx(512 / (512 * 1 + 512 * 2))
    neither = 44 * 40 * 20 - 512
    assert found.specificity == pytest.approx(neither / (neither + 512 * 2))
    right = score(two, two)
    assert (right.sensitivity, right.specificity) == (1, 1)
