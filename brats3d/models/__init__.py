"""Networks, the card that travels with a model, and the one file both lie in.

The tables of names, options and strides need no framework; Keras is imported when a network is built or a file is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from brats3d.models.card import CARD_SCHEMA, WINDOWS, Card, card_from_json
from brats3d.models.model_files import Model, file_checksum, load_model, read_card, save_model
from brats3d.models.networks import NETWORKS, NetworkRow, check_size, network_options, stride

if TYPE_CHECKING:
    from brats3d.models.construction import build_model, training_model

_WITH_KERAS = {"build_model": "construction", "training_model": "construction"}

__all__ = [
    "CARD_SCHEMA",
    "NETWORKS",
    "WINDOWS",
    "Card",
    "Model",
    "NetworkRow",
    "build_model",
    "card_from_json",
    "check_size",
    "file_checksum",
    "load_model",
    "network_options",
    "read_card",
    "save_model",
    "stride",
    "training_model",
]


def __getattr__(name: str) -> Any:
    if name not in _WITH_KERAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WITH_KERAS[name]}"), name)
