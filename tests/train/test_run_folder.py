"""The run folder: what may be begun anew, what is whole, and that its log says why a run ended. No framework."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import pytest

from brats3d.cases import make_split
from brats3d.errors import HealthError, OptionError, OutputExistsError
from brats3d.train.run_folder import RunFolder, messages_in, write_log

SPLIT = make_split([(f"c{i}", f"c{i}", None) for i in range(6)])


@pytest.fixture
def stopped(tmp_path: Path) -> RunFolder:
    """What a run leaves that was stopped in its first epoch."""
    folder = RunFolder(tmp_path / "run")
    folder.check_new()
    folder.begin("[training]", SPLIT)
    folder.text.write_text("x")
    folder.tensorboard.mkdir()
    (folder.tensorboard / "events").write_text("x")
    folder.checkpoint.mkdir()
    (folder.checkpoint / ".state-00001.host-1.h5").write_text("half")
    return folder


def test_a_run_that_never_finished_an_epoch_may_be_begun_anew(stopped: RunFolder) -> None:
    stopped.begin("[data]", SPLIT)
    assert stopped.recipe.read_text(encoding="utf-8") == "[data]"
    assert not stopped.tensorboard.exists()
    stopped.open_old()


@pytest.mark.parametrize("name", ["log.csv", "best.keras", "checkpoint/state-00001.h5", "test/scores.csv", "notes.txt"])
def test_what_somebody_may_want_to_keep_is_not_written_over(stopped: RunFolder, name: str) -> None:
    (stopped.path / name).parent.mkdir(exist_ok=True)
    (stopped.path / name).write_text("x")
    with pytest.raises(OutputExistsError, match=r"run holds a run .*--resume"):
        stopped.begin("[data]", SPLIT)
    assert stopped.recipe.read_text(encoding="utf-8") == "[training]"
    assert (stopped.tensorboard / "events").exists()


def test_where_there_is_no_run_there_is_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="holds no run to resume"):
        RunFolder(tmp_path).open_old()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(OutputExistsError, match="run is a file; expected a folder"):
        RunFolder(tmp_path / "run").check_new()


@pytest.mark.parametrize("finished", [False, True])
def test_an_unfinished_first_epoch_is_forgotten_and_no_other(stopped: RunFolder, finished: bool) -> None:
    made = (stopped.best, stopped.last, stopped.scores("validation"))
    for path in made:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    if finished:
        (stopped.checkpoint / "state-00001.h5").write_text("x")
    stopped.forget_unfinished_epoch()
    assert [path.exists() for path in made] == [finished] * 3
    if not finished:
        stopped.check_new()


def test_the_log_is_written_anew_and_an_empty_field_is_nothing(tmp_path: Path) -> None:
    write_log(tmp_path / "log.csv", [{"epoch": 1, "loss": 1.5, "val": None}, {"epoch": 2, "loss": 0.25, "val": 0.125}])
    assert (tmp_path / "log.csv").read_bytes().decode() == "epoch,loss,val\n1,1.5,\n2,0.25,0.125\n"
    write_log(tmp_path / "log.csv", [{"epoch": 1}])
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]
    with (tmp_path / "log.csv").open() as stream:
        assert list(csv.DictReader(stream)) == [{"epoch": "1"}]


@pytest.mark.parametrize(
    ("problem", "line", "traced"),
    [
        (HealthError("the loss is nan; lower the rate."), "ERROR the run ended: the loss is nan; lower the rate.", False),
        (OSError(16, "x", "run/a"), "ERROR the run ended: run/a: Device or resource busy", False),
        (ZeroDivisionError("by zero"), "ERROR the run ended: ZeroDivisionError: by zero", True),
        (KeyboardInterrupt(), "WARNING the run was stopped (KeyboardInterrupt)", False),
    ],
)
def test_the_text_says_why_a_run_ended(
    tmp_path: Path, problem: BaseException, line: str, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def run_of_one_epoch() -> None:
        with messages_in(tmp_path / "run.log"):
            logging.getLogger("brats3d.train").info("epoch 1")
            raise problem

    with pytest.raises(type(problem)):
        run_of_one_epoch()
    said = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "INFO epoch 1" in said
    assert line in said
    assert ("Traceback" in said) == traced
    assert "ended" not in caplog.text, "the caller says it on the terminal, and once is enough"
    assert not any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger("brats3d").handlers)


def test_a_full_disk_under_the_log_is_no_error_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a file that is always full")
    (tmp_path / "run.log").symlink_to("/dev/full")
    with messages_in(tmp_path / "run.log"):
        logging.getLogger("brats3d.train").warning("epoch 1")
    assert capsys.readouterr().err == ""
