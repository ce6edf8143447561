"""The demo's quick form: every step runs, every file lies where it says, nothing is overwritten."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from brats3d.__main__ import COMMANDS


@pytest.mark.slow
def test_quick_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "brats3d", "demo", "--quick", "--json", "--out", "d"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rows = list(csv.DictReader((tmp_path / "d" / "scores" / "scores.csv").read_text().splitlines()))
    assert {row["case"] for row in rows} == set(result["test_cases"])
    whole = [float(row["dice"]) for row in rows if row["region"] == "WT"]
    assert result["dice"]["WT"] == pytest.approx(sum(whole) / len(whole))
    for name in result["test_cases"]:
        assert (tmp_path / "d" / "masks" / f"{name}.nii.gz").is_file()
        assert name not in json.loads((tmp_path / "d" / "run" / "split.json").read_text())["folds"][0]["train"]
    assert (tmp_path / "d" / "picture.png").read_bytes().startswith(b"\x89PNG")
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 2
    assert "--force" in again.stderr


def run_brats3d(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "brats3d", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_brats3d_lists_its_commands() -> None:
    done = run_brats3d()
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


def test_unknown_command_offers_the_nearest() -> None:
    done = run_brats3d("evalute")
    assert done.returncode == 2
    assert "did you mean 'evaluate'" in done.stderr
