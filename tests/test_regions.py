"""Label sets and regions, against the challenges' tables written out here once more."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats3d import regions
from brats3d.errors import ArrayError, LabelError, OptionError
from brats3d.regions import CONVERSIONS, LABEL_SETS, LabelSet, find_label_set, label_set

# Which values a region unites, from the scoring scripts (None: the coding has no such region).
REGION_VALUES = {
    "L12": {"WT": {1, 2}, "TC": {2}, "ET": None},
    "L13": {"WT": {1, 2, 3, 4}, "TC": {1, 3, 4}, "ET": {4}},
    "L17": {"WT": {1, 2, 4}, "TC": {1, 4}, "ET": {4}, "NETC": {1}, "SNFH": {2}},
    "L23": {"WT": {1, 2, 3}, "TC": {1, 3}, "ET": {3}, "NETC": {1}, "SNFH": {2}, "RC": None},
    "L24": {"WT": {1, 2, 3}, "TC": {1, 3}, "ET": {3}, "NETC": {1}, "SNFH": {2}, "RC": {4}},
    "LPED": {"WT": {1, 2, 3, 4}, "TC": {1, 2, 3}, "ET": {1}, "NETC": {2}, "CC": {3}, "ED": {4}},
    "LMSD": {"WT": {1, 2, 3}, "TC": {2, 3}, "ET": {3}},
    "GTV": {"WT": {1}, "GTV": {1}, "TC": None, "ET": None},
}
# In which order regions are painted, and with which value: outer regions first.
PAINTED = {
    "L12": [("WT", 1), ("TC", 2)],
    "L13": [("WT", 2), ("TC", 1), ("ET", 4)],
    "L17": [("WT", 2), ("TC", 1), ("ET", 4)],
    "L23": [("WT", 2), ("TC", 1), ("ET", 3)],
    "L24": [("WT", 2), ("TC", 1), ("ET", 3), ("RC", 4)],
    "LPED": [("WT", 4), ("TC", 2), ("CC", 3), ("ET", 1)],
    "LMSD": [("WT", 1), ("TC", 2), ("ET", 3)],
    "GTV": [("WT", 1)],
}
OWN: dict[str, Any] = {
    "name": "CLINIC",
    "used_by": "our clinic",
    "tissues": {"1": "core", "2": "rim"},
    "regions": {"CORE": [1], "ALL": [1, 2]},
    "paint": [["ALL", 2], ["CORE", 1]],
}
OWN_TOML = """
name = "CLINIC"
used_by = "our clinic"
paint = [["ALL", 2], ["CORE", 1]]
[tissues]
1 = "core"
2 = "rim"
[regions]
CORE = [1]
ALL = [1, 2]
"""
CONVERTED = {
    ("L17", "L23"): [0, 1, 2, None, 3],
    ("L23", "L17"): [0, 1, 2, 4, None],
    ("L13", "L17"): [0, 1, 2, 1, 4],
    ("L13", "L23"): [0, 1, 2, 1, 3],
    ("L24", "L23"): [0, 1, 2, 3, 0],
    ("LPED", "L23"): [0, 3, 1, 1, 2],
    ("LMSD", "L23"): [0, 2, 1, 3, None],
    ("L23", "LMSD"): [0, 2, 1, 3, None],
    ("L23", "LPED"): [0, 2, 4, 1, None],
}
WITH_THREE = [name for name, values in REGION_VALUES.items() if values["TC"] and values["ET"]]


def some_label(coding: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice(np.array(label_set(coding).values, np.uint8), (6, 7, 8))


def test_the_tables_hold_the_same_rows() -> None:
    assert set(LABEL_SETS) == set(REGION_VALUES)
    assert set(CONVERSIONS) == set(CONVERTED)


@pytest.mark.parametrize("name", LABEL_SETS)
def test_region_masks_are_the_scripts_regions(name: str) -> None:
    label = some_label(name)
    for region, values in REGION_VALUES[name].items():
        if values is None:
            with pytest.raises(OptionError, match=rf"^{name} does not define {region}; it has "):
                regions.region_masks(label, label_set(name), [region])
        else:
            masks = regions.region_masks(label, label_set(name), [region])
            assert masks.dtype == bool
            np.testing.assert_array_equal(masks, [np.isin(label, list(values))])


@pytest.mark.parametrize("name", LABEL_SETS)
def test_regions_that_are_not_in_the_table_are_not_defined(name: str) -> None:
    known = {region for region, values in REGION_VALUES[name].items() if values}
    assert set(LABEL_SETS[name].regions) == known
    painted = dict(LABEL_SETS[name].paint)
    assert {"WT", "TC", "ET"} & known <= set(painted) <= known
    assert all(value in LABEL_SETS[name].regions[region] for region, value in painted.items())


@pytest.mark.parametrize("name", LABEL_SETS)
def test_a_single_value_is_a_region_of_its_own(name: str) -> None:
    label, values = some_label(name), LABEL_SETS[name].values
    masks = regions.region_masks(label, label_set(name), [str(value) for value in values])
    np.testing.assert_array_equal(masks, [label == value for value in values])
    with pytest.raises(OptionError, match=rf"^{name} does not define 9; it has WT"):
        regions.region_masks(label, label_set(name), ["WT", "9"])


def test_painting_and_reading_agree_with_a_loop_over_voxels() -> None:
    """Every row of the table and one of a user's own, whole and by some channels in another order, contradictions included."""
    tables = [(LABEL_SETS[name], PAINTED[name], REGION_VALUES[name]) for name in LABEL_SETS]
    tables.append((LabelSet.from_dict(OWN), [("ALL", 2), ("CORE", 1)], {"ALL": {1, 2}, "CORE": {1}}))
    for seed, (coding, steps, values) in enumerate(tables):
        rng = np.random.default_rng(seed)
        names = [region for region, _ in steps]
        assert coding.painted == tuple(names)
        for channels in (names, names[::-1], names[:1], names[1:]):
            masks = rng.random((len(channels), 3, 4, 5)) < 0.5
            label = regions.paint_regions(masks, coding, channels)
            assert (label.dtype, label.shape) == (np.uint8, (3, 4, 5))
            for voxel in np.ndindex(label.shape):
                hit = [value for region, value in steps if region in channels and masks[(channels.index(region), *voxel)]]
                assert label[voxel] == (hit[-1] if hit else 0)
            known = [region for region in values if values[region]]
            for region, mask in zip(known, regions.region_masks(label, coding, known), strict=True):
                assert all(mask[voxel] == (label[voxel] in values[region]) for voxel in np.ndindex(label.shape))
        label = rng.choice(np.array(coding.values, np.uint8), (3, 4, 5))
        if coding.name == "L13":
            label[label == 3] = 1  # necrosis and non-enhancing tumour are in the same regions: they cannot come back apart
        np.testing.assert_array_equal(regions.paint_regions(regions.region_masks(label, coding, names), coding, names), label)


def test_the_inner_region_wins_and_nothing_is_removed() -> None:
    wt, tc, et = masks = np.random.default_rng(2).random((3, 6, 7, 8)) < 0.4
    for name in WITH_THREE:
        back = regions.region_masks(regions.paint_regions(masks, label_set(name)), label_set(name))
        np.testing.assert_array_equal(back, [wt | tc | et, tc | et, et])


def test_values_are_channels_too() -> None:
    """L13 by values: 3, which no region paints, comes last; the background never covers anything."""
    masks = np.array([[True, False, True, True], [True, True, False, True], [True, True, True, False]])[..., None, None]
    coding = label_set("L13")
    np.testing.assert_array_equal(regions.paint_regions(masks, coding, ["3", "0", "TC"]).ravel(), [3, 1, 3, 3])
    np.testing.assert_array_equal(regions.paint_regions(masks, coding, ["ET", "1", "2"]).ravel(), [4, 1, 4, 4])
    with pytest.raises(OptionError, match="WT, TC, WT"):
        regions.paint_regions(masks, coding, ["WT", "TC", "WT"])
    with pytest.raises(OptionError, match="L13 has no value to paint 5 with"):
        regions.paint_regions(masks, coding, ["5", "TC", "WT"])


def test_an_exclusive_output_is_its_largest_channel() -> None:
    coding = label_set("L17")
    assert regions.value_channels(coding) == ("0", "1", "2", "4")
    of_voxels = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.4, 0.1, 0.1], [0, 0, 1, 0], [0.2, 0.3, 0.25, 0.25]], np.float32)
    np.testing.assert_array_equal(regions.paint_values(of_voxels.T[..., None, None], coding).ravel(), [4, 0, 2, 1])
    assert set(regions.told_regions(regions.value_channels(coding), coding)) == set(REGION_VALUES["L17"])
    with pytest.raises(ArrayError, match="found 3 channels for the 4 values 0, 1, 2, 4 of L17"):
        regions.paint_values(of_voxels[:, :3].T[..., None, None], coding)
    with pytest.raises(ArrayError, match="1 of 8 probabilities are NaN"):
        regions.paint_values(np.array([0, 1, 2, 3, np.nan, 5, 6, 7.0]).reshape(4, 2, 1, 1), coding)


def test_resection_cavity_is_painted_last_and_lies_outside_the_tumour() -> None:
    masks = np.ones((4, 1, 1, 1), bool)
    label = regions.paint_regions(masks, label_set("L24"), ["WT", "TC", "ET", "RC"])
    assert label.item() == 4
    assert not regions.region_masks(label, label_set("L24")).any()


@pytest.mark.parametrize(("source", "target"), CONVERTED)
def test_a_conversion_value_by_value(source: str, target: str) -> None:
    for value, expected in enumerate(CONVERTED[source, target]):
        label = np.full((2, 3, 4), value, np.int16)
        if expected is None:
            with pytest.raises(LabelError, match=rf"\[{value}\], which {source}"):
                regions.convert_label(label, label_set(source), label_set(target))
        else:
            converted = regions.convert_label(label, label_set(source), label_set(target))
            assert converted.dtype == np.uint8
            np.testing.assert_array_equal(converted, np.full((2, 3, 4), expected))


def test_l17_to_l23_and_back_is_the_identity() -> None:
    label = some_label("L17")
    there = regions.convert_label(label, label_set("L17"), label_set("L23"))
    assert set(np.unique(there)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(regions.convert_label(there, label_set("L23"), label_set("L17")), label)


@pytest.mark.parametrize(("source", "target"), [pair for pair in CONVERTED if pair != ("L24", "L23")])
def test_a_conversion_keeps_the_regions(source: str, target: str) -> None:
    label = some_label(source)
    converted = regions.convert_label(label, label_set(source), label_set(target))
    np.testing.assert_array_equal(
        regions.region_masks(converted, label_set(target)), regions.region_masks(label, label_set(source))
    )


def test_a_conversion_to_the_same_set_copies() -> None:
    label = some_label("L17")
    copy = regions.convert_label(label, label_set("L17"), label_set("L17"))
    np.testing.assert_array_equal(copy, label)
    assert not np.shares_memory(copy, label)


def test_an_unknown_conversion_lists_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"no conversion from L17 to LPED is known; there are: .*L17 to L23"):
        regions.convert_label(some_label("L17"), label_set("L17"), label_set("LPED"))


def test_an_unknown_label_set_lists_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"label set is 'L18'.*expected one of: L12, L13, L17"):
        label_set("L18")


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int64, np.float32, np.float64, bool])
def test_whole_numbers_of_any_type(kind: type) -> None:
    label = np.array([[0, 1], [1, 0]]).astype(kind)
    whole = regions.whole_numbers(label)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, [[0, 1], [1, 0]])


def test_a_label_that_would_vanish_is_refused() -> None:
    """As a wrong scale factor makes it: all of it within rounding of 0."""
    with pytest.raises(LabelError, match=r"values up to 0\.000488; .*scale factor"):
        regions.whole_numbers(np.array([0, 0.000122, 0.000488], np.float32))
    np.testing.assert_array_equal(regions.whole_numbers(np.array([0, 1e-7, 1], np.float32)), [0, 0, 1])
    assert not regions.whole_numbers(np.zeros(3, np.float32)).any()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_almost_whole_numbers_are_rounded(kind: type) -> None:
    label = np.array([-1e-7, 0, 2.9999998, 4.0009, 254.9995], kind)
    np.testing.assert_array_equal(regions.whole_numbers(label), [0, 0, 3, 4, 255])


@pytest.mark.parametrize("value", [2.9985, 0.5, -1, 256, 3e9, float("nan"), float("inf"), -0.2])
def test_what_is_no_whole_number_is_refused(value: float) -> None:
    label = np.zeros((2, 3, 4))
    label[1, 2, :2] = value
    with pytest.raises(LabelError, match=rf"holds {value!s}\S* in 2 voxels; expected whole numbers from 0 to 255"):
        regions.whole_numbers(label)


def test_whole_numbers_are_found_within_half_of_a_fine_scale_factor() -> None:
    """0, 1, 2 and 4 as a program writes them that spreads 0 to 4 over the 256 values of uint8: multiples of 4/255."""
    step = 4 / 255
    label = np.round(np.array([0, 1, 2, 4]) / step) * step
    assert np.abs(label - [0, 1, 2, 4]).max() > 5 * regions.ROUNDING
    np.testing.assert_array_equal(regions.whole_numbers(label, step), [0, 1, 2, 4])
    for values, factor in (
        ([0, 1, 4 + 0.6 * step], step), (label, 0.0), ([0, 0.7, 2.8], 0.7), ([0, 1, 4.3], 1.0), ([0.5, 1.5], 1.0),
    ):  # fmt: skip
        with pytest.raises(LabelError, match=f"scale factor is {factor:.4g}" if factor else "expected whole numbers"):
            regions.whole_numbers(np.array(values, float), factor)


@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
def test_a_label_of_another_type_has_the_same_regions(kind: type) -> None:
    label = (np.random.default_rng(0).random((6, 7, 8)) < 0.5).astype(kind)
    masks = regions.region_masks(label, label_set("L17"), ["TC", "2"])
    np.testing.assert_array_equal(masks, [label == 1, np.zeros_like(label, bool)])
    np.testing.assert_array_equal(regions.convert_label(label, label_set("LMSD"), label_set("L23")), label * 2)


@pytest.mark.parametrize("value", [0.5, -1, 300])
def test_a_label_of_no_whole_numbers_has_no_regions(value: float) -> None:
    for of_label in (regions.region_masks, lambda label, coding: regions.convert_label(label, coding, label_set("L23"))):
        with pytest.raises(LabelError, match="expected whole numbers from 0 to 255"):
            of_label(np.array([[[1, value]]]), label_set("L17"))


def test_check_values_names_what_would_fit() -> None:
    regions.check_values(np.array([0, 4]), label_set("L17"))
    with pytest.raises(LabelError) as caught:
        regions.check_values(np.array([[0, 3], [3, 1]]), label_set("L17"))
    assert str(caught.value) == (
        "the label holds [3], which L17 [0, 1, 2, 4] does not know; the values would fit L13 (BraTS 2012 re-issue to 2016),"
        " L23 (BraTS 2023; SSA and MET 2024), L24 (BraTS 2024 GLI; 2025 GLI and MET), LPED (BraTS 2024 PED and later),"
        " LMSD (Medical Segmentation Decathlon, Task01)."
    )
    with pytest.raises(LabelError, match=r"\[9\].*; no known label set has them: check that the file is a tumour label"):
        regions.check_values(np.array([9]), label_set("L17"))


@pytest.mark.parametrize(
    ("masks", "names", "says"),
    [
        (np.zeros((2, 1, 1, 1), bool), ["WT"], "found 2 masks for the 1 regions WT"),
        (np.zeros((1, 1, 1, 1), np.uint8), ["WT"], "the masks are of type uint8; expected bool"),
    ],
)
def test_masks_that_cannot_be_painted(masks: np.ndarray, names: list[str], says: str) -> None:
    with pytest.raises(ArrayError, match=says):
        regions.paint_regions(masks, label_set("L17"), names)


def test_a_region_without_a_value_cannot_be_painted() -> None:
    with pytest.raises(OptionError, match="L17 has no value to paint RC with; it has WT, TC, ET"):
        regions.paint_regions(np.zeros((1, 1, 1, 1), bool), label_set("L17"), ["RC"])


@pytest.mark.parametrize(
    ("coding", "values", "words"),
    [
        ("L17", [0, 1], ["no value but 1", "L17", "NCR+NET", "in WT and TC", "ET empty"]),
        ("LMSD", [1], ["edema", "in WT;", "TC and ET empty"]),
        ("LPED", [0, 1], ["reads as ET (in WT and TC and ET; CC empty)"]),
        ("L17", [0, 1, 2], []),
        ("L17", [0, 2], []),
        ("L17", [0], []),
        ("GTV", [0, 1], []),
    ],
)
def test_masks_of_the_whole_tumour_are_doubted_in_a_coding_of_several_tissues(
    coding: str, values: list[int], words: list[str]
) -> None:
    said = regions.whole_tumour_doubt(values, label_set(coding))
    assert bool(said) == bool(words)
    assert [word in said for word in words] == [True] * len(words)


@pytest.mark.parametrize(
    ("painted", "coding", "told"),
    [
        (("WT", "TC", "ET"), "L17", {"WT", "TC", "ET", "NETC", "SNFH"}),
        (("ET", "TC", "WT"), "L24", {"WT", "TC", "ET", "NETC", "SNFH"}),
        (("WT", "TC", "ET"), "LPED", {"WT", "TC", "ET", "ED"}),  # CC would be a part of NETC
        (("WT", "ET"), "L23", {"WT", "ET"}),
        (("WT",), "L17", {"WT"}),
        (("WT",), "GTV", {"WT", "GTV"}),
        (("TC", "4"), "L17", {"TC", "ET", "NETC"}),
        (("ET",), "L12", set()),
        ((), "L17", set()),
    ],
)
def test_regions_that_a_label_tells(painted: tuple[str, ...], coding: str, told: set[str]) -> None:
    assert set(regions.told_regions(painted, LABEL_SETS[coding])) == told


def test_a_label_set_of_ones_own_is_found_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN_TOML)
    (tmp_path / "own.json").write_text(json.dumps(OWN))
    own = LabelSet.from_dict(OWN)
    assert (own.name, own.title, own.values) == ("CLINIC", "CLINIC (our clinic)", (0, 1, 2))
    assert (dict(own.tissues), dict(own.regions)) == ({1: "core", 2: "rim"}, {"CORE": (1,), "ALL": (1, 2)})
    given = (
        OWN,
        {**OWN, "tissues": {1: "core", 2: "rim"}, "used_by": "another"},
        tmp_path / "own.json",
        str(tmp_path / "own.toml"),
        own,
    )
    for one in given:
        found = find_label_set(one)
        assert found == own
        assert hash(found) == hash(own)
    assert pickle.loads(pickle.dumps(own)) == own
    assert LabelSet.from_dict(own.as_dict()) == own
    assert LabelSet.from_dict({**OWN, "tissues": {"1": "core", "2": "edge"}}) != own
    for row in LABEL_SETS.values():
        assert find_label_set(row.name) is row
        assert LabelSet.from_dict(json.loads(json.dumps(row.as_dict()))) is row


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "2nd"}, ["name", "'2nd'"]),
    ({"name": None}, ["name", "None"]),
    ({"nmae": "x"}, ["nmae", "name"]),
    ({"used_by": 3}, ["CLINIC", "used_by", "3"]),
    ({"tissues": {}}, ["tissues", "{}"]),
    ({"tissues": {"1": "core", "0": "rim"}}, ["'0'", "1 to 255"]),
    ({"tissues": {"1": "core", "256": "rim"}}, ["'256'", "1 to 255"]),
    ({"tissues": {"1": "core", "1.5": "rim"}}, ["'1.5'", "1 to 255"]),
    ({"tissues": {"1": "core", "2": " "}}, ["' '", "value 2"]),
    ({"regions": [["CORE", 1]]}, ["regions", "CORE"]),
    ({"regions": {"CORE": [1], "mean": [1, 2]}}, ["'mean'"]),
    ({"regions": {"CORE": [1], "4": [1, 2]}}, ["'4'"]),
    ({"regions": {"CORE": [1], "ALL": [1, 2, 7]}}, ["ALL", "[7]", "[1, 2]"]),
    ({"regions": {"CORE": [1], "ALL": []}}, ["ALL", "[]"]),
    ({"regions": {"CORE": [1], "ALL": [1, True]}}, ["ALL", "True"]),
    ({"regions": {"CORE": [1], "ALL": [1, 2], "all": [2]}}, ["all"]),
    ({"paint": "ALL"}, ["paint", "'ALL'"]),
    ({"paint": [["ALL", 2], ["RIM", 2]]}, ["['RIM', 2]", "CORE, ALL"]),
    ({"paint": [["ALL", 2], ["CORE", 2]]}, ["CORE", "2", "[1]"]),
    ({"paint": [["ALL", 2], ["ALL", 1]]}, ["ALL", "1", "once"]),
    ({"paint": [["ALL", 2]]}, ["value 1 (core)", "cannot be painted", "ALL", "with 2"]),
    ({"paint": [["CORE", 1]]}, ["value 2 (rim)", "cannot be painted"]),
    ({"paint": [["CORE", 1], ["ALL", 2]]}, ["value 1 (core)", "ALL", "with 2"]),
]


def test_label_sets_that_are_refused() -> None:
    for change, words in REFUSED:
        with pytest.raises(OptionError) as caught:
            find_label_set({**OWN, **change})
        assert [word for word in words if word not in str(caught.value)] == [], f"{change}: {caught.value}"
    for key in ("name", "tissues", "regions", "paint"):
        with pytest.raises(OptionError, match=f"has no {key}"):
            find_label_set({k: v for k, v in OWN.items() if k != key})


def test_what_a_file_of_another_version_holds_is_read() -> None:
    """L13 as a table may have said it once; a user cannot bring it along, as it has a value that nothing paints."""
    former = {**LABEL_SETS["L13"].as_dict(), "tissues": {"1": "necrotic", "2": "edema", "3": "solid", "4": "enhancing"}}
    read = LabelSet.from_dict(former)
    assert (read.own, LABEL_SETS["L13"].own, find_label_set(LABEL_SETS["L13"].as_dict()).own) == (True, False, False)
    assert read.as_dict() == former
    with pytest.raises(OptionError, match=r"value 3 \(solid\)"):
        find_label_set(former)


def test_label_set_files_that_are_refused(tmp_path: Path) -> None:
    files = {"a.toml": "name = ", "b.json": "[1]", "c.json": "{", "d.toml": OWN_TOML.replace("CLINIC", "L17"), "e.toml": None}
    words = {"a.toml": "TOML", "b.json": "[1]", "c.json": "JSON", "d.toml": "L17 (BraTS 2017", "e.toml": "No such file"}
    for name, text in files.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(OptionError) as caught:
            find_label_set(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert words[name] in str(caught.value)
    for given in ("L18", "own.txt", Path("L17")):
        with pytest.raises(OptionError, match=rf"'{given}'.*L12, L13, L17.*\.toml or \.json"):
            find_label_set(given)
