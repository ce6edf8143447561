"""From a command line's words to values."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from brats3d.errors import OptionError


def members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union except None, or the annotation itself as the only one."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return (hint,)
    return tuple(member for member in typing.get_args(hint) if member is not type(None))


def is_mapping(hint: Any) -> bool:
    """Return whether the first member of an annotation, which decides how the command line is read, is a mapping."""
    return typing.get_origin(members(hint)[0]) is Mapping


def key_values(option: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the mapping given by words of the form ``key=value``; of two with the same key, the later counts.

    Args:
        option: their option, for the message.
        words: each with a value as in TOML (`toml_value`).

    Raises:
        OptionError: a word is not of that form.
    """
    found = {}
    for word in words:
        key, _, text = (part.strip() for part in word.partition("="))
        if not key or not text:
            raise OptionError(f"--{option.replace('_', '-')} has {word!r}; expected key=value.")
        found[key] = toml_value(text)
    return found


def toml_value(text: str) -> Any:
    """Return a value as in TOML; text may be bare words, and a list with commas may lack its brackets.

    A shell takes quotes away: ``regions=["WT"]`` arrives as ``regions=[WT]``.

    Args:
        text: such as ``30``, ``true``, ``adam``, ``WT,TC`` or ``[0.4, 0.5]``.
    """
    listed = text.startswith("[") and text.endswith("]")
    for candidate in (text, text if listed else f"[{text}]"):
        try:
            found = tomllib.loads(f"value = {candidate}")
        except tomllib.TOMLDecodeError:
            continue
        if len(found) == 1:  # else a text of several lines
            return found["value"]
    words = (text[1:-1] if listed else text).split(",")
    return [toml_value(word.strip()) for word in words if word.strip()] if listed or len(words) > 1 else text
