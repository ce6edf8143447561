"""Dice, binary cross entropy and their sum, on logits of overlapping regions.

Every loss gives one value a sample, never a scalar: under MirroredStrategy Keras divides per-sample losses by the number of
replicas and leaves scalars alone, so a scalar trains with gradients that are too large by that factor. Everything is summed in
float32: the sums over a 128³ patch overflow float16 and lose counts in bfloat16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from brats3d.errors import ArrayError, OptionError
from brats3d.losses.loss_options import check_factor, check_weights, loss_options

SPATIAL = (1, 2, 3)


class _RegionLoss(keras.losses.Loss):
    """What the losses share: float32, a weight a region, and the refusal of probabilities."""

    def __init__(self, weights: Sequence[float] | None, name: str, reduction: str) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        check_weights(weights)
        self.weights = None if weights is None else tuple(float(w) for w in weights)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the reduced loss; see the class.

        Raises:
            OptionError: the predictions are seen to come from a sigmoid instead of the layer ``logits``.
        """
        _refuse_probabilities(y_pred)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one value a sample.

        Args:
            y_true: (batch, X, Y, Z, R) region masks of any number type, values in [0, 1].
            y_pred: (batch, X, Y, Z, R) logits.

        Returns:
            (batch,) float32.

        Raises:
            ArrayError: another number of axes, or the number of regions differs from that of the weights.
            OptionError: the predictions are seen to come from a sigmoid instead of the layer ``logits``.
        """
        _refuse_probabilities(y_pred)
        if len(y_pred.shape) != 5 or len(y_true.shape) != 5 or y_true.shape[-1] != y_pred.shape[-1]:
            raise ArrayError(
                f"{self.name} got y_true {tuple(y_true.shape)} and y_pred {tuple(y_pred.shape)};"
                " expected both as (batch, X, Y, Z, regions)."
            )
        values = self.per_region(ops.cast(y_true, "float32"), ops.cast(y_pred, "float32"))
        if self.weights is None:
            return ops.mean(values, axis=-1)
        if len(self.weights) != y_pred.shape[-1]:
            raise ArrayError(f"{self.name} has {len(self.weights)} weights for {y_pred.shape[-1]} regions; give one a region.")
        total = sum(self.weights)
        return ops.sum(values * ops.convert_to_tensor([w / total for w in self.weights], "float32"), axis=-1)

    def per_region(self, target: Any, logits: Any) -> Any:
        """Return (batch, R) values from float32 targets and logits (batch, X, Y, Z, R)."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the loss again."""
        return {**super().get_config(), "weights": None if self.weights is None else list(self.weights)}


@keras.saving.register_keras_serializable(package="brats3d")
class DiceLoss(_RegionLoss):
    """One minus the soft Dice of each region, averaged over regions by weight; one value a sample.

    A region and sample: 1 − (2 Σ p·y + s) / (Σ p + Σ y + s) with p = sigmoid(logits) and s = ``smooth``. Where target and
    prediction are empty the value is 0. Where only the target is empty it is Σp / (Σp + s): nearly 1 with nearly no gradient
    until Σp comes down to about s voxels, so a small ``smooth`` does not teach "nothing here"; `BCELoss` does, and a
    ``smooth`` of 1 helps.

    Args:
        smooth: s, in voxels.
        weights: a factor a region, divided by their sum; None for equal ones.
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
        return _dice(target, logits, self.smooth)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the loss again."""
        return {**super().get_config(), "smooth": self.smooth}


@keras.saving.register_keras_serializable(package="brats3d")
class BCELoss(_RegionLoss):
    """Binary cross entropy, averaged over voxels, then over regions by weight; one value a sample.

    A voxel: max(z, 0) − z·y + log(1 + exp(−|z|)) with the logit z, finite for every z.

    Args:
        weights: a factor a region, divided by their sum; None for equal ones.
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
class DiceBCELoss(_RegionLoss):
    """``dice`` × `DiceLoss` + ``bce`` × `BCELoss`; one value a sample.

    Args:
        smooth: smooth term of the Dice, in voxels.
        dice: factor of the Dice term.
        bce: factor of the cross entropy.
        weights: a factor a region for both terms, divided by their sum; None for equal ones.
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
        return self.dice * _dice(target, logits, self.smooth) + self.bce * _cross_entropy(target, logits)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the loss again."""
        return {**super().get_config(), "smooth": self.smooth, "dice": self.dice, "bce": self.bce}


LOSSES: Mapping[str, type[_RegionLoss]] = MappingProxyType({"dice": DiceLoss, "bce": BCELoss, "dice_bce": DiceBCELoss})
"""Name in recipes → class."""


def build_loss(name: str, **options: Any) -> _RegionLoss:
    """Build a loss of the table.

    Args:
        name: a name of `LOSSES`.
        **options: those that differ from the defaults in `brats3d.losses.LOSS_OPTIONS`.

    Raises:
        OptionError: unknown loss, unknown option (offers the nearest), or a value that cannot be used.
    """
    chosen = loss_options(name, options)
    return LOSSES[name](**chosen)


def _dice(target: Any, logits: Any, smooth: float) -> Any:
    p = ops.sigmoid(logits)
    both = ops.sum(p * target, axis=SPATIAL)
    each = ops.sum(p, axis=SPATIAL) + ops.sum(target, axis=SPATIAL)
    # Kept from 0/0 where smooth is 0 and everything is empty: the value is 1 − 0/tiny there, which a user asked for.
    return 1.0 - (2.0 * both + smooth) / ops.maximum(each + smooth, 1e-8)


def _cross_entropy(target: Any, logits: Any) -> Any:
    values = ops.maximum(logits, 0.0) - logits * target + ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.mean(values, axis=SPATIAL)


def _refuse_probabilities(y_pred: Any) -> None:
    """Refuse predictions that carry a trace of a sigmoid: Keras' own history, or the mark its activations leave."""
    history = getattr(y_pred, "_keras_history", None)
    layer = getattr(history, "operation", None)
    if getattr(layer, "name", "") == "probabilities" or hasattr(y_pred, "_keras_logits"):
        raise OptionError(
            "the loss got probabilities (the output of a layer 'probabilities' or of a sigmoid); it takes logits:"
            " train brats3d.models.training_model(network)."
        )
