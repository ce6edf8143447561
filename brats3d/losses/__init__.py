"""Losses on logits, each giving one value per sample: of overlapping regions, and of exclusive labels.

The table of names and options needs no framework; the classes are imported with Keras on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from brats3d.losses.loss_options import LOSS_OPTIONS, LOSS_OUTPUTS, loss_options

if TYPE_CHECKING:
    from brats3d.losses.label_losses import CrossEntropyLoss, DiceCELoss, SoftmaxDiceLoss
    from brats3d.losses.loss_table import LOSSES, build_loss
    from brats3d.losses.region_losses import BCELoss, DiceBCELoss, DiceLoss

_WITH_KERAS = {
    "LOSSES": "loss_table",
    "BCELoss": "region_losses",
    "CrossEntropyLoss": "label_losses",
    "DiceBCELoss": "region_losses",
    "DiceCELoss": "label_losses",
    "DiceLoss": "region_losses",
    "SoftmaxDiceLoss": "label_losses",
    "build_loss": "loss_table",
}

__all__ = [
    "LOSSES",
    "LOSS_OPTIONS",
    "LOSS_OUTPUTS",
    "BCELoss",
    "CrossEntropyLoss",
    "DiceBCELoss",
    "DiceCELoss",
    "DiceLoss",
    "SoftmaxDiceLoss",
    "build_loss",
    "loss_options",
]
__dir__ = __all__.copy


def __getattr__(name: str) -> Any:
    if name not in _WITH_KERAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WITH_KERAS[name]}"), name)
