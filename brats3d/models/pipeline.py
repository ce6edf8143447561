"""A pipeline: one network or several, how their outputs are combined, and how they become a mask.

A model stays one ``.keras`` file with its card inside. A pipeline is a small JSON file that names such files with their
checksums and holds what may change without touching weights: the `Inference`, calibration, tables. A single file is a pipeline
of one member, so that prediction, validation and tuning handle one kind of object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from brats3d.errors import ModelError, OptionError, check_option
from brats3d.models.card import Card
from brats3d.models.card_parts import Inference

if TYPE_CHECKING:
    import keras

COMBINE: Mapping[str, str] = MappingProxyType({
    "mean": "the members' probabilities are averaged",
    "majority": "each member votes with its own mask; a probability is the share of votes",
    "chain": "the first member finds the tumour, the last one is shown the box around it and decides there",
})  # fmt: skip
"""How the members of a pipeline work together → in words."""


@dataclass(frozen=True)
class Member:
    """A member's file.

    Attributes:
        path: where it is.
        checksum: its sha256, hexadecimal.
    """

    path: Path
    checksum: str


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its card.

    Attributes:
        network: Keras network, channels-last images → its outputs.
        card: what it expects and gives.
        checksum: sha256 of the file it came from, hexadecimal.
        path: that file.
    """

    network: keras.Model
    card: Card
    checksum: str
    path: Path


@dataclass(frozen=True, eq=False)
class PipelineFile:
    """The content of a pipeline's file, before any network is opened.

    Attributes:
        path: the file: a ``.keras`` file, or a pipeline's JSON.
        checksum: its sha256, hexadecimal; a pipeline's names those of its members.
        members: its members' files.
        cards: their cards.
        combine: a key of `COMBINE`.
        inference: how all members are run, instead of what their own cards say; None leaves it to the cards.
        calibration: how its probabilities agree with frequencies, as plain values.
        tables: other plain values that belong to it.
    """

    path: Path
    checksum: str
    members: tuple[Member, ...]
    cards: tuple[Card, ...]
    combine: str = "mean"
    inference: Inference | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse members that do not fit together.

        Raises:
            ModelError: no member, a chain of a number other than two, or members that give different channels or label sets.
        """
        check_members(self.cards, self.combine, str(self.path), self.inference)

    @property
    def card(self) -> Card:
        """What the whole expects and gives; see `joint_card`."""
        return joint_card(self.cards, self.inference, self.combine)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Networks ready to run, and how their outputs are combined.

    Attributes:
        members: one network or several, each with its card.
        combine: a key of `COMBINE`.
        inference: how all members are run, instead of what their own cards say; None leaves it to the cards.
        calibration: how its probabilities agree with frequencies, as plain values.
        tables: other plain values that belong to it.
        checksum: sha256 of the file it came from, hexadecimal; empty for one made in memory.
        path: that file, or None.
    """

    members: tuple[Model, ...]
    combine: str = "mean"
    inference: Inference | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    checksum: str = ""
    path: Path | None = None

    def __post_init__(self) -> None:
        """Refuse members that do not fit together.

        Raises:
            ModelError: see `PipelineFile`.
        """
        check_members([member.card for member in self.members], self.combine, str(self.path or "the pipeline"), self.inference)

    @property
    def card(self) -> Card:
        """What the whole expects and gives; see `joint_card`."""
        return joint_card([member.card for member in self.members], self.inference, self.combine)

    @property
    def network(self) -> keras.Model:
        """The network of the only member.

        Raises:
            ModelError: there are several.
        """
        if len(self.members) > 1:
            raise ModelError(
                f"{self.path or 'the pipeline'} has {len(self.members)} members; expected one to have a network: take them from"
                " .members."
            )
        return self.members[0].network

    def changed(self, **changes: Any) -> Pipeline:
        """Return the same members, with fields of their `Inference` changed; those that are None stay.

        Args:
            **changes: field of `Inference` → value.

        Raises:
            OptionError: a value cannot be used.
        """
        if self.inference is not None:
            return replace(self, inference=self.inference.changed(**changes))
        cards = [member.card.with_inference(member.card.inference.changed(**changes)) for member in self.members]
        members = tuple(replace(member, card=card) for member, card in zip(self.members, cards, strict=True))
        return replace(self, members=members)


def check_members(cards: tuple[Card, ...] | list[Card], combine: str, where: str, inference: Inference | None = None) -> None:
    """Refuse members that do not fit together.

    Args:
        cards: the members' cards.
        combine: a key of `COMBINE`.
        where: the pipeline, for messages.
        inference: the pipeline's own, or None.

    Raises:
        ModelError: no member, a chain of a number other than two, members that give different channels or label sets, or an
            inference that does not fit one of them.
    """
    if inference is not None and not isinstance(inference, Inference):
        raise ModelError(f"{where}: its inference is {inference!r}; expected Inference(...).")
    try:
        check_option("combine", combine, COMBINE)
        cards_as_run(cards, combine, inference)
    except OptionError as problem:
        raise ModelError(f"{where}: {problem}") from None
    if not cards:
        raise ModelError(f"{where}: the pipeline has 0 members; expected at least one model.")
    if combine == "chain" and len(cards) != 2:
        raise ModelError(f"{where}: a chain of {len(cards)} members; expected two, a coarse one and a fine one.")
    if combine == "chain":
        return  # the first one only locates the tumour
    first = cards[0]
    for card in cards[1:]:
        if (card.head.kind, card.channels, card.label_set) != (first.head.kind, first.channels, first.label_set):
            raise ModelError(
                f"{where}: its members give {', '.join(first.channels)} of {first.label_set.name} and"
                f" {', '.join(card.channels)} of {card.label_set.name}; expected the same of all members."
            )


def joint_card(cards: tuple[Card, ...] | list[Card], inference: Inference | None, combine: str) -> Card:
    """Return what the members together expect and give.

    It is the last member's card, which decides in a chain, with the modalities of all members, those that all may lack, all
    training cases, and the pipeline's own inference. Without one, averaged probabilities are compared with the average of the
    members' thresholds; of votes, more than half decide.

    Args:
        cards: the members' cards.
        inference: the pipeline's own, or None.
        combine: a key of `COMBINE`.
    """
    last = cards[-1]
    if len(cards) > 1:
        modalities = tuple(dict.fromkeys(m for card in cards for m in card.modalities))
        needed = {m for card in cards for m in card.modalities if m not in card.inputs.may_be_absent}
        inputs = replace(last.inputs, modalities=modalities, may_be_absent=tuple(m for m in modalities if m not in needed))
        cases = tuple(dict.fromkeys(case for card in cards for case in card.training_cases))
        last = replace(last, inputs=inputs, training_cases=cases)
    own = last.inference if inference is None else fitted(inference, last)
    if len(cards) > 1 and not last.exclusive:
        if combine == "majority":
            own = replace(own, thresholds=())
        elif combine == "mean" and inference is None:
            own = replace(own, thresholds=_averaged([card.inference.thresholds for card in cards]))
    return replace(last, inference=own)


def _averaged(thresholds: list[tuple[float, ...]]) -> tuple[float, ...]:
    same = len(set(thresholds)) == 1  # no rounding then
    return thresholds[0] if same else tuple(sum(each) / len(each) for each in zip(*thresholds, strict=True))


def cards_as_run(cards: tuple[Card, ...] | list[Card], combine: str, inference: Inference | None) -> tuple[Card, ...]:
    """Return the members' cards with the pipeline's own inference; in a chain it is that of the last member, which decides.

    Args:
        cards: the members' cards.
        combine: a key of `COMBINE`.
        inference: the pipeline's own, or None.

    Raises:
        OptionError: the inference does not fit a member.
    """
    if inference is None:
        return tuple(cards)
    kept = 1 if combine == "chain" else 0
    return (*cards[:kept], *(card.with_inference(fitted(inference, card)) for card in cards[kept:]))


def fitted(inference: Inference, card: Card) -> Inference:
    """Return a pipeline's inference for one of its members: the window's size is rounded up to the member's stride.

    Args:
        inference: the pipeline's.
        card: the member's.
    """
    x, y, z = (-(-n // step) * step for n, step in zip(inference.size, card.stride, strict=True))
    return replace(inference, size=(x, y, z))
