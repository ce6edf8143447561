"""The two networks of a run: one that learns, one that is validated and saved.

They have the same weights in the same order. The learning one ends with ``logits``, may compute in half precision, lives in
the devices' scope, and has fused normalisation if that is faster; the other is the stock float32 network that goes into
the model's file, and gets the running averages if the recipe keeps them.

Dropout is drawn from counters that are part of the training state. Every replica has its own: see `state.spread_dropout`.
"""

from __future__ import annotations

from typing import Any

import keras

from brats3d.layers import with_fused_norms
from brats3d.losses import build_loss
from brats3d.metrics import region_dice_metrics
from brats3d.models import HEAD_KINDS, build_model, training_model
from brats3d.patches import SHARED, Target
from brats3d.train.devices import Devices
from brats3d.train.recipe import Recipe
from brats3d.train.state import spread_dropout


def stock_network(recipe: Recipe, modalities: int, target: Target) -> keras.Model:
    """Return the float32 network that is validated and saved.

    Args:
        recipe: the run's recipe.
        modalities: input channels.
        target: what is learnt.
    """
    return build_model(
        recipe.network.name,
        input_shape=(None, None, None, modalities),
        regions=len(target.channels),
        activation=HEAD_KINDS[recipe.output],
        seed=recipe.training.seed,
        **dict(recipe.network.options),
    )


def learning_network(recipe: Recipe, modalities: int, target: Target, devices: Devices) -> keras.Model:
    """Return the compiled learning network; call it in the devices' scope.

    Args:
        recipe: the run's recipe.
        modalities: input channels.
        target: what is learnt, its label set settled.
        devices: where it learns.
    """
    precision = recipe.training.precision
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)  # the only way to give every layer a policy; put back at once
    try:
        network = training_model(stock_network(recipe, modalities, target))
    finally:
        keras.config.set_dtype_policy(before)
    coding = target.coding or SHARED
    alone = recipe.data.batch_size == len(devices.names)
    if devices.on_cpu and alone and precision == "float32" and keras.backend.backend() == "tensorflow":
        network = with_fused_norms(network)
    network.compile(
        optimizer=_optimiser(recipe),
        loss=build_loss(recipe.loss.name, **dict(recipe.loss.options)),
        metrics=region_dice_metrics(recipe.regions, label_set=coding, exclusive=recipe.output == "labels"),
        # XLA's 3-D convolutions are many times slower on a CPU, and one GPU would otherwise take another path than two
        jit_compile=keras.backend.backend() == "jax",
    )
    network.optimizer.build(network.trainable_variables)
    spread_dropout(network)
    return network


def _optimiser(recipe: Recipe) -> keras.optimizers.Optimizer:
    part = recipe.optimiser
    common = {
        "learning_rate": _learning_rate(recipe),
        # AdamW takes a number only; None saves the others the operations
        "weight_decay": part.weight_decay if part.name == "adamw" else part.weight_decay or None,
        "use_ema": part.ema > 0,
        "ema_momentum": part.ema or 0.99,
    }
    if part.name == "sgd":
        return keras.optimizers.SGD(momentum=0.99, nesterov=True, **common)
    return (keras.optimizers.AdamW if part.name == "adamw" else keras.optimizers.Adam)(**common)


def _learning_rate(recipe: Recipe) -> Any:
    """Return the rate, or its schedule over steps; the step count is part of the optimiser's state."""
    first: float = recipe.optimiser.learning_rate
    steps: Any = recipe.data.batches  # a recipe's is never None
    schedules = keras.optimizers.schedules
    if recipe.schedule.name == "exponential":
        return schedules.ExponentialDecay(first, steps, recipe.schedule.decay, staircase=True)
    if recipe.schedule.name == "poly":
        return schedules.PolynomialDecay(first, steps * recipe.training.epochs, 0.0, power=recipe.schedule.power)
    return first  # constant, and plateau, which the recorder changes


def current_rate(network: keras.Model) -> float:
    """Return the learning rate of the next step."""
    return float(keras.ops.convert_to_numpy(network.optimizer.learning_rate))


def multiply_rate(network: keras.Model, factor: float) -> None:
    """Multiply the learning rate; only if it is not set by a schedule, which follows from the recipe.

    Args:
        network: the compiled network that learns.
        factor: what to multiply by.
    """
    network.optimizer.learning_rate = current_rate(network) * factor


def copy_weights(learning: keras.Model, stock: keras.Model) -> None:
    """Give the stock network the learning one's weights, or their running averages if the optimiser keeps them.

    Args:
        learning: the network that learns.
        stock: the network that is validated and saved; changed.
    """
    # under mixed_float16 Keras wraps the optimiser in one that scales the loss and knows no averages
    optimizer = getattr(learning.optimizer, "inner_optimizer", learning.optimizer)
    averages = optimizer._model_variables_moving_average if optimizer.use_ema else []
    used = dict(zip((v.path for v in learning.trainable_variables), averages, strict=False))
    stock.set_weights([keras.ops.convert_to_numpy(used.get(v.path, v)) for v in learning.weights])
