"""A command's options, derived from its function: one per parameter, and one per field of its settings objects.

A settings object is a parameter annotated with a frozen dataclass, whose default is an instance. From Python it is one value
per topic; on a command line each of its fields is an option, from which the object is built, with its own checks.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brats3d.console.progress import Progress
from brats3d.console.values import is_mapping, key_values

REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""


@dataclass(frozen=True)
class Option:
    """One value that a command takes.

    Attributes:
        name: of the function's parameter, or of the field.
        hint: its annotation.
        default: `REQUIRED` if it has none.
        text: what the docstring says about it, without a last clause "; from Python …".
        positional: whether it is given by position.
        settings: the parameter whose settings object it is a field of; empty for a parameter of its own.
    """

    name: str
    hint: Any
    default: Any
    text: str
    positional: bool = False
    settings: str = ""


def options_of(function: Callable[..., Any]) -> list[Option]:
    """Return the options of a function, in the order of its parameters and their fields; progress is not an option.

    Args:
        function: with annotated parameters and Google-style docstrings, its own and those of its settings.

    Raises:
        TypeError: two options have one name.
    """
    hints, texts = typing.get_type_hints(function), described(function, "Args")
    options: list[Option] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if _is_settings(parameter):
            options += _fields(name, parameter.default)
        elif hints[name] != Progress:
            positional = parameter.default is REQUIRED and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
            options.append(Option(name, hints[name], parameter.default, _without_python(texts.get(name, "")), positional))
    twice = [name for name, count in Counter(option.name for option in options).items() if count > 1]
    if twice:
        raise TypeError(f"{function.__name__} has more than one option {', '.join(twice)}; expected different names.")
    return options


def keywords(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a function for the values of its options.

    Args:
        function: as for `options_of`.
        values: option → value, all of them.

    Raises:
        OptionError: a settings object refuses a value, or one that should be ``key=value`` is not.
    """
    found: dict[str, Any] = {}
    fields: dict[str, dict[str, Any]] = {}
    for option in options_of(function):
        value = values[option.name]
        if is_mapping(option.hint) and isinstance(value, list):
            value = key_values(option.name, value)
        if not option.settings:
            found[option.name] = value
        else:  # settings are frozen, and so are their lists
            fields.setdefault(option.settings, {})[option.name] = tuple(value) if isinstance(value, list) else value
    parameters = inspect.signature(function).parameters
    return found | {name: type(parameters[name].default)(**given) for name, given in fields.items()}


def _is_settings(parameter: inspect.Parameter) -> bool:
    kind = type(parameter.default)
    return dataclasses.is_dataclass(kind) and bool(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def _fields(name: str, default: Any) -> list[Option]:
    hints, texts = typing.get_type_hints(type(default)), described(type(default), "Attributes")
    return [
        Option(f.name, hints[f.name], getattr(default, f.name), _without_python(texts.get(f.name, "")), settings=name)
        for f in dataclasses.fields(default)
    ]


def _without_python(text: str) -> str:
    """Return a text without the clause at its end that is for callers from Python."""
    return re.sub(r"; from Python .*", ".", text)


def described(thing: Any, section: str) -> dict[str, str]:
    """Return name → its text in a section of a Google-style docstring.

    Args:
        thing: a function or class.
        section: such as ``Args``.
    """
    found = re.search(rf"^{section}:\n(.*?)(?=^\S|\Z)", inspect.getdoc(thing) or "", re.M | re.S)
    texts: dict[str, str] = {}
    name = ""
    for line in found[1].splitlines() if found else []:
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            name, texts[entry[1]] = entry[1], entry[2].strip()
        elif name and line.strip():
            texts[name] += " " + line.strip()
    return texts
