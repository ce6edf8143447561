"""The run folder: where everything of a run is."""

from __future__ import annotations

import csv
import io
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brats3d.cases import Split
from brats3d.errors import BratsError, OptionError, first_line, system_words
from brats3d.files import Contents, OutputFolder, write_file

RUN = Contents("a run", "trained", again="use --resume to continue it")


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run.

    Attributes:
        path: the folder.
    """

    path: Path

    recipe = property(lambda self: self.path / "recipe.toml", doc="The resolved recipe.")
    split = property(lambda self: self.path / "split.json", doc="All folds, and which one this run is.")
    cases = property(lambda self: self.path / "cases.json", doc="Checksums of the fold's cases; older runs have none.")
    best = property(lambda self: self.path / "best.keras", doc="The model of the best validation.")
    last = property(lambda self: self.path / "last.keras", doc="The model of the last validation; a run ends with one.")
    checkpoint = property(lambda self: self.path / "checkpoint", doc="Training states.")
    log = property(lambda self: self.path / "log.csv", doc="One row per epoch.")
    curves = property(lambda self: self.path / "curves.png", doc="The log as a picture.")
    tensorboard = property(lambda self: self.path / "tensorboard", doc="TensorBoard's files.")
    text = property(lambda self: self.path / "run.log", doc="What happened, as text.")

    def scores(self, part: str) -> Path:
        """Return the path of the scores of ``validation`` or ``test``."""
        return self.path / part / "scores.csv"

    @property
    def has_state(self) -> bool:
        """Whether there is a training state, whole or damaged."""
        return any(self.checkpoint.glob("state-*.h5"))

    def check_new(self) -> None:
        """Refuse a folder that holds a run; leftovers of a run that never finished an epoch may be overwritten.

        Raises:
            OutputExistsError: a run or something else is there already, or a file has the folder's name.
        """
        folder = OutputFolder(self.path, RUN)
        early = {p.name for p in (self.recipe, self.split, self.cases, self.text, self.tensorboard, self.checkpoint)}
        if self.has_state or not set(folder.names()) <= early:
            folder.check({} if self.recipe.is_file() else None)  # another tool's folder is not a run to resume
            folder.refuse_finished(RUN.name)

    def begin(self, recipe: str, split: Split) -> None:
        """Make the folder, and write the run's recipe and split into it.

        Args:
            recipe: the resolved recipe, as TOML.
            split: all folds, and the run's own.

        Raises:
            OutputExistsError: see `check_new`.
            SpaceError: the disk is full.
        """
        self.check_new()
        self.path.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.tensorboard, ignore_errors=True)  # curves of an attempt that never finished an epoch
        write_file(self.recipe, recipe)
        split.save(self.split)

    def forget_unfinished_epoch(self) -> None:
        """Remove the models and scores of a new run's first epoch whose state was never written.

        They cannot be continued, and `check_new` would mistake them for a run's.
        """
        if not self.has_state:
            with suppress(OSError):
                for path in (self.best, self.last, self.scores("validation")):
                    path.unlink(missing_ok=True)
                self.scores("validation").parent.rmdir()

    def open_old(self) -> None:
        """Check that there is a run to continue.

        Raises:
            OptionError: the folder holds no recipe and split.
            OutputExistsError: a file has the folder's name.
        """
        OutputFolder(self.path, RUN).names()
        if not (self.recipe.is_file() and self.split.is_file()):
            raise OptionError(
                f"{self.path} holds no run to resume (recipe.toml and split.json are expected); leave --resume out."
            )

    def check_same(self, own: Mapping[str, Any], asked: Mapping[str, Any], free: str) -> None:
        """Refuse to continue a run with another recipe.

        Args:
            own: the run's recipe as tables, with the requested value of ``free``.
            asked: the requested one.
            free: the key that may be changed.

        Raises:
            OutputExistsError: names each key that differs, its value in the run, and the requested value.
        """
        again = f"leave these out: a resumed run keeps its recipe, and only --settings {free}=... changes it"
        OutputFolder(self.path, replace(RUN, again=again), asked).check_settings(own)


def write_log(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``log.csv`` again: after a resume it holds only the epochs that count.

    Args:
        path: the file.
        rows: per epoch a mapping column → value; all have the same columns.

    Raises:
        SpaceError: the disk is full.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, text.getvalue())


class _LogFile(logging.FileHandler):
    """A log file for which a full disk is not a second error: the run is stopped elsewhere, with a message."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def messages_in(path: Path) -> Iterator[None]:
    """Send the library's messages to a file as well for the duration of the context, and why it was left early.

    Args:
        path: the file; appended to.
    """
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.setLevel(logging.INFO)
    logger = logging.getLogger("brats3d")
    before = logger.level
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    logger.addHandler(handler)
    try:
        yield
    except BaseException as problem:
        handler.handle(_last_words(logger, problem))  # to the file only: the caller prints it on the terminal
        raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        with suppress(OSError):
            handler.close()


def _last_words(logger: logging.Logger, problem: BaseException) -> logging.LogRecord:
    """Return the message that says why a run ended; a bug comes with its traceback, a refusal by the system without."""
    if not isinstance(problem, Exception):  # Ctrl-C, SIGTERM
        text = f"the run was stopped ({type(problem).__name__})"
        return logger.makeRecord(logger.name, logging.WARNING, __file__, 0, text, (), None)
    known = str(problem) if isinstance(problem, BratsError) else system_words(problem)
    text = f"the run ended: {known or f'{type(problem).__name__}: {first_line(problem)}'}"
    return logger.makeRecord(logger.name, logging.ERROR, __file__, 0, text, (), None if known else sys.exc_info())
