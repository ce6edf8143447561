"""brats3d: from the MR scans of a brain-tumour patient to masks of the tumour, and to a trained network that draws them.

Start with `build_store`, `train_model`, `predict_cases` and `evaluate_cases`, or with `predict_case` for one case.

Names and rooms (`brats3d.losses`, `brats3d.regions`, …) are resolved on first use (PEP 562), so importing the package loads
neither a deep-learning framework nor an imaging library. `dir()` of the package and of each room shows what is public and
nothing else: a room's ``__dir__`` returns its ``__all__``.

The import has one side effect: TensorFlow will use oneDNN unless the environment says otherwise (`brats3d.machine` explains
why), so import brats3d before Keras.
"""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

from brats3d.version import __version__

# The library reports, the caller decides where: a program that wants to see the messages configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())

if "TF_ENABLE_ONEDNN_OPTS" not in os.environ:
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    if "tensorflow" in sys.modules:
        from brats3d.machine import warn_of_late_onednn

        warn_of_late_onednn()

_HOMES = {
    "find_cases": "brats3d.cases",
    "build_store": "brats3d.preprocess",
    "open_store": "brats3d.store",
    "PatchDataset": "brats3d.data",
    "build_model": "brats3d.models",
    "load_model": "brats3d.models",
    "train_model": "brats3d.train",
    "predict_case": "brats3d.predict",
    "predict_cases": "brats3d.predict",
    "evaluate_case": "brats3d.evaluate",
    "evaluate_cases": "brats3d.evaluate",
}

__all__ = [
    "PatchDataset",
    "__version__",
    "build_model",
    "build_store",
    "evaluate_case",
    "evaluate_cases",
    "find_cases",
    "load_model",
    "open_store",
    "predict_case",
    "predict_cases",
    "train_model",
]

if TYPE_CHECKING:
    from brats3d.cases import find_cases
    from brats3d.data import PatchDataset
    from brats3d.evaluate import evaluate_case, evaluate_cases
    from brats3d.models import build_model, load_model
    from brats3d.predict import predict_case, predict_cases
    from brats3d.preprocess import build_store
    from brats3d.store import open_store
    from brats3d.train import train_model


_INTERNAL = ("console", "files", "limits", "machine", "pages", "spellings", "version")
"""Rooms that the library itself is built on; they can be imported, and `dir()` does not show them."""


def _rooms() -> list[str]:
    """Return the names of the library's packages and modules, without loading one."""
    return [found.name for found in pkgutil.iter_modules(__path__) if found.name not in ("__main__", "recipes")]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _rooms():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *(room for room in _rooms() if room not in _INTERNAL)]
