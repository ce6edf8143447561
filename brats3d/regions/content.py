"""Checks of the content of a user's label set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from brats3d.errors import OptionError, are_whole, check_keys

KEYS = ("name", "used_by", "tissues", "regions", "paint")
LARGEST = 255
"""The largest value of a label: it is kept as uint8."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}")
"""Names are used in tables, file names and command lines; one that begins with a digit could be a value."""
_RESERVED = ("mean",)
"""What tables and metrics call the average over regions."""


class LabelSetContent(NamedTuple):
    """The parts of a `regions.LabelSet`, checked."""

    name: str
    used_by: str
    tissues: dict[int, str]
    regions: dict[str, tuple[int, ...]]
    paint: list[tuple[str, int]]


def checked_content(content: Any) -> LabelSetContent:
    """Return the parts of a label set, each of the right type.

    Args:
        content: see `regions.LabelSet.from_dict`.

    Raises:
        OptionError: says which part is missing or wrong.
    """
    if not isinstance(content, Mapping):
        raise OptionError(f"the label set is {content!r}; expected a table with the keys {', '.join(KEYS)}.")
    check_keys("the label set", content, KEYS)
    missing = [key for key in KEYS if key not in content and key != "used_by"]
    if missing:
        raise OptionError(f"the label set has no {', '.join(missing)}; expected {', '.join(KEYS)}.")
    name = content["name"]
    _check_name("the label set's name", name)
    used_by = content.get("used_by", "own label set")
    if not isinstance(used_by, str) or not used_by.isprintable():
        raise OptionError(f"label set {name} has used_by = {used_by!r}; expected a line of text.")
    tissues = _tissues(name, content["tissues"])
    regions = _regions(name, content["regions"], tissues)
    return LabelSetContent(name, used_by, tissues, regions, _paint(name, content["paint"], regions))


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise OptionError(
            f"{what} is {name!r}; expected a letter and then up to 31 letters, digits or one of _ + -, other than mean."
        )


def _tissues(name: str, given: Any) -> dict[int, str]:
    if not isinstance(given, Mapping) or not given:
        raise OptionError(f"label set {name} has tissues = {given!r}; expected value → tissue, such as 1 = 'core'.")
    tissues = {}
    for key, tissue in given.items():
        value = int(key) if isinstance(key, str) and re.fullmatch(r"[1-9][0-9]{0,2}", key) else key
        if not are_whole([value], 1, LARGEST) or value in tissues:
            raise OptionError(f"label set {name} has a tissue of value {key!r}; expected different values from 1 to {LARGEST}.")
        if not isinstance(tissue, str) or not tissue.strip() or not tissue.isprintable():
            raise OptionError(f"label set {name} has {tissue!r} as the tissue of value {value}; expected its name.")
        tissues[int(value)] = tissue
    return tissues


def _regions(name: str, given: Any, tissues: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    if not isinstance(given, Mapping) or not given:
        raise OptionError(f"label set {name} has regions = {given!r}; expected region → values, such as WT = [1, 2].")
    regions = {}
    for region, values in given.items():
        _check_name(f"a region of label set {name}", region)
        if isinstance(values, str) or not are_whole(values, 1) or not values or len(set(values)) < len(values):
            raise OptionError(f"label set {name} has {region} = {values!r}; expected a list of different values.")
        strange = sorted(set(values) - set(tissues))
        if strange:
            raise OptionError(
                f"region {region} of label set {name} unites {list(values)}, but {strange} are not tissues; expected values"
                f" out of {sorted(tissues)}."
            )
        regions[region] = tuple(int(value) for value in values)
    alike = [region for region, count in Counter(region.lower() for region in regions).items() if count > 1]
    if alike:
        raise OptionError(f"label set {name} has several regions called {', '.join(alike)}; expected different names.")
    return regions


def _paint(name: str, given: Any, regions: Mapping[str, tuple[int, ...]]) -> list[tuple[str, int]]:
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence) or not given:
        raise OptionError(f"label set {name} has paint = {given!r}; expected pairs, such as [['WT', 2], ['TC', 1]].")
    paint: list[tuple[str, int]] = []
    for pair in given:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2 or pair[0] not in list(regions):
            raise OptionError(
                f"label set {name} paints {pair!r}; expected a region and its value, out of {', '.join(regions)}."
            )
        region, value = pair
        if not are_whole([value], 1) or value not in regions[region]:
            raise OptionError(
                f"label set {name} paints {region} with {value!r}; expected one of its values {list(regions[region])}."
            )
        if any(region == r or value == v for r, v in paint):
            raise OptionError(
                f"label set {name} paints {region} with {value} after {[list(pair) for pair in paint]}; expected each region"
                " once, each with its own value."
            )
        paint.append((region, int(value)))
    return paint
