"""Tables that one test goes through: all rows that are wrong are listed, each with what was found and what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any


def wrong(function: Callable[..., Any], rows: Iterable[tuple[tuple, Any]]) -> list[tuple[tuple, Any, Any]]:
    """Return (arguments, found, expected) of each row of (arguments, expected) whose call returns something else."""
    called = [(arguments, function(*arguments), expected) for arguments, expected in rows]
    return [row for row in called if row[1] != row[2]]


def not_refused(
    call: Callable[[Any], Any], rows: Iterable[tuple[Any, type[Exception] | tuple[type[Exception], ...], str]]
) -> list[tuple[Any, str, str]]:
    """Return (argument, what happened, what was expected) of each row that is not refused as it says.

    Args:
        call: function of one argument.
        rows: (argument, class of the error, pattern that its message matches).
    """
    offenders = []
    for argument, kind, pattern in rows:
        expected = f"{kind} matching {pattern!r}"
        try:
            found = call(argument)
        except kind as error:
            if not re.search(pattern, str(error)):
                offenders.append((argument, f"{type(error).__name__}: {error}", expected))
        except Exception as error:
            offenders.append((argument, f"{type(error).__name__}: {error}", expected))
        else:
            offenders.append((argument, f"returned {found!r}", expected))
    return offenders
