"""Label → regions, and back by painting.

A *label* holds a file's own values; *regions* are overlapping masks (whole tumour, tumour core, enhancing tumour). Regions
become a label by painting in the order of the label set, such as WT, then TC, then ET, so that contradictory masks have one
meaning: the inner region wins, ET outside WT enlarges WT, nothing is ever removed.

A *channel* of masks or of a network's output is the name of a region, or one of the values as text (``"4"``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from brats3d.errors import ArrayError, OptionError
from brats3d.regions.label_sets import REGIONS, LabelSet
from brats3d.regions.label_values import whole_numbers


def channel_values(channels: Sequence[str], coding: LabelSet) -> list[tuple[int, ...]]:
    """Return the values that each channel unites.

    Args:
        channels: names of regions, or single values of the coding as text (``"4"``; ``"0"`` is the background).
        coding: what the values mean.

    Raises:
        OptionError: the coding does not define a channel.
    """
    known = _known(coding)
    missing = [channel for channel in channels if channel not in known]
    if missing:
        raise OptionError(f"{coding.name} does not define {', '.join(missing)}; it has {', '.join(coding.regions)}.")
    return [known[channel] for channel in channels]


def _known(coding: LabelSet) -> Mapping[str, tuple[int, ...]]:
    return {**coding.regions, **{str(value): (value,) for value in coding.values}}


def region_masks(label: np.ndarray, coding: LabelSet, regions: Sequence[str] = REGIONS) -> np.ndarray:
    """Return the overlapping region masks of a label.

    Args:
        label: (X, Y, Z) whole numbers of that coding.
        coding: what the values mean.
        regions: the channels, in order: names of regions, or single values of the coding as text (``"4"``).

    Returns:
        (R, X, Y, Z) bool. A region without a voxel is all False.

    Raises:
        OptionError: the coding does not define a region.
        LabelError: the label holds something other than whole numbers from 0 to 255.
    """
    united = channel_values(regions, coding)
    label = np.ascontiguousarray(whole_numbers(label))
    masks = np.zeros((len(regions), *label.shape), bool)
    for mask, values in zip(masks, united, strict=True):
        for value in values:
            mask |= label == value  # many times faster than looking up every voxel in a table
    return masks


def painting_steps(channels: Sequence[str], coding: LabelSet) -> list[tuple[int, int]]:
    """Return how channels are painted into a label: (index of the channel, value), first to last.

    The order is the coding's. A channel that is a value paints that value, at the place where the coding paints it: the
    background first, a value that no region paints last.

    Args:
        channels: names of regions, or single values of the coding as text.
        coding: the label set to write.

    Raises:
        OptionError: a channel has no value in this coding, or comes twice.
    """
    painted = dict(coding.paint)
    values = {str(value): value for value in coding.values}
    missing = [channel for channel in channels if channel not in painted and channel not in values]
    if missing:
        raise OptionError(f"{coding.name} has no value to paint {', '.join(missing)} with; it has {', '.join(painted)}.")
    if len(set(channels)) < len(channels):
        raise OptionError(f"found the channels {', '.join(channels)}; expected different ones.")
    order = [0, *painted.values()]
    steps = [(index, painted[c] if c in painted else values[c]) for index, c in enumerate(channels)]
    return sorted(steps, key=lambda step: order.index(step[1]) if step[1] in order else len(order) + step[1])


def paint_regions(masks: np.ndarray, coding: LabelSet, regions: Sequence[str] = REGIONS) -> np.ndarray:
    """Return the label painted from region masks in the coding's order, such as WT, then TC, then ET.

    For nested masks `region_masks` undoes this exactly. For contradictory ones the inner region wins and nothing is
    removed: of WT, TC and ET, ET' = ET, TC' = TC ∪ ET, WT' = WT ∪ TC ∪ ET.

    Args:
        masks: (R, X, Y, Z) bool.
        coding: the label set to write.
        regions: the channels of the R masks: names of regions, or single values of the coding as text (``"4"``).

    Returns:
        (X, Y, Z) uint8.

    Raises:
        ArrayError: there are not as many masks as channels, or they are not bool.
        OptionError: a channel has no value in this coding, or comes twice.
    """
    if len(masks) != len(regions):
        raise ArrayError(f"found {len(masks)} masks for the {len(regions)} regions {', '.join(regions)}.")
    if masks.dtype != bool:  # numbers would be taken as indices
        raise ArrayError(f"the masks are of type {masks.dtype}; expected bool: compare probabilities with a threshold first.")
    label = np.zeros(masks.shape[1:], np.uint8)
    for index, value in painting_steps(regions, coding):
        label[masks[index]] = value
    return label


def value_channels(coding: LabelSet) -> tuple[str, ...]:
    """Return the channels of an exclusive output: every value of the coding as text, background first."""
    return tuple(str(value) for value in coding.values)


def paint_values(probabilities: np.ndarray, coding: LabelSet) -> np.ndarray:
    """Return the label of an exclusive output: each voxel gets the value of its largest channel, the first of equal ones.

    Args:
        probabilities: (V, X, Y, Z) numbers of any type, one channel per value (`value_channels`).
        coding: the label set to write.

    Returns:
        (X, Y, Z) uint8.

    Raises:
        ArrayError: there are not as many channels as values, or a number is NaN.
    """
    if len(probabilities) != len(coding.values):
        raise ArrayError(
            f"found {len(probabilities)} channels for the {len(coding.values)} values {', '.join(value_channels(coding))} of"
            f" {coding.name}."
        )
    undefined = int(np.isnan(probabilities).sum())
    if undefined:
        raise ArrayError(f"{undefined} of {probabilities.size} probabilities are NaN; expected numbers.")
    return np.array(coding.values, np.uint8)[np.argmax(probabilities, axis=0)]


def told_regions(painted: Iterable[str], coding: LabelSet) -> tuple[str, ...]:
    """Return the regions shown by a label that was painted from only some of its coding's channels.

    A model of the whole tumour does not show the core, although its label has one: an empty one. A region is shown if each
    value is wholly inside or wholly outside it as far as the painted channels distinguish values: WT, TC and ET show NETC (TC
    without ET) in L24, but not RC; in LPED, where CC is then a part of NETC, neither of the two.

    Args:
        painted: the channels that the label was painted from (regions, or values as text); the coding may lack some of them.
        coding: the label set it was painted in.
    """
    painted, known = set(painted), _known(coding)
    lies_in = {value: frozenset(c for c in painted if value in known.get(c, ())) for value in coding.tissues}
    told = []
    for region, values in coding.regions.items():
        inside = {lies_in[value] for value in values}
        outside = {lies_in[value] for value in coding.tissues if value not in values}
        if frozenset() not in inside and not inside & outside:
            told.append(region)
    return tuple(told)
