"""The README's Python examples run as scripts, word for word except for the recipe, on synthetic heads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from brats3d.__main__ import COMMANDS
from brats3d.phantom import write_cohort

README = Path(__file__).parents[1] / "README.md"
LONG = 'recipe="cpu_small", out="RUN", settings={"training.epochs": 30, '
SHORT = 'recipe="demo", out="RUN", settings={"training.epochs": 1, "data.batches": 2, "network.options.base_filters": 2, '
"""Stands in for the half hour of cpu_small."""


@pytest.mark.slow
def test_python_examples_run(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    assert LONG in text
    examples = re.findall(r"```python\n(.*?)```", text.replace(LONG, SHORT), re.S)
    assert len(examples) == 2
    write_cohort(tmp_path / "scans", cases=6, shape=(64, 64, 41), seed=0)
    path = os.pathsep.join([str(README.parent), os.environ.get("PYTHONPATH", "")])
    for number, example in enumerate(examples):
        script = tmp_path / f"example{number}.py"
        script.write_text(example, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, script.name], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "SCORES" / "scores.csv").is_file()


def test_shell_examples_name_commands_that_exist() -> None:
    named = set(re.findall(r"python -m brats3d\.(\w+)", README.read_text(encoding="utf-8")))
    assert named
    assert named - {"NAME"} <= set(COMMANDS)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), f"README links to {target}, which does not exist"
