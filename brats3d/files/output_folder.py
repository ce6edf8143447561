"""The folder that a command writes to, and that its next call may find there.

Every resumable output answers the same questions in the same words: is the path a file, does the folder contain something else,
was it made with other settings, is it finished, and how much of it is kept? What is recorded, and how, is up to each command: a
store has its settings in every case file, masks have ``predictions.json``, a run has its recipe. The commands pass on what they
read there; the decisions and messages are here.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from brats3d.errors import OutputExistsError

log = logging.getLogger(__name__)

SHOWN = 60
"""Characters of a setting's value shown in a message."""


@dataclass(frozen=True)
class Contents:
    """What a command writes into its folder, and its wording in messages: one row per command.

    Attributes:
        name: what it is, such as ``masks``.
        done: what was done with a kept case, such as ``predicted``.
        parts: names that the command writes in the folder; other entries are ignored. Empty if the folder is for this command
            alone, so that every entry counts that is not hidden.
        again: what a user may do about existing results, besides choosing another folder; empty if nothing else helps.
        beside: what a user may do about other files in the folder; empty if only another folder helps.
        option: the option that names the folder.
    """

    name: str
    done: str = "done"
    parts: tuple[str, ...] = ()
    again: str = "use --force to start over"
    beside: str = ""
    option: str = "--out"


@dataclass(frozen=True)
class OutputFolder:
    """An output folder, and the settings for its contents.

    Attributes:
        path: the folder; it need not exist.
        contents: what the command writes there.
        settings: name → value of what determines the contents besides the input files; plain values, possibly nested.
    """

    path: Path
    contents: Contents
    settings: Mapping[str, Any] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return the names already in the folder: those of `Contents.parts`, or all that are not hidden.

        Returns:
            Parts in their own order, other names sorted; empty if the folder does not exist.

        Raises:
            OutputExistsError: a file has the name of the folder, or of one above it.
        """
        for place in (self.path, *self.path.absolute().parents):
            if place.is_dir():
                break
            if os.path.lexists(place):
                kind = "a file" if place.exists() else "a link that leads nowhere"
                within = "" if place == self.path else f"{self.path} cannot be made: "
                self._refuse(f"{within}{place} is {kind}; expected a folder for {self.contents.name}", "")
        if not self.path.is_dir():
            return []
        if self.contents.parts:
            return [name for name in self.contents.parts if os.path.lexists(self.path / name)]
        return sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))

    def check(self, recorded: Mapping[str, Any] | None, *, force: bool = False) -> list[str]:
        """Refuse a folder that must not be written to, without changing anything.

        Args:
            recorded: the settings that the contents were made with; None if nothing in the folder says that this command made
                them, or a version did that cannot be continued.
            force: existing results may be replaced; other files are then accepted too, if `Contents.beside` says so.

        Returns:
            The names already there (see `names`), to be continued or, with ``force``, replaced.

        Raises:
            OutputExistsError: a file has the folder's name, or the folder contains something else, or results made with other
                settings (the message gives each setting, what it was and what it is now).
        """
        there = self.names()
        if there and recorded is None and not (force and self.contents.beside):
            more = f" and {len(there) - 1} more" if len(there) > 1 else ""
            self._refuse(
                f"{self.path} holds {there[0]}{more}, and nothing there says that it is {self.contents.name} of this version",
                self.contents.beside,
            )
        if there and recorded is not None and not force:
            self.check_settings(recorded)
        return there

    def check_settings(self, recorded: Mapping[str, Any], part: Path | None = None) -> None:
        """Refuse contents that were made with other settings.

        Args:
            recorded: the settings that they were made with; a setting missing there, or here, is None.
            part: the file that records them, if each part of the contents has its own settings.

        Raises:
            OutputExistsError: settings differ; the message gives each of them, what it was and what it is now.
        """
        differing = differences(recorded, self.settings)
        if differing:
            what = f"{self.path} holds {self.contents.name}" if part is None else f"{part} was"
            self._refuse(f"{what} made with other settings ({', '.join(differing)})", self.contents.again)

    def check_unfinished(self, kept: int, wanted: int, source: str = "") -> None:
        """Refuse to start if all cases are done; log a message if some are.

        Args:
            kept: how many of the requested cases are there.
            wanted: how many are requested.
            source: where they come from, for the message.

        Raises:
            OutputExistsError: nothing is left to do.
        """
        if kept and kept == wanted:
            of = f" of {source}" if source else ""
            self._refuse(f"{self.path}: all {wanted} cases{of} are {self.contents.done} already", self.contents.again)
        self.note_kept(kept, wanted)

    def note_kept(self, kept: int, wanted: int) -> None:
        """Log that a call continues an earlier one, if it does.

        Args:
            kept: how many of the requested cases are there.
            wanted: how many are requested.
        """
        if kept:
            log.warning("%s: continuing, %d of %d cases are %s already.", self.path, kept, wanted, self.contents.done)

    def refuse_finished(self, found: str) -> NoReturn:
        """Refuse to start beside finished results.

        Args:
            found: what is there.

        Raises:
            OutputExistsError: always; the message says what is there, and what to do.
        """
        self._refuse(f"{self.path} holds {found} already", self.contents.again)

    def remove(self, files: Iterable[str], folders: Collection[str] = ()) -> None:
        """Remove what an earlier call left; missing files and files outside the folder are ignored.

        A link is removed, its target is kept.

        Args:
            files: names below the folder; a folder of that name stays, unless it is among ``folders``.
            folders: names below the folder that are removed with all their content.
        """
        own = self.path.resolve()
        for name in (*files, *folders):
            target = Path(os.path.normpath(self.path / name))
            if own not in (target.parent.resolve() / target.name).parents:
                continue  # a list from elsewhere may name a file outside
            if target.is_symlink() or not target.is_dir():
                target.unlink(missing_ok=True)
            elif name in folders:
                shutil.rmtree(target)

    def _refuse(self, found: str, instead: str) -> NoReturn:
        other = f"choose another {self.contents.option}"
        raise OutputExistsError(f"{found}; {f'{other}, or {instead}' if instead else other}.")


def differences(recorded: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return which settings differ, as ``NAME was X, now Y``, with the full path of settings in nested tables and lists.

    Args:
        recorded: name → value, as it was.
        settings: name → value, as it is now. A name that is only in one of the two is None in the other.
    """
    before, now = (json.loads(json.dumps(dict(each), default=str)) for each in (recorded, settings))
    return [f"{name} was {was}, now {new}" for name, *both in _differing("", before, now) for was, new in [_shown(*both)]]


def _differing(name: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the full name and both values of what differs; where only one of them is nested, the whole of it."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in {**was, **now}:
            yield from _differing(f"{name}.{key}".lstrip("."), was.get(key), now.get(key))
    elif all(isinstance(each, list) and any(isinstance(part, Mapping) for part in each) for each in (was, now)):
        numbered = [{str(number): part for number, part in enumerate(each, 1)} for each in (was, now)]
        yield from _differing(name, *numbered)
    elif was != now:
        yield name, was, now


def _shown(*values: Any) -> list[str]:
    """Return two values for a message; long ones are cut to where they differ."""
    texts = [repr(value) for value in values]
    same = next((i for i, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1), min(map(len, texts)))
    cut = max(0, same - SHOWN // 4) if max(map(len, texts)) > SHOWN else 0
    return [("…" if cut else "") + text[cut : cut + SHOWN] + ("…" if len(text) > cut + SHOWN else "") for text in texts]
