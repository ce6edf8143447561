"""The table of losses by the names that recipes use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from brats3d.losses.label_losses import CrossEntropyLoss, DiceCELoss, SoftmaxDiceLoss
from brats3d.losses.logit_loss import LogitLoss
from brats3d.losses.loss_options import loss_options
from brats3d.losses.region_losses import BCELoss, DiceBCELoss, DiceLoss

LOSSES: Mapping[str, type[LogitLoss]] = MappingProxyType({
    "dice": DiceLoss,
    "bce": BCELoss,
    "dice_bce": DiceBCELoss,
    "softmax_dice": SoftmaxDiceLoss,
    "ce": CrossEntropyLoss,
    "dice_ce": DiceCELoss,
})  # fmt: skip
"""Name in recipes → class."""


def build_loss(name: str, **options: Any) -> LogitLoss:
    """Build a loss of the table.

    Args:
        name: a name of `LOSSES`.
        **options: those that differ from the defaults in `brats3d.losses.LOSS_OPTIONS`.

    Raises:
        OptionError: unknown loss, unknown option (suggests the nearest), or a value that cannot be used.
    """
    chosen = loss_options(name, options)
    return LOSSES[name](**chosen)
