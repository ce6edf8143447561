"""Lists the content of a store from its case files; a saved listing is never the only copy of anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py

from brats3d.console import Progress, silent
from brats3d.errors import OutputExistsError, StoreError
from brats3d.files import write_file
from brats3d.parallel import map_cases
from brats3d.store.read import StoredCase, verify_file
from brats3d.store.store_folder import open_store
from brats3d.store.write import case_path

LISTING_NAME = "store.json"
FACTS = ("patient", "timepoint", "corpus", "grade", "age", "survival_days", "resection", "site", "label_set")
"""Facts about a case in its row, besides its voxels."""


@dataclass(frozen=True)
class StoreListing:
    """The content of a store: one row per case, and the cases that cannot be read.

    Attributes:
        store: the folder, or the file of a packed store.
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
        store: the store's folder, or the file of a packed store.
        verify: read every file from end to end and compare its checksums.
        workers: processes that read; by default one per core with verify, else one; from Python 1, and None is that.
        progress: called as cases are read.

    Returns:
        The listing; damaged files are in its ``refused``.

    Raises:
        NoCasesError: there are no case files.
        OptionError: there is fewer than one worker.
    """
    opened = open_store(store)
    paths = [case_path(opened.path, case) for case in opened]
    look: Callable[[Path], dict[str, Any]] = _verified_row if verify else _row
    rows: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    if workers is None and not verify:
        workers = 1  # reading a file's facts is faster than starting a process
    for done, (path, row) in enumerate(map_cases(look, paths, workers=workers), 1):
        name = path.name.removesuffix(".h5")
        if isinstance(row, Exception):
            refused[name] = str(row)
        else:
            rows[name] = row
        progress("reading the store", done, len(paths))
    return StoreListing(str(store), dict(sorted(rows.items())), dict(sorted(refused.items())))


def write_listing(
    store: Path | str, *, verify: bool = False, workers: int | None = 1, progress: Progress = silent
) -> StoreListing:
    """List the cases of a store and save the listing in it, as ``store.json``.

    It is for people and other programs: this library never reads it, and an older one is replaced.

    Args:
        store: the store's folder.
        verify: read every file from end to end and compare its checksums.
        workers: processes that read; by default one per core with verify, else one; from Python 1, and None is that.
        progress: called as cases are read.

    Returns:
        The listing, as `describe_store` does.

    Raises:
        NoCasesError: there are no case files.
        OutputExistsError: the store is packed, so there is no folder to write to.
        OptionError: there is fewer than one worker.
        SpaceError: the disk is full.
    """
    folder = Path(store)
    if folder.is_file():
        raise OutputExistsError(f"{folder} is a packed store and has no folder for a listing; unpack it first, or use --json.")
    listing = describe_store(folder, verify=verify, workers=workers, progress=progress)
    kept = {"made_by": "brats3d.store", "cases": listing.cases, "refused": _without_folder(listing.refused, folder)}
    write_file(folder / LISTING_NAME, json.dumps(kept, indent=1) + "\n")
    return listing


def _without_folder(refused: dict[str, str], folder: Path) -> dict[str, str]:
    """Return sentences without the store's path, which is private and may change."""
    return {case: sentence.replace(f"{folder}/", "") for case, sentence in refused.items()}


def stored_bytes(case: StoredCase) -> int:
    """Return how many bytes a case takes: its file's size, or that of its arrays in a packed store."""
    if not case.path.parent.is_file():
        return case.path.stat().st_size
    sizes: list[int] = []
    case.root.visititems(lambda _, item: sizes.append(item.id.get_storage_size()) if isinstance(item, h5py.Dataset) else None)
    return sum(sizes)


def _row(path: Path) -> dict[str, Any]:
    with StoredCase(path) as case:
        if case.id != path.name.removesuffix(".h5"):
            raise StoreError(f"{path}: the file contains case {case.id!r}; expected the case in its name: rename it.")
        voxel_ml = case.grid.voxel_ml
        return {
            **{name: getattr(case, name) for name in FACTS},
            "modalities": list(case.modalities),
            "shape": [int(n) for n in case.grid.shape],
            "type": str(case.images.dtype),
            "label_ml": {str(v): round(s.count * voxel_ml, 3) for v, s in case.tumour.items()},
            "warnings": list(case.header.warnings),
            "megabytes": round(stored_bytes(case) / 1e6, 2),
        }


def _verified_row(path: Path) -> dict[str, Any]:
    verify_file(path)
    return _row(path)
