"""A command's options, derived from the function it calls.

Parameters without a default become positional arguments, keyword-only parameters without one required options, all others
options with the function's default; a settings object becomes one option per field. Help texts come from the docstrings.
Chosen over a hand-written parser per command because the two then cannot disagree.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brats3d.console.exits import EXIT_CODES
from brats3d.console.messages import messages_on_stderr
from brats3d.console.options import REQUIRED, Option, keywords, options_of
from brats3d.console.progress import bar, silent
from brats3d.console.streams import say
from brats3d.console.values import is_mapping, members


def call(
    function: Callable[..., Any],
    argv: Sequence[str] | None,
    *,
    example: str,
    show: Callable[[Any], str],
    prog: str = "",
    defaults: Mapping[str, Any] = MappingProxyType({}),
    names: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Parse arguments, call the function, print its result, and return the exit code.

    Args:
        function: the public function behind the command. A parameter ``progress`` gets the console's own.
        argv: arguments, or None for the process's own.
        example: one real command line, shown by ``--help``.
        show: result → text for standard output. With ``--json`` the result's ``as_dict()`` is printed instead.
        prog: name shown in the usage line; by default the function's module, run with ``python -m``.
        defaults: option → the command's own default, if a command may do what a function should not, such as using
            every core.
        names: parameter or field → its option, if that has another name.

    Returns:
        0, or 3 if the result's ``refused`` (case → sentence) is not empty, whether or not the result could be printed.

    Raises:
        OptionError: a settings object refuses a value.
    """
    parser = build_parser(function, example=example, prog=prog, defaults=defaults, names=names)
    given = vars(parser.parse_args(argv))
    as_json, quiet, verbose = (given.pop(name) for name in ("json", "quiet", "verbose"))
    options = keywords(function, given)
    if "progress" in inspect.signature(function).parameters:
        options["progress"] = silent if quiet else bar()
    with messages_on_stderr(logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING):
        result = function(**options)
    say(json.dumps(result.as_dict(), indent=2) if as_json else show(result), sys.stdout)
    refused = getattr(result, "refused", {})
    for case, sentence in refused.items():
        say(f"refused {case}: {sentence}", sys.stderr)
    return EXIT_CODES["refused"] if refused else EXIT_CODES["done"]


def build_parser(
    function: Callable[..., Any],
    *,
    example: str,
    prog: str = "",
    defaults: Mapping[str, Any] = MappingProxyType({}),
    names: Mapping[str, str] = MappingProxyType({}),
) -> argparse.ArgumentParser:
    """Return the option parser of a function.

    Args:
        function: a function with annotated parameters and a Google-style docstring.
        example: one real command line for the help text.
        prog: name shown in the usage line.
        defaults: option → the command's own default, instead of the function's.
        names: parameter or field → its option, if that has another name.

    Raises:
        TypeError: two options have one name.
    """
    doc = inspect.getdoc(function) or ""
    parser = argparse.ArgumentParser(
        prog=prog or f"python -m {function.__module__.removesuffix('.__main__')}",
        description=doc.split("\n\n")[0],
        epilog=f"Example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for option in options_of(function):
        own = replace(option, default=defaults[option.name]) if option.name in defaults else option
        _add(parser, own, names.get(option.name))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="no progress, errors only")
    loudness.add_argument("--verbose", action="store_true", help="say more")
    return parser


def _add(parser: argparse.ArgumentParser, option: Option, name: str | None) -> None:
    kind, many, choices = _kind(option.hint)
    text = option.text.replace("%", "%%")
    required = option.default is REQUIRED
    flag = "--" + (name or option.name).replace("_", "-")
    if kind is bool:
        # an option that may be true or unset by default can be switched off too
        action = "store_true" if option.default is False else argparse.BooleanOptionalAction
        parser.add_argument(flag, dest=option.name, action=action, default=option.default, help=text)
    elif option.positional and name is None:
        parser.add_argument(option.name, metavar=option.name.upper(), type=kind, choices=choices, nargs=many, help=text)
    else:
        default = " ".join(map(str, option.default)) if isinstance(option.default, tuple) else option.default
        shown = "" if required or default in (None, "", ()) else f" (default: {default})"
        parser.add_argument(
            flag,
            dest=option.name,
            type=kind,
            choices=choices,
            nargs=many,
            required=required,
            default=None if required else option.default,
            metavar=None if choices else option.name.upper(),
            help=text + shown,
        )


def _kind(hint: Any) -> tuple[Callable[[str], Any], str | None, list[Any] | None]:
    """Return (type of one value, how many as in argparse's ``nargs``, the values allowed) of an annotation."""
    first = members(hint)[0]  # `Path | str` and the like: the first member decides how the command line is read
    if typing.get_origin(first) is typing.Literal:
        values = list(typing.get_args(first))
        return type(values[0]), None, values
    if is_mapping(first):
        return str, "+", None
    if typing.get_origin(first) is not None and issubclass(typing.get_origin(first), Sequence):
        # if None is not the empty list, the option alone is the empty list
        return _kind(typing.get_args(first)[0])[0], "*" if type(None) in typing.get_args(hint) else "+", None
    return (first if first in (bool, int, float, str, Path) else str), None, None
