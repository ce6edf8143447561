"""Commands that do one of several things with their input: an option chooses which, a function does it.

Chosen over one function with a parameter for everything, most of them unused in each call, and over subcommands, since
``COMMAND INPUT`` alone should do the most common thing.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from brats3d.console.arguments import call
from brats3d.console.options import options_of
from brats3d.errors import OptionError


@dataclass(frozen=True)
class Action:
    """One of the things that a command does.

    Attributes:
        function: the public function behind it.
        show: result → text for standard output.
        parameter: the function's parameter that the option's value becomes; empty if the option takes none.
        example: one real command line with the option, shown by its ``--help``.
    """

    function: Callable[..., Any]
    show: Callable[[Any], str]
    parameter: str = ""
    example: str = ""


def call_action(
    actions: Mapping[str, Action],
    argv: Sequence[str] | None,
    *,
    example: str,
    prog: str,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Call the function whose option is among the arguments, print its result, and return the exit code.

    Args:
        actions: option without its dashes → what it does; under the empty name, what is done without any of them.
        argv: arguments, or None for the process's own.
        example: one real command line without any of them, shown by ``--help``.
        prog: name shown in the usage line.
        defaults: as in `call`; those for which the function has no option are ignored.

    Returns:
        As `call`.

    Raises:
        OptionError: several of the options are given, or one with a value that takes none.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    asked = [name for name in actions if name and any(a.partition("=")[0] == f"--{name}" for a in arguments)]
    if len(asked) > 1:
        raise OptionError(f"{' and '.join(f'--{name}' for name in asked)} are given; expected one of them at a time.")
    name = asked[0] if asked else ""
    action = actions[name]
    if {"-h", "--help"} & set(arguments):
        arguments = ["--help"]  # even if the value of an option is missing
    elif name and not action.parameter:
        if f"--{name}" not in arguments:
            raise OptionError(f"--{name} takes no value; give it alone.")
        arguments.remove(f"--{name}")
    known = {option.name for option in options_of(action.function)}
    return call(
        action.function,
        arguments,
        example=action.example if name else f"{example}\n\n{_others(actions, prog)}",
        show=action.show,
        prog=f"{prog} --{name}" if name and not action.parameter else prog,
        defaults={option: value for option, value in defaults.items() if option in known},
        names={action.parameter: name} if action.parameter else {},
    )


def _others(actions: Mapping[str, Action], prog: str) -> str:
    """Return what else the command does, one line each."""
    told = {f"--{name} {action.parameter.upper()}".strip(): action for name, action in actions.items() if name}
    width = max(map(len, told))
    lines = [f"  {flag.ljust(width)}  {(inspect.getdoc(a.function) or '').splitlines()[0]}" for flag, a in told.items()]
    return "\n".join(["Instead, one of:", *lines, f"Their own options: {prog} {next(iter(told)).split()[0]} --help"])
