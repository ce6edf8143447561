"""Recipes: frozen, validated values that can be written back resolved. No framework is imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import tomli_w

from brats3d.errors import OptionError, check_option, check_range, check_whole, check_wholes
from brats3d.losses import LOSS_OUTPUTS, loss_options
from brats3d.models import WINDOWS, check_size, held_options, network_options, stride
from brats3d.patches import TARGETS, Augmentation, BatchSettings, Learnt, Target
from brats3d.regions import painting_steps

OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "exponential", "poly", "plateau")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
FOLDS = 5
"""Parts into which the patients are split; each is the test of one fold."""


@dataclass(frozen=True)
class Network:
    """Which network: a name of `models.NETWORKS` and the options that differ from its defaults."""

    name: str = "isensee2017"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", held_options(self.name, dict(self.options)))


@dataclass(frozen=True)
class Loss:
    """Which loss: a name of `losses.LOSS_OPTIONS` and the options that differ from its defaults."""

    name: str = "dice_bce"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        loss_options(self.name, dict(self.options))


@dataclass(frozen=True)
class Optimiser:
    """How weights move.

    Attributes:
        name: adam, adamw or sgd (Nesterov momentum 0.99).
        learning_rate: at the first step.
        weight_decay: decoupled, per step; 0 is none.
        ema: decay of the running average of the weights that is validated and saved; 0 uses the weights themselves.
    """

    name: str = "adam"
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        check_option("optimiser.name", self.name, OPTIMISERS)
        check_range("optimiser.learning_rate", self.learning_rate, 1e-9, 10)
        check_range("optimiser.weight_decay", self.weight_decay, 0, 1)
        check_range("optimiser.ema", self.ema, 0, 0.99999)


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes.

    Attributes:
        name: constant; exponential (× decay per epoch); poly ((1 − step/steps)^power); plateau (× factor after patience
            validations without a better score).
        decay: of exponential.
        power: of poly.
        factor: of plateau.
        patience: of plateau, in validations.
    """

    name: str = "constant"
    decay: float = 0.985
    power: float = 0.9
    factor: float = 0.5
    patience: int = 10

    def __post_init__(self) -> None:
        check_option("schedule.name", self.name, SCHEDULES)
        check_range("schedule.decay", self.decay, 0.01, 1)
        check_range("schedule.power", self.power, 0, 10)
        check_range("schedule.factor", self.factor, 0.01, 1)
        check_whole("schedule.patience", self.patience, 1, 100_000)


@dataclass(frozen=True)
class Training:
    """How long, on what, and when to look.

    Attributes:
        epochs: of `data.batches` steps each.
        validate_every: epochs between two validations; the last epoch is always validated.
        validate_cases: whole validation cases scored each time, at most; spread evenly over their names.
        early_stop: validations without a better score after which training ends; 0 means never.
        precision: float32, mixed_bfloat16 or mixed_float16.
        replicas: devices that share a batch; 0 is all visible GPUs, or one CPU.
        health_steps: steps on one fixed batch that must lower the loss before training begins; 0 skips the check.
        seed: of weights, dropout, patches and split.
        fold: which part of the patients is held out for the test, from 0.
    """

    epochs: int = 300
    validate_every: int = 5
    validate_cases: int = 20
    early_stop: int = 0
    precision: str = "float32"
    replicas: int = 0
    health_steps: int = 8
    seed: int = 0
    fold: int = 0

    def __post_init__(self) -> None:
        check_whole("training.epochs", self.epochs, 1, 1_000_000)
        check_whole("training.validate_every", self.validate_every, 1, 1_000_000)
        check_whole("training.validate_cases", self.validate_cases, 1, 1_000_000)
        check_whole("training.early_stop", self.early_stop, 0, 1_000_000)
        check_option("training.precision", self.precision, PRECISIONS)
        check_whole("training.replicas", self.replicas, 0, 1024)
        check_whole("training.health_steps", self.health_steps, 0, 1000)
        check_whole("training.seed", self.seed, 0, 2**31)
        check_whole("training.fold", self.fold, 0, FOLDS - 1)


@dataclass(frozen=True)
class Prediction:
    """How the trained model is to be used; goes into its card.

    Attributes:
        window: ``where_needed`` (the whole brain at once if memory allows) or ``always`` (windows of the patches' size).
        flips: spatial axes mirrored at prediction.
        thresholds: probability above which a voxel belongs to a region: one for all regions, or one per region.
    """

    window: str = "where_needed"
    flips: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        check_option("prediction.window", self.window, WINDOWS)
        check_wholes("prediction.flips", self.flips, 0, 2)
        if len(set(self.flips)) < len(self.flips):
            raise OptionError(f"prediction.flips is {list(self.flips)}; expected different axes out of 0, 1, 2.")
        if not isinstance(self.thresholds, list | tuple) or not self.thresholds:
            raise OptionError(f"prediction.thresholds is {self.thresholds!r}; expected one for all regions, or one per region.")
        for threshold in self.thresholds:
            check_range("a number in prediction.thresholds", threshold, 0, 1)
            if threshold == 1:
                raise OptionError(
                    f"prediction.thresholds has {threshold:g}; no probability is above that: expected numbers below 1."
                )


SECTIONS: Mapping[str, type] = MappingProxyType({
    "network": Network,
    "data": BatchSettings,
    "augmentation": Augmentation,
    "loss": Loss,
    "optimiser": Optimiser,
    "schedule": Schedule,
    "training": Training,
    "prediction": Prediction,
})  # fmt: skip
"""Section of a recipe → what it holds."""


@dataclass(frozen=True)
class Recipe(Learnt):
    """Everything that decides a run, besides the cases.

    What is learnt (``regions``, ``output``, ``label_set``) are the fields of `patches.Learnt`; the regions are also those that
    are scored during training.

    Attributes:
        network: which network.
        data: what a batch is.
        augmentation: how patches are changed.
        loss: what is minimised.
        optimiser: how weights move.
        schedule: how the learning rate changes.
        training: how long, on what, and when to look.
        prediction: how the trained model is to be used.

    Raises:
        OptionError: a value of another type, or parts that do not fit together.
    """

    network: Network = field(default_factory=Network)
    data: BatchSettings = field(default_factory=BatchSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Loss = field(default_factory=Loss)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    training: Training = field(default_factory=Training)
    prediction: Prediction = field(default_factory=Prediction)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in SECTIONS.items():
            if not isinstance(getattr(self, name), kind):
                raise OptionError(f"{name} is {getattr(self, name)!r}; expected {kind.__name__}(...).")
        for key in ("batches", "spacing_mm"):
            if getattr(self.data, key) is None:
                raise OptionError(f"data.{key} is None; expected a number, such as {getattr(BatchSettings(), key)}.")
        check_size("data.patch_size", self.data.patch_size, stride(self.network.name, dict(self.network.options)))
        if LOSS_OUTPUTS[self.loss.name] != self.output:
            fitting = ", ".join(name for name, output in LOSS_OUTPUTS.items() if output == self.output)
            raise OptionError(
                f"loss.name is {self.loss.name!r}, a loss for output = {LOSS_OUTPUTS[self.loss.name]!r}; the recipe has"
                f" output = {self.output!r}: expected one of {fitting}."
            )
        if self.output == "labels" and self.prediction.thresholds != Prediction().thresholds:
            raise OptionError(
                f"prediction.thresholds is {list(self.prediction.thresholds)}; exclusive labels have no threshold: leave it"
                " out."
            )
        if self.coding is not None:
            target: Target = TARGETS[self.output](self.regions, self.coding)
            try:
                target.check(self.coding)
            except OptionError as problem:
                raise OptionError(f"regions is {list(self.regions)}: {problem}") from None
            self.check_channels(target)
        elif self.output == "regions":
            self._check_counts(self.regions)

    def check_channels(self, target: Target) -> None:
        """Refuse channels from which no mask can be painted, and thresholds or weights that are not one per channel.

        Args:
            target: what is learnt, its label set settled.

        Raises:
            OptionError: says which.
        """
        if self.output == "regions" and target.coding is not None:
            painting_steps(self.regions, target.coding)
        self._check_counts(target.channels)

    def _check_counts(self, channels: Sequence[str]) -> None:
        names, count = ", ".join(channels), len(channels)
        if len(self.prediction.thresholds) not in (1, count):
            found = list(self.prediction.thresholds)
            raise OptionError(f"prediction.thresholds is {found}; expected one for all regions, or one per region: {names}.")
        weights = self.loss.options.get("weights")
        if weights is not None and len(weights) != count:
            raise OptionError(f"loss.options.weights is {list(weights)}; expected one per channel: {names}.")

    def resolved(self) -> Recipe:
        """Return the recipe with everything written out: all options of network and loss, and a threshold per region."""
        network = replace(self.network, options=asdict(network_options(self.network.name, dict(self.network.options))))
        loss = replace(self.loss, options=loss_options(self.loss.name, dict(self.loss.options)))
        thresholds = self.prediction.thresholds
        if len(thresholds) == 1 and self.output == "regions":
            thresholds = thresholds * len(self.regions)
        return replace(self, network=network, loss=loss, prediction=replace(self.prediction, thresholds=thresholds))

    def to_toml(self) -> str:
        """Return the recipe as TOML that `read_recipe` gives back; `resolved` before writes out every option too."""
        return tomli_w.dumps(self.as_tables())

    def as_tables(self) -> dict[str, Any]:
        """Return the recipe as TOML's own types: one table per section, lists for tuples, the label set by content."""
        tables: dict[str, Any] = {name: _plain(asdict(getattr(self, name))) for name in SECTIONS}
        label_set = "" if self.coding is None else self.coding.as_dict()
        return {"regions": list(self.regions), "output": self.output, "label_set": label_set, **tables}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
