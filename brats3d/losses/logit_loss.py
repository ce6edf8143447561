"""What all losses share: logits in, float32 inside, one value per sample out.

Every loss gives one value per sample, never a scalar: under MirroredStrategy Keras divides per-sample losses by the number of
replicas and leaves scalars alone, so a scalar trains with gradients that are too large by that factor. Everything is summed in
float32: the sums over a 128³ patch overflow float16 and lose counts in bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from brats3d.errors import ArrayError, OptionError
from brats3d.losses.loss_options import check_weights

SPATIAL = (1, 2, 3)


class LogitLoss(keras.losses.Loss):
    """What the losses share: float32, a weight per channel, and a check that refuses probabilities."""

    channels = "channels"
    """What the channels are, for messages."""

    def __init__(self, weights: Sequence[float] | None, name: str, reduction: str) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        check_weights(weights)
        self.weights = None if weights is None else tuple(float(w) for w in weights)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the reduced loss; see the class.

        Raises:
            OptionError: the predictions come from a sigmoid or softmax instead of the layer ``logits``, as far as can be seen.
        """
        refuse_probabilities(y_pred)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one value per sample.

        Args:
            y_true: (batch, X, Y, Z, C) targets of any number type, values in [0, 1].
            y_pred: (batch, X, Y, Z, C) logits.

        Returns:
            (batch,) float32.

        Raises:
            ArrayError: another number of axes, or the number of channels differs from that of the weights.
            OptionError: the predictions come from a sigmoid or softmax instead of the layer ``logits``, as far as can be seen.
        """
        refuse_probabilities(y_pred)
        if len(y_pred.shape) != 5 or len(y_true.shape) != 5 or y_true.shape[-1] != y_pred.shape[-1]:
            raise ArrayError(
                f"{self.name} got y_true {tuple(y_true.shape)} and y_pred {tuple(y_pred.shape)};"
                f" expected both as (batch, X, Y, Z, {self.channels})."
            )
        if self.weights is not None and len(self.weights) != y_pred.shape[-1]:
            raise ArrayError(
                f"{self.name} has {len(self.weights)} weights for {y_pred.shape[-1]} {self.channels}; expected one each."
            )
        return self.per_sample(ops.cast(y_true, "float32"), ops.cast(y_pred, "float32"))

    def per_sample(self, target: Any, logits: Any) -> Any:
        """Return (batch,) values from float32 targets and logits (batch, X, Y, Z, C)."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the loss again."""
        return {**super().get_config(), "weights": None if self.weights is None else list(self.weights)}


def weighted_mean(values: Any, weights: Sequence[float] | None) -> Any:
    """Return the (batch,) mean of (batch, C) values over the channels, by weights that need not add up to 1."""
    if weights is None:
        return ops.mean(values, axis=-1)
    total = sum(weights)
    return ops.sum(values * ops.convert_to_tensor([w / total for w in weights], "float32"), axis=-1)


def soft_dice_loss(target: Any, probabilities: Any, smooth: float) -> Any:
    """Return (batch, C) values of 1 − (2 Σ p·y + s) / (Σ p + Σ y + s)."""
    both = ops.sum(probabilities * target, axis=SPATIAL)
    each = ops.sum(probabilities, axis=SPATIAL) + ops.sum(target, axis=SPATIAL)
    # Avoids 0/0 if smooth is 0 and everything is empty: the value is 1 − 0/tiny then, as the user chose.
    return 1.0 - (2.0 * both + smooth) / ops.maximum(each + smooth, 1e-8)


def refuse_probabilities(y_pred: Any) -> None:
    """Refuse predictions with a trace of a sigmoid or softmax: Keras' own history, or the mark its activations leave.

    Args:
        y_pred: what a loss is given.

    Raises:
        OptionError: they do.
    """
    history = getattr(y_pred, "_keras_history", None)
    layer = getattr(history, "operation", None)
    if getattr(layer, "name", "") == "probabilities" or hasattr(y_pred, "_keras_logits"):
        raise OptionError(
            f"the loss got probabilities, the output of {getattr(layer, 'name', 'a sigmoid or softmax')!r}; it takes logits:"
            " train brats3d.models.training_model(network)."
        )
