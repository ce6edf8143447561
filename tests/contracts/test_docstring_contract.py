"""The docstring contract: what is public says what it takes, and names what it raises. Read from the source, nothing loaded.

Ruff holds that there is a docstring (D1) and that its Args miss none (D417). Here stand the rules that no linter has, one test
each, which lists all offenders. Sections are required of what a room offers; where they are, they are right.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import brats3d
from brats3d import errors

ROOT = Path(brats3d.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef
ERRORS = {name: c for name, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)}


def definitions() -> Iterator[tuple[str, ast.AST]]:
    """Yield (address, node) of every public function, class and method of the library."""
    for path in sorted(ROOT.rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        yield from _public(where, ast.parse(path.read_text(encoding="utf-8")))


def _public(where: str, parent: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{where}:{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _public(f"{where}:{node.name}", node)


PUBLIC = dict(definitions())
FUNCTIONS = {address: node for address, node in PUBLIC.items() if isinstance(node, Function)}
CLASSES = {address: node for address, node in PUBLIC.items() if isinstance(node, ast.ClassDef)}


def section(node: ast.AST, name: str) -> dict[str, str]:
    """Return entry → text of a section of a Google docstring; empty where there is none."""
    doc = inspect.cleandoc(ast.get_docstring(node) or "")  # type: ignore[arg-type]
    found = re.search(rf"^{name}:\n(.*?)(?=^\S|\Z)", doc, re.M | re.S)
    entries = re.findall(r"^    (\*{0,2}\w+)(?: \([^)]*\))?:(.*)$", found[1] if found else "", re.M)
    return {entry.lstrip("*"): text.strip() for entry, text in entries}


def parameters(function: Function, *, method: bool) -> list[str]:
    a = function.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *((a.vararg,) if a.vararg else ()), *a.kwonlyargs)]
    names += [a.kwarg.arg] if a.kwarg else []
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
    return names[1:] if method and not static else names


def is_method(address: str) -> bool:
    return address.count(":") > 1


def offered(address: str) -> bool:
    """Whether a room offers the name: it stands in the package's ``__all__``, or the room is one module."""
    where, name = address.split(":")[:2]
    package = ROOT / where.split("/")[0] / "__init__.py"
    return not package.is_file() or f'"{name}"' in package.read_text(encoding="utf-8").partition("__all__ = ")[2]


def test_there_is_something_to_check() -> None:
    assert "regions/painting.py:paint_regions" in FUNCTIONS
    assert "cases/splits.py:Split:save" in FUNCTIONS
    assert "geometry/grid.py:Grid" in CLASSES
    assert offered("regions/painting.py:paint_regions")
    assert not offered("cases/corpora.py:FileName")


def test_a_docstring_starts_with_a_sentence() -> None:
    first = {a: (ast.get_docstring(node) or "").partition("\n")[0] for a, node in PUBLIC.items()}  # type: ignore[arg-type]
    assert not {a: line for a, line in first.items() if line and not re.match(r"[A-Z\"`0-9].*[.:;,)`\w]", line)}


def overrides(address: str) -> bool:
    """Whether a method belongs to a class with bases: those of Keras document their own methods."""
    owner = PUBLIC.get(address.rsplit(":", 1)[0])
    return isinstance(owner, ast.ClassDef) and bool(owner.bases)


def test_args_are_the_signatures() -> None:
    wrong = {}
    for address, node in FUNCTIONS.items():
        listed, taken = list(section(node, "Args")), parameters(node, method=is_method(address))
        required = len(taken) > 2 and offered(address) and not overrides(address)  # a sentence can tell one or two
        if (listed or required) and listed != taken:
            wrong[address] = (listed, taken)
    assert not wrong


def test_attributes_are_the_fields() -> None:
    wrong = {}
    for address, node in CLASSES.items():
        fields = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        public = sorted(f for f in fields if not f.startswith("_"))
        listed = sorted(section(node, "Attributes"))
        is_dataclass = any("dataclass" in ast.unparse(d) for d in node.decorator_list)
        if is_dataclass and (listed or (len(public) > 2 and offered(address))) and listed != public:
            wrong[address] = (listed, public)
    assert not wrong


def test_args_of_a_class_are_those_of_its_constructor() -> None:
    wrong = {}
    for address, node in CLASSES.items():
        constructor = next((n for n in node.body if isinstance(n, Function) and n.name == "__init__"), None)
        listed = list(section(node, "Args"))
        if constructor and listed and listed != parameters(constructor, method=True):
            wrong[address] = listed
    assert not wrong


def test_what_is_said_to_be_raised_exists() -> None:
    said = {(address, name) for address, node in PUBLIC.items() for name in section(node, "Raises")}
    assert not {
        pair for pair in said if pair[1] not in ERRORS and not issubclass(getattr(builtins, pair[1], object), BaseException)
    }


def own_nodes(parent: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, leaving out functions defined inside it."""
    for node in ast.iter_child_nodes(parent):
        if not isinstance(node, Function | ast.Lambda):
            yield node
            yield from own_nodes(node)


def test_what_is_raised_is_said() -> None:
    """Every BratsError that a public function raises itself stands under Raises, by its name or that of its base."""
    silent = {}
    for address, function in FUNCTIONS.items():
        said = tuple(ERRORS[name] for name in section(function, "Raises") if name in ERRORS)
        for node in own_nodes(function):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = ast.unparse(node.exc.func).rsplit(".", 1)[-1]
                if name in ERRORS and not issubclass(ERRORS[name], said):
                    silent[address] = name
    assert not silent
