"""From TOML to a `Recipe`, and from a recipe and some settings to another.

A recipe documents itself: its header says what it is, the hardware, the time, the score to expect, and the command.
An unknown key is an error that suggests the nearest. No framework is imported here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from brats3d.errors import OptionError, check_keys, check_option
from brats3d.regions import REGIONS
from brats3d.train.recipe import SECTIONS, Recipe


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that come with the library."""
    return sorted(p.name.removesuffix(".toml") for p in files("brats3d.recipes").iterdir() if p.name.endswith(".toml"))


def read_recipe(recipe: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        recipe: the name of a shipped one, or the path of a TOML file.

    Raises:
        OptionError: there is no such recipe, it is not TOML, or it has an unknown key (suggests the nearest) or a value out of
            range.
    """
    if not isinstance(recipe, str | Path):
        raise OptionError(f"recipe is {recipe!r}; expected a Recipe, a TOML file, or one of: {', '.join(shipped_recipes())}.")
    path, recipe = Path(recipe), str(recipe)
    if path.suffix == ".toml":
        if not path.is_file():
            raise OptionError(
                f"{recipe}: no such recipe file; expected a TOML file, or one of: {', '.join(shipped_recipes())}."
            )
        text = path.read_text(encoding="utf-8", errors="replace")  # replaced bytes are not TOML, or not a known name
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
        raise OptionError(f"recipe {where} is not TOML ({problem}); fix that line.") from problem
    return _from_tables(tables, where)


def _from_tables(tables: Mapping[str, Any], where: str) -> Recipe:
    check_keys(f"recipe {where}", tables, [f.name for f in fields(Recipe)])
    parts: dict[str, Any] = {
        name: _part(kind, tables.get(name, {}), f"recipe {where} [{name}]") for name, kind in SECTIONS.items()
    }
    if not _fits(tables.get("regions", []), tuple[str, ...]):
        raise OptionError(f"recipe {where} has regions = {tables['regions']!r}; expected a list such as {list(REGIONS)}.")
    parts |= {name: tables[name] for name in tables if name not in SECTIONS}
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
        values[key] = tuple(value) if isinstance(value, list) else float(value) if _is_float(hints[key]) else value
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value read from TOML is of an annotated type; a whole number is a float too."""
    if get_origin(hint) is UnionType:
        return any(_fits(value, kind) for kind in get_args(hint))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        right_length = kinds[-1] is Ellipsis or (isinstance(value, list) and len(value) == len(kinds))
        return isinstance(value, list) and right_length and all(_fits(v, kinds[0]) for v in value)
    if get_origin(hint) is Mapping:
        return isinstance(value, Mapping)
    return type(value) in (int, float) if hint is float else type(value) is hint


def _is_float(hint: Any) -> bool:
    return float in (get_args(hint) if get_origin(hint) is UnionType else (hint,))


def change_recipe(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return a recipe with some keys changed.

    Thresholds that are equal follow the number of regions.

    Args:
        recipe: the recipe to start from.
        settings: ``key`` or ``section.key`` → its new value, such as ``{"regions": ["WT", "TC"], "training.epochs": 30,
            "network.options.base_filters": 8}``. A list of one may be given as its only item.

    Raises:
        OptionError: something other than a mapping, an unknown section or key, or a value out of range.
    """
    check_mapping(settings)
    tables = recipe.as_tables()
    for key, value in settings.items():
        _change(tables, key, _as_toml(value))
    thresholds = recipe.prediction.thresholds
    if "regions" in settings and not {"prediction", "prediction.thresholds"} & set(settings) and len(set(thresholds)) == 1:
        tables["prediction"]["thresholds"] = list(thresholds[:1])
    return _from_tables(tables, "with settings")


def check_mapping(settings: Any) -> None:
    """Refuse settings that are not a mapping, such as a list of ``key=value``.

    Raises:
        OptionError: shows them.
    """
    if not isinstance(settings, Mapping):
        raise OptionError(f"settings is {settings!r}; expected a mapping of keys to values, such as {{'training.epochs': 30}}.")


def _as_toml(value: Any) -> Any:
    """Return a value as TOML would give it: lists for tuples and arrays, tables for mappings."""
    if isinstance(value, Mapping):
        return {key: _as_toml(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_toml(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value  # NumPy's arrays and numbers


def _change(tables: dict[str, Any], setting: str, value: Any) -> None:
    """Change one key of a recipe's tables."""
    *sections, last = str(setting).split(".")
    if not isinstance(setting, str) or not all([*sections, last]):
        raise OptionError(f"setting {setting!r} is not of the form key or section.key, such as regions or training.epochs.")
    _check_first(setting, [*sections, last][0])
    table = tables
    for name in sections:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise OptionError(f"setting {setting!r} goes into {name}, which is {table!r}; expected a table such as options.")
    table[last] = [value] if _is_list(sections, last) and not isinstance(value, list) else value


def _check_first(setting: str, word: str) -> None:
    """Refuse a setting whose first word is neither a section nor a key of a recipe."""
    known = [f.name for f in fields(Recipe)]
    meant = [f"{section}.{word}" for section, kind in SECTIONS.items() if word in get_type_hints(kind)]
    if word not in known and meant:
        raise OptionError(f"setting {setting!r} does not say the section of {word!r}; expected {' or '.join(meant)}.")
    check_option(f"the section of {setting!r}", word, known)


def _is_list(sections: Sequence[str], key: str) -> bool:
    """Return whether a recipe has a list under a key."""
    kind: type = Recipe
    for name in sections:
        kind = SECTIONS.get(name, object) if kind is Recipe else object
    return get_origin(get_type_hints(kind).get(key)) is tuple


def with_training(recipe: Recipe, **changes: Any) -> Recipe:
    """Return a recipe with keys of its ``[training]`` section changed; those that are None stay.

    Raises:
        OptionError: a value out of range.
    """
    given = {k: v for k, v in changes.items() if v is not None}
    return replace(recipe, training=replace(recipe.training, **given))
