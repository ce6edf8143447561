"""A command's options, read off the function it calls.

Parameters without a default become positional arguments, keyword-only parameters without one required options, all others
options with the function's default; help texts come from the docstring's Args section. Chosen over a hand-written parser a
command because the two then cannot disagree.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brats3d.console.exits import EXIT_CODES
from brats3d.console.messages import messages_on_stderr
from brats3d.console.progress import Progress, bar, silent
from brats3d.console.streams import say


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
        defaults: option → the command's own default, where a command may do what a function should not, such as using
            every core.
        names: parameter → option that its value is given by, where that is another name.

    Returns:
        0, or 3 where the result's ``refused`` (case → sentence) is not empty, whether or not anybody read the result.
    """
    parser = build_parser(function, example=example, prog=prog, defaults=defaults, names=names)
    options = vars(parser.parse_args(argv))
    as_json, quiet, verbose = (options.pop(name) for name in ("json", "quiet", "verbose"))
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
        defaults: option → the command's own default, in place of the function's.
        names: parameter → option that its value is given by, where that is another name.
    """
    doc = inspect.getdoc(function) or ""
    parser = argparse.ArgumentParser(
        prog=prog or f"python -m {function.__module__.removesuffix('.__main__')}",
        description=doc.split("\n\n")[0],
        epilog=f"Example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    helps = _help_texts(doc)
    hints = typing.get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if hints[name] != Progress:
            own = parameter.replace(default=defaults[name]) if name in defaults else parameter
            _add(parser, own, hints[name], helps.get(name, ""), names.get(name))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="no progress, errors only")
    loudness.add_argument("--verbose", action="store_true", help="say more")
    return parser


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter, hint: Any, text: str, name: str | None) -> None:
    kind, many, choices = _kind(hint)
    text = text.replace("%", "%%")
    required = parameter.default is inspect.Parameter.empty
    flag = _flag(name or parameter.name)
    if kind is bool:
        parser.add_argument(flag, action="store_true", help=text)
    elif required and name is None and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
        parser.add_argument(
            parameter.name, metavar=parameter.name.upper(), type=kind, choices=choices, nargs="+" if many else None, help=text
        )
    else:
        default = " ".join(map(str, parameter.default)) if isinstance(parameter.default, tuple) else parameter.default
        shown = "" if required or default in (None, "", ()) else f" (default: {default})"
        parser.add_argument(
            flag,
            dest=parameter.name,
            type=kind,
            choices=choices,
            nargs="+" if many else None,
            required=required,
            default=None if required else parameter.default,
            metavar=None if choices else parameter.name.upper(),
            help=text + shown,
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _kind(hint: Any) -> tuple[Callable[[str], Any], bool, list[Any] | None]:
    """Return (type of one value, whether several are taken, the values allowed) of an annotation."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [a for a in typing.get_args(hint) if a is not type(None)]
        # `Path | str` and the like: the first member says how the command line is read
        return _kind(members[0])
    if typing.get_origin(hint) is typing.Literal:
        values = list(typing.get_args(hint))
        return type(values[0]), False, values
    if typing.get_origin(hint) is not None and issubclass(typing.get_origin(hint), Sequence):
        return _kind(typing.get_args(hint)[0])[0], True, None
    return (hint if hint in (bool, int, float, str, Path) else str), False, None


def _help_texts(doc: str) -> dict[str, str]:
    """Return parameter → its text in the Args section of a Google-style docstring."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.M | re.S)
    texts: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines() if section else []:
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            name, texts[entry[1]] = entry[1], entry[2].strip()
        elif name and line.strip():
            texts[name] += " " + line.strip()
    return texts
