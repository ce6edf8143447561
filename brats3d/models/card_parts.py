"""The parts of a card: what goes in, what comes out, and how the network is run on a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from brats3d.errors import OptionError, check_list, check_option, check_range, check_wholes
from brats3d.geometry import whole_per_axis
from brats3d.intensity import NORMALISATIONS
from brats3d.regions import MODALITIES, REGIONS

WINDOWS = ("where_needed", "always")
"""When a window slides over the brain."""

HEAD_KINDS: Mapping[str, str] = MappingProxyType({
    "regions": "sigmoid",
    "labels": "softmax",
    "affinities": "sigmoid",
    "distances": "linear",
    "scalar": "linear",
})  # fmt: skip
"""What an output of a network may be → its usual activation: overlapping regions, exclusive labels, affinities of neighbouring
voxels, signed distances in mm, or one number per sample. Masks are painted from the first two."""
PAINTED = ("regions", "labels")
ACTIVATIONS = ("sigmoid", "softmax", "linear")


@dataclass(frozen=True)
class Inputs:
    """What a network takes.

    Attributes:
        modalities: the image channels, in order.
        normalisation: a name of `brats3d.intensity.NORMALISATIONS`.
        may_be_absent: those of the modalities that a case may lack; their channels are zeros then.
        derived: names of channels that are computed from the modalities and follow them. This version knows none.
    """

    modalities: tuple[str, ...] = MODALITIES
    normalisation: str = "clamped_zscore"
    may_be_absent: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            OptionError: names the field, the value found and what was expected.
        """
        for name in ("modalities", "may_be_absent", "derived"):
            object.__setattr__(self, name, names(f"inputs.{name}", getattr(self, name), empty=name != "modalities"))
        check_option("the card's inputs.normalisation", self.normalisation, NORMALISATIONS)
        for modality in self.may_be_absent:
            check_option("the card's inputs.may_be_absent", modality, self.modalities)
        if self.may_be_absent == self.modalities:
            raise OptionError(
                f"the card's inputs.may_be_absent is {self.may_be_absent}, all of the modalities; expected one that every case"
                " has."
            )
        if self.derived:
            raise OptionError(
                f"the card's inputs.derived is {self.derived}; this version of brats3d derives no channels: use a newer one."
            )


@dataclass(frozen=True)
class Head:
    """One output of a network.

    Attributes:
        channels: what its maps are, in order: names of regions; for ``labels``, the values of the label set as text (``"0"``
            for the background).
        kind: a key of `HEAD_KINDS`.
        name: name of the output layer.
        activation: of that layer; by default the usual one of its kind.
    """

    channels: tuple[str, ...] = REGIONS
    kind: str = "regions"
    name: str = "probabilities"
    activation: str = ""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            OptionError: names the field, the value found and what was expected.
        """
        check_option("the kind of the card's output", self.kind, HEAD_KINDS)
        object.__setattr__(self, "channels", names(f"{self.kind} output", self.channels))
        object.__setattr__(self, "activation", HEAD_KINDS[self.kind] if self.activation == "" else self.activation)
        check_option("the activation of the card's output", self.activation, ACTIVATIONS)
        if self.kind in PAINTED and self.activation != HEAD_KINDS[self.kind]:
            raise OptionError(
                f"the card's {self.kind} output has the activation {self.activation!r}; expected {HEAD_KINDS[self.kind]!r}."
            )
        if not isinstance(self.name, str) or not self.name:
            raise OptionError(f"the card's output is named {self.name!r}; expected the name of a layer.")


@dataclass(frozen=True)
class Inference:
    """How a network is run on a case, and how its output becomes a mask.

    Attributes:
        size: voxels of the window along X, Y, Z, on the model's grid; a training patch's size.
        window: ``where_needed`` shows the network the whole brain at once if memory allows; ``always`` slides a window,
            because instance normalisation depends on how much is seen at once.
        overlap: share of a window that its neighbour also covers, 0 to 0.95.
        flips: spatial axes mirrored (all their subsets are averaged); 0 left–right, 1 front–back, 2 down–up.
        thresholds: a region is where its probability is above its threshold, one per channel; empty for 0.5 each.
        temperatures: logits are divided by these before thresholds are applied, one per channel; empty for 1 each.
        postprocessing: steps in order, each with its ``step`` and settings.
    """

    size: tuple[int, int, int] = (128, 128, 128)
    window: str = "where_needed"
    overlap: float = 0.5
    flips: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = ()
    temperatures: tuple[float, ...] = ()
    postprocessing: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            OptionError: names the field, the value found and what was expected.
        """
        object.__setattr__(self, "size", whole_per_axis("the inference's size", self.size, 1))
        check_option("the inference's window", self.window, WINDOWS)
        check_range("the inference's overlap", self.overlap, 0.0, 0.95)
        object.__setattr__(self, "overlap", float(self.overlap))
        check_list("the inference's flips", self.flips)
        check_wholes("the inference's flips", self.flips, 0, 2)
        if len(set(self.flips)) < len(self.flips):
            raise OptionError(f"the inference's flips is {tuple(self.flips)}; expected different axes out of 0, 1, 2.")
        for name, low, high in (("thresholds", 0.0, 1.0), ("temperatures", 0.01, 100.0)):
            values = plain(f"the inference's {name}", getattr(self, name))
            if not isinstance(values, list | tuple):
                raise OptionError(f"the inference's {name} is {values!r}; expected a list of numbers.")
            for value in values:
                check_range(f"a number in the inference's {name}", value, low, high)
            object.__setattr__(self, name, tuple(float(value) for value in values))
        if 1.0 in self.thresholds:
            raise OptionError(f"the inference's thresholds is {self.thresholds}; no probability is above 1: expected less.")
        object.__setattr__(self, "flips", tuple(int(axis) for axis in self.flips))
        if not isinstance(self.postprocessing, list | tuple):
            raise OptionError(f"the inference's postprocessing is {self.postprocessing!r}; expected a list of steps.")
        steps = [plain_table("a step of the inference's postprocessing", step) for step in self.postprocessing]
        for step in steps:
            if not isinstance(step.get("step"), str):
                raise OptionError(f"the inference's postprocessing has {step}; expected the name of a step under 'step'.")
        object.__setattr__(self, "postprocessing", tuple(map(MappingProxyType, steps)))

    def __reduce__(self) -> tuple[Any, ...]:  # frozen mappings cannot be pickled
        return _inference, (self.as_dict(),)

    def changed(self, **changes: Any) -> Inference:
        """Return the same with fields changed; those that are None stay.

        Raises:
            OptionError: a value cannot be used.
        """
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def for_channels(self, channels: Sequence[str], *, exclusive: bool) -> Inference:
        """Return the same with a threshold and a temperature per channel, checked against their number.

        Args:
            channels: the channels of the output that is painted.
            exclusive: whether they exclude one another: then the most probable one wins, and there are no thresholds.

        Raises:
            OptionError: another number of thresholds or temperatures than channels, or thresholds for exclusive labels.
        """
        count = len(channels)
        if exclusive and self.thresholds:
            raise OptionError(
                f"the inference's thresholds is {self.thresholds}; exclusive labels have no thresholds: leave them out."
            )
        thresholds = () if exclusive else self.thresholds or (0.5,) * count
        temperatures = self.temperatures or (1.0,) * count
        for name, found in (("thresholds", thresholds), ("temperatures", temperatures)):
            if len(found) != count and not (exclusive and name == "thresholds"):
                raise OptionError(f"the inference has {len(found)} {name} for the channels {', '.join(channels)}.")
        return replace(self, thresholds=thresholds, temperatures=temperatures)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        return {**plain, "postprocessing": [dict(step) for step in self.postprocessing]}


def names(what: str, found: Any, *, empty: bool = False) -> tuple[str, ...]:
    """Return different names as a tuple.

    Args:
        what: which part of the card they are.
        found: the names.
        empty: whether there may be none.

    Raises:
        OptionError: not a list, a name twice, or none.
    """
    found = found.tolist() if hasattr(found, "tolist") else found  # of NumPy
    listed = tuple(found) if isinstance(found, list | tuple) else ()
    right = all(isinstance(name, str) and name for name in listed) and len(set(listed)) == len(listed)
    if not isinstance(found, list | tuple) or not right or not (listed or empty):
        raise OptionError(f"the card's {what} is {found!r}; expected a list of different names.")
    return listed


def plain_table(what: str, found: Any) -> dict[str, Any]:
    """Return a mapping of names to values as JSON gives it back.

    Args:
        what: what it is called in messages.
        found: the mapping.

    Raises:
        OptionError: no mapping, or something in it that JSON cannot hold.
    """
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise OptionError(f"{what} is {found!r}; expected a table of names and values.")
    return {name: plain(f"{name} of {what}", value) for name, value in found.items()}


def plain(what: str, value: Any) -> Any:
    """Return a value as JSON gives it back: numbers and lists for those of NumPy, lists for tuples.

    Args:
        what: what it is called in messages.
        value: the value.

    Raises:
        OptionError: JSON cannot hold it.
    """
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Mapping):
        return plain_table(what, value)
    if isinstance(value, list | tuple):
        return [plain(what, each) for each in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise OptionError(f"{what} is {value!r}; expected text, numbers, or lists and tables of them.")


def _inference(fields: Mapping[str, Any]) -> Inference:
    return Inference(**fields)
