"""The output folder of an evaluation, and the scores of one in progress, so that a stopped one can continue.

A hidden file in the output folder: its first line records the settings, each further line one case's scores with the
fingerprints of the files they come from. A line cut off by a kill is ignored. The file is removed when the results are written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from brats3d.errors import CaseError, SpaceError
from brats3d.evaluate.pair import Pair
from brats3d.evaluate.report import FILES, SUMMARY_NAME
from brats3d.evaluate.scored_case import CaseResult
from brats3d.files import NO_SPACE, Contents, OutputFolder

log = logging.getLogger(__name__)

NAME = ".scores{number}.unfinished"
SCORES = Contents("scores", "scored", FILES)


def check_results(out: Path, *, force: bool) -> None:
    """Refuse a folder with results; those of a call that was stopped while writing them are written again.

    Args:
        out: the output folder; it need not exist.
        force: results may be overwritten.

    Raises:
        OutputExistsError: results are there, or a file has the folder's name.
    """
    folder = OutputFolder(out, SCORES)
    present = folder.names()
    half = (out / NAME.format(number="")).exists() and SUMMARY_NAME not in present  # the disk was full, say
    if present and not half and not force:
        folder.refuse_finished(", ".join(present))


class Unfinished:
    """The scores found so far.

    Args:
        out: the output folder; it need not exist.
        settings: what determines the scores besides the files.
        number: which of several sets of predictions.
        force: ignore what an earlier evaluation left.

    Raises:
        OutputExistsError: there is an unfinished evaluation with other settings; the message gives those that differ.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], number: int = 0, *, force: bool = False) -> None:
        self.folder = OutputFolder(out, SCORES, json.loads(json.dumps(settings)))  # as they will be read: tuples become lists
        self.path = out / NAME.format(number=number or "")
        self._begun = False
        self._cases: dict[str, dict[str, Any]] = {}
        lines = [] if force else self._lines()
        if lines and lines[0].keys() != self.folder.settings.keys():
            log.warning("%s is from another version and is ignored: all cases are scored again.", self.path)
        elif lines:
            self.folder.check_settings(lines[0])
            self._cases = {str(line.get("case")): line for line in lines[1:]}

    def _lines(self) -> list[dict[str, Any]]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        lines = []
        for line in text.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                break
            if not isinstance(found, dict):
                break
            lines.append(found)
        return lines

    def known(self, pair: Pair) -> CaseResult | None:
        """Return the known scores of a case.

        Args:
            pair: the case.

        Returns:
            Its scores; None if there are none, or its files have changed since.
        """
        line = self._cases.get(pair.id)
        if line is None:
            return None
        try:
            result = CaseResult.from_dict(line["result"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # damaged, or from another version
            return None
        with suppress(CaseError):  # unreadable files are reported when the case is scored
            if result.made_from == pair.fingerprint():
                return result
        return None

    def add(self, pair: Pair, result: CaseResult) -> None:
        """Record the scores of a case.

        Args:
            pair: the case.
            result: its scores.

        Raises:
            SpaceError: the disk is full.
        """
        if not self._begun:
            self._begin()
        self._append({"case": pair.id, "result": result.as_dict()})

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._append(self.folder.settings)
        for line in self._cases.values():
            self._append(line)
        self._begun = True

    def _append(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as problem:
            if problem.errno not in NO_SPACE:
                problem.filename = problem.filename or str(self.path)  # a failed write does not name its file
                raise
            raise SpaceError(f"{self.path}: no space left on the disk; free some space and start again.") from problem

    def remove(self) -> None:
        """Remove the file: the results are written."""
        self.path.unlink(missing_ok=True)
