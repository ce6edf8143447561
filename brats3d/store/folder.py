"""A folder of case files as one mapping: case id → `StoredCase`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brats3d.cases import select_ids
from brats3d.console import Progress, silent
from brats3d.errors import NoCasesError, StoreError
from brats3d.parallel import map_cases
from brats3d.store.read import StoredCase, verify_file
from brats3d.store.write import case_path


class Store(Mapping[str, StoredCase]):
    """The cases of a store, by id, in the order of their names.

    Args:
        path: the folder.

    Raises:
        NoCasesError: the folder does not exist or holds no case file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise NoCasesError(
                f"{self.path}: no such folder; expected a store made by: python -m brats3d.preprocess SOURCE --out STORE."
            )
        found = sorted(p.name.removesuffix(".h5") for p in self.path.glob("*.h5") if not p.name.startswith("."))
        self._cases = {case: case_path(self.path, case) for case in found}
        if not self._cases:
            held = len(list(self.path.iterdir()))
            raise NoCasesError(
                f"{self.path}: no case files (*.h5) among the {held} entries; expected a store made by brats3d.preprocess."
            )

    def __getitem__(self, case: str) -> StoredCase:
        return StoredCase(self._cases[case])

    def __contains__(self, case: object) -> bool:
        return case in self._cases  # a mapping's own way would open the file

    def __iter__(self) -> Iterator[str]:
        return iter(self._cases)

    def __len__(self) -> int:
        return len(self._cases)

    def select(self, cases: list[str] | None) -> list[str]:
        """Return the ids asked for, all of them for None.

        Raises:
            OptionError: names those that are not in the store.
        """
        return list(self) if cases is None else select_ids(cases, self, f"the store {self.path}")


def open_store(path: Path | str) -> Store:
    """Open a store for reading; nothing is locked, any number of processes may do so.

    Args:
        path: the store's folder.

    Returns:
        A mapping from case id to an open `StoredCase`, to be used as a context manager.

    Raises:
        NoCasesError: the folder does not exist or holds no case file.
    """
    return Store(path)


@dataclass(frozen=True)
class StoreListing:
    """What a store holds: a row a case, and the cases that cannot be read.

    Attributes:
        store: the folder.
        cases: case id → facts, shape, volumes.
        refused: case id → what is wrong with its file.
    """

    store: str
    cases: dict[str, dict[str, Any]]
    refused: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the listing as plain values."""
        return asdict(self)


def describe_store(
    store: Path | str, *, verify: bool = False, workers: int | None = 1, progress: Progress = silent
) -> StoreListing:
    """List the cases of a store from their files.

    Args:
        store: the store's folder.
        verify: read every file from end to end and compare its checksums.
        workers: processes that read; None is one per core to verify, and one to list.
        progress: called as cases are read.

    Returns:
        The listing; damaged files are in its ``refused``.

    Raises:
        NoCasesError: the folder holds no case file.
        OptionError: fewer than one worker.
    """
    opened = open_store(store)
    paths = [case_path(opened.path, case) for case in opened]
    look: Callable[[Path], dict[str, Any]] = _verified_row if verify else _row
    rows: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    if workers is None and not verify:
        workers = 1  # a file's facts are read faster than a process starts
    for done, (path, row) in enumerate(map_cases(look, paths, workers=workers), 1):
        name = path.name.removesuffix(".h5")
        if isinstance(row, Exception):
            refused[name] = str(row)
        else:
            rows[name] = row
        progress("reading the store", done, len(paths))
    return StoreListing(str(store), dict(sorted(rows.items())), dict(sorted(refused.items())))


def _row(path: Path) -> dict[str, Any]:
    with StoredCase(path) as case:
        if case.case != path.name.removesuffix(".h5"):
            raise StoreError(f"{path}: the file holds case {case.case!r}; expected the case its name says: rename it.")
        voxel_ml = case.grid.voxel_ml
        return {
            "patient": case.patient,
            "corpus": case.corpus,
            "grade": case.grade,
            "label_set": case.label_set,
            "modalities": list(case.modalities),
            "shape": [int(n) for n in case.grid.shape],
            "type": str(case.images.dtype),
            "label_ml": {str(v): round(s.count * voxel_ml, 3) for v, s in case.tumour.items()},
            "megabytes": round(path.stat().st_size / 1e6, 2),
        }


def _verified_row(path: Path) -> dict[str, Any]:
    verify_file(path)
    return _row(path)
