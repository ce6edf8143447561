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
