"""What a network learns: from a case's label and the meaning of its values to the channels of a target.

`TARGETS` is the table: ``regions`` are overlapping masks, one channel each; ``labels`` are exclusive, one channel per value of
a label set, background first. What a target needs to know of the cases' label sets is settled once, before any patch is read
(`target_of`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from brats3d.errors import OptionError, check_option
from brats3d.regions import (
    CONVERSIONS,
    LABEL_SETS,
    REGIONS,
    LabelSet,
    channel_values,
    convert_label,
    find_label_set,
    region_masks,
    value_channels,
)

BACKGROUND = "0"
"""The channel of exclusive labels that is not tissue."""
SHARED = "L23"
"""The label set of targets if the cases have several and none is given."""


@dataclass(frozen=True)
class Learnt:
    """What is to be learnt: keys of a recipe, and keywords of `PatchDataset`.

    Attributes:
        regions: different names of regions. With ``regions`` as output they are the channels, in order; with ``labels``
            they are the ones scored during training.
        output: ``regions`` (overlapping masks) or ``labels`` (one channel per value of the label set, background first).
        label_set: whose regions and values are meant; a name of the table, a file or the content of one
            (`regions.find_label_set`). None or an empty text means the cases' own, or L23 if they have several that can
            be read as L23.

    Raises:
        OptionError: a value of another type, no region, one of them twice, or no such label set.
    """

    regions: tuple[str, ...] = REGIONS
    output: str = "regions"
    label_set: LabelSet | Mapping[str, Any] | str | Path | None = None

    def __post_init__(self) -> None:
        names = self.regions if isinstance(self.regions, list | tuple) else ()
        if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise OptionError(f"regions is {self.regions!r}; expected different names of regions, such as ('WT', 'TC').")
        object.__setattr__(self, "regions", tuple(names))
        if BACKGROUND in names:
            raise OptionError(f"regions is {names!r}; {BACKGROUND} is the background: expected regions, or other values.")
        check_option("output", self.output, TARGETS)
        found = None if self.label_set is None or self.label_set == "" else find_label_set(self.label_set)
        object.__setattr__(self, "label_set", found)

    @property
    def coding(self) -> LabelSet | None:
        """The given label set, if any."""
        return self.label_set  # type: ignore[return-value]  # found in __post_init__


class Target(Protocol):
    """What the rows of `TARGETS` make: from a label to channels."""

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that are learnt, or scored during training."""

    @property
    def coding(self) -> LabelSet | None:
        """The label set that is meant."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the C channels: regions, or values as text."""

    def masks(self, label: np.ndarray, own: LabelSet) -> np.ndarray:
        """Return the (K, x, y, z) bool masks of a label in its own coding; they may be cropped and averaged."""

    def complete(self, masks: np.ndarray) -> np.ndarray:
        """Return the (C, x, y, z) channels of masks or of their averages, in the same type."""

    def values(self, own: LabelSet) -> list[tuple[int, ...]]:
        """Return the groups of a coding's values that foreground patches are balanced over."""

    def check(self, own: LabelSet) -> None:
        """Refuse a coding that the target cannot be made from.

        Raises:
            OptionError: says what the coding lacks.
        """


@dataclass(frozen=True)
class RegionTarget:
    """Overlapping masks of regions, one channel each.

    Attributes:
        regions: the channels, in order.
        coding: whose regions are meant if a case's values have the same tissues; None uses each case's own coding.
    """

    regions: tuple[str, ...]
    coding: LabelSet | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The regions."""
        return self.regions

    def masks(self, label: np.ndarray, own: LabelSet) -> np.ndarray:
        """Return the (R, x, y, z) bool masks of the regions."""
        return region_masks(label, self._meaning(own), self.regions)

    def complete(self, masks: np.ndarray) -> np.ndarray:
        """Return the masks as they are."""
        return masks

    def values(self, own: LabelSet) -> list[tuple[int, ...]]:
        """Return the values of each region."""
        return channel_values(self.regions, self._meaning(own))

    def check(self, own: LabelSet) -> None:
        """Refuse a coding that lacks a region, or in which a channel that is a value means something else.

        Raises:
            OptionError: names the coding and the regions.
        """
        values = [(name, value) for name, (value, *_) in zip(self.regions, self.values(own), strict=True) if name.isdigit()]
        if self.coding is None or _same_tissues(own, self.coding):
            return
        table = CONVERSIONS.get((own.name, self.coding.name), {}) if not own.own and not self.coding.own else {}
        for name, value in values:
            if table.get(value) != value:
                raise OptionError(
                    f"{name} is {own.tissues[value]} there, and {self.coding.tissues.get(value, 'nothing')} in"
                    f" {self.coding.name}; expected names of regions, or cases of one label set."
                )

    def _meaning(self, own: LabelSet) -> LabelSet:
        return own if self.coding is None else meant_coding(own, self.coding)


@dataclass(frozen=True)
class LabelTarget:
    """Exclusive labels: one channel per value of a label set, background first.

    Attributes:
        regions: scored during training.
        coding: the label set; the labels of cases with another one are converted.
    """

    regions: tuple[str, ...]
    coding: LabelSet | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The values of the label set as text."""
        return value_channels(self._wanted)

    @property
    def _wanted(self) -> LabelSet:
        if self.coding is None:
            raise OptionError(f"output is 'labels' and the label set is {self.coding}; expected one, such as L17.")
        return self.coding

    def masks(self, label: np.ndarray, own: LabelSet) -> np.ndarray:
        """Return the (V − 1, x, y, z) bool masks of all values but the background."""
        wanted = self._wanted
        converted = label if _same_tissues(own, wanted) else convert_label(label, own, wanted)
        return np.stack([converted == value for value in wanted.values[1:]])

    def complete(self, masks: np.ndarray) -> np.ndarray:
        """Return the background (the voxels of no mask, also those outside the volume), then the masks."""
        others = masks.sum(axis=0, keepdims=True, dtype=masks.dtype)
        return np.concatenate([np.maximum(1 - others, 0), masks])  # averages in half precision may add up to a little over 1

    def values(self, own: LabelSet) -> list[tuple[int, ...]]:
        """Return, for each value of the label set but the background, the coding's values that become it."""
        wanted = self._wanted
        same = {value: value for value in own.values}
        table = same if _same_tissues(own, wanted) else CONVERSIONS[own.name, wanted.name]
        return [tuple(v for v in own.values if table.get(v) == value) for value in wanted.values[1:]]

    def check(self, own: LabelSet) -> None:
        """Refuse a coding that cannot be converted, and regions that the label set lacks.

        Raises:
            OptionError: names both codings, or the regions.
        """
        channel_values(self.regions, self._wanted)
        if not _same_tissues(own, self._wanted):
            convert_label(np.zeros(1, np.uint8), own, self._wanted)


TARGETS: Mapping[str, type[RegionTarget] | type[LabelTarget]] = MappingProxyType({
    "regions": RegionTarget,
    "labels": LabelTarget,
})  # fmt: skip
"""``output`` → kind of target."""


def target_of(learnt: Learnt, codings: Mapping[str, LabelSet]) -> Target:
    """Return the target of some cases, its label set settled.

    Args:
        learnt: what is to be learnt.
        codings: case id → what its label's values mean; at least one.

    Raises:
        OptionError: the target cannot be made from a case's coding (names the case, and what its coding lacks); or the cases
            have several, and L23 does not cover them all.
    """
    distinct = list(dict.fromkeys(codings.values()))
    several = learnt.coding is None and len(distinct) > 1
    coding = learnt.coding or (LABEL_SETS[SHARED] if several else distinct[0])
    target: Target = TARGETS[learnt.output](learnt.regions, coding)
    for case, own in codings.items():
        try:
            target.check(own)
        except OptionError as problem:
            raise OptionError(f"case {case} is labelled with {own.name}: {problem}") from None
    if several:
        missing = [name for name in learnt.regions if name not in coding.regions and name not in value_channels(coding)]
        if missing:
            raise OptionError(
                f"the cases are labelled with {', '.join(c.name for c in distinct)}, and {SHARED} does not define"
                f" {', '.join(missing)}; give a label_set that does."
            )
    return target


def meant_coding(own: LabelSet, wanted: LabelSet) -> LabelSet:
    """Return whose regions are meant in a case: the given label set if its values mean the same, else the case's own.

    Args:
        own: what the case's values mean.
        wanted: the label set of the target.
    """
    return wanted if _same_tissues(own, wanted) else own


def _same_tissues(one: LabelSet, other: LabelSet) -> bool:
    """Return whether the values of two label sets mean the same."""
    return dict(one.tissues) == dict(other.tissues)
