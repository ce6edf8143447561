"""What holds for the library as a whole: who loads and imports what, what files are called, where randomness comes from."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

import brats3d

ROOT = Path(brats3d.__file__).parent
HEAVY = ("tensorflow", "keras", "jax", "torch", "matplotlib")
"""Packages that a room without a framework must not load."""

WITH_FRAMEWORK = {
    "losses",
    "metrics",
    "models",
    "layers",
    "data",
    "predict",
    "export",
    "train",
    "tune",
    "demo",
    "doctor",
    "view",
}
ROOMS = sorted(
    {p.stem for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()} - {"__init__", "__main__"}
)
COMMANDS = sorted(p.parent.name for p in ROOT.glob("*/__main__.py"))
SOURCES = sorted(ROOT.rglob("*.py"))


def loaded_by(*lines: str) -> dict[str, list[str]]:
    """Return line of code → heavy packages that it loads, of a fresh interpreter that runs one line after the other."""
    script = ["import json, sys", "seen = {}", "before = set()"]
    for line in lines:
        script += [line, f"new = (set({HEAVY!r}) & set(sys.modules)) - before"]
        script += ["before |= new", f"if new: seen[{line!r}] = sorted(new)"]
    script += ["print(json.dumps(seen))"]
    done = subprocess.run([sys.executable, "-c", "\n".join(script)], capture_output=True, encoding="utf-8", check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_rooms_without_a_framework_load_none_and_neither_does_help() -> None:
    """All in one interpreter: if none of the lines loads a package, no line alone loads it."""
    assert {"regions", "cases", "store", "evaluate"} <= set(ROOMS)
    rooms = [f"import brats3d.{room}" for room in ROOMS if room not in WITH_FRAMEWORK]
    loader = "import importlib; load = importlib.import_module"
    help_of = [
        f"exec(\"try: load('brats3d.{c}.__main__').main(['--help'])\\nexcept SystemExit as end: assert end.code == 0\")"
        for c in COMMANDS
    ]
    assert loaded_by(*rooms, loader, *help_of, "import matplotlib") == {"import matplotlib": ["matplotlib"]}


def test_importing_the_package_loads_no_room() -> None:
    script = (
        "import sys, brats3d; dir(brats3d); print([m for m in sys.modules if m.startswith(('brats3d.', 'numpy', 'nibabel'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['brats3d.version']\n"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'brats3d' has no attribute 'find_case'"):
        _ = brats3d.find_case


DIRS = """
import json, sys, brats3d
shown = {"": dir(brats3d)}
rooms = {name: getattr(brats3d, name) for name in sys.argv[1:]}
shown |= {name: dir(room) for name, room in rooms.items()}
lost = [f"{name}.{public}" for name, room in rooms.items() for public in dir(room) if not hasattr(room, public)]
print("\\n" + json.dumps([shown, lost, str(brats3d.losses.DiceLoss)]))
"""


def test_dir_shows_what_is_public() -> None:
    """Of every room in a fresh interpreter, where it is loaded as it is asked for; against the lists in the sources."""
    rooms = [room for room in ROOMS if room != "recipes"]  # those are files
    internal = {"console", "files", "limits", "machine", "pages", "spellings", "version"}
    done = subprocess.run([sys.executable, "-c", DIRS, *rooms], capture_output=True, encoding="utf-8", check=True)
    shown, lost, loss = json.loads(done.stdout.splitlines()[-1])
    listed = {}
    for room in ("", *rooms):
        tree = ast.parse(MODULES[f"brats3d.{room}".strip(".")].read_text(encoding="utf-8"))
        assigned = {ast.unparse(n.targets[0]): n.value for n in tree.body if isinstance(n, ast.Assign)}
        listed[room] = sorted(ast.literal_eval(assigned["__all__"]) + ([] if room else sorted({*rooms} - internal)))
    assert shown == listed
    assert not lost
    assert loss == "<class 'brats3d.losses.region_losses.DiceLoss'>"


def test_generators_have_seeds() -> None:
    """Ruff bans NumPy's and Python's global state (NPY002, TID251); a generator without a seed is as bad."""
    calls = [
        (path.relative_to(ROOT).as_posix(), node.lineno)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng") and not node.args
    ]
    assert not calls


def test_modules_stay_small() -> None:
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert not {path: count for path, count in lines.items() if count > 400}


# who imports whom: read from the source, imports inside functions included


def nodes_at_run_time(parent: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a module, leaving out what only a type checker sees."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from nodes_at_run_time(node)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES}


def imports_of(tree: ast.AST) -> set[str]:
    """Return the library's modules that a module imports; ``from room import name`` imports the submodule if there is one."""
    named = set()
    for node in nodes_at_run_time(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not read here"
            inside = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            named |= {long if long in MODULES else str(node.module) for long in inside.values()}
    return named & set(MODULES)


GRAPH = {name: imports_of(ast.parse(path.read_text(encoding="utf-8"))) for name, path in MODULES.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import one another, directly or by way of others."""
    names = sorted(graph)
    arrows = np.array([[there in graph[name] for there in names] for name in names])
    _, groups = connected_components(arrows, connection="strong")
    together = [[names[i] for i in np.flatnonzero(groups == group)] for group in np.unique(groups)]
    return [group for group in together if len(group) > 1] + [[name] for name in names if name in graph[name]]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [["b", "c"]]
    assert "brats3d.errors" in GRAPH["brats3d.cases.find"]
    assert not circles(GRAPH)


def test_console_and_package_files_import_nothing_from_above() -> None:
    """The layers of pyproject.toml; the package's own file stands beside the console, on the lowest floor but one."""
    layers = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]
    floors = {room: floor for floor, row in enumerate(reversed(layers["layers"])) for room in re.findall(r"\w+", row)}
    assert set(floors) >= set(ROOMS) - {"recipes"}

    def floor(module: str) -> int:
        room = module.split(".")[1] if "." in module else "console"
        return floors.get(room, 0)  # recipes are files

    files = [name for name, path in MODULES.items() if path.name == "__init__.py" or name.startswith("brats3d.console.")]
    arrows = [(name, there) for name in files for there in GRAPH[name]]
    assert not [(name, there) for name, there in arrows if floor(there) > floor(name)]


def test_a_file_name_occurs_once() -> None:
    names = [path.name for path in SOURCES if path.name not in ("__init__.py", "__main__.py")]
    assert not sorted(name for name in set(names) if names.count(name) > 1)
