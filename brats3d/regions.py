"""Label sets, regions, and the way from one to the other.

A *label* is a file's own values; *regions* are overlapping masks (whole tumour, tumour core, enhancing tumour). What a
value means depends on the challenge and its year: 3 is non-enhancing tumour in 2015, nothing in 2018, enhancing tumour in
2023. One table (`LABEL_SETS`) says it, one more (`CONVERSIONS`) says how a label goes from one set to another; adding a
year adds a row.

Regions become labels by painting in a fixed order, WT, then TC, then ET, so that contradictory channels have one meaning:
the inner region wins, ET outside WT enlarges WT, nothing is ever removed.

Sources: the challenges' own scoring scripts (rachitsaluja/BraTS-2023-Metrics ``get_TissueWiseSeg``,
BraTS-2024-Metrics ``metrics_*.py``), CaPTk ``cbicaITKUtilities.h``, nnU-Net ``regions_class_order``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from brats3d.errors import ArrayError, LabelError, OptionError, check_option

MODALITIES = ("t1", "t1ce", "t2", "flair")
"""The four modalities of BraTS, in the order used everywhere."""

REGIONS = ("WT", "TC", "ET")
"""The three regions every BraTS year scores, in the order used everywhere."""


@dataclass(frozen=True)
class LabelSet:
    """One coding of tumour tissue in a label file.

    Attributes:
        name: short name, such as ``L17``.
        used_by: which challenges wrote it.
        tissues: label value → tissue.
        regions: region name → the values it unites; single tissues that a challenge scores are regions too.
        paint: (region, value) in the order in which regions are painted into a label.
    """

    name: str
    used_by: str
    tissues: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]]
    paint: tuple[tuple[str, int], ...]

    @property
    def title(self) -> str:
        """The name and who used it, for messages."""
        return f"{self.name} ({self.used_by})"

    @property
    def values(self) -> tuple[int, ...]:
        """All values the coding uses, background first."""
        return (0, *sorted(self.tissues))

    def __reduce__(self) -> tuple[Any, ...]:  # frozen mappings cannot be pickled, and cases go to other processes
        return _row, (self.name, self.used_by, dict(self.tissues), dict(self.regions), self.paint)


def _row(
    name: str,
    used_by: str,
    tissues: dict[int, str],
    regions: dict[str, tuple[int, ...]],
    paint: Sequence[tuple[str, int]],
) -> LabelSet:
    return LabelSet(name, used_by, MappingProxyType(tissues), MappingProxyType(regions), tuple(paint))


LABEL_SETS: Mapping[str, LabelSet] = MappingProxyType({
    row.name: row
    for row in (
        _row("L12", "BraTS 2012, first issue", {1: "edema", 2: "core"},
             {"WT": (1, 2), "TC": (2,)}, [("WT", 1), ("TC", 2)]),
        _row("L13", "BraTS 2012 re-issue to 2016", {1: "necrosis", 2: "edema", 3: "non-enhancing", 4: "enhancing"},
             {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}, [("WT", 2), ("TC", 1), ("ET", 4)]),
        _row("L17", "BraTS 2017 to 2022, TCIA", {1: "NCR+NET", 2: "ED", 4: "ET"},
             {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,), "NETC": (1,), "SNFH": (2,)}, [("WT", 2), ("TC", 1), ("ET", 4)]),
        _row("L23", "BraTS 2023; SSA and MET 2024", {1: "NCR", 2: "ED", 3: "ET"},
             {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,), "NETC": (1,), "SNFH": (2,)}, [("WT", 2), ("TC", 1), ("ET", 3)]),
        _row("L24", "BraTS 2024 GLI; 2025 GLI and MET", {1: "NETC", 2: "SNFH", 3: "ET", 4: "RC"},
             {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,), "RC": (4,), "NETC": (1,), "SNFH": (2,)},
             [("WT", 2), ("TC", 1), ("ET", 3), ("RC", 4)]),
        _row("LPED", "BraTS 2024 PED and later", {1: "ET", 2: "NETC", 3: "CC", 4: "ED"},
             {"WT": (1, 2, 3, 4), "TC": (1, 2, 3), "ET": (1,), "CC": (3,), "NETC": (2,), "ED": (4,)},
             [("WT", 4), ("TC", 2), ("CC", 3), ("ET", 1)]),
        _row("LMSD", "Medical Segmentation Decathlon, Task01", {1: "edema", 2: "non-enhancing", 3: "ET"},
             {"WT": (1, 2, 3), "TC": (2, 3), "ET": (3,)}, [("WT", 1), ("TC", 2), ("ET", 3)]),
        _row("GTV", "BraTS 2024 MEN-RT", {1: "gross tumour volume"}, {"WT": (1,), "GTV": (1,)}, [("WT", 1)]),
    )
})  # fmt: skip

CONVERSIONS: Mapping[tuple[str, str], Mapping[int, int]] = MappingProxyType({
    ("L17", "L23"): {0: 0, 1: 1, 2: 2, 4: 3},
    ("L23", "L17"): {0: 0, 1: 1, 2: 2, 3: 4},
    ("L13", "L17"): {0: 0, 1: 1, 2: 2, 3: 1, 4: 4},
    ("L13", "L23"): {0: 0, 1: 1, 2: 2, 3: 1, 4: 3},
    ("L24", "L23"): {0: 0, 1: 1, 2: 2, 3: 3, 4: 0},
    ("LPED", "L23"): {0: 0, 1: 3, 2: 1, 3: 1, 4: 2},
    ("LMSD", "L23"): {0: 0, 1: 2, 2: 1, 3: 3},
    ("L23", "LMSD"): {0: 0, 1: 2, 2: 1, 3: 3},
    ("L23", "LPED"): {0: 0, 1: 2, 2: 4, 3: 1},
})  # fmt: skip
"""(from, to) → value → value. A value that is not listed has no counterpart and is refused."""


def label_set(name: str) -> LabelSet:
    """Return the label set of that name.

    Raises:
        OptionError: no label set has the name; the message lists them.
    """
    check_option("label set", name, LABEL_SETS)
    return LABEL_SETS[name]


ROUNDING = 1e-3
"""How far a label in floating point may lie from a whole number: scale factors and resampling tools leave 2.9999998."""
FEWEST_STEPS = 100
"""A scale factor that spreads a label's values over all that the type can hold leaves more steps than this between 0 and the
largest (nibabel: 255 for uint8). Only then are fractions what it made of whole numbers; a coarser one has another meaning."""


def whole_numbers(label: np.ndarray, step: float = 0.0) -> np.ndarray:
    """Return a label of any number type as uint8, refusing what is not a label.

    Args:
        label: (X, Y, Z) array of any type; float files are common, and hold whole numbers within `ROUNDING`.
        step: the scale factor of the file's header, of which all values are multiples; 0 if it has none. Whole numbers
            are then found within half of it, as long as it is fine (`FEWEST_STEPS`).

    Returns:
        (X, Y, Z) uint8 with the same values, rounded. A copy, unless the input is uint8 already.

    Raises:
        LabelError: a value is not a whole number from 0 to 255 (the message names the first one found, and the scale factor),
            or all that is not 0 would be rounded to 0.
    """
    label = np.asarray(label)
    if label.dtype == np.uint8:
        return label
    floating = np.issubdtype(label.dtype, np.floating)
    with np.errstate(invalid="ignore"):
        whole = (np.rint(label) if floating else label).astype(np.uint8)
        fine = step and step * FEWEST_STEPS <= np.abs(label).max(initial=0)
        allowed = max(ROUNDING, step / 2 * (1 + ROUNDING)) if fine else ROUNDING
        wrong = ~(np.abs(label - whole) <= allowed) if floating else whole != label
    factor = f" (the header's scale factor is {step:.4g})" if step else ""
    if wrong.any():
        raise LabelError(
            f"the label holds {label[wrong][0]!s} in {int(wrong.sum())} voxels{factor}; expected whole numbers from 0 to 255:"
            " check that the file is a label and not an image or a resampled mask."
        )
    if floating and not whole.any() and label.any():
        raise LabelError(
            f"the label holds nothing but 0 and values up to {np.abs(label).max():.3g}{factor}; expected whole numbers from 0"
            " to 255: check the scale factor in its header."
        )
    return whole


def label_sets_with(values: Iterable[int]) -> list[LabelSet]:
    """Return the label sets that know all of these values, in the order of `LABEL_SETS`."""
    found = set(values)
    return [coding for coding in LABEL_SETS.values() if found <= set(coding.values)]


def fitting_sets(values: Iterable[int]) -> str:
    """Return as words which label sets know all of these values, or what to check where none does."""
    fitting = ", ".join(coding.title for coding in label_sets_with(values))
    if not fitting:
        return "no known label set has them: check that the file is a tumour label"
    return f"the values would fit {fitting}"


def whole_tumour_doubt(values: Iterable[int], coding: LabelSet) -> str:
    """Return as words what labels without any value but 1 become in a coding of several tissues; empty if there is no doubt.

    Programs write whole-tumour masks as 0 and 1. Read in the coding of a year, all of such a tumour is one tissue, such as
    necrosis, and TC equals WT. One label may be like that by nature, so this asks for the values of all labels at hand.

    Args:
        values: the values of the labels, together.
        coding: what they are taken for.
    """
    found = {int(value) for value in values} - {0}
    if found != {1} or len(coding.tissues) == 1:
        return ""
    within = " and ".join(region for region in REGIONS if 1 in coding.regions.get(region, ()))
    without = " and ".join(region for region in REGIONS if 1 not in coding.regions.get(region, ()))
    return f"no value but 1, which {coding.name} reads as {coding.tissues[1]} (in {within}" + (
        f"; {without} empty)" if without else ")"
    )


def check_values(label: np.ndarray, coding: LabelSet) -> None:
    """Refuse a label that holds values its label set does not know.

    Args:
        label: array of whole numbers.
        coding: the label set it should follow.

    Raises:
        LabelError: names the values found, those expected, and the label sets that would take them.
    """
    if sum(np.count_nonzero(label == value) for value in coding.values) == label.size:
        return  # much faster than sorting all values out
    found = [int(v) for v in np.unique(label)]
    extra = sorted(set(found) - set(coding.values))
    unknown = f"the label holds {extra}, which {coding.name} {list(coding.values)} does not know"
    raise LabelError(f"{unknown}; {fitting_sets(found)}.")


def region_masks(label: np.ndarray, coding: LabelSet, regions: Sequence[str] = REGIONS) -> np.ndarray:
    """Return the overlapping region masks of a label.

    Args:
        label: (X, Y, Z) whole numbers of that coding.
        coding: what the values mean.
        regions: the regions wanted, in order: names, or single values of the coding as text (``"4"``).

    Returns:
        (R, X, Y, Z) bool. A region without a voxel is all False.

    Raises:
        OptionError: the coding does not define a region asked for.
        LabelError: the label holds what is no whole number from 0 to 255.
    """
    known = {**coding.regions, **{str(value): (value,) for value in coding.values}}
    missing = [r for r in regions if r not in known]
    if missing:
        raise OptionError(f"{coding.name} does not define {', '.join(missing)}; it has {', '.join(coding.regions)}.")
    label = np.ascontiguousarray(whole_numbers(label))
    masks = np.zeros((len(regions), *label.shape), bool)
    for mask, region in zip(masks, regions, strict=True):
        for value in known[region]:
            mask |= label == value  # many times faster than looking every voxel up in a table
    return masks


def told_regions(painted: Iterable[str], coding: LabelSet) -> tuple[str, ...]:
    """Return the regions of a coding that a label tells which was painted from some of them alone.

    A model of the whole tumour says nothing of the core, although its label has a core: an empty one. A region is told if each
    value lies wholly in it or wholly outside it as far as the painted regions tell values apart: of WT, TC and ET, L24 tells
    NETC (TC without ET) and not RC; LPED, whose CC is a part of NETC then, neither of the two.

    Args:
        painted: the regions that the label was painted from; those that the coding does not have are passed over.
        coding: the label set it was painted in.
    """
    painted = set(painted)
    lies_in = {value: frozenset(r for r in painted if value in coding.regions.get(r, ())) for value in coding.tissues}
    told = []
    for region, values in coding.regions.items():
        inside = {lies_in[value] for value in values}
        outside = {lies_in[value] for value in coding.tissues if value not in values}
        if frozenset() not in inside and not inside & outside:
            told.append(region)
    return tuple(told)


def paint_regions(masks: np.ndarray, coding: LabelSet, regions: Sequence[str] = REGIONS) -> np.ndarray:
    """Return the label that the region masks mean, painted WT, then TC, then ET (then others).

    For nested masks ``region_masks`` undoes this exactly. For contradictory ones the inner region wins and nothing is
    removed: ET' = ET, TC' = TC ∪ ET, WT' = WT ∪ TC ∪ ET.

    Args:
        masks: (R, X, Y, Z) bool.
        coding: the label set to write.
        regions: the names of the R masks.

    Returns:
        (X, Y, Z) uint8.

    Raises:
        ArrayError: there are not as many masks as names, or they are not bool.
        OptionError: a region has no value in this coding.
    """
    if len(masks) != len(regions):
        raise ArrayError(f"found {len(masks)} masks for the {len(regions)} regions {', '.join(regions)}.")
    if masks.dtype != bool:  # numbers would be taken for indices
        raise ArrayError(f"the masks are of type {masks.dtype}; expected bool: compare probabilities with a threshold first.")
    painted = dict(coding.paint)
    missing = [r for r in regions if r not in painted]
    if missing:
        raise OptionError(f"{coding.name} has no value to paint {', '.join(missing)} with; it has {', '.join(painted)}.")
    label = np.zeros(masks.shape[1:], np.uint8)
    for region, value in coding.paint:
        if region in regions:
            label[masks[list(regions).index(region)]] = value
    return label


def convert_label(label: np.ndarray, source: LabelSet, target: LabelSet) -> np.ndarray:
    """Return a label of one coding written in another.

    Args:
        label: array of whole numbers in the source coding.
        source: coding of the input.
        target: coding wanted.

    Returns:
        uint8 array of the same shape; a copy.

    Raises:
        OptionError: no conversion between the two is known.
        LabelError: the label holds a value without a counterpart, or what is no whole number.
    """
    label = whole_numbers(label)
    if source == target:
        check_values(label, source)
        return np.array(label, np.uint8)
    pairs = [f"{a} to {b}" for a, b in CONVERSIONS]
    if (source.name, target.name) not in CONVERSIONS:
        raise OptionError(f"no conversion from {source.name} to {target.name} is known; there are: {', '.join(pairs)}.")
    check_values(label, source)
    table = CONVERSIONS[source.name, target.name]
    lookup = np.zeros(256, np.uint8)
    lookup[list(table)] = list(table.values())
    return lookup[label]
