"""What a model expects and gives, as one frozen value that travels inside the model's file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from brats3d.errors import BratsError, ModelError, OptionError, are_whole, check_keys, check_option
from brats3d.intensity import NORMALISATIONS
from brats3d.models.networks import NETWORKS, check_size, stride
from brats3d.regions import LABEL_SETS, REGIONS

CARD_SCHEMA = 1
WINDOWS = ("where_needed", "always")
NOTICE = "Research use, not for clinical decisions."


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model expects and gives.

    Attributes:
        network: name of the network, such as ``isensee2017``.
        network_options: its options, those that differ from the defaults at least.
        modalities: the input channels, in order.
        normalisation: a name of `brats3d.intensity.NORMALISATIONS`.
        spacing_mm: edge of the model's cubic voxels; 1 for full resolution on BraTS' grid.
        stride: what every spatial size of the input must be divisible by.
        regions: the output channels, in order.
        label_set: coding of the training labels; None where they had several.
        thresholds: a region is where its probability is above its threshold; one per region, 0.5 each if none are given.
        patch_size: voxels of the training patches, in the model's own grid; the window's size where one is needed.
        window: ``where_needed`` shows the network the whole brain at once where memory allows; ``always`` slides a window of
            the patches' size, because instance normalisation depends on how much is seen at once.
        flips: spatial axes mirrored at prediction (all their subsets are averaged).
        postprocessing: step → its settings.
        training_cases: ids of the cases it was trained on.
        scores: what it reached, name → number.
        created_with: versions of the packages that made it.
        licence: terms of the weights.
        notice: what every user must know.
        schema: of this card.
    """

    network: str
    modalities: tuple[str, ...]
    normalisation: str
    stride: int
    patch_size: tuple[int, int, int]
    network_options: Mapping[str, Any] = field(default_factory=dict)
    spacing_mm: float = 1.0
    regions: tuple[str, ...] = REGIONS
    label_set: str | None = None
    thresholds: tuple[float, ...] = ()
    window: str = "where_needed"
    flips: tuple[int, ...] = ()
    postprocessing: Mapping[str, Any] = field(default_factory=dict)
    training_cases: tuple[str, ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    created_with: str = ""
    licence: str = ""
    notice: str = NOTICE
    schema: int = CARD_SCHEMA

    def __post_init__(self) -> None:
        """Check every field against the table `_CHECKS`, then what several of them say together.

        Raises:
            OptionError: names the field, the value found and what was expected.
        """
        for name in _TUPLES:
            if isinstance(getattr(self, name), str):
                raise OptionError(f"the card's {name} is {getattr(self, name)!r}; expected a list.")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "thresholds", self.thresholds or (0.5,) * len(self.regions))
        for name in _MAPPINGS:
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for name, (fits, expected) in _CHECKS.items():
            value = getattr(self, name)
            if not fits(value):
                raise OptionError(f"the card's {name} is {value!r}; expected {expected}.")
        check_option("the card's normalisation", self.normalisation, NORMALISATIONS)
        check_option("the card's window", self.window, WINDOWS)
        if self.label_set is not None:
            check_option("the card's label_set", self.label_set, LABEL_SETS)
        if len(self.thresholds) != len(self.regions):
            raise OptionError(f"the card has {len(self.thresholds)} thresholds for the regions {', '.join(self.regions)}.")
        if self.network in NETWORKS and stride(self.network, self.network_options) != self.stride:
            wanted = stride(self.network, self.network_options)
            raise OptionError(f"the card's stride is {self.stride}; {self.network} with its options has {wanted}.")
        check_size("the card's patch_size", self.patch_size, self.stride)

    def to_json(self) -> str:
        """Return the card as JSON text."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps({k: dict(v) if k in _MAPPINGS else v for k, v in plain.items()}, indent=2)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_names(values: tuple[Any, ...]) -> bool:
    return all(isinstance(v, str) and v for v in values) and len(set(values)) == len(values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_TUPLES = ("modalities", "patch_size", "regions", "thresholds", "flips", "training_cases")
_MAPPINGS = ("network_options", "postprocessing", "scores")
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = MappingProxyType({
    "schema": (lambda v: v == CARD_SCHEMA, f"schema {CARD_SCHEMA}"),
    "network": (lambda v: _is_text(v) and bool(v), "the name of a network"),
    "modalities": (lambda v: bool(v) and _are_names(v), "different names of modalities"),
    "stride": (lambda v: _is_whole(v) and v >= 1, "a whole number of at least 1"),
    "patch_size": (lambda v: len(v) == 3 and all(_is_whole(n) for n in v), "three whole numbers of voxels"),
    "spacing_mm": (lambda v: _is_number(v) and 0 < v < 100, "millimetres above 0"),
    "regions": (lambda v: bool(v) and _are_names(v), "different names of regions"),
    "thresholds": (lambda v: all(_is_number(t) and 0 <= t < 1 for t in v), "numbers from 0 to below 1"),
    "flips": (lambda v: are_whole(v, 0, 2) and len(set(v)) == len(v), "different axes out of 0, 1, 2"),
    "training_cases": (_are_names, "different case ids"),
    "created_with": (_is_text, "text"),
    "licence": (_is_text, "text"),
    "notice": (_is_text, "text"),
})  # fmt: skip


def card_from_json(text: str, where: str) -> Card:
    """Read a card from JSON text.

    Args:
        text: what `Card.to_json` wrote.
        where: file it stands in, for messages.

    Raises:
        ModelError: no JSON object, another schema, an unknown or missing key, or a value that cannot be used.
    """
    try:
        found = json.loads(text)
    except ValueError as problem:
        raise ModelError(
            f"{where}: its card is no JSON ({problem}); the file is damaged: copy it again from its source."
        ) from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != CARD_SCHEMA:
        raise ModelError(
            f"{where}: its card has schema {schema!r}; this version of brats3d reads schema {CARD_SCHEMA}:"
            " use the version that wrote the model (its card's created_with says which)."
        )
    needed = ("network", "modalities", "normalisation", "stride", "patch_size")
    missing = [name for name in needed if name not in found]
    if missing:
        raise ModelError(f"{where}: its card lacks {', '.join(missing)}; save the model again with brats3d.models.save_model.")
    try:
        check_keys("the card", found, [f.name for f in fields(Card)])
        return Card(**found)
    except (BratsError, TypeError, ValueError) as problem:
        raise ModelError(f"{where}: {str(problem).rstrip('.')}; save the model again with a card that fits.") from None
