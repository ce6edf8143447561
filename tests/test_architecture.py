"""What holds for the library as a whole: who loads what, and where randomness comes from."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def loaded_by(code: str) -> set[str]:
    """Return the heavy packages that a fresh interpreter has loaded after running some code."""
    script = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_test_sees_what_is_loaded() -> None:
    assert loaded_by("import matplotlib") == {"matplotlib"}
    assert {"regions", "cases", "store"} <= set(ROOMS)


def test_the_package_and_the_rooms_of_the_issue_load_nothing_heavy() -> None:
    rooms = [r for r in ("scores", "evaluate", "store") if r in ROOMS]
    assert loaded_by("import brats3d" + "".join(f", brats3d.{r}" for r in rooms)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("room", [room for room in ROOMS if room not in WITH_FRAMEWORK])
def test_a_room_without_a_framework_loads_none(room: str) -> None:
    assert loaded_by(f"import brats3d.{room}") == set()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_heavy(command: str) -> None:
    code = f"from brats3d.{command}.__main__ import main\ntry: main(['--help'])\nexcept SystemExit as end: assert end.code == 0"
    assert loaded_by(code) == set()


def test_importing_the_package_loads_no_room() -> None:
    script = (
        "import sys, brats3d; dir(brats3d); print([m for m in sys.modules if m.startswith(('brats3d.', 'numpy', 'nibabel'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['brats3d.version']\n"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'brats3d' has no attribute 'find_case'"):
        _ = brats3d.find_case


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_global_randomness(path: Path) -> None:
    """NumPy's generators are made from a seed and passed on; the module's own state is never used."""
    allowed = {"default_rng", "Generator", "SeedSequence", "PCG64"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            assert node.attr in allowed, f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng"):
            assert node.args, f"line {node.lineno}: a generator without a seed"
        if isinstance(node, ast.Import):
            assert "random" not in [alias.name for alias in node.names], f"line {node.lineno}: Python's global random"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_global_statement_and_no_assert(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Global), f"line {node.lineno}: global"
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: an assert is no check of input"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__main__.py" and "console" not in p.parts],
                         ids=lambda p: p.relative_to(ROOT).as_posix())  # fmt: skip
def test_only_console_and_commands_print(path: Path) -> None:
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    assert not [n.lineno for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_parameter_is_annotated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            a = node.args
            bare = [
                x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs) if x.annotation is None and x.arg not in ("self", "cls")
            ]
            assert not bare, f"line {node.lineno}: {node.name}({', '.join(bare)})"
            assert node.returns is not None, f"line {node.lineno}: {node.name} does not say what it returns"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
