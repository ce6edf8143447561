"""The run folder: where everything of a run lies."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats3d.errors import OptionError, OutputExistsError


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run.

    Attributes:
        path: the folder.
    """

    path: Path

    recipe = property(lambda self: self.path / "recipe.toml", doc="The resolved recipe.")
    split = property(lambda self: self.path / "split.json", doc="All folds, and which one this run is.")
    best = property(lambda self: self.path / "best.keras", doc="The model of the best validation.")
    last = property(lambda self: self.path / "last.keras", doc="The model of the last epoch.")
    checkpoint = property(lambda self: self.path / "checkpoint", doc="Training states.")
    log = property(lambda self: self.path / "log.csv", doc="A row an epoch.")
    curves = property(lambda self: self.path / "curves.png", doc="The log as a picture.")
    tensorboard = property(lambda self: self.path / "tensorboard", doc="TensorBoard's files.")
    text = property(lambda self: self.path / "run.log", doc="What happened, as text.")

    def scores(self, part: str) -> Path:
        """Return the path of the scores of ``validation`` or ``test``."""
        return self.path / part / "scores.csv"

    def check_new(self) -> None:
        """Refuse a folder that holds a run; what a run left that never finished an epoch may be written over.

        Raises:
            OutputExistsError: a run lies there already.
        """
        early = {self.recipe.name, self.split.name, self.text.name}
        if self.path.exists() and any(entry.name not in early for entry in self.path.iterdir()):
            raise OutputExistsError(f"{self.path} holds a run already; use --resume to go on with it, or another --out.")

    def open_old(self) -> None:
        """Check that there is a run to go on with.

        Raises:
            OptionError: the folder holds no recipe and split.
        """
        if not (self.recipe.is_file() and self.split.is_file()):
            raise OptionError(
                f"{self.path} holds no run to resume (recipe.toml and split.json are expected); leave --resume out."
            )


def write_text(path: Path, text: str) -> None:
    """Write a text file aside and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_log(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``log.csv`` anew: after a resume it holds the epochs that count, and no other.

    Args:
        path: the file.
        rows: a mapping column → value an epoch; all have the same columns.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


@contextmanager
def messages_in(path: Path) -> Iterator[None]:
    """Send the library's messages to a file as well, for as long as the context lasts."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.setLevel(logging.INFO)
    logger = logging.getLogger("brats3d")
    before = logger.level
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()
