"""How runs end before their time: damaged cases, full disks, losses that are no numbers; and what goes on from there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from run_folders import PLAIN, Arguments, Train, assert_the_same_run, rows

from brats3d.console import run
from brats3d.errors import HealthError, SpaceError
from brats3d.patches import case_of
from brats3d.store import case_path, open_store
from brats3d.train import read_recipe
from brats3d.train.__main__ import main
from brats3d.train.run_folder import RunFolder

pytest.importorskip("keras")
pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.mark.parametrize("met", ["before the first epoch", "in it"])
def test_a_case_that_is_damaged_ends_a_run_with_its_name(
    store: Path,
    tmp_path: Path,
    arguments: Arguments,
    met: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if met == "in it":
        monkeypatch.setattr("brats3d.train.run.known_cases", lambda *_: {})
    shutil.copytree(store, tmp_path / "store")
    settings = {**PLAIN, "training.validate_every": 9}
    train = load_split_of_seed(store).folds[0].train
    late = train[case_of(0, 0, len(train) - 1, len(train))]  # the last to be read: TensorFlow's own thread meets it
    with h5py.File(case_path(tmp_path / "store", late), locking=False) as file:
        chunk = file["images"].id.get_chunk_info(0)
    with case_path(tmp_path / "store", late).open("r+b") as raw:
        raw.seek(chunk.byte_offset + chunk.size // 2)
        raw.write(b"damaged")
    assert run(main, [str(tmp_path / "store"), *arguments(tmp_path / "run", settings)[1:]]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert f"{late}.h5: the case file is damaged" in said
    assert f"{late}.h5: the case file is damaged" in (tmp_path / "run" / "run.log").read_text(encoding="utf-8")


def load_split_of_seed(store: Path) -> Any:
    """The split that a run with seed 0 makes of a store."""
    from brats3d.train.recipe import Recipe
    from brats3d.train.run import _new_split

    return _new_split(open_store(store), Recipe())


def test_a_disk_that_is_full_at_the_first_state_leaves_a_folder_to_begin_anew_in(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        assert (tmp_path / "run" / "best.keras").is_file()
        raise SpaceError("no space left on the disk")

    monkeypatch.setattr("brats3d.train.recorder.save_state", full)
    with pytest.raises(SpaceError):
        train(tmp_path / "run", {"data.batches": 2, "training.validate_every": 1})
    left = {p.name for p in (tmp_path / "run").iterdir()}
    assert left - {"tensorboard"} == {"recipe.toml", "split.json", "cases.json", "run.log"}
    RunFolder(tmp_path / "run").check_new()


# --- stopped because it is doomed ------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_the_run_and_a_lower_rate_goes_on(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brats3d.data import PatchDataset

    read = PatchDataset.__getitem__

    def spoiled(self: Any, index: int) -> tuple[np.ndarray, np.ndarray]:
        images, targets = read(self, index)
        return (images * np.float32(np.nan) if self.epoch == 2 else images), targets

    folder = tmp_path / "run"
    settings = {"data.batches": 3, "schedule.name": "constant", "optimiser.learning_rate": 1e-2}
    with monkeypatch.context() as patch:
        patch.setattr(PatchDataset, "__getitem__", spoiled)
        with pytest.raises(
            HealthError, match="the loss of epoch 3 is nan; continue from the last state with --resume and a lower"
        ):
            train(folder, settings)
    assert sorted(p.name for p in (folder / "checkpoint").iterdir()) == ["state-00001.h5", "state-00002.h5"]
    assert not (folder / "last.keras").exists(), "epoch 3 is validated, but not where its loss is no number"
    assert "ERROR the run ended: the loss of epoch 3 is nan" in (folder / "run.log").read_text(encoding="utf-8")
    result = train(folder, asked={"optimiser.learning_rate": 1e-3})
    assert result.epochs == 4
    assert [float(r["learning_rate"]) for r in rows(folder / "log.csv")] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3], rel=1e-6)
    assert "the recipe's learning rate is 0.001 from here on; it was 0.01" in (folder / "run.log").read_text(encoding="utf-8")
    assert read_recipe(str(folder / "recipe.toml")).optimiser.learning_rate == 1e-3
    assert train(folder) == result


# --- mixed precision -------------------------------------------------------------------------------------------------


MIXED = {"data.batches": 4, "training.epochs": 2, "training.validate_every": 1, "optimiser.ema": 0.9}


def policies(run: Path) -> set[str]:
    from brats3d.models import load_model

    return {layer.dtype_policy.name for layer in load_model(run / "best.keras").network.layers}


def test_a_run_in_mixed_float16_resumes_exactly_and_saves_float32(train: Train, tmp_path: Path) -> None:
    def stop_after_one(what: str, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", {**MIXED, "training.precision": "mixed_float16"}, progress=stop_after_one)
    assert "WARNING the run was stopped (KeyboardInterrupt)" in (tmp_path / "stopped" / "run.log").read_text(encoding="utf-8")
    train(tmp_path / "stopped")
    train(tmp_path / "undisturbed", {**MIXED, "training.precision": "mixed_float16"})
    assert_the_same_run(tmp_path / "stopped", tmp_path / "undisturbed", epochs=2)
    assert policies(tmp_path / "stopped") == {"float32"}


def test_a_run_in_mixed_bfloat16_saves_float32(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "run", {**MIXED, "training.epochs": 1, "training.precision": "mixed_bfloat16"})
    assert read_recipe(str(tmp_path / "run" / "recipe.toml")).training.precision == "mixed_bfloat16"
    assert policies(tmp_path / "run") == {"float32"}
