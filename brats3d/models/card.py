"""What a model expects and gives, as one frozen value that is stored in the model's file.

Schema 2. A card holds all that is needed to run the network on a case and to interpret its output, its label set by content;
so it remains readable when the tables of this version have changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from brats3d.errors import BratsError, ModelError, OptionError, check_keys, check_kind
from brats3d.geometry import per_axis, whole_per_axis
from brats3d.models.card_parts import PAINTED, Head, Inference, Inputs, names, plain_table
from brats3d.models.networks import NETWORKS, check_size, held_options, stride
from brats3d.regions import LABEL_SETS, LabelSet, find_label_set, painting_steps, value_channels

CARD_SCHEMA = 2
NOTICE = "Research use, not for clinical decisions."


@dataclass(frozen=True)
class Card:
    """What a model expects and gives.

    Attributes:
        network: name of the network, such as ``isensee2017``.
        stride: what the input's sizes along X, Y, Z must be divisible by; one number applies to all three.
        inference: how it is run on a case; by default in one pass over the whole brain.
        inputs: what it takes.
        outputs: what it gives; the first one of regions or labels is painted into masks.
        label_set: the coding whose regions or values it gives; a name of the table is accepted too.
        spacing_mm: edges of the model's voxels along X, Y, Z; one number applies to all three.
        network_options: options of the network, at least those that differ from the defaults.
        training_cases: ids of the cases it was trained on.
        scores: what it reached, name → number.
        created_with: versions of the packages that made it.
        licence: terms of the weights.
        notice: what every user must know.
    """

    network: str
    stride: tuple[int, int, int]
    inference: Inference = field(default_factory=Inference)
    inputs: Inputs = field(default_factory=Inputs)
    outputs: tuple[Head, ...] = (Head(),)
    label_set: LabelSet = LABEL_SETS["L23"]
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    network_options: Mapping[str, Any] = field(default_factory=dict)
    training_cases: tuple[str, ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    created_with: str = ""
    licence: str = ""
    notice: str = NOTICE

    def __post_init__(self) -> None:
        """Check every field, then how they fit together.

        Raises:
            OptionError: names the field, the value found and what was expected.
        """
        for name in ("network", "created_with", "licence", "notice"):
            if not isinstance(getattr(self, name), str) or (name == "network" and not self.network):
                raise OptionError(f"the card's {name} is {getattr(self, name)!r}; expected text.")
        for name, kind in (("inputs", Inputs), ("inference", Inference)):
            check_kind(f"the card's {name}", getattr(self, name), kind)
        heads = tuple(self.outputs) if isinstance(self.outputs, list | tuple) else ()
        if not heads or not all(isinstance(head, Head) for head in heads):
            raise OptionError(f"the card's outputs is {self.outputs!r}; expected a list of Head(...).")
        names("outputs", tuple(head.name for head in heads))
        object.__setattr__(self, "outputs", heads)
        object.__setattr__(self, "training_cases", names("training_cases", self.training_cases, empty=True))
        object.__setattr__(self, "stride", whole_per_axis("the card's stride", self.stride, 1))
        object.__setattr__(self, "spacing_mm", per_axis("the card's spacing_mm", self.spacing_mm, 0.01, 100))
        object.__setattr__(self, "label_set", find_label_set(self.label_set))
        options = plain_table("the card's network_options", self.network_options)
        held = held_options(self.network, options) if self.network in NETWORKS else options
        object.__setattr__(self, "network_options", MappingProxyType(held))
        object.__setattr__(self, "scores", MappingProxyType(plain_table("the card's scores", self.scores)))
        self._check_channels()
        if self.network in NETWORKS and stride(self.network, self.network_options) != self.stride:
            wanted = stride(self.network, self.network_options)
            raise OptionError(f"the card's stride is {self.stride}; {self.network} with its options has {wanted}.")
        check_size("the card's inference.size", self.inference.size, self.stride)

    def __reduce__(self) -> tuple[Any, ...]:  # frozen mappings cannot be pickled
        return card_from_json, (self.to_json(), "a pickled card")

    def _check_channels(self) -> None:
        """Refuse channels that the label set cannot paint, and thresholds that are not one per channel."""
        head = next((head for head in self.outputs if head.kind in PAINTED), None)
        if head is None:
            return
        coding = self.label_set
        if head.kind == "labels" and head.channels != value_channels(coding):
            raise OptionError(
                f"the card's labels output has the channels {', '.join(head.channels)}; {coding.name} has the values"
                f" {', '.join(value_channels(coding))}: expected one channel for each, in order."
            )
        painting_steps(head.channels, coding)  # refuses channels without a value
        inference = self.inference.for_channels(head.channels, exclusive=head.kind == "labels")
        object.__setattr__(self, "inference", inference)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The input channels, in order."""
        return self.inputs.modalities

    @property
    def head(self) -> Head:
        """The output that masks are painted from.

        Raises:
            ModelError: there is none.
        """
        for head in self.outputs:
            if head.kind in PAINTED:
                return head
        kinds = ", ".join(head.kind for head in self.outputs)
        raise ModelError(f"the model's outputs are {kinds}; expected one of {' or '.join(PAINTED)} to paint a mask from.")

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of the output that masks are painted from, in order."""
        return self.head.channels

    @property
    def exclusive(self) -> bool:
        """Whether its channels are labels that exclude one another."""
        return self.head.kind == "labels"

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that its masks have: its channels, or all of the label set if it gives labels."""
        return tuple(self.label_set.regions) if self.exclusive else self.channels

    def with_inference(self, inference: Inference) -> Card:
        """Return the same card with another inference.

        Raises:
            OptionError: it does not fit the card's channels or stride.
        """
        return replace(self, inference=inference)

    def to_json(self) -> str:
        """Return the card as JSON text."""
        plain: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        plain |= {name: dict(plain[name]) for name in ("network_options", "scores")}
        plain |= {"inputs": asdict(self.inputs), "outputs": [asdict(head) for head in self.outputs]}
        plain |= {"inference": self.inference.as_dict(), "label_set": self.label_set.as_dict()}
        return json.dumps({"schema": CARD_SCHEMA, **plain}, indent=2)


def card_from_json(text: str, where: str) -> Card:
    """Read a card from JSON text, of this schema or an earlier one.

    Args:
        text: what `Card.to_json` wrote.
        where: the file it is in, for messages.

    Raises:
        ModelError: not a JSON object, a newer schema, an unknown or missing key, or a value that cannot be used.
    """
    from brats3d.models.card_1 import from_schema_1

    try:
        found = json.loads(text)
    except ValueError as problem:
        raise ModelError(
            f"{where}: its card is not JSON ({problem}); the file is damaged: copy it again from its source."
        ) from None
    schema = found.pop("schema", None) if isinstance(found, dict) else None
    if schema not in (1, CARD_SCHEMA):
        raise ModelError(
            f"{where}: its card has schema {schema!r}; this version of brats3d reads schemas 1 and {CARD_SCHEMA}:"
            " use the version that wrote the model (its card's created_with says which)."
        )
    try:
        return card_from(found if schema == CARD_SCHEMA else from_schema_1(found))
    except (BratsError, TypeError, ValueError, KeyError, AttributeError) as problem:
        lacking = f"it lacks {problem}" if isinstance(problem, KeyError) else str(problem).rstrip(".")
        raise ModelError(f"{where}: its card cannot be used: {lacking}; save the model again with a card that fits.") from None


def card_from(found: Mapping[str, Any]) -> Card:
    """Return the card of plain values, as `Card.to_json` writes them.

    Raises:
        OptionError: an unknown key, or a value that cannot be used.
        KeyError: a required key is missing.
    """
    check_keys("the card", found, [f.name for f in fields(Card)])
    parts: dict[str, Any] = dict(found)
    for name in ("network", "stride", "inputs", "outputs", "label_set", "inference"):
        parts[name] = found[name]
    parts["inputs"] = part(Inputs, "the card's inputs", found["inputs"])
    if not isinstance(found["outputs"], list | tuple):
        raise OptionError(f"the card's outputs is {found['outputs']!r}; expected a list of them.")
    parts["outputs"] = tuple(part(Head, "the card's output", head) for head in found["outputs"])
    parts["inference"] = part(Inference, "the card's inference", found["inference"])
    parts["label_set"] = LabelSet.from_dict(found["label_set"])
    return Card(**parts)


def part(kind: type, what: str, found: Mapping[str, Any]) -> Any:
    """Return a part of a card from plain values.

    Args:
        kind: the part's class.
        what: which part it is, for messages.
        found: field → value.

    Raises:
        OptionError: an unknown key, or a value that cannot be used.
    """
    if not isinstance(found, Mapping):
        raise OptionError(f"{what} is {found!r}; expected an object with {', '.join(f.name for f in fields(kind))}.")
    check_keys(what, found, [f.name for f in fields(kind)])
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()})
