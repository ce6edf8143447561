"""Case files as one mapping: case id → `StoredCase`, whether they are in a folder or packed into one file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import h5py

from brats3d.cases import select_ids
from brats3d.errors import NoCasesError, StoreError, first_line, system_error
from brats3d.regions import LabelSet
from brats3d.store.read import StoredCase
from brats3d.store.write import case_path

PACKED_FORMAT = "brats3d packed store"
"""The root attribute ``format`` of a packed store."""


class Store(Mapping[str, StoredCase]):
    """The cases of a store by id, sorted by name.

    A packed store can be used instead of its folder everywhere: `case_path` points into the file as if it were a folder.

    Args:
        path: the folder, or the file of a packed store.

    Raises:
        NoCasesError: the folder does not exist or contains no case files, or the file is not a packed store.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        found = _packed_cases(self.path) if self.path.is_file() else _cases_in(self.path)
        self._cases = {case: case_path(self.path, case) for case in sorted(found)}

    def __getitem__(self, case: str) -> StoredCase:
        return StoredCase(self._cases[case])

    def __contains__(self, case: object) -> bool:
        return case in self._cases  # Mapping's default would open the file

    def __iter__(self) -> Iterator[str]:
        return iter(self._cases)

    def __len__(self) -> int:
        return len(self._cases)

    def select(self, cases: list[str] | None) -> list[str]:
        """Return the selected ids, all of them for None.

        Raises:
            OptionError: some are not in the store; the message names them.
        """
        return list(self) if cases is None else select_ids(cases, self, f"the store {self.path}")


def open_store(path: Path | str) -> Store:
    """Open a store for reading; nothing is locked, and any number of processes may do so.

    Args:
        path: the store's folder, or the file of a packed store.

    Returns:
        A mapping from case id to an open `StoredCase`, to be used as a context manager.

    Raises:
        NoCasesError: the folder does not exist or contains no case files, or the file is not a packed store.
    """
    return Store(path)


def is_store(path: Path | str) -> bool:
    """Return whether a path is a folder with case files, or a packed store."""
    path = Path(path)
    return any(path.glob("[!.]*.h5")) if path.is_dir() else path.is_file() and _format(path) == PACKED_FORMAT


def own_codings(folder: Path, but: Collection[str] = ()) -> list[LabelSet]:
    """Return the label sets of users' own that the cases of a folder follow, each once; cases that cannot be read have none.

    Args:
        folder: a store's; it may not exist, or be empty.
        but: ids of cases that do not count, since they are about to be replaced.
    """
    found: list[LabelSet] = []
    for path in sorted(folder.glob("[!.]*.h5")):
        if path.name.removesuffix(".h5") in but:
            continue
        with suppress(StoreError), StoredCase(path) as case:
            if case.coding is not None and case.coding.own and case.coding not in found:
                found.append(case.coding)
    return found


def _cases_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise NoCasesError(
            f"{folder}: no such folder; expected a store made by: python -m brats3d.preprocess SOURCE --out STORE."
        )
    found = [p.name.removesuffix(".h5") for p in folder.glob("*.h5") if not p.name.startswith(".")]
    if not found:
        held = len(list(folder.iterdir()))
        raise NoCasesError(
            f"{folder}: no case files (*.h5) among the {held} entries; expected a store made by brats3d.preprocess."
        )
    return found


def _packed_cases(path: Path) -> list[str]:
    found = _format(path)
    if found != PACKED_FORMAT:
        raise NoCasesError(
            f"{path}: the file has format {found!r}; expected a store: a folder of case files, or a file that"
            " python -m brats3d.store --pack made."
        )
    with h5py.File(path, "r", locking=False) as file:
        return list(file)


def _format(path: Path) -> str:
    """Return a file's own format attribute, or why there is none."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return str(file.attrs.get("format"))
    except OSError as problem:
        number = system_error(problem)
        if number is not None:  # this says nothing about the file
            raise OSError(number, os.strerror(number), str(path)) from problem
        return first_line(problem)
