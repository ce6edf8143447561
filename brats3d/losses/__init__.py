"""Losses on logits, each giving one value a sample.

The table of names and options needs no framework; the classes are imported with Keras on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from brats3d.losses.loss_options import LOSS_OPTIONS, loss_options

if TYPE_CHECKING:
    from brats3d.losses.region_losses import LOSSES, BCELoss, DiceBCELoss, DiceLoss, build_loss

_WITH_KERAS = ("LOSSES", "BCELoss", "DiceBCELoss", "DiceLoss", "build_loss")

__all__ = ["LOSSES", "LOSS_OPTIONS", "BCELoss", "DiceBCELoss", "DiceLoss", "build_loss", "loss_options"]


def __getattr__(name: str) -> Any:
    if name not in _WITH_KERAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from brats3d.losses import region_losses

    return getattr(region_losses, name)
