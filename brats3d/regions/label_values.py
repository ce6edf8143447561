"""What the values of a label show by themselves, and conversion from one label set to another.

The conversions are in one table (`CONVERSIONS`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from brats3d.errors import LabelError, OptionError
from brats3d.regions.label_sets import LABEL_SETS, LabelSet

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

ROUNDING = 1e-3
"""How far a floating-point label may be from a whole number: scale factors and resampling tools leave 2.9999998."""
FEWEST_STEPS = 100
"""A scale factor that spreads a label's values over the whole range of the type leaves more steps than this between 0 and the
largest (nibabel: 255 for uint8). Only then are fractions scaled whole numbers; a coarser factor has another meaning."""


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
            or every nonzero value would be rounded to 0.
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
            f"the label holds only 0 and values up to {np.abs(label).max():.3g}{factor}; expected whole numbers from 0"
            " to 255: check the scale factor in its header."
        )
    return whole


def label_sets_with(values: Iterable[int]) -> list[LabelSet]:
    """Return the label sets that know all of these values, in the order of `LABEL_SETS`."""
    found = set(values)
    return [coding for coding in LABEL_SETS.values() if found <= set(coding.values)]


def fitting_sets(values: Iterable[int]) -> str:
    """Return in words which label sets know all of these values, or what to check if none does."""
    fitting = ", ".join(coding.title for coding in label_sets_with(values))
    if not fitting:
        return "no known label set has them: check that the file is a tumour label"
    return f"the values would fit {fitting}"


def whole_tumour_doubt(values: Iterable[int], coding: LabelSet) -> str:
    """Return in words what labels with no value but 1 become in a coding of several tissues; empty if there is no doubt.

    Programs write whole-tumour masks as 0 and 1. Read in the coding of a year, the whole tumour becomes one tissue, such as
    necrosis, and TC equals WT. A single label may really be like that, so this takes the values of all available labels.

    Args:
        values: the values of the labels, together.
        coding: what they are read as.
    """
    found = {int(value) for value in values} - {0}
    if found != {1} or len(coding.tissues) == 1 or 1 not in coding.tissues:
        return ""
    within = " and ".join(region for region in coding.painted if 1 in coding.regions[region])
    without = " and ".join(region for region in coding.painted if 1 not in coding.regions[region])
    return f"no value but 1, which {coding.name} reads as {coding.tissues[1]} (in {within}" + (
        f"; {without} empty)" if without else ")"
    )


def check_values(label: np.ndarray, coding: LabelSet) -> None:
    """Refuse a label that holds values its label set does not know.

    Args:
        label: array of whole numbers.
        coding: the label set it should follow.

    Raises:
        LabelError: names the values found, those expected, and the label sets that have them.
    """
    if sum(np.count_nonzero(label == value) for value in coding.values) == label.size:
        return  # much faster than sorting all values
    found = [int(v) for v in np.unique(label)]
    extra = sorted(set(found) - set(coding.values))
    unknown = f"the label holds {extra}, which {coding.name} {list(coding.values)} does not know"
    raise LabelError(f"{unknown}; {fitting_sets(found)}.")


def convert_label(label: np.ndarray, source: LabelSet, target: LabelSet) -> np.ndarray:
    """Return a label of one coding written in another.

    Args:
        label: array of whole numbers in the source coding.
        source: coding of the input.
        target: coding of the output.

    Returns:
        uint8 array of the same shape; a copy.

    Raises:
        OptionError: no conversion between the two is known.
        LabelError: the label holds a value without a counterpart, or a value that is not a whole number.
    """
    label = whole_numbers(label)
    if source == target:
        check_values(label, source)
        return np.array(label, np.uint8)
    pairs = [f"{a} to {b}" for a, b in CONVERSIONS]
    if source.own or target.own or (source.name, target.name) not in CONVERSIONS:
        raise OptionError(f"no conversion from {source.name} to {target.name} is known; there are: {', '.join(pairs)}.")
    check_values(label, source)
    table = CONVERSIONS[source.name, target.name]
    lookup = np.zeros(256, np.uint8)
    lookup[list(table)] = list(table.values())
    return lookup[label]
