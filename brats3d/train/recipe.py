"""Recipes: frozen, validated values, read from TOML and written back resolved.

A recipe tells its own story: its head says what it is, on what hardware, how long, what score to expect, and the command.
An unknown key is an error that offers the nearest. No framework is imported here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w

from brats3d.errors import OptionError, check_keys, check_option, check_range
from brats3d.losses import loss_options
from brats3d.models import check_size, network_options, stride
from brats3d.patches import Augmentation
from brats3d.regions import REGIONS

OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "exponential", "poly", "plateau")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Network:
    """Which network: a name of `models.NETWORKS` and the options that differ from its defaults."""

    name: str = "isensee2017"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        network_options(self.name, dict(self.options))


@dataclass(frozen=True)
class Data:
    """What a batch is.

    Attributes:
        patch_size: voxels of the model's grid along X, Y, Z.
        batch_size: samples a step, over all replicas.
        batches: steps an epoch.
        spacing_mm: edge of the model's cubic voxels; 1 is the BraTS grid.
        normalisation: a name of `intensity.NORMALISATIONS`.
        foreground: share of patches with tumour in their middle.
        readers: 0 reads in threads, N in N processes.
        memory_mb: bound of the averaged cases kept in memory.
    """

    patch_size: tuple[int, int, int] = (128, 128, 128)
    batch_size: int = 2
    batches: int = 100
    spacing_mm: float = 1.0
    normalisation: str = "clamped_zscore"
    foreground: float = 1 / 3
    readers: int = 0
    memory_mb: float = 4000.0

    def __post_init__(self) -> None:
        check_range("data.batch_size", self.batch_size, 1, 1024)
        check_range("data.batches", self.batches, 1, 1_000_000)
        check_range("data.spacing_mm", self.spacing_mm, 0.1, 20)
        check_range("data.foreground", self.foreground, 0, 1)


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
        weight_decay: decoupled, a step; 0 is none.
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
        name: constant; exponential (× decay an epoch); poly ((1 − step/steps)^power); plateau (× factor after patience
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
        check_range("schedule.patience", self.patience, 1, 100_000)


@dataclass(frozen=True)
class Training:
    """How long, on what, and when to look.

    Attributes:
        epochs: of `data.batches` steps each.
        validate_every: epochs between two validations; the last epoch is always validated.
        validate_cases: whole validation cases scored each time, at most.
        early_stop: validations without a better score after which training ends; 0 never.
        precision: float32, mixed_bfloat16 or mixed_float16.
        replicas: devices that share a batch; 0 is all visible GPUs, or one CPU.
        health_steps: steps on one fixed batch that must lower the loss before training begins; 0 leaves the check out.
        seed: of weights, dropout, patches and split.
    """

    epochs: int = 300
    validate_every: int = 5
    validate_cases: int = 20
    early_stop: int = 0
    precision: str = "float32"
    replicas: int = 0
    health_steps: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("training.epochs", self.epochs, 1, 1_000_000)
        check_range("training.validate_every", self.validate_every, 1, 1_000_000)
        check_range("training.validate_cases", self.validate_cases, 1, 1_000_000)
        check_range("training.early_stop", self.early_stop, 0, 1_000_000)
        check_option("training.precision", self.precision, PRECISIONS)
        check_range("training.replicas", self.replicas, 0, 1024)
        check_range("training.health_steps", self.health_steps, 0, 1000)
        check_range("training.seed", self.seed, 0, 2**31)


@dataclass(frozen=True)
class Prediction:
    """How the trained model is to be used; goes into its card.

    Attributes:
        flips: spatial axes mirrored at prediction.
        thresholds: probability above which a voxel belongs to WT, TC, ET.
    """

    flips: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run, besides the cases."""

    network: Network = field(default_factory=Network)
    data: Data = field(default_factory=Data)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Loss = field(default_factory=Loss)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    training: Training = field(default_factory=Training)
    prediction: Prediction = field(default_factory=Prediction)
    regions: tuple[str, ...] = REGIONS

    def __post_init__(self) -> None:
        check_size("data.patch_size", self.data.patch_size, stride(self.network.name, dict(self.network.options)))
        for region in self.regions:
            check_option("regions", region, REGIONS)

    def to_toml(self) -> str:
        """Return the recipe, every key resolved, as TOML that `read_recipe` gives back."""
        return tomli_w.dumps(_plain(asdict(self)))


_PARTS: Mapping[str, type] = {
    "network": Network,
    "data": Data,
    "augmentation": Augmentation,
    "loss": Loss,
    "optimiser": Optimiser,
    "schedule": Schedule,
    "training": Training,
    "prediction": Prediction,
}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that come with the library."""
    return sorted(p.name.removesuffix(".toml") for p in files("brats3d.recipes").iterdir() if p.name.endswith(".toml"))


def read_recipe(recipe: str) -> Recipe:
    """Read a recipe.

    Args:
        recipe: the name of a shipped one, or the path of a TOML file.

    Raises:
        OptionError: no such recipe, no TOML, an unknown key (the nearest is offered), or a value out of range.
    """
    path = Path(recipe)
    if path.suffix == ".toml":
        if not path.is_file():
            raise OptionError(
                f"{recipe}: no such recipe file; expected a TOML file, or one of: {', '.join(shipped_recipes())}."
            )
        text = path.read_text(encoding="utf-8")
    else:
        check_option("recipe", recipe, shipped_recipes())
        text = files("brats3d.recipes").joinpath(f"{recipe}.toml").read_text(encoding="utf-8")
    return parse_recipe(text, recipe)


def parse_recipe(text: str, where: str) -> Recipe:
    """Return the recipe of a TOML text.

    Args:
        text: TOML.
        where: the file's name, for messages.

    Raises:
        OptionError: see `read_recipe`.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise OptionError(f"recipe {where} is not TOML ({problem}); mend that line.") from problem
    return _from_tables(tables, where)


def _from_tables(tables: Mapping[str, Any], where: str) -> Recipe:
    check_keys(f"recipe {where}", tables, [f.name for f in fields(Recipe)])
    parts: dict[str, Any] = {
        name: _part(kind, tables.get(name, {}), f"recipe {where} [{name}]") for name, kind in _PARTS.items()
    }
    if "regions" in tables:
        parts["regions"] = tuple(tables["regions"])
    return Recipe(**parts)


def _part(kind: type, table: Mapping[str, Any], where: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    check_keys(where, table, known)
    defaults = kind()
    values = {}
    for key, value in table.items():
        default = getattr(defaults, key)
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool)
            if isinstance(default, float)
            else isinstance(value, list | tuple) if isinstance(default, tuple)
            else isinstance(value, Mapping) if isinstance(default, Mapping)
            else type(value) is type(default)
        )  # fmt: skip
        if not fits:
            raise OptionError(f"{where} has {key} = {value!r}; expected a value such as {default!r}.")
        values[key] = tuple(value) if isinstance(default, tuple) else float(value) if isinstance(default, float) else value
    return kind(**values)


def change_recipe(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return a recipe with some keys changed.

    Args:
        recipe: the recipe to start from.
        settings: each ``section.key=value`` with the value as in TOML; bare words are taken as text.

    Raises:
        OptionError: a setting of another form, an unknown section or key, or a value out of range.
    """
    tables = _plain(asdict(recipe))
    for setting in settings:
        path, _, value = setting.partition("=")
        section, _, key = path.strip().partition(".")
        if not value or not key:
            raise OptionError(f"setting {setting!r} is not of the form section.key=value, such as training.epochs=30.")
        check_option(f"the section of {setting!r}", section, _PARTS)
        *inner, last = key.split(".")
        table = tables[section]
        for name in inner:
            table = table.setdefault(name, {})
        table[last] = _toml_value(value.strip())
    return _from_tables(tables, "with --settings")


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def with_training(recipe: Recipe, **changes: Any) -> Recipe:
    """Return a recipe with keys of its ``[training]`` section changed; those that are None stay.

    Raises:
        OptionError: a value out of range.
    """
    given = {k: v for k, v in changes.items() if v is not None}
    return replace(recipe, training=replace(recipe.training, **given))
