"""From TOML to a `Recipe`, from a recipe and some settings to another.

A recipe tells its own story: its head says what it is, on what hardware, how long, what score to expect, and the command.
An unknown key is an error that offers the nearest. No framework is imported here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from brats3d.errors import OptionError, check_keys, check_option
from brats3d.patches import Augmentation
from brats3d.regions import REGIONS
from brats3d.train.recipe import Data, Loss, Network, Optimiser, Prediction, Recipe, Schedule, Training

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
        text = path.read_text(encoding="utf-8", errors="replace")  # what was replaced is no TOML, or no known name
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
        if not _fits(tables["regions"], tuple[str, ...]):
            raise OptionError(f"recipe {where} has regions = {tables['regions']!r}; expected a list such as {list(REGIONS)}.")
        parts["regions"] = tuple(tables["regions"])
    return Recipe(**parts)


def _part(kind: type, table: Any, where: str) -> Any:
    if not isinstance(table, Mapping):
        raise OptionError(f"{where} is {table!r}; expected a table of keys such as {fields(kind)[0].name}.")
    hints, defaults = get_type_hints(kind), kind()
    check_keys(where, table, hints)
    values = {}
    for key, value in table.items():
        if not _fits(value, hints[key]):
            raise OptionError(f"{where} has {key} = {value!r}; expected a value such as {getattr(defaults, key)!r}.")
        values[key] = tuple(value) if isinstance(value, list) else float(value) if hints[key] is float else value
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value read from TOML is of an annotated type; a whole number is a float too."""
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        right_length = kinds[-1] is Ellipsis or (isinstance(value, list) and len(value) == len(kinds))
        return isinstance(value, list) and right_length and all(_fits(v, kinds[0]) for v in value)
    if get_origin(hint) is Mapping:
        return isinstance(value, Mapping)
    return type(value) in (int, float) if hint is float else type(value) is hint


def change_recipe(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return a recipe with some keys changed.

    Args:
        recipe: the recipe to start from.
        settings: each ``section.key=value`` with the value as in TOML; bare words are taken as text.

    Raises:
        OptionError: a setting of another form, an unknown section or key, or a value out of range.
    """
    tables = recipe.as_tables()
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
            if not isinstance(table, dict):
                raise OptionError(
                    f"setting {setting!r} goes into {name}, which is {table!r}; expected a table such as options."
                )
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
