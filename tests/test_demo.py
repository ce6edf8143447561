"""The demo: every step of its quick form runs, every file lies where it says, nothing of anybody else's is touched."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from brats3d.__main__ import COMMANDS
from brats3d.demo import DemoResult, run_demo
from brats3d.demo.__main__ import main
from brats3d.demo.journey import MARKER, PARTS
from brats3d.errors import OptionError, OutputExistsError


@pytest.mark.slow
def test_quick_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "brats3d", "demo", "--size", "quick", "--json", "--out", "d"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rows = list(csv.DictReader((tmp_path / "d" / "scores" / "scores.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["case"] for row in rows} == set(result["test_cases"])
    whole = [float(row["dice"]) for row in rows if row["region"] == "WT"]
    assert result["dice"]["WT"] == pytest.approx(sum(whole) / len(whole))
    for name in result["test_cases"]:
        assert (tmp_path / "d" / "masks" / f"{name}.nii.gz").is_file()
        assert name not in json.loads((tmp_path / "d" / "run" / "split.json").read_text(encoding="utf-8"))["folds"][0]["train"]
    assert (tmp_path / "d" / "picture.png").read_bytes().startswith(b"\x89PNG")
    made = json.loads((tmp_path / "d" / "demo.json").read_text(encoding="utf-8"))
    assert (made["made_by"], made["size"], made["seed"]) == ("brats3d.demo", "quick", 0)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 2
    assert "--force" in again.stderr


class Stopped(Exception):
    """The demo came to its first step."""


@pytest.fixture
def only_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*values: object, **options: object) -> None:
        raise Stopped

    monkeypatch.setattr("brats3d.demo.journey.write_cohort", stop)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("part", [*PARTS, MARKER])
@pytest.mark.usefixtures("only_begins")
def test_what_no_demo_made_is_never_removed(part: str, force: bool, tmp_path: Path) -> None:
    work = tmp_path / part if "." in part else tmp_path / part / "case.h5"
    work.parent.mkdir(exist_ok=True)
    work.write_text("[1, 2]")
    with pytest.raises(OutputExistsError, match=rf"{tmp_path} holds {part}, .* --out\.$"):
        run_demo(out=tmp_path, force=force)
    assert {p: p.read_text(encoding="utf-8") for p in tmp_path.rglob("*") if p.is_file()} == {work: "[1, 2]"}


@pytest.mark.usefixtures("only_begins")
def test_force_removes_what_a_demo_left_and_nothing_else(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "deep" / "demo", tmp_path / "elsewhere"
    with pytest.raises(Stopped):
        run_demo(out=out)
    with pytest.raises(Stopped):  # only the marker is there: nothing to lose
        run_demo(out=out)
    elsewhere.mkdir()
    (elsewhere / "case.h5").write_text("mine")
    (out / "masks").mkdir()
    (out / "masks" / "mask.nii.gz").write_text("the demo's")
    (out / "store").symlink_to(elsewhere)
    (out / "picture.png").write_text("the demo's")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"holds a demo \(store, …\) .*--force"):
        run_demo(out=out)
    with pytest.raises(Stopped):
        run_demo(out=out, force=True)
    assert {p.name for p in out.iterdir()} == {"demo.json", "notes.txt"}
    assert (elsewhere / "case.h5").read_text(encoding="utf-8") == "mine"


def test_a_file_in_the_demos_place_and_an_unknown_size(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(OutputExistsError, match="demo is a file; expected a folder"):
        run_demo(out=tmp_path / "demo", force=True)
    with pytest.raises(OptionError, match=r"size is 'quik' \(did you mean 'quick'\?\)"):
        run_demo(out=tmp_path / "new", size="quik")  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_it_ends_by_saying_that_the_heads_are_synthetic(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = DemoResult("demo", ("Phantom_000",), {"WT": 0.9}, "demo/run/best.keras", "demo/picture.png")
    called: dict[str, object] = {}

    def demo(*, out: str = "demo", seed: int = 0) -> DemoResult:
        """Stand in for the demo."""
        called.update(out=out, seed=seed)
        return result

    monkeypatch.setattr("brats3d.demo.__main__.run_demo", demo)
    assert main(["--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert called == {"out": "demo", "seed": 3}
    assert lines[0] == "mean Dice on 1 synthetic test heads: WT 0.900"
    assert "These are synthetic heads" in lines[-1]


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
