"""Dice, cross entropy and their sum, on logits of exclusive labels: a softmax over channels, background first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from brats3d.errors import OptionError
from brats3d.losses.logit_loss import SPATIAL, LogitLoss, soft_dice_loss, weighted_mean
from brats3d.losses.loss_options import check_factor


class LabelLoss(LogitLoss):
    """A loss of exclusive channels, the first of which is the background."""

    channels = "labels"

    def dice(self, target: Any, logits: Any, smooth: float) -> Any:
        """Return (batch,) soft Dice losses, averaged over all labels but the background."""
        values = soft_dice_loss(target[..., 1:], ops.softmax(logits, axis=-1)[..., 1:], smooth)
        return weighted_mean(values, self.weights and self.weights[1:])

    def cross_entropy(self, target: Any, logits: Any) -> Any:
        """Return (batch,) cross entropies: the mean over voxels, weighted by their labels' weights."""
        weights = ops.convert_to_tensor(self.weights or (1.0,) * target.shape[-1], "float32")
        weighted = target * weights
        total = -ops.sum(weighted * ops.log_softmax(logits, axis=-1), axis=(*SPATIAL, -1))
        # a sample may hold only labels whose weight is 0
        return total / ops.maximum(ops.sum(weighted, axis=(*SPATIAL, -1)), 1e-8)


def check_foreground(weights: Sequence[float] | None) -> None:
    """Refuse weights that are above 0 for the background only, which the Dice leaves out.

    Args:
        weights: one per label, or None.

    Raises:
        OptionError: names the weights.
    """
    if weights is not None and not sum(weights[1:]) > 0:
        raise OptionError(
            f"weights is {list(weights)!r}; the Dice leaves the first label, the background, out: expected a number above 0 for"
            " another one."
        )


@keras.saving.register_keras_serializable(package="brats3d")
class SoftmaxDiceLoss(LabelLoss):
    """One minus the soft Dice of each label but the background, averaged over them by weight; one value per sample.

    Of a label and sample: 1 − (2 Σ p·y + s) / (Σ p + Σ y + s) with p = softmax(logits) over the labels and s = ``smooth``. If
    target and prediction are empty the value is 0.

    Args:
        smooth: s, in voxels.
        weights: a factor per label, background first, divided by their sum; that of the background is ignored. None for
            equal ones.
        name: name in logs.
        reduction: how Keras reduces the values of a batch.

    References:
        Isensee et al. 2017 (arXiv 1802.10508), section 2.2: multi-class Dice.
    """

    def __init__(
        self,
        smooth: float = 1e-5,
        weights: Sequence[float] | None = None,
        name: str = "softmax_dice",
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(weights, name, reduction)
        check_factor("smooth", smooth)
        check_foreground(self.weights)
        self.smooth = float(smooth)

    def per_sample(self, target: Any, logits: Any) -> Any:
        """Return (batch,) values of 1 − Dice."""
        return self.dice(target, logits, self.smooth)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the loss again."""
        return {**super().get_config(), "smooth": self.smooth}


@keras.saving.register_keras_serializable(package="brats3d")
class CrossEntropyLoss(LabelLoss):
    """Softmax cross entropy, averaged over voxels, weighted by each voxel's label; one value per sample.

    Of a sample: −Σ w·y·log softmax(logits) / Σ w·y, over voxels and labels; 0 if it holds only labels of weight 0.

    Args:
        weights: a factor per label, background first; None for equal ones.
        name: name in logs.
        reduction: how Keras reduces the values of a batch.
    """

    def __init__(
        self, weights: Sequence[float] | None = None, name: str = "ce", reduction: str = "sum_over_batch_size"
    ) -> None:
        super().__init__(weights, name, reduction)

    def per_sample(self, target: Any, logits: Any) -> Any:
        """Return (batch,) cross entropies."""
        return self.cross_entropy(target, logits)


@keras.saving.register_keras_serializable(package="brats3d")
class DiceCELoss(LabelLoss):
    """``dice`` × `SoftmaxDiceLoss` + ``ce`` × `CrossEntropyLoss`; one value per sample.

    Args:
        smooth: smooth term of the Dice, in voxels.
        dice: factor of the Dice term.
        ce: factor of the cross entropy.
        weights: a factor per label for both terms, background first; the Dice leaves the background out. None for equal ones.
        name: name in logs.
        reduction: how Keras reduces the values of a batch.

    References:
        Isensee et al. 2021 (nnU-Net, doi 10.1038/s41592-020-01008-z): Dice + cross entropy, 1 : 1.
    """

    def __init__(
        self,
        smooth: float = 1e-5,
        dice: float = 1.0,
        ce: float = 1.0,
        weights: Sequence[float] | None = None,
        name: str = "dice_ce",
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(weights, name, reduction)
        for key, value in (("smooth", smooth), ("dice", dice), ("ce", ce)):
            check_factor(key, value)
        check_foreground(self.weights)
        self.smooth, self.dice_factor, self.ce_factor = float(smooth), float(dice), float(ce)

    def per_sample(self, target: Any, logits: Any) -> Any:
        """Return (batch,) weighted sums of the two terms."""
        dice, entropy = self.dice(target, logits, self.smooth), self.cross_entropy(target, logits)
        return self.dice_factor * dice + self.ce_factor * entropy

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the loss again."""
        return {**super().get_config(), "smooth": self.smooth, "dice": self.dice_factor, "ce": self.ce_factor}
