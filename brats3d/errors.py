"""The package's exceptions, and the checks every room uses.

Every message is one sentence: what was found, where, what was expected, what to do. The class carries the exit code that
``console.run`` returns; nothing else turns an error into a number:

- ``BratsError`` and most subclasses: 2, the command cannot start or continue.
- ``CaseError`` and its subclasses: 3, one case was examined and refused; the others continue.
"""

from __future__ import annotations

import difflib
import math
import numbers
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "ALL_ZERO",
    "ArrayError",
    "BratsError",
    "CaseError",
    "GridError",
    "HealthError",
    "ImageError",
    "LabelError",
    "MissingExtraError",
    "ModelError",
    "NoCasesError",
    "OptionError",
    "OutputExistsError",
    "SpaceError",
    "StoreError",
    "TrainingError",
    "WorkerError",
    "are_whole",
    "check_keys",
    "check_kind",
    "check_list",
    "check_option",
    "check_range",
    "check_shapes_equal",
    "check_whole",
    "check_wholes",
    "first_line",
    "nearest",
    "system_error",
    "system_words",
]
__dir__ = __all__.copy

ALL_ZERO = "all voxels are 0; expected a scan: check the file, or leave out the case."
"""What every room says of an all-zero image, after the name of the file or the modality."""


class BratsError(Exception):
    """A problem the user can fix; the message is one sentence that says how."""

    exit_code = 2


class OptionError(BratsError, ValueError):
    """An option, a parameter or a recipe key has an unusable value."""


class NoCasesError(BratsError):
    """No case was found in the place searched."""


class OutputExistsError(BratsError):
    """The output already exists and may not be overwritten."""


class SpaceError(BratsError, OSError):
    """The disk is too full for what is to be written."""


class MissingExtraError(BratsError, ImportError):
    """A required optional package is not installed."""


class ModelError(BratsError):
    """A model file cannot be used: it is not a model, has no card, or has a card that does not fit."""


class WorkerError(BratsError):
    """A worker process died."""


class HealthError(BratsError):
    """A training run is doomed: its early checks failed, or its loss became NaN or infinite."""


class TrainingError(BratsError):
    """A case was refused during training, which needs all of its cases; unlike elsewhere, this ends the run."""


class CaseError(BratsError):
    """A case was examined and refused; other cases are not affected."""

    exit_code = 3


class ImageError(CaseError):
    """An image file cannot be read, or its content cannot be a scan's."""


class GridError(CaseError):
    """Files that should be on the same grid are not."""


class LabelError(CaseError, ValueError):
    """A label contains values outside its label set, or its label set is in doubt."""


class StoreError(CaseError):
    """A case file of a store is damaged or has another schema."""


class ArrayError(BratsError, ValueError):
    """An array argument has a shape, type or value that the function does not accept."""


def first_line(problem: BaseException) -> str:
    """Return the first line of an exception's message without its full stop, for use within a sentence."""
    return (str(problem).splitlines() or [""])[0].strip().rstrip(".")


def system_error(problem: BaseException) -> int | None:
    """Return the system's error number, or None if the exception did not come from the system.

    h5py raises various exceptions, and often gives the number only in the message.

    Args:
        problem: what was raised.
    """
    if isinstance(problem, OSError) and problem.errno:
        return problem.errno
    found = re.search(r"\berrno = (\d+)", str(problem))
    return (int(found[1]) or None) if found else None


def system_words(problem: BaseException) -> str:
    """Return the system's error message, after the file's name if known; empty if it did not come from the system.

    Args:
        problem: what was raised.
    """
    number = system_error(problem)
    if number is None:
        return ""
    # negative numbers come from name resolution
    words = os.strerror(number) if number > 0 else str(getattr(problem, "strerror", None) or problem)
    return f"{problem.filename}: {words}" if isinstance(problem, OSError) and problem.filename else words


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the allowed word most like ``word``, or an empty string."""
    close = difflib.get_close_matches(str(word), [str(a) for a in allowed], n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_option(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Refuse a value that is not one of the allowed ones.

    Args:
        name: what the user calls the value.
        value: the value found.
        allowed: the allowed values.

    Raises:
        OptionError: the message gives the value, the nearest allowed one and all of them.
    """
    allowed = list(allowed)
    if value not in allowed:
        listed = ", ".join(str(a) for a in allowed)
        raise OptionError(f"{name} is {value!r}{nearest(value, allowed)}; expected one of: {listed}.")


def check_keys(where: str, found: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse unknown keys, suggesting the nearest known one.

    Args:
        where: what the user calls the file or table with the keys.
        found: the keys found.
        allowed: the known keys.

    Raises:
        OptionError: the message gives the first unknown key, the nearest known one and all of them.
    """
    allowed = list(allowed)
    for key in found:
        if key not in allowed:
            raise OptionError(f"{where} has an unknown key {key!r}{nearest(key, allowed)}; known keys: {', '.join(allowed)}.")


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a number outside ``low`` to ``high`` (both included), NaN, and anything that is not a number.

    Args:
        name: what the user calls the number.
        value: the number found.
        low: the smallest allowed.
        high: the largest allowed.

    Raises:
        OptionError: the message gives the value and the range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low <= value <= high:
        raise OptionError(f"{name} is {value!r}; expected a number {_bounds(low, high)}.")


def check_whole(name: str, value: int, low: int, high: float = math.inf) -> None:
    """Refuse anything that is not a whole number from ``low`` to ``high`` (both included); 2.0 and True are refused.

    Args:
        name: what the user calls the number.
        value: the number found.
        low: the smallest allowed.
        high: the largest allowed.

    Raises:
        OptionError: the message gives the value and the range.
    """
    if not _is_whole(value, low, high):
        raise OptionError(f"{name} is {value!r}; expected a whole number {_bounds(low, high)}.")


def check_wholes(name: str, values: Sequence[int], low: int, high: float = math.inf, *, count: int | None = None) -> None:
    """Refuse anything that is not a sequence of whole numbers from ``low`` to ``high`` (both included).

    Args:
        name: what the user calls the numbers.
        values: the numbers found.
        low: the smallest allowed.
        high: the largest allowed.
        count: how many there must be; None allows any number.

    Raises:
        OptionError: the message gives the values, the expected count and the range.
    """
    if not are_whole(values, low, high, count=count):
        wanted = "whole numbers" if count is None else f"{count} whole numbers"
        raise OptionError(f"{name} is {values!r}; expected {wanted} {_bounds(low, high)}.")


def check_kind(name: str, value: Any, kind: type) -> None:
    """Refuse a value of another class, such as a mapping where a settings object is expected.

    Args:
        name: what the user calls the value.
        value: the value found.
        kind: the class expected.

    Raises:
        OptionError: the message gives the value and the class.
    """
    if not isinstance(value, kind):
        raise OptionError(f"{name} is {value!r}; expected {kind.__name__}(...).")


def check_list(name: str, values: Any) -> None:
    """Refuse anything that is not a list, tuple or the like; strings are refused, although Python would iterate over them.

    Args:
        name: what the user calls the list.
        values: the value found.

    Raises:
        OptionError: the message gives the value and the list that was probably meant.
    """
    if isinstance(values, str | bytes | os.PathLike) or not isinstance(values, Iterable):
        shown = str(values) if isinstance(values, os.PathLike) else values
        raise OptionError(f"{name} is {shown!r}; expected a list, such as [{shown!r}].")


def are_whole(values: Any, low: float, high: float = math.inf, *, count: int | None = None) -> bool:
    """Return whether something is a sequence of whole numbers in a range.

    Args:
        values: anything.
        low: the smallest allowed.
        high: the largest allowed.
        count: how many there must be; None allows any number.
    """
    try:
        found = list(values)
    except TypeError:  # one number, None, ...
        return False
    return count in (None, len(found)) and all(_is_whole(value, low, high) for value in found)


def _is_whole(value: Any, low: float, high: float) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and low <= int(value) <= high


def _bounds(low: float, high: float) -> str:
    return f"of at least {low}" if high == math.inf else f"from {low} to {high}"


def check_shapes_equal(**shapes: tuple[int, ...]) -> None:
    """Refuse arrays of different shapes; the keywords are the arrays' names in the message.

    Raises:
        ArrayError: the shapes differ; the message lists each array's name and shape.
    """
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ArrayError(f"shapes differ: {listed}; expected equal shapes.")
