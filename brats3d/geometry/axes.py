"""Values per axis: three numbers, or one for all three axes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

from brats3d.errors import OptionError, are_whole


def per_axis(name: str, value: float | Sequence[float], low: float, high: float = math.inf) -> tuple[float, float, float]:
    """Return one number per axis, given one for all axes or three.

    Args:
        name: what the user calls the value.
        value: one number, or three along X, Y, Z.
        low: the smallest allowed.
        high: the largest allowed.

    Raises:
        OptionError: it is neither one number nor three, or one is out of range; the message gives the value and the range.
    """
    values = _repeated(value)
    if len(values) != 3 or not all(_is_number(v) and low <= v <= high for v in values):
        raise OptionError(f"{name} is {value!r}; expected one number for all three axes, or three, each from {low} to {high}.")
    x, y, z = map(float, values)
    return x, y, z


def whole_per_axis(name: str, value: int | Sequence[int], low: int) -> tuple[int, int, int]:
    """Return one whole number per axis, given one for all axes or three.

    Args:
        name: what the user calls the value.
        value: one whole number, or three along X, Y, Z.
        low: the smallest allowed.

    Raises:
        OptionError: it is neither one whole number nor three, or one is below ``low``; the message gives both.
    """
    values = _repeated(value)
    if not are_whole(values, low, count=3):
        raise OptionError(f"{name} is {value!r}; expected one whole number for all three axes, or three, each at least {low}.")
    x, y, z = map(int, values)
    return x, y, z


def show_per_axis(values: Sequence[float]) -> str:
    """Return values as text: ``2`` if they are equal, ``1 × 1 × 5`` if not."""
    shown = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in values]
    return shown[0] if len(set(shown)) == 1 else " × ".join(shown)


def _repeated(value: Any) -> list[Any]:
    try:
        return list(value)
    except TypeError:  # one number
        return [value] * 3


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
