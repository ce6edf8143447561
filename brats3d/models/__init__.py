"""Networks, the card that describes a model, the file that holds both, and pipelines of such files.

The tables of names, options and strides need no framework; Keras is imported when a network is built or a file is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from brats3d.models.card import CARD_SCHEMA, Card, card_from_json
from brats3d.models.card_parts import HEAD_KINDS, WINDOWS, Head, Inference, Inputs
from brats3d.models.memory import bytes_per_voxel, fits_in_memory
from brats3d.models.model_files import file_checksum, read_card, save_model
from brats3d.models.networks import ACTIVATIONS, NETWORKS, NetworkRow, check_size, held_options, network_options, stride
from brats3d.models.pipeline import COMBINE, Member, Model, Pipeline, PipelineFile, cards_as_run
from brats3d.models.pipeline_files import load_model, read_pipeline, save_pipeline

if TYPE_CHECKING:
    from brats3d.models.construction import build_model, training_model

_WITH_KERAS = {"build_model": "construction", "training_model": "construction"}

__all__ = [
    "ACTIVATIONS",
    "CARD_SCHEMA",
    "COMBINE",
    "HEAD_KINDS",
    "NETWORKS",
    "WINDOWS",
    "Card",
    "Head",
    "Inference",
    "Inputs",
    "Member",
    "Model",
    "NetworkRow",
    "Pipeline",
    "PipelineFile",
    "build_model",
    "bytes_per_voxel",
    "card_from_json",
    "cards_as_run",
    "check_size",
    "file_checksum",
    "fits_in_memory",
    "held_options",
    "load_model",
    "network_options",
    "read_card",
    "read_pipeline",
    "save_model",
    "save_pipeline",
    "stride",
    "training_model",
]
__dir__ = __all__.copy


def __getattr__(name: str) -> Any:
    if name not in _WITH_KERAS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WITH_KERAS[name]}"), name)
