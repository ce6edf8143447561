"""Metrics inside the training step: Dice of thresholded, nested regions.

The classes are imported with Keras on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brats3d.metrics.dice import METRICS, RegionDice, region_dice_metrics

__all__ = ["METRICS", "RegionDice", "region_dice_metrics"]
__dir__ = __all__.copy


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from brats3d.metrics import dice

    return getattr(dice, name)
