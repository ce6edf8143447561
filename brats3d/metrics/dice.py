"""Dice of regions as they would be painted, counted with ``keras.ops`` so that it runs inside a compiled step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from brats3d.errors import ArrayError, OptionError, check_option, check_range
from brats3d.regions import REGIONS, LabelSetLike, channel_values, find_label_set, painting_steps, value_channels

SPATIAL = (1, 2, 3)
USUAL = "L23"
"""The label set used to paint WT, TC and ET if none is given: any of the table gives the same."""


@keras.saving.register_keras_serializable(package="brats3d")
class RegionDice(keras.metrics.Mean):
    """Dice of regions of the label painted from an output: the mean over samples of one region, or of all of them.

    Logits are thresholded (strictly above) and painted as `brats3d.regions.paint_regions` does; the regions of that label are
    counted. With WT, TC and ET that is ET' = ET, TC' = TC ∪ ET, WT' = WT ∪ TC ∪ ET. Targets are True above 0.5 and painted
    alike. Of a sample and region: 2 |A∩B| / (|A| + |B|); both empty is 1, one empty 0. Samples are averaged, never pooled.
    Equal to `brats3d.scores.dice` of painted labels.

    An exclusive output has one channel per value of the label set (`brats3d.regions.value_channels`), and the largest one
    decides (`brats3d.regions.paint_values`), among the targets too.

    Args:
        region: the region counted, one of ``regions``, or ``mean`` for the average over all of them.
        regions: the output channels, in order: regions of the label set, or values of it as text; of an exclusive output, the
            regions that are counted.
        threshold: probability above which a voxel belongs to its region; ignored for an exclusive output.
        label_set: what `brats3d.regions.find_label_set` takes; by default the usual one, which has WT, TC and ET.
        exclusive: whether the output has one channel per value.
        name: name in logs; ``dice_<region>`` by default.

    Raises:
        OptionError: an unknown region or label set, a channel without a value to paint, or a threshold outside 0 to 1.
    """

    def __init__(
        self,
        region: str = "mean",
        regions: Sequence[str] = REGIONS,
        threshold: float = 0.5,
        *,
        label_set: LabelSetLike = USUAL,
        exclusive: bool = False,
        name: str | None = None,
    ) -> None:
        check_option("region of RegionDice", region, ("mean", *regions))
        check_range("threshold", threshold, 0, 1)
        if threshold in (0, 1):
            raise OptionError(f"threshold is {threshold!r}; expected a probability between 0 and 1.")
        super().__init__(name=name or f"dice_{region.lower()}", dtype="float32")
        self.region, self.regions, self.threshold = region, tuple(regions), float(threshold)
        self.label_set, self.exclusive = find_label_set(label_set), exclusive
        self.channels = value_channels(self.label_set) if exclusive else self.regions
        self._steps = painting_steps(self.channels, self.label_set)
        self._counted = channel_values(self.regions if region == "mean" else [region], self.label_set)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch.

        Args:
            y_true: (batch, X, Y, Z, C) masks of the channels, of any number type, values in [0, 1].
            y_pred: (batch, X, Y, Z, C) logits; of an exclusive output also probabilities.
            sample_weight: (batch,) weights, or None.

        Raises:
            ArrayError: another number of axes or of channels.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        count = len(self.channels)
        if len(y_pred.shape) != 5 or len(y_true.shape) != 5 or not y_true.shape[-1] == y_pred.shape[-1] == count:
            raise ArrayError(
                f"{self.name} got y_true {tuple(y_true.shape)} and y_pred {tuple(y_pred.shape)};"
                f" expected both as (batch, X, Y, Z, {count}) for the {'values' if self.exclusive else 'regions'}"
                f" {', '.join(self.channels)}."
            )
        cut = math.log(self.threshold / (1 - self.threshold))
        predicted, target = self._label(y_pred, cut), self._label(y_true, 0.5)
        values = ops.mean(ops.stack([_dice(_members(predicted, v), _members(target, v)) for v in self._counted]), axis=0)
        super().update_state(values, sample_weight=sample_weight)

    def _label(self, channels: Any, cut: float) -> Any:
        """Return the (batch, X, Y, Z) label painted from channels: True above ``cut``, or the largest one if exclusive."""
        if self.exclusive:
            largest = ops.argmax(ops.cast(channels, "float32"), axis=-1)
            return ops.take(ops.convert_to_tensor(self.label_set.values, "int32"), largest)
        masks = ops.cast(channels, "float32") > cut
        label = ops.zeros_like(masks[..., 0], dtype="int32")
        for index, value in self._steps:
            label = ops.where(masks[..., index], ops.cast(value, "int32"), label)
        return label

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the metric again."""
        return {
            "region": self.region,
            "regions": list(self.regions),
            "threshold": self.threshold,
            "label_set": self.label_set.as_dict(),
            "exclusive": self.exclusive,
            "name": self.name,
        }


def _members(label: Any, values: Sequence[int]) -> Any:
    """Return a mask of the voxels of a label that have one of the given values."""
    found = label == values[0]
    for value in values[1:]:
        found = ops.logical_or(found, label == value)
    return ops.cast(found, "float32")


def _dice(predicted: Any, target: Any) -> Any:
    """Return Dice per sample of masks (batch, X, Y, Z) of 0 and 1."""
    both = ops.sum(predicted * target, axis=SPATIAL)
    each = ops.sum(predicted + target, axis=SPATIAL)
    return ops.where(each > 0, 2.0 * both / ops.maximum(each, 1.0), 1.0)


METRICS: Mapping[str, type[RegionDice]] = MappingProxyType({"region_dice": RegionDice})
"""Name → class."""


def region_dice_metrics(
    regions: Sequence[str] = REGIONS,
    threshold: float = 0.5,
    *,
    label_set: LabelSetLike = USUAL,
    exclusive: bool = False,
) -> list[RegionDice]:
    """Return one `RegionDice` for the mean and one per region, for ``model.compile(metrics=…)``.

    Args:
        regions: the output channels, in order; of an exclusive output, the regions that are counted.
        threshold: probability above which a voxel belongs to its region.
        label_set: what `brats3d.regions.find_label_set` takes; by default the usual one, which has WT, TC and ET.
        exclusive: whether the output has one channel per value of the label set.

    Raises:
        OptionError: an unknown region or label set, a channel without a value to paint, or a threshold outside 0 to 1.
    """
    coding = find_label_set(label_set)
    return [RegionDice(region, regions, threshold, label_set=coding, exclusive=exclusive) for region in ("mean", *regions)]
