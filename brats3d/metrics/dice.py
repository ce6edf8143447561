"""Dice of regions as they would be painted, counted with ``keras.ops`` so that it runs inside a compiled step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from brats3d.errors import ArrayError, OptionError, check_option, check_range
from brats3d.regions import REGIONS

SPATIAL = (1, 2, 3)


@keras.saving.register_keras_serializable(package="brats3d")
class RegionDice(keras.metrics.Mean):
    """Dice of thresholded regions, from logits: the mean over samples of one region, or of all of them.

    Predictions are thresholded (strictly above) and closed by nesting as painting would: ET' = ET, TC' = TC ∪ ET,
    WT' = WT ∪ TC ∪ ET. Targets are True above 0.5 and closed alike. A sample and region: 2 |A∩B| / (|A| + |B|); both empty
    is 1, one empty 0. Samples are averaged, never pooled. Equal to `brats3d.scores.dice` of painted labels.

    Args:
        region: name of the region, or ``mean`` for the average over all of them.
        regions: names of the output channels, in order; out of WT, TC, ET.
        threshold: probability above which a voxel belongs to its region.
        name: name in logs; ``dice_<region>`` by default.

    Raises:
        OptionError: an unknown region, or a threshold outside 0 to 1.
    """

    def __init__(
        self, region: str = "mean", regions: Sequence[str] = REGIONS, threshold: float = 0.5, name: str | None = None
    ) -> None:
        for channel in regions:
            check_option("a channel of RegionDice", channel, REGIONS)
        check_option("region of RegionDice", region, ("mean", *regions))
        check_range("threshold", threshold, 0, 1)
        if threshold in (0, 1):
            raise OptionError(f"threshold is {threshold!r}; expected a probability between 0 and 1.")
        super().__init__(name=name or f"dice_{region.lower()}", dtype="float32")
        self.region, self.regions, self.threshold = region, tuple(regions), float(threshold)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch.

        Args:
            y_true: (batch, X, Y, Z, R) region masks of any number type, values in [0, 1].
            y_pred: (batch, X, Y, Z, R) logits.
            sample_weight: (batch,) weights, or None.

        Raises:
            ArrayError: another number of axes or of regions.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if len(y_pred.shape) != 5 or len(y_true.shape) != 5 or not y_true.shape[-1] == y_pred.shape[-1] == len(self.regions):
            raise ArrayError(
                f"{self.name} got y_true {tuple(y_true.shape)} and y_pred {tuple(y_pred.shape)};"
                f" expected both as (batch, X, Y, Z, {len(self.regions)}) for the regions {', '.join(self.regions)}."
            )
        cut = math.log(self.threshold / (1 - self.threshold))
        predicted = self._closed(ops.cast(y_pred, "float32") > cut)
        target = self._closed(ops.cast(y_true, "float32") > 0.5)
        both = ops.sum(ops.cast(ops.logical_and(predicted, target), "float32"), axis=SPATIAL)
        each = ops.sum(ops.cast(predicted, "float32") + ops.cast(target, "float32"), axis=SPATIAL)
        dice = ops.where(each > 0, 2.0 * both / ops.maximum(each, 1.0), 1.0)
        values = ops.mean(dice, axis=-1) if self.region == "mean" else dice[:, self.regions.index(self.region)]
        super().update_state(values, sample_weight=sample_weight)

    def _closed(self, masks: Any) -> Any:
        """Return the masks (batch, X, Y, Z, R), each united with all regions inside it."""
        channels = []
        for outer in self.regions:
            inner = [i for i, r in enumerate(self.regions) if REGIONS.index(r) >= REGIONS.index(outer)]
            channels.append(ops.any(ops.stack([masks[..., i] for i in inner], axis=-1), axis=-1))
        return ops.stack(channels, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the metric again."""
        return {"region": self.region, "regions": list(self.regions), "threshold": self.threshold, "name": self.name}


METRICS: Mapping[str, type[RegionDice]] = MappingProxyType({"region_dice": RegionDice})
"""Name → class."""


def region_dice_metrics(regions: Sequence[str] = REGIONS, threshold: float = 0.5) -> list[RegionDice]:
    """Return one `RegionDice` for the mean and one a region, for ``model.compile(metrics=…)``.

    Args:
        regions: names of the output channels, in order.
        threshold: probability above which a voxel belongs to its region.

    Raises:
        OptionError: an unknown region, or a threshold outside 0 to 1.
    """
    return [RegionDice(region, regions, threshold) for region in ("mean", *regions)]
