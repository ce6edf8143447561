"""Paired comparison: every row against its columns by other means, undefined values, shared cases, refusals."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from brats3d.errors import ArrayError, NoCasesError, OptionError
from brats3d.scores import RegionScores, region_scores
from brats3d.scores.comparison import compare_sets, holm
from brats3d.scores.paired import DIRECTIONS, Sets, direction

Columns = dict[str, Sequence[float | None]]


def sets_of(columns: Columns, metric: str = "dice") -> Sets:
    """One region, one metric; a column of values a set, case numbers as ids."""
    return {
        name: {f"case{i:03}": {"WT": {metric: value}} for i, value in enumerate(values)} for name, values in columns.items()
    }


def random_sets(cases: int = 15, names: str = "abc", seed: int = 2) -> dict:
    rng = np.random.default_rng(seed)
    return {
        name: {
            f"case{i:03}": {
                region: {
                    "dice": float(rng.beta(9, 2)),
                    "hd95_mm": float(rng.gamma(2, 4)),
                    "volume_error_ml": float(rng.normal()),
                }
                for region in ("WT", "TC", "ET")
            }
            for i in range(cases)
        }
        for name in names
    }


def test_rows_are_what_the_columns_say() -> None:
    sets = random_sets()
    found = compare_sets(sets, metrics=("dice", "hd95_mm", "volume_error_ml"), resamples=300, seed=6)
    assert (found.sets, found.tests, len(found.rows)) == (("a", "b", "c"), 27, 27)
    p_values = []
    for row in found.rows:
        a, b = ([case[row.region][row.metric] for case in sets[name].values()] for name in (row.first, row.second))
        if row.metric == "volume_error_ml":
            a, b = [abs(v) for v in a], [abs(v) for v in b]
        differences = [x - y for x, y in zip(a, b, strict=True)]
        mean = statistics.fmean(differences)
        draws = np.random.default_rng(6)
        interval = stats.bootstrap((np.sort(differences),), np.mean, n_resamples=300, method="percentile", rng=draws)
        assert (row.n, row.undefined, row.zeros) == (15, 0, 0)
        assert (row.mean_first, row.mean_second) == pytest.approx((statistics.fmean(a), statistics.fmean(b)))
        assert row.difference == pytest.approx(mean)
        assert (row.low, row.high) == pytest.approx([*interval.confidence_interval], abs=1e-9)
        assert row.p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)
        assert row.favours == (row.first if (mean > 0) == (row.metric == "dice") else row.second)
        p_values.append(row.p)
    assert [row.p_holm for row in found.rows] == holm(p_values)
    assert [(r.first, r.second) for r in found.rows[::9]] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [row.region for row in found.rows[:9:3]] == ["WT", "TC", "ET"]
    assert [row.metric for row in found.rows[:3]] == ["dice", "hd95_mm", "volume_error_ml"]


@pytest.mark.parametrize(
    ("metric", "first", "second", "favours"),
    [
        ("dice", [0.9, 0.8], [0.7, 0.8], "first"),
        ("hd95_mm", [0.9, 0.8], [0.7, 0.8], "second"),
        ("lesions_fp", [0, 1], [3, 2], "first"),
        ("nsd_1.5mm", [0.4, 0.4], [0.5, 0.5], "second"),
        ("volume_error_ml", [-5, -4], [1, 2], "second"),
        ("dice", [0.9, 0.7], [0.8, 0.8], None),
        ("dice", [0.9, 0.7], [0.9, 0.7], None),
    ],
)
def test_the_better_set_is_named(metric: str, first: list[float], second: list[float], favours: str | None) -> None:
    (row,) = compare_sets(sets_of({"first": first, "second": second}, metric), metrics=[metric]).rows
    assert (row.favours, row.better) == (favours, direction(metric))


def test_equal_differences_are_equal_whatever_their_last_bits() -> None:
    first, second = [0.3, 0.8, 0.9, 0.4, 0.7], [0.2, 0.7, 0.8, 0.3, 0.8]
    assert len({abs(a - b) for a, b in zip(first, second, strict=True)}) > 1
    (row,) = compare_sets(sets_of({"first": first, "second": second}), metrics=["dice"]).rows
    assert row.p == pytest.approx(12 / 32)  # 0, 1, 4 or 5 of five equal differences one way: (1 + 5 + 5 + 1) of 2⁵


def test_undefined_values_leave_the_pair_and_are_counted() -> None:
    columns: Columns = {"a": [0.9, None, 0.5, 0.6, None], "b": [0.8, 0.4, None, 0.6, None]}
    (row,) = compare_sets(sets_of(columns), metrics=["dice"]).rows
    assert (row.n, row.undefined, row.zeros) == (2, 3, 1)
    assert (row.mean_first, row.mean_second, row.difference) == pytest.approx((0.75, 0.7, 0.05))
    nothing = compare_sets(sets_of({"a": [None, None], "b": [0.5, None]}), metrics=["dice"])
    (row,) = nothing.rows
    assert (row.n, row.undefined, row.zeros, nothing.tests) == (0, 2, 0, 0)
    assert {row.mean_first, row.mean_second, row.difference, row.low, row.high, row.p, row.p_holm, row.favours} == {None}


def test_one_case_and_equal_sets() -> None:
    (row,) = compare_sets(sets_of({"a": [0.9], "b": [0.7]}), metrics=["dice"]).rows
    assert (row.n, row.low, row.high, row.p, row.p_holm) == (1, None, None, 1, 1)
    (row,) = compare_sets(sets_of({"a": [0.9, 0.1, 0.4], "b": [0.9, 0.1, 0.4]}), metrics=["dice"]).rows
    assert (row.difference, row.low, row.high, row.zeros, row.p) == (0, 0, 0, 3, 1)


def test_only_shared_cases_are_compared_and_the_others_listed() -> None:
    sets = random_sets(6)
    del sets["a"]["case001"], sets["b"]["case001"], sets["b"]["case004"]
    found = compare_sets(sets)
    assert found.cases == ("case000", "case002", "case003", "case005")
    assert found.left_out == {"case001": ("a", "b"), "case004": ("b",)}
    assert {row.n for row in found.rows} == {4}
    fewer = {name: {case: rows for case, rows in cases.items() if case in found.cases} for name, cases in sets.items()}
    assert compare_sets(fewer).rows == found.rows


def test_the_order_of_cases_changes_nothing_and_swapped_sets_mirror() -> None:
    sets = random_sets()
    mixed = {name: dict(reversed(cases.items())) for name, cases in sets.items()}
    assert compare_sets(mixed) == compare_sets(sets)
    there = compare_sets({"a": sets["a"], "b": sets["b"]})
    back = compare_sets({"b": sets["b"], "a": sets["a"]})
    for one, other in zip(there.rows, back.rows, strict=True):
        assert (one.p, one.p_holm, one.favours) == (other.p, other.p_holm, other.favours)
        assert one.difference == pytest.approx(-other.difference)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=0.1 * (one.high - one.low))


def test_seeds() -> None:
    sets = random_sets()
    assert compare_sets(sets, seed=3) == compare_sets(sets, seed=3)
    assert compare_sets(sets, seed=3).rows[0].low != compare_sets(sets, seed=4).rows[0].low


def test_regions_and_inputs() -> None:
    sets = random_sets()
    before = copy.deepcopy(sets)
    assert {row.region for row in compare_sets(sets, regions=("ET",)).rows} == {"ET"}
    assert sets == before
    for case in sets["b"].values():
        del case["TC"]
    assert [row.region for row in compare_sets({"a": sets["a"], "b": sets["b"]}, metrics=["dice"]).rows] == ["WT", "ET"]


def test_as_dict_is_plain_and_says_how() -> None:
    sets = random_sets(5, "ab")
    del sets["b"]["case003"]
    found = compare_sets(sets, resamples=99, seed=7).as_dict()
    assert (found["sets"], found["left_out"], found["tests"]) == (["a", "b"], {"case003": ["b"]}, 6)
    assert found["rows"][0]["first"] == "a"
    for word in ("4 cases", "99 samples", "seed 7", "zero differences dropped", "over 6 tests"):
        assert word in found["method"]


def test_every_column_of_scores_has_a_direction_or_is_a_plain_volume() -> None:
    mask = np.zeros((4, 5, 6), bool)
    row = region_scores(mask, mask, (1, 1, 1)).as_row()
    plain = {"reference_ml", "predicted_ml", "reference_voxels", "predicted_voxels"}
    assert {m for m in row if not m.startswith("nsd_")} == {*DIRECTIONS, *plain}
    assert {direction(m) for m in row if m.startswith("nsd_")} == {"higher"}


@pytest.mark.parametrize(
    "metric", ["dice", "iou", "sensitivity", "specificity", "precision", "hd95_mm", "hd_mm", "assd_mm", "nsd_1mm"]
)
def test_directions_are_right_for_a_good_and_a_bad_mask(metric: str) -> None:
    reference = np.zeros((12, 11, 10), bool)
    reference[3:8, 3:8, 3:8] = True
    good, bad = reference.copy(), np.roll(reference, 3, axis=0)
    rows: list[RegionScores] = [region_scores(mask, reference, (1, 1, 1)) for mask in (good, bad)]
    better, worse = (row.as_row()[metric] for row in rows)
    assert better is not None
    assert worse is not None
    assert (better > worse) == (direction(metric) == "higher")


@pytest.mark.parametrize(
    ("sets", "options", "error", "text"),
    [
        ({}, {}, OptionError, "^found no set of predictions; expected at least 2 to compare: "),
        ({"a": {}}, {}, OptionError, r"^found 1 set of predictions \(a\); expected at least 2 "),
        ({"a": {"x": {}}, "b": {"y": {}, "z": {}}, "c": {}}, {}, NoCasesError,
         r"^no case is in all of the sets a \(1 such as x\), b \(2 such as y\), c \(0\); expected scores of the same cases"),
        ({"a": {"x": {"WT": {}}}, "b": {"x": {"ET": {}}}}, {}, OptionError,
         r"^no region is in all of the sets \(a: WT; b: ET\); expected at least one to compare.$"),
        (random_sets(3), {"regions": ("WT", "RC")}, OptionError,
         "^the region to compare in the set a is 'RC'; expected one of: WT, TC, ET.$"),
        (random_sets(3), {"metrics": ("dise",)}, OptionError, r"^the metric to compare is 'dise' \(did you mean 'dice'\?\)"),
        (random_sets(3), {"metrics": ("predicted_ml",)}, OptionError, "^the metric to compare is 'predicted_ml'"),
        (random_sets(3), {"metrics": ()}, OptionError, "^found 0 metrics .*; expected one or more of dice, "),
        (random_sets(3), {"resamples": 0}, OptionError, "^resamples is 0; "),
        (sets_of({"a": [0.5, math.inf], "b": [0.5, 0.4]}), {}, ArrayError,
         "^dice of WT of case case001 in the set a is inf; expected a number"),
    ],
)  # fmt: skip
def test_refusals(sets: Sets, options: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        compare_sets(sets, **options)
