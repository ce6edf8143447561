"""Checks before any cases are stored: is the folder a store, what is in it already, is there room?"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brats3d.cases import differing_in_case
from brats3d.errors import CaseError, SpaceError
from brats3d.files import Contents, OutputFolder, check_name, remove_stale
from brats3d.store import CaseHeader, StoredCase, case_path

STORE = Contents("a store", "stored", again="use --force to make them again")


@dataclass(frozen=True)
class StoredBefore:
    """Which of the requested cases a store holds.

    Attributes:
        kept: case id → its facts, of the cases that are stored as they should be.
        refused: case id → why it is neither kept nor made again.
    """

    kept: dict[str, CaseHeader] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def store_folder(out: Path, settings: Mapping[str, Any]) -> OutputFolder:
    """Return the folder of a store to be filled.

    Args:
        out: the store's folder; it may not exist.
        settings: name → value of what decides how all cases are stored; None leaves it to each case.

    Raises:
        OutputExistsError: a file has the folder's name.
    """
    folder = OutputFolder(out, STORE, {name: value for name, value in settings.items() if value})
    folder.names()
    return folder


def check_settings(folder: OutputFolder, stored: StoredCase, recorded: Mapping[str, Any]) -> None:
    """Refuse a store whose cases were made with other settings; what a case does not record is not another setting.

    Args:
        folder: the store's.
        stored: a case of it.
        recorded: the settings that it was made with.

    Raises:
        OutputExistsError: names the settings that differ.
    """
    known = {name: recorded.get(name) or value for name, value in folder.settings.items()}
    folder.check_settings(known, stored.path)


def stored_before(
    folder: OutputFolder, cases: Sequence[str], check: Callable[[StoredCase, str], None] | None, source: str
) -> StoredBefore:
    """Return which cases are stored, and what is wrong with those not stored as they should be, or that cannot be stored.

    Leftovers of earlier, dead runs are removed, also beside cases that are not made again. Ids that differ only in letter case
    would be one file on many systems, and the later case would replace the earlier one.

    Args:
        folder: the store's.
        cases: ids of the requested cases.
        check: stored case, id → nothing, or a `CaseError` if it was stored from something else; None if all are made again.
        source: where the cases come from, for messages.

    Raises:
        OutputExistsError: all of them are already stored; or ``check`` says that the store was made with other settings.
    """
    out = folder.path
    differing = differing_in_case([*cases, *(path.stem for path in out.glob("[!.]*.h5"))])
    before = StoredBefore(refused={name: differing[name] for name in cases if name in differing})
    remove_stale(out, [case_path(out, name).name for name in cases])
    for name in cases:
        path = case_path(out, name)
        if name in before.refused:
            continue
        try:
            check_name(path)
            if check is None or not path.exists():
                continue
            with StoredCase(path) as stored:
                check(stored, name)
        except CaseError as problem:
            before.refused[name] = str(problem)
        else:
            before.kept[name] = stored.header
    folder.check_unfinished(len(before.kept), len(cases), source)
    return before


def codec_of(stored: StoredCase) -> str:
    """Return the key of `store.CODECS` that a case was written with."""
    return "gzip" if stored.images.compression == "gzip" else "zstd"


def check_room(out: Path, needed: float, cases: int) -> None:
    """Refuse to start if the disk has too little room.

    Args:
        out: the store's folder; it may not exist.
        needed: the most bytes that the cases take.
        cases: number of cases.

    Raises:
        SpaceError: says how much is needed and how much is free.
    """
    free = shutil.disk_usage(next(p for p in (out, *out.absolute().parents) if p.exists())).free
    if needed > free:
        raise SpaceError(f"{out}: about {_size(needed)} are needed for {cases} cases, {_size(free)} are free.")


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
