"""The losses' names and options with their defaults, for recipes. No framework is imported here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from brats3d.errors import OptionError, check_keys, check_option, check_range

LOSS_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "dice": MappingProxyType({"smooth": 1e-5, "weights": None}),
    "bce": MappingProxyType({"weights": None}),
    "dice_bce": MappingProxyType({"smooth": 1e-5, "dice": 1.0, "bce": 1.0, "weights": None}),
    "softmax_dice": MappingProxyType({"smooth": 1e-5, "weights": None}),
    "ce": MappingProxyType({"weights": None}),
    "dice_ce": MappingProxyType({"smooth": 1e-5, "dice": 1.0, "ce": 1.0, "weights": None}),
})  # fmt: skip
"""Loss → option → default. ``weights``: a factor per channel (regions, or labels with the background first), or None."""

LOSS_OUTPUTS: Mapping[str, str] = MappingProxyType({
    "dice": "regions",
    "bce": "regions",
    "dice_bce": "regions",
    "softmax_dice": "labels",
    "ce": "labels",
    "dice_ce": "labels",
})  # fmt: skip
"""Loss → the output it is made for: overlapping regions (sigmoid) or exclusive labels (softmax)."""


def loss_options(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a loss's options with the defaults filled in.

    Args:
        name: a name of `LOSS_OPTIONS`.
        options: those that differ from the defaults.

    Raises:
        OptionError: unknown loss, unknown option (suggests the nearest), or a value that cannot be used.
    """
    check_option("loss", name, LOSS_OPTIONS)
    chosen = dict(options or {})
    check_keys(f"loss {name}", chosen, LOSS_OPTIONS[name])
    chosen = {**LOSS_OPTIONS[name], **chosen}
    for key, value in chosen.items():
        if key == "weights":
            check_weights(value)
        else:
            check_factor(key, value)
    return chosen


def check_factor(name: str, value: Any) -> None:
    """Refuse a factor or smooth term that is not a number of at least 0.

    Raises:
        OptionError: names the value.
    """
    check_range(name, value, 0)
    if math.isinf(value):
        raise OptionError(f"{name} is {value!r}; expected a finite number.")


def check_weights(weights: Sequence[float] | None) -> None:
    """Refuse weights of channels that are negative or all zero.

    Raises:
        OptionError: names the weights.
    """
    if weights is None:
        return
    numbers = isinstance(weights, list | tuple) and all(
        isinstance(w, int | float) and not isinstance(w, bool) and 0 <= w < float("inf") for w in weights
    )
    if not numbers or not sum(weights) > 0:
        raise OptionError(
            f"weights is {weights!r}; expected a list of numbers of at least 0, one per channel and not all of them 0."
        )
