"""Whole runs: what they leave behind, and that a stopped one goes on as if nothing had happened (must-show 8)."""

from __future__ import annotations

import csv
import itertools
import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brats3d
from brats3d.cases import load_split
from brats3d.console import run
from brats3d.errors import OptionError, OutputExistsError
from brats3d.evaluate import evaluate_cases
from brats3d.store import open_store, summarise, write_case
from brats3d.train import read_recipe
from brats3d.train.__main__ import main
from brats3d.train.folder import RunFolder, write_log

keras = pytest.importorskip("keras")
pytestmark = [pytest.mark.network, pytest.mark.slow]

Train = Callable[..., Any]
Arguments = Callable[[Path, dict[str, Any]], list[str]]

PLAIN = {"data.batches": 30, "schedule.name": "poly", "prediction.flips": [1]}
AVERAGED = {"data.batches": 30, "schedule.name": "exponential", "optimiser.ema": 0.9, "training.seed": 3}
CHANGING = {"seconds", "waiting", "peak_mb"}
"""Columns of log.csv that no two runs share."""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def same_rows(path: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in CHANGING} for row in rows(path)]


def weights(path: Path) -> list[np.ndarray]:
    from brats3d.models import load_model

    return list(load_model(path).network.get_weights())


def last_state(folder: Path) -> tuple[int, list[np.ndarray], dict[str, Any]]:
    from brats3d.train.state import load_state

    return load_state(folder / "checkpoint")


# --- one run from beginning to end -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory, arguments: Arguments) -> tuple[Path, int, set[str]]:
    """A run that cannot learn: its folder, its exit code, and what it left there."""
    out = tmp_path_factory.mktemp("plain") / "run"
    settings = {**PLAIN, "training.health_steps": 3, "optimiser.learning_rate": 1e-9}
    code = run(main, arguments(out, settings))
    return out, code, {p.name for p in out.iterdir()}


@pytest.fixture(scope="module")
def plain(doomed: tuple[Path, int, set[str]], train: Train) -> Any:
    """Four undisturbed epochs with Adam and dropout, in the folder that the doomed run left."""
    return train(doomed[0], PLAIN)


def test_a_doomed_run_is_stopped_with_exit_code_2_and_may_be_begun_anew(doomed: tuple[Path, int, set[str]], plain: Any) -> None:
    folder, code, left = doomed
    assert code == 2
    assert left == {"recipe.toml", "split.json", "run.log"}
    assert plain.run == str(folder)


def test_the_folder_holds_what_the_architecture_says(plain: Any) -> None:
    folder = Path(plain.run)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {p for p in found if not p.startswith("tensorboard/")} == {
        "recipe.toml", "split.json", "best.keras", "last.keras", "checkpoint/state-00003.h5", "checkpoint/state-00004.h5",
        "log.csv", "curves.png", "validation/scores.csv", "test/scores.csv", "run.log",
    }  # fmt: skip
    assert (folder / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    text = (folder / "run.log").read_text()
    assert all(f"epoch {epoch}: " in text for epoch in range(4))
    assert "test: WT" in text
    assert "every epoch sees the same patches" not in text
    assert logging.getLogger("brats3d").handlers == []


def test_the_log_has_a_row_an_epoch(plain: Any) -> None:
    found = rows(Path(plain.run) / "log.csv")
    assert [row["epoch"] for row in found] == ["0", "1", "2", "3"]
    regions = ("WT", "TC", "ET", "mean")
    for number, row in enumerate(found):
        dice = {f"dice_{r.lower()}" for r in regions} | {f"val_dice_{r}" for r in regions}
        assert set(row) == {"epoch", "loss", "learning_rate"} | dice | CHANGING
        assert 0 < float(row["loss"]) < 5
        assert all(0 <= float(row[f"dice_{r.lower()}"]) <= 1 for r in regions)
        assert float(row["learning_rate"]) == pytest.approx(1e-3 * (1 - (number + 1) / 4) ** 0.9, abs=1e-9)
        assert float(row["seconds"]) > 0
        assert 0 <= float(row["waiting"]) <= 1
        assert 100 < float(row["peak_mb"]) < 100_000
    # Every third epoch is validated, and the last one always.
    assert [row["val_dice_mean"] != "" for row in found] == [False, False, True, True]
    assert float(found[-1]["loss"]) < float(found[0]["loss"])


def test_recipe_and_split_are_those_of_the_run(plain: Any, store: Path) -> None:
    folder = Path(plain.run)
    recipe = read_recipe(str(folder / "recipe.toml"))
    assert (recipe.data.batches, recipe.schedule.name, recipe.prediction.flips) == (30, "poly", (1,))
    split = load_split(folder / "split.json")
    assert (split.fold, split.seed, len(split.folds)) == (0, 0, 5)
    assert sorted(itertools.chain(*(fold.test for fold in split.folds))) == sorted(open_store(store))


def test_the_best_model_carries_its_card(plain: Any) -> None:
    from brats3d.models import load_model

    folder = Path(plain.run)
    fold, card = load_split(folder / "split.json").folds[0], load_model(folder / "best.keras").card
    assert card.training_cases == fold.train
    assert set(card.training_cases).isdisjoint(fold.test)
    assert set(card.training_cases).isdisjoint(fold.validation)
    assert (card.network, dict(card.network_options)["base_filters"]) == ("isensee2017", 2)
    assert (card.modalities, card.regions) == (("t1", "t1ce", "t2", "flair"), ("WT", "TC", "ET"))
    assert (card.patch_size, card.flips, card.spacing_mm, card.stride) == ((8, 8, 8), (1,), 7.5, 2)
    assert card.normalisation == "clamped_zscore"
    assert card.label_set is not None
    assert "not for clinical decisions" in card.notice
    row = rows(folder / "log.csv")[plain.best_epoch]
    for region in ("WT", "TC", "ET", "mean"):
        assert card.scores[f"validation dice {region}"] == pytest.approx(float(row[f"val_dice_{region}"]), abs=1e-4)
        assert plain.validation[region] == float(row[f"val_dice_{region}"])
    validated = {int(r["epoch"]): float(r["val_dice_mean"]) for r in rows(folder / "log.csv") if r["val_dice_mean"]}
    assert plain.best_epoch == max(validated, key=lambda epoch: validated[epoch])
    assert plain.epochs == 4


@pytest.mark.parametrize("part", ["validation", "test"])
def test_its_scores_are_those_of_predict_and_evaluate(plain: Any, part: str, store: Path, tmp_path: Path) -> None:
    from brats3d.predict import predict_cases

    folder = Path(plain.run)
    cases = f"{folder / 'split.json'}:{part}"
    predict_cases(folder / "best.keras", [store], out=tmp_path / "masks", cases=cases)
    evaluate_cases(tmp_path / "masks", store, out=tmp_path / "scores", cases=cases)
    expected, found = rows(tmp_path / "scores" / "scores.csv"), rows(folder / part / "scores.csv")
    assert {row["case"] for row in found} == set(getattr(load_split(folder / "split.json").folds[0], part))
    assert sorted(found, key=lambda row: (row["case"], row["region"])) == sorted(
        expected, key=lambda r: (r["case"], r["region"])
    )
    dice = {region: [float(row["dice"]) for row in found if row["region"] == region] for region in ("WT", "TC", "ET")}
    for region, values in dice.items():
        means = plain.test_mean if part == "test" else plain.validation
        assert means[region] == pytest.approx(np.mean(values))
    assert any(value > 0 for values in dice.values() for value in values)


# --- begun, there already, resumed with other options ----------------------------------------------------------------


def test_a_folder_with_a_run_is_exit_code_2(plain: Any, arguments: Arguments, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(plain.run)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert run(main, arguments(folder, PLAIN)) == 2
    assert f"error: {folder} holds a run already; use --resume to go on with it, or another --out." in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "5"],
        ["--fold", "1"],
        ["--recipe", "isensee2017"],
        ["--precision", "mixed_bfloat16"],
        ["--settings", "training.epochs=9"],
    ],
)
def test_resuming_with_other_options_is_exit_code_2(
    plain: Any, store: Path, options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brats3d.train.run.run_training", lambda *_: pytest.fail("it went on"))
    assert run(main, [str(store), "--out", plain.run, "--resume", *options]) == 2
    assert f"error: {plain.run} is a run with another recipe or fold than asked for" in capsys.readouterr().err


def test_resuming_with_the_same_options_goes_on(
    plain: Any, store: Path, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_on: list[Any] = []

    def stand_in(*given: Any) -> Any:
        went_on.append(given)
        return plain

    monkeypatch.setattr("brats3d.train.run.run_training", stand_in)
    folder = Path(plain.run)
    for same in ([str(store), "--out", plain.run], [*arguments(folder, PLAIN), "--fold", "0", "--seed", "0"]):
        assert run(main, [*same, "--resume"]) == 0
    recipe = read_recipe(str(folder / "recipe.toml"))
    assert [(path, chosen, out.path, fold) for path, chosen, out, fold, _ in went_on] == [(store, recipe, folder, None)] * 2


def test_where_there_is_no_run_there_is_nothing_to_resume(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, [str(store), "--out", str(tmp_path / "none"), "--resume"]) == 2
    assert "holds no run to resume (recipe.toml and split.json are expected); leave --resume out." in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--fold", "5"], "fold is 5; expected a number from 0 to 4"),
        (["--settings", "data.batch_size=2", "training.replicas=7"], "training.replicas is 7; visible devices: cpu:0"),
        (["--recipe", "cpu_smal"], "recipe is 'cpu_smal' (did you mean 'cpu_small'?)"),
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing(
    store: Path, tmp_path: Path, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, [str(store), "--out", str(tmp_path / "run"), "--recipe", "cpu_small", *more]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_case_without_a_label_is_named(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from brats3d.store import CaseFacts

    with open_store(store)["Phantom_003"] as case:
        facts = CaseFacts("Phantom_003", "Phantom_003", None, "plain", None, None, case.modalities)
        (tmp_path / "store").mkdir()
        write_case(tmp_path / "store", summarise(facts, case.images[:], None, case.grid, case.source))
    assert run(main, [str(tmp_path / "store"), "--out", str(tmp_path / "run")]) in (2, 3)
    assert "case Phantom_003 of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_that_never_finished_an_epoch_may_be_written_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.check_new()
    folder.path.mkdir()
    for path in (folder.recipe, folder.split, folder.text):
        path.write_text("x")
    folder.check_new()
    folder.log.write_text("x")
    with pytest.raises(OutputExistsError, match="holds a run already"):
        folder.check_new()
    with pytest.raises(OptionError, match="holds no run to resume"):
        RunFolder(tmp_path).open_old()


def test_the_log_is_written_anew_and_an_empty_field_is_nothing(tmp_path: Path) -> None:
    write_log(tmp_path / "log.csv", [{"epoch": 0, "loss": 1.5, "val": None}, {"epoch": 1, "loss": 0.25, "val": 0.125}])
    assert (tmp_path / "log.csv").read_bytes().decode() == "epoch,loss,val\n0,1.5,\n1,0.25,0.125\n"
    write_log(tmp_path / "log.csv", [{"epoch": 0}])
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]
    assert rows(tmp_path / "log.csv") == [{"epoch": "0"}]


# --- stopped and resumed ---------------------------------------------------------------------------------------------

COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts jobs in the background has it ignored
from brats3d.console import run
from brats3d.train.__main__ import main
sys.exit(run(main))
"""


def stop_in_epoch(arguments: list[str], folder: Path, epoch: int, number: signal.Signals) -> tuple[int, str]:
    """Start a run, stop it by a signal during an epoch (counted from 0); returns its exit code and standard error."""
    with (folder.parent / "stderr.txt").open("w+") as stderr:
        environment = {"PYTHONPATH": str(Path(brats3d.__file__).parents[1])}
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            env={**os.environ, **environment},
            stderr=stderr,
            stdout=subprocess.DEVNULL,
        )
        before = folder / "checkpoint" / f"state-{epoch:05d}.h5"
        limit = time.monotonic() + 600
        while not before.exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(number)
        code = process.wait(300)
        stderr.seek(0)
        text = stderr.read()
    assert before.exists(), text
    assert len(rows(folder / "log.csv")) == epoch, "the signal came too late"
    assert last_state(folder)[0] == epoch
    return code, text


def assert_the_same_run(found: Path, expected: Path) -> None:
    for name in ("last.keras", "best.keras"):
        assert all(np.array_equal(a, b) for a, b in zip(weights(found / name), weights(expected / name), strict=True)), name
    (first, values, record), (second, others, _) = last_state(found), last_state(expected)
    assert first == second == 4
    assert all(np.array_equal(a, b) for a, b in zip(values, others, strict=True))
    assert [row["epoch"] for row in record["log"]] == [0, 1, 2, 3]
    assert same_rows(found / "log.csv") == same_rows(expected / "log.csv")
    for part in ("validation", "test"):
        assert rows(found / part / "scores.csv") == rows(expected / part / "scores.csv")
    assert sorted(p.name for p in found.rglob("*")) == sorted(p.name for p in expected.rglob("*"))


def test_stopped_by_sigterm_and_resumed_it_is_the_undisturbed_run(
    plain: Any, train: Train, arguments: Arguments, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    code, said = stop_in_epoch(arguments(folder, PLAIN), folder, 2, signal.SIGTERM)
    assert code == 75
    assert "stopped by SIGTERM" in said
    assert "Traceback" not in said
    result = train(folder)
    assert_the_same_run(folder, Path(plain.run))
    assert (result.best_epoch, result.epochs, result.test) == (plain.best_epoch, 4, plain.test)


def test_stopped_by_ctrl_c_and_killed_and_resumed_it_is_the_undisturbed_run(
    train: Train, arguments: Arguments, store: Path, tmp_path: Path
) -> None:
    folder, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    code, said = stop_in_epoch(arguments(folder, AVERAGED), folder, 2, signal.SIGINT)
    assert code == 130
    assert "stopped by Ctrl-C" in said
    assert "Traceback" not in said
    code, _ = stop_in_epoch([str(store), "--out", str(folder), "--resume", "--quiet"], folder, 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    train(folder)
    train(undisturbed, AVERAGED)
    assert_the_same_run(folder, undisturbed)
    # What is saved are the averages, not the weights that learn.
    learning = last_state(folder)[1]
    saved = weights(folder / "last.keras")
    kernels = [w for w in saved if w.ndim == 5]
    for kernel in kernels:
        assert any(np.array_equal(kernel, value) for value in learning)
    assert not np.array_equal(saved[0], learning[0])


# --- early stop and plateau ------------------------------------------------------------------------------------------


def test_a_run_that_gets_no_better_cuts_its_rate_and_stops_early_also_when_it_was_stopped_between(
    train: Train, tmp_path: Path
) -> None:
    settings = {
        "data.batches": 2, "training.epochs": 9, "training.validate_every": 1, "training.early_stop": 3,
        "optimiser.learning_rate": 1e-9, "schedule.name": "plateau", "schedule.patience": 1, "schedule.factor": 0.5,
    }  # fmt: skip

    def stop_after_two(what: str, done: int, total: int) -> None:
        assert (what, total) == ("epochs", 9)
        if done == 2:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(folder, settings, progress=stop_after_two)
    assert len(rows(folder / "log.csv")) == 2
    result = train(folder)
    # The first validation is the best; each one after it is no better, halves the rate, and the third ends the run.
    found = rows(folder / "log.csv")
    assert [float(row["learning_rate"]) for row in found] == pytest.approx([1e-9, 1e-9, 5e-10, 2.5e-10], rel=1e-5)
    assert len({row["val_dice_mean"] for row in found}) == 1
    assert (result.epochs, result.best_epoch) == (4, 0)
    assert "stopping early: no better validation in the last 3" in (folder / "run.log").read_text()
    assert not math.isnan(result.test_mean["mean"])
    # A run that has ended goes on no more.
    assert train(folder) == result
    assert rows(folder / "log.csv") == found


def test_the_command_shows_the_test_scores(plain: Any, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("brats3d.train.run.run_training", lambda *_: plain)
    assert main([str(store), "--out", plain.run, "--resume"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{case} " in shown for case in plain.test)
    assert f"{plain.run}/best.keras is epoch {plain.best_epoch} of 4" in shown
    assert main([str(store), "--out", plain.run, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plain.as_dict()
