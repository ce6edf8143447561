"""Whole runs: what they leave behind, and that a stopped one goes on as if nothing had happened (must-show 8)."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import AVERAGED, CHANGING, PLAIN, Arguments, Train, assert_the_same_run, last_state, rows, weights

import brats3d
from brats3d.cases import load_split
from brats3d.evaluate import evaluate_cases
from brats3d.store import open_store
from brats3d.train import read_recipe
from brats3d.train.__main__ import main

pytest.importorskip("keras")
pytestmark = [pytest.mark.network, pytest.mark.slow]

# --- one run from beginning to end -----------------------------------------------------------------------------------


def test_a_doomed_run_is_stopped_with_exit_code_2_and_may_be_begun_anew(doomed: tuple[Path, int, set[str]], plain: Any) -> None:
    folder, code, left = doomed
    assert code == 2
    assert left == {"recipe.toml", "split.json", "cases.json", "run.log"}
    assert plain.run == str(folder)
    assert "ERROR the run ended: the loss on one fixed batch does not fall in 3 steps" in (folder / "run.log").read_text(
        encoding="utf-8"
    )


def test_the_folder_holds_what_the_architecture_says(plain: Any) -> None:
    folder = Path(plain.run)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {p for p in found if not p.startswith("tensorboard/")} == {
        "recipe.toml", "split.json", "cases.json", "best.keras", "last.keras", "checkpoint/state-00003.h5",
        "checkpoint/state-00004.h5", "log.csv", "curves.png", "validation/scores.csv", "test/scores.csv", "run.log",
    }  # fmt: skip
    assert (folder / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    text = (folder / "run.log").read_text(encoding="utf-8")
    assert all(f"epoch {epoch}: " in text for epoch in range(1, 5))
    assert "epoch 0" not in text
    assert "test: WT" in text
    assert "every epoch sees the same patches" not in text
    assert not any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger("brats3d").handlers)


def test_the_log_has_a_row_an_epoch(plain: Any) -> None:
    found = rows(Path(plain.run) / "log.csv")
    assert [row["epoch"] for row in found] == ["1", "2", "3", "4"]
    regions = ("WT", "TC", "ET", "mean")
    for number, row in enumerate(found):
        dice = {f"dice_{r.lower()}" for r in regions} | {f"val_dice_{r}" for r in regions}
        assert set(row) == {"epoch", "loss", "learning_rate"} | dice | CHANGING
        assert 0 < float(row["loss"]) < 5
        assert all(0 <= float(row[f"dice_{r.lower()}"]) <= 1 for r in regions)
        # The rate that the epoch began with, of a rate that falls with every step.
        assert float(row["learning_rate"]) == pytest.approx(1e-3 * (1 - number / 4) ** 0.9, abs=1e-9)
        assert float(row["seconds"]) > 0
        assert 0 <= float(row["waiting"]) <= 1
        assert 100 < float(row["peak_mb"]) < 100_000
    # Every third epoch is validated, and the last one always.
    assert [row["val_dice_mean"] != "" for row in found] == [False, False, True, True]
    assert float(found[-1]["loss"]) < float(found[0]["loss"])


def test_callbacks_that_come_after_hear_of_the_validation(plain: Any, told: list[dict[str, float]]) -> None:
    dice = [float(row["val_dice_mean"]) for row in rows(Path(plain.run) / "log.csv") if row["val_dice_mean"]]
    assert [logs.get("val_dice_mean") for logs in told] == [None, None, *dice]
    assert {name for name in told[3] if name.startswith("val_")} == {f"val_dice_{r}" for r in ("WT", "TC", "ET", "mean")}


def test_tensorboard_shows_the_validation(plain: Any) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    found = {}
    for part in ("train", "validation"):
        events = accumulator.EventAccumulator(str(Path(plain.run) / "tensorboard" / part), {"tensors": 0})
        events.Reload()
        found[part] = {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    assert found["train"]["epoch_loss"] == [0, 1, 2, 3]
    assert found["validation"]["epoch_dice_mean"] == [2, 3]


def test_recipe_and_split_are_those_of_the_run(plain: Any, store: Path) -> None:
    folder = Path(plain.run)
    recipe = read_recipe(str(folder / "recipe.toml"))
    assert (recipe.data.batches, recipe.schedule.name, recipe.prediction.flips) == (30, "poly", (1,))
    # Every option stands there, so that the run can be repeated where a default has changed.
    assert recipe.network.options == {
        "base_filters": 2, "depth": 2, "segmentation_levels": 1, "dropout": 0.3, "slope": 0.01, "epsilon": 1e-5,
        "kernel_size": (3, 3, 3), "strides": (2, 2, 2),
    }  # fmt: skip
    assert recipe.loss.options == {"smooth": 1.0, "dice": 1.0, "bce": 1.0}
    assert recipe.training.fold == 0
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
    assert (card.inference.size, card.inference.flips) == ((8, 8, 8), (1,))
    assert (card.spacing_mm, card.stride) == ((7.5,) * 3, (2,) * 3)
    assert (card.inputs.normalisation, card.label_set.name) == ("clamped_zscore", "L17")
    assert "not for clinical decisions" in card.notice
    row = rows(folder / "log.csv")[plain.best_epoch - 1]
    assert card.scores["validation cases"] == len(fold.validation)
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


# --- stopped and resumed ---------------------------------------------------------------------------------------------

COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts jobs in the background has it ignored
from brats3d.console import run
from brats3d.train.__main__ import main
sys.exit(run(main))
"""


def stop_in_epoch(arguments: list[str], folder: Path, epoch: int, number: signal.Signals) -> tuple[int, str]:
    """Start a run, stop it by a signal after so many epochs, in the next; returns its exit code and standard error."""
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
    assert [row["epoch"] for row in found] == ["1", "2", "3", "4"]
    assert len({row["val_dice_mean"] for row in found}) == 1
    assert (result.epochs, result.best_epoch) == (4, 1)
    assert "stopping early: no better validation in the last 3" in (folder / "run.log").read_text(encoding="utf-8")
    assert not math.isnan(result.test_mean["mean"])
    # A run that has ended goes on no more.
    assert train(folder) == result
    assert rows(folder / "log.csv") == found


def test_the_command_shows_the_test_scores(plain: Any, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("brats3d.train.run.run_training", lambda *_, **__: plain)
    assert main([str(store), "--out", plain.run, "--resume"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{case} " in shown for case in plain.test)
    assert f"{plain.run}/best.keras is epoch {plain.best_epoch} of 4" in shown
    assert main([str(store), "--out", plain.run, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plain.as_dict()
