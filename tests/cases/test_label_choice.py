"""Settling the label set: names and values together, and what a contradiction is told."""

from __future__ import annotations

import dataclasses

import pytest

from brats3d.cases import CORPORA, Case, Facts, settle_label_set, settle_together
from brats3d.errors import LabelError, OptionError
from brats3d.regions import LABEL_SETS, find_label_set


def case_of(corpus: str) -> Case:
    return Case("c1", Facts("c1", corpus=corpus), {}, None, CORPORA[corpus].label_sets)


@pytest.mark.parametrize(
    ("corpus", "values", "settled"),
    [
        ("BraTS 2013-2016", [0, 1, 2, 3, 4], "L13"),
        ("BraTS 2013-2016", [0, 2], "L13"),
        ("BraTS 2017", [0, 1, 2, 4], "L17"),
        ("BraTS 2018", [0, 1, 2], "L17"),
        ("BraTS 2019", [0], "L17"),
        ("BraTS 2020", [4, 2, 1, 0], "L17"),
        ("BraTS 2021", [0, 1, 2, 4], "L17"),
        ("BraTS 2023 GLI", [0, 1, 2, 3], "L23"),
        ("BraTS 2023 SSA", [0, 1, 2], "L23"),
        ("BraTS 2023 MEN", [3], "L23"),
        ("BraTS 2023 MET", [0, 3], "L23"),
        ("BraTS 2023 PED", [0, 1, 2, 3], "L23"),
        ("BraTS PED", [0, 1, 2, 3, 4], "LPED"),
        ("BraTS PED", [0], "L23"),
        ("plain", [0, 1, 2, 4], "L17"),
        ("plain", [0, 1, 2, 3], "L23"),
        ("plain", [0, 1, 2], "L17"),
        ("plain", [], "L17"),
    ],
)
def test_names_and_values_settle(corpus: str, values: list[int], settled: str) -> None:
    assert settle_label_set(case_of(corpus), values).name == settled


def test_l17_and_l23_agree_where_both_fit() -> None:
    """Why a plain name is unambiguous: every value that both know lies in the same regions."""
    shared = set(LABEL_SETS["L17"].values) & set(LABEL_SETS["L23"].values)
    assert shared == {0, 1, 2}
    for region in ("WT", "TC", "ET"):
        in_old, in_new = (shared & set(LABEL_SETS[n].regions[region]) for n in ("L17", "L23"))
        assert in_old == in_new


def test_a_2023_case_with_value_4() -> None:
    with pytest.raises(LabelError) as caught:
        settle_label_set(case_of("BraTS 2023 GLI"), [0, 1, 2, 4])
    message = str(caught.value)
    assert message == (
        "the label of c1 holds the values [0, 1, 2, 4], but BraTS 2023 GLI labels follow L23 [0, 1, 2, 3];"
        " the values would fit L13 (BraTS 2012 re-issue to 2016), L17 (BraTS 2017 to 2022, TCIA), L24 (BraTS 2024 GLI; 2025 GLI"
        " and MET), LPED (BraTS 2024 PED and later): choose one with --label-set NAME."
    )
    assert caught.value.exit_code == 3


def test_the_advice_given_is_taken() -> None:
    assert settle_label_set(case_of("BraTS 2023 GLI"), [0, 1, 2, 4], "L17").name == "L17"
    assert settle_label_set(case_of("plain"), [0, 1, 2, 3, 4], "L13").name == "L13"
    assert settle_label_set(case_of("plain"), [0, 1, 2, 3], "LMSD").name == "LMSD"
    assert settle_label_set(case_of("BraTS PED"), [0, 1, 2, 3], "LPED").name == "LPED"


@pytest.mark.parametrize(
    ("corpus", "values", "requested", "says"),
    [
        ("BraTS 2018", [0, 1, 2, 3], None, r"holds the values \[0, 1, 2, 3\], but BraTS 2018 labels follow L17"),
        (
            "plain",
            [0, 3, 4],
            None,
            r"names like c1 .* L17 \[.*\] or L23 .* fit L13 .*, LPED .*: choose",
        ),
        ("plain", [0, 7], None, r"\[0, 7\].*no known label set has them: check that the file is a tumour label\.$"),
        ("BraTS PED", [0, 1], None, r"L23 and LPED read differently.*--label-set L23 or LPED"),
        ("BraTS 2018", [0, 1, 2, 4], "L23", r"\[0, 1, 2, 4\], which --label-set L23 \[.*\] does not know; .*L13 .*, L17"),
        (
            "BraTS 2013-2016",
            [0, 1, 3],
            "LPED",
            r"--label-set LPED contradicts the name of c1: BraTS 2013-2016 labels follow L13",
        ),
        ("BraTS 2023 GLI", [0, 1, 2, 3], "LMSD", r"--label-set LMSD contradicts the name"),
        ("plain", [0, 9], "L17", r"no known label set has them: check that the file is a tumour label\.$"),
    ],
)
def test_contradiction_and_doubt_are_refused(corpus: str, values: list[int], requested: str | None, says: str) -> None:
    with pytest.raises(LabelError, match=says):
        settle_label_set(case_of(corpus), values, requested)


@pytest.mark.parametrize(
    ("corpus", "label_set", "who"),
    [
        ("nnU-Net", "L23", "dataset.json"), ("MSD Task01", "L23", "dataset.json"), ("manifest", "L23", "the manifest"),
        ("BraTS 2021", "L23", "the manifest"),
    ],
)  # fmt: skip
def test_who_says_what_a_label_means_is_named(corpus: str, label_set: str, who: str) -> None:
    case = dataclasses.replace(case_of(corpus), label_sets=(label_set,))
    with pytest.raises(LabelError, match=rf"holds the values \[0, 1, 2, 4\], but {who} says L23 "):
        settle_label_set(case, [0, 1, 2, 4])
    with pytest.raises(LabelError, match=rf"LMSD contradicts {who}: {who} says L23 .* or correct {who}\.$"):
        settle_label_set(case, [0, 1, 2, 3], "LMSD")


@pytest.mark.parametrize(
    ("corpus", "values", "requested"),
    [("plain", [0, 3, 4], None), ("BraTS PED", [0, 1], None), ("BraTS 2018", [3], "L17"), ("BraTS 2023 GLI", [1], "LMSD")],
)
def test_the_option_is_the_commands_own(corpus: str, values: list[int], requested: str | None) -> None:
    with pytest.raises(LabelError) as caught:
        settle_label_set(case_of(corpus), values, requested, option="--reference-label-set")
    assert "--reference-label-set" in str(caught.value)
    assert " --label-set" not in str(caught.value)


def test_a_request_that_says_the_same_is_taken() -> None:
    # 2013 to 2016 without the value 3 reads the same in both
    assert settle_label_set(case_of("BraTS 2013-2016"), [0, 1, 2, 4], "L17").name == "L17"


def test_a_mask_of_the_whole_tumour_may_be_called_one_whatever_the_year() -> None:
    assert settle_label_set(case_of("BraTS 2018"), [0, 1], "GTV").name == "GTV"
    with pytest.raises(LabelError, match=r"GTV \[0, 1\] does not know"):
        settle_label_set(case_of("BraTS 2018"), [0, 1, 2], "GTV")


def test_an_unknown_label_set() -> None:
    with pytest.raises(OptionError, match=r"label set is 'L18'.*L17"):
        settle_label_set(case_of("plain"), [0], "L18")


def test_a_label_set_of_ones_own_needs_nothing_but_its_values() -> None:
    """Asked for, it wins over a name's year, not over a manifest; a manifest's own is no other of its name either."""
    content = {"name": "CLINIC", "tissues": {1: "core", 2: "rim"}, "regions": {"ALL": [1, 2], "CORE": [1]}}
    own = find_label_set({**content, "paint": [["ALL", 2], ["CORE", 1]]})
    other = find_label_set({**content, "regions": {"ALL": [1, 2], "CORE": [2]}, "paint": [["ALL", 1], ["CORE", 2]]})
    year, stated = case_of("BraTS 2021"), dataclasses.replace(case_of("manifest"), label_sets=("L17",))
    brought = dataclasses.replace(stated, label_sets=("CLINIC",), coding=own)
    assert settle_label_set(year, [0, 1, 2], own) == own
    assert settle_label_set(brought, [0, 2]) == settle_label_set(brought, [0, 2], own) == own
    assert settle_together({"a": (brought, [0, 1]), "b": (year, [0, 4])}) == {"a": own, "b": LABEL_SETS["L17"]}
    assert settle_together({"a": (year, [0, 1]), "b": (year, [0, 2])}, own) == {"a": own, "b": own}
    refused = [
        (year, [0, 4], own, ["CLINIC [0, 1, 2]", "[0, 4]"]),
        (brought, [0, 3], None, ["CLINIC [0, 1, 2]", "[0, 3]"]),
        (stated, [0, 1], own, ["CLINIC", "the manifest says L17"]),
        (brought, [0, 1, 2], "L17", ["L17", "the manifest says CLINIC"]),
        (brought, [0, 1, 2], other, ["'CORE': [1]", "'CORE': [2]", "the manifest says CLINIC"]),
    ]
    for case, values, requested, words in refused:
        with pytest.raises(LabelError) as caught:
            settle_label_set(case, values, requested)
        assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
