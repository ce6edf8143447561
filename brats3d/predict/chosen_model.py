"""The model that predicts the masks: what is known and recorded of it before a network is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brats3d.errors import ModelError
from brats3d.masks import MaskModel, MemberFile
from brats3d.models import Card, Inference, Model, Pipeline, PipelineFile, load_model, read_pipeline

IN_MEMORY = "pipeline in memory"


@dataclass(frozen=True, eq=False)
class ChosenModel:
    """A model, and how to run it.

    Attributes:
        given: its file as it was read, or networks that are already open.
        changes: what is changed of its `Inference`: field → value.
    """

    given: PipelineFile | Pipeline
    changes: Mapping[str, Any]

    @property
    def card(self) -> Card:
        """What the whole expects and gives, with the changes made.

        Raises:
            OptionError: a change does not fit the model.
        """
        card = self.given.card
        return card.with_inference(card.inference.changed(**self.changes))

    @property
    def inference(self) -> dict[str, Any]:
        """How the model is run, as plain values."""
        return _plain(self.card.inference)

    @property
    def own_inference(self) -> dict[str, Any]:
        """How the model's file says that it is run, as plain values."""
        if isinstance(self.given, Pipeline) and self.given.path is not None:
            try:
                return _plain(read_pipeline(self.given.path).card.inference)
            except ModelError:  # the file no longer exists
                pass
        return _plain(self.given.card.inference)

    def record(self) -> MaskModel:
        """Return what is recorded of the model beside its masks."""
        card, given = self.card, self.given
        members = _member_files(given)
        name = given.path.absolute().name if given.path else members[0].file if len(members) == 1 else IN_MEMORY
        whole = given.checksum or hashlib.sha256("".join(m.checksum for m in members).encode()).hexdigest()
        return MaskModel(
            name, whole, members, given.combine if len(members) > 1 else "", "labels" if card.exclusive else "regions",
            card.channels, card.regions, card.label_set,
        )  # fmt: skip

    def open(self) -> Pipeline:
        """Return the model with its networks open; Keras is imported for it."""
        opened = self.given if isinstance(self.given, Pipeline) else load_model(self.given.path)
        return opened.changed(**self.changes)


def choose_model(model: Pipeline | Path | str, changes: Mapping[str, Any]) -> ChosenModel:
    """Return a model, and how to run it.

    Args:
        model: what `brats3d.models.load_model` takes or returns.
        changes: field of `Inference` → value.

    Raises:
        ModelError: no such model, or its file cannot be used.
        OptionError: a change does not fit the model.
    """
    chosen = ChosenModel(model if isinstance(model, Pipeline) else read_pipeline(model), changes)
    _ = chosen.card  # refuses changes that do not fit
    return chosen


def _member_files(given: PipelineFile | Pipeline) -> tuple[MemberFile, ...]:
    if isinstance(given, Pipeline):
        return tuple(MemberFile(member.path.name, member.checksum or _checksum(member)) for member in given.members)
    return tuple(MemberFile(member.path.name, member.checksum) for member in given.members)


def _checksum(model: Model) -> str:
    """Return what identifies a model that was never saved: a sha256 of its card and its weights."""
    digest = hashlib.sha256(model.card.to_json().encode())
    for weight in model.network.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _plain(inference: Inference) -> dict[str, Any]:
    """Return plain values as JSON gives them back, so that they can be compared with what was recorded."""
    found: dict[str, Any] = json.loads(json.dumps(inference.as_dict()))
    return found
