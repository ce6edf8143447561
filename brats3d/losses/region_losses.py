"""Dice, binary cross entropy and their sum, on logits of overlapping regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from brats3d.losses.logit_loss import SPATIAL, LogitLoss, soft_dice_loss, weighted_mean
from brats3d.losses.loss_options import check_factor


class RegionLoss(LogitLoss):
    """A loss of independent channels, averaged with their weights."""

    channels = "regions"

    def per_sample(self, target: Any, logits: Any) -> Any:
        """Return (batch,) values: the mean over regions, by weight."""
        return weighted_mean(self.per_region(target, logits), self.weights)

    def per_region(self, target: Any, logits: Any) -> Any:
        """Return (batch, R) values from float32 targets and logits (batch, X, Y, Z, R)."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="brats3d")
class DiceLoss(RegionLoss):
    """One minus the soft Dice of each region, averaged over regions by weight; one value per sample.

    Of a region and sample: 1 − (2 Σ p·y + s) / (Σ p + Σ y + s) with p = sigmoid(logits) and s = ``smooth``. If target and
    prediction are empty the value is 0. If only the target is empty it is Σp / (Σp + s): nearly 1 with almost no gradient
    until Σp falls to about s voxels, so a small ``smooth`` does not teach "nothing here"; `BCELoss` does, and a ``smooth``
    of 1 helps.

    Args:
        smooth: s, in voxels.
        weights: a factor per region, divided by their sum; None for equal ones.
        name: name in logs.
        reduction: how Keras reduces the values of a batch.

    References:
        Milletari et al. 2016 (arXiv 1606.04797), eq. 3, without squares in the denominator.
    """

    def __init__(
        self,
        smooth: float = 1e-5,
        weights: Sequence[float] | None = None,
        name: str = "dice",
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(weights, name, reduction)
        check_factor("smooth", smooth)
        self.smooth = float(smooth)

    def per_region(self, target: Any, logits: Any) -> Any:
        """Return (batch, R) values of 1 − Dice."""
        return soft_dice_loss(target, ops.sigmoid(logits), self.smooth)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the loss again."""
        return {**super().get_config(), "smooth": self.smooth}


@keras.saving.register_keras_serializable(package="brats3d")
class BCELoss(RegionLoss):
    """Binary cross entropy, averaged over voxels, then over regions by weight; one value per sample.

    Of a voxel: max(z, 0) − z·y + log(1 + exp(−|z|)) with the logit z, finite for every z.

    Args:
        weights: a factor per region, divided by their sum; None for equal ones.
        name: name in logs.
        reduction: how Keras reduces the values of a batch.
    """

    def __init__(
        self, weights: Sequence[float] | None = None, name: str = "bce", reduction: str = "sum_over_batch_size"
    ) -> None:
        super().__init__(weights, name, reduction)

    def per_region(self, target: Any, logits: Any) -> Any:
        """Return (batch, R) mean cross entropies."""
        return _cross_entropy(target, logits)


@keras.saving.register_keras_serializable(package="brats3d")
class DiceBCELoss(RegionLoss):
    """``dice`` × `DiceLoss` + ``bce`` × `BCELoss`; one value per sample.

    Args:
        smooth: smooth term of the Dice, in voxels.
        dice: factor of the Dice term.
        bce: factor of the cross entropy.
        weights: a factor per region for both terms, divided by their sum; None for equal ones.
        name: name in logs.
        reduction: how Keras reduces the values of a batch.

    References:
        Isensee et al. 2020 (arXiv 2011.00848): region-based training with Dice + BCE, 1 : 1.
    """

    def __init__(
        self,
        smooth: float = 1e-5,
        dice: float = 1.0,
        bce: float = 1.0,
        weights: Sequence[float] | None = None,
        name: str = "dice_bce",
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(weights, name, reduction)
        for key, value in (("smooth", smooth), ("dice", dice), ("bce", bce)):
            check_factor(key, value)
        self.smooth, self.dice, self.bce = float(smooth), float(dice), float(bce)

    def per_region(self, target: Any, logits: Any) -> Any:
        """Return (batch, R) weighted sums of the two terms."""
        return self.dice * soft_dice_loss(target, ops.sigmoid(logits), self.smooth) + self.bce * _cross_entropy(target, logits)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the loss again."""
        return {**super().get_config(), "smooth": self.smooth, "dice": self.dice, "bce": self.bce}


def _cross_entropy(target: Any, logits: Any) -> Any:
    values = ops.maximum(logits, 0.0) - logits * target + ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.mean(values, axis=SPATIAL)
