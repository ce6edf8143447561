"""Every command: its options are its function's parameters and settings, its help shows an example, it refuses to overwrite."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cards import flat_card

from brats3d.__main__ import COMMANDS
from brats3d.console import EXIT_CODES, options_of, run
from brats3d.models import build_model, save_model
from brats3d.phantom import write_cohort
from brats3d.preprocess import build_store
from brats3d.preprocess.__main__ import ACTIONS as PREPROCESS
from brats3d.store.__main__ import ACTIONS as STORE

SHAPE = (24, 24, 16)
FUNCTIONS = {
    "preprocess": "build_store",
    "store": "describe_store",
    "train": "train_model",
    "predict": "predict_cases",
    "evaluate": "evaluate_cases",
    "demo": "run_demo",
}


def function_of(command: str) -> Callable[..., object]:
    return getattr(importlib.import_module(f"brats3d.{command}"), FUNCTIONS[command])


def call(command: str, *arguments: object) -> int:
    module = importlib.import_module(f"brats3d.{command}.__main__")
    return run(module.main, [str(a) for a in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@dataclass(frozen=True)
class World:
    """A folder in which every command has run once."""

    path: Path

    def arguments(self, command: str) -> list[object]:
        return {
            "preprocess": [self.path / "scans", "--out", self.path / "store", "--workers", 1],
            "train": [self.path / "store", "--out", self.path / "run"],
            "predict": [self.path / "model.keras", self.path / "scans", "--out", self.path / "masks"],
            "evaluate": [self.path / "masks", self.path / "store", "--out", self.path / "scores"],
            "demo": ["--out", self.path / "demo"],
        }[command]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("world"))
    write_cohort(made.path / "scans", cases=2, shape=SHAPE, seed=3)
    build_store(made.path / "scans", out=made.path / "store")
    with_spacing = 240 / SHAPE[0]
    card = flat_card(
        network="isensee2017",
        network_options={"base_filters": 2, "depth": 3, "segmentation_levels": 2},
        size=(16, 16, 16),
        spacing_mm=with_spacing,
    )
    save_model(made.path / "model.keras", build_model(card.network, **card.network_options), card)
    for part in ("run", "demo"):
        (made.path / part).mkdir()
    for part in ("recipe.toml", "best.keras"):
        (made.path / "run" / part).write_text("somebody's work")
    (made.path / "demo" / "scans").mkdir()
    (made.path / "demo" / "scans" / "scan").write_text("somebody's work")
    (made.path / "demo" / "demo.json").write_text('{"made_by": "brats3d.demo"}')
    assert call("predict", *made.arguments("predict"), "--quiet") == 0
    assert call("evaluate", *made.arguments("evaluate"), "--quiet") == 0
    return made


def test_every_command_is_in_the_table() -> None:
    assert set(FUNCTIONS) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_option_and_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        call(command, "--help")
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert f"Example:\n  python -m brats3d.{command}" in text
    names = [option.name for option in options_of(function_of(command))]
    assert "progress" not in names
    for name in names:
        assert name.upper() in text or f"--{name.replace('_', '-')}" in text, f"{command} --help does not name {name}"


@pytest.mark.parametrize(
    ("command", "action"), [(c, a) for c, actions in (("preprocess", PREPROCESS), ("store", STORE)) for a in actions if a]
)
def test_help_of_an_action_shows_its_own_example(command: str, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call(command, f"--{action}", "--help")
    example = capsys.readouterr().out.partition("Example:\n  ")[2].splitlines()[0]
    assert example.startswith(f"python -m brats3d.{command} ")
    assert f" --{action}" in example


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_option_is_exit_2(command: str) -> None:
    with pytest.raises(SystemExit) as left:
        call(command, "--no-such-option")
    assert left.value.code == EXIT_CODES["cannot"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["preprocess", "train", "predict", "evaluate", "demo"])
def test_existing_output_is_left_alone(command: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path(world.arguments(command)[world.arguments(command).index("--out") + 1])
    before = contents(out)
    assert before
    assert call(command, *world.arguments(command)) == EXIT_CODES["cannot"]
    problem = capsys.readouterr().err
    assert str(out) in problem
    assert "--force" in problem or "--resume" in problem
    assert contents(out) == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ["preprocess", "evaluate"])
def test_command_prints_what_its_function_returns(
    command: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = world.arguments(command)
    arguments[arguments.index("--out") + 1] = tmp_path / "out"
    assert call(command, *arguments, "--json", "--quiet") == 0
    printed = json.loads(capsys.readouterr().out)
    positional = [Path(a) for a in arguments[: arguments.index("--out")]]
    returned = function_of(command)(*positional, out=tmp_path / "out", force=True)
    assert printed == json.loads(json.dumps(returned.as_dict()))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["preprocess", "predict", "evaluate"])
def test_force_makes_the_output_again(command: str, world: World) -> None:
    assert call(command, *world.arguments(command), "--force", "--quiet") == 0
