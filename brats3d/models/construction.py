"""From a name to a Keras network."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import keras

from brats3d.errors import OptionError, check_option, check_whole, check_wholes
from brats3d.models.layers import NamedLayers
from brats3d.models.networks import ACTIVATIONS, NETWORKS, check_size, network_options, stride


def build_model(
    name: str,
    *,
    input_shape: tuple[int | None, int | None, int | None, int] = (None, None, None, 4),
    regions: int = 3,
    activation: str = "sigmoid",
    seed: int = 0,
    **options: Any,
) -> keras.Model:
    """Build a network of stock Keras layers; the same seed builds the same weights on one backend.

    Its last layers are ``logits`` and ``probabilities``; both are float32 under every precision policy.

    Args:
        name: a name of `brats3d.models.NETWORKS`.
        input_shape: (X, Y, Z, M) of one channels-last sample; None for any size that the network's stride divides.
        regions: number of output maps.
        activation: ``sigmoid`` for regions that may overlap, ``softmax`` for exclusive labels whose probabilities sum to 1.
        seed: of the initial weights and of the dropout.
        **options: those of the network that differ from its defaults, such as ``base_filters=8``, or ``kernel_size=(3, 3, 1)``
            and ``strides=(2, 2, 1)``, whose convolutions stay within slices.

    Returns:
        A network (batch, X, Y, Z, M) → (batch, X, Y, Z, regions) float32 in [0, 1].

    Raises:
        OptionError: unknown name or option (suggests the nearest), a value outside its bounds, a softmax over one map,
            or a size that the network's stride does not divide.

    Example:
        >>> build_model("isensee2017", base_filters=4).count_params()
        518157
    """
    chosen = network_options(name, options)
    if not isinstance(input_shape, list | tuple) or len(input_shape) != 4:
        raise OptionError(f"input_shape is {input_shape!r}; expected (X, Y, Z, M) with a number of modalities M.")
    check_whole("M of input_shape", input_shape[3], 1)
    check_wholes("input_shape", [n for n in input_shape[:3] if n is not None], 1)
    check_whole("regions", regions, 1)
    check_option("activation", activation, ACTIVATIONS)
    if activation == "softmax" and regions == 1:
        raise OptionError(
            f"activation is {activation!r} and regions is {regions}, always 1; expected at least 2, or a sigmoid."
        )
    check_whole("seed", seed, 0)
    check_size("input_shape", input_shape[:3], stride(name, options))
    images = keras.Input(input_shape, name="images")
    outputs = import_module(f"brats3d.models.{NETWORKS[name].module}").outputs
    logits = outputs(images, regions, chosen, NamedLayers(chosen, seed))
    probabilities = keras.layers.Activation(activation, name="probabilities", dtype="float32")(logits)
    return keras.Model(images, probabilities, name=name)


def training_model(network: keras.Model) -> keras.Model:
    """Return the same layers up to ``logits``: what the losses take. Weights are shared with the network.

    Args:
        network: a network of `build_model`, or one loaded from a file.

    Returns:
        A network (batch, X, Y, Z, M) → (batch, X, Y, Z, R) float32 logits.

    Raises:
        OptionError: the network has no layer named ``logits``.
    """
    if "logits" not in [layer.name for layer in network.layers]:
        last = network.layers[-1].name
        raise OptionError(f"the network {network.name!r} ends with {last!r}; expected a layer named 'logits' before the end.")
    return keras.Model(network.input, network.get_layer("logits").output, name=f"{network.name}_logits")
