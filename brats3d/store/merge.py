"""Copies cases of other stores unchanged into a folder; existing cases are never replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from brats3d.console import Progress, silent
from brats3d.errors import CaseError, NoCasesError, OptionError, OutputExistsError, StoreError, check_list
from brats3d.files import Contents, OutputFolder, write_file
from brats3d.regions import LabelSet, two_meanings
from brats3d.store.pack import case_image, check_name
from brats3d.store.read import StoredCase, reading, slabs
from brats3d.store.store_folder import Store, open_store, own_codings
from brats3d.store.write import case_path

NO_CONTENT = ("checksum", "created_with")
"""Root attributes that do not describe the case itself."""
UNPACKED = Contents("a store", "unpacked", again="", option="--unpack")


@dataclass(frozen=True)
class MergeReport:
    """What happened to each case that was to be added.

    Attributes:
        store: the folder they were added to.
        added: ids of the cases that are new there.
        kept: ids of the cases that were already there with the same content.
        refused: case id → why it was not added.
    """

    store: str
    added: tuple[str, ...]
    kept: tuple[str, ...]
    refused: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def merge_stores(store: Path | str, others: Sequence[Path | str], *, progress: Progress = silent) -> MergeReport:
    """Merge the cases of other stores into a store.

    Their files are copied unchanged, whatever their codec. A case whose id exists with different content is refused, and the
    others are added; the same call continues where it stopped.

    Args:
        store: the folder of the store to merge into.
        others: stores to take cases from, folders or packed.
        progress: called as cases are copied.

    Returns:
        What was added, what was already there, and what was refused.

    Raises:
        NoCasesError: one of them is not a store.
        OptionError: no other store is given, or one of them is the store itself.
        OutputExistsError: the store to merge into is packed.
        SpaceError: the disk is full; finished cases are kept.
    """
    opened = open_store(store)
    if opened.path.is_file():
        raise OutputExistsError(f"{store} is a packed store and cannot be merged into; unpack it first, then pack the result.")
    check_list("others", others)
    if not others:
        raise OptionError(f"found {len(others)} other stores; expected one or more to copy cases from.")
    same = [other for other in others if Path(other).resolve() == opened.path.resolve()]
    if same:
        raise OptionError(f"{same[0]} is the store itself; expected other stores.")
    return _bring_in(opened.path, [open_store(other) for other in others], "merging", progress)


def unpack_store(store: Path | str, out: Path | str, *, progress: Progress = silent) -> MergeReport:
    """Unpack a packed store into a folder, one file per case; the same call continues where it stopped.

    Args:
        store: the file of a packed store.
        out: the folder; created if it does not exist.
        progress: called as cases are copied.

    Returns:
        What was unpacked, what was already there, and what was refused.

    Raises:
        NoCasesError: the file is not a packed store.
        OutputExistsError: the folder already contains all the cases, or is a file.
        SpaceError: the disk is full; finished cases are kept.
    """
    opened, out = open_store(store), Path(out)
    if not opened.path.is_file():
        raise NoCasesError(f"{store} is a folder; expected the file of a packed store.")
    folder = OutputFolder(out, UNPACKED)
    folder.names()  # refuses a file
    out.mkdir(parents=True, exist_ok=True)
    report = _bring_in(out, [opened], "unpacking", progress)
    if len(report.kept) == len(opened):
        folder.check_unfinished(len(report.kept), len(opened), str(store))
    return report


def _bring_in(folder: Path, sources: Sequence[Store], what: str, progress: Progress) -> MergeReport:
    added: list[str] = []
    kept: list[str] = []
    refused: dict[str, str] = {}
    todo = [(source, name) for source in sources for name in source]
    own = _OwnCodings(folder)
    for done, (origin, name) in enumerate(todo, 1):
        try:
            (added if _bring(folder, origin, name, own) else kept).append(name)
        except CaseError as problem:
            refused[name] = f"{refused[name]} {problem}" if name in refused else str(problem)
        progress(what, done, len(todo))
    return MergeReport(str(folder), tuple(sorted(added)), tuple(sorted(kept)), dict(sorted(refused.items())))


class _OwnCodings:
    """The label sets of users' own in a folder, looked up when the first case comes that follows one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def known(self) -> list[LabelSet]:
        return own_codings(self.folder)

    def add(self, case: StoredCase) -> None:
        """Refuse a case whose label set has the name of another one in the folder.

        Raises:
            StoreError: names both.
        """
        if case.coding is None or not case.coding.own or case.coding in self.known:
            return
        both = two_meanings([*self.known, case.coding])
        if both:
            raise StoreError(f"{case.path}: {both}; expected one in {self.folder}: give one of them another name.")
        self.known.append(case.coding)


def _bring(folder: Path, source: Store, name: str, own: _OwnCodings) -> bool:
    """Add a case, and return whether it is new there."""
    path = case_path(folder, name)
    with source[name] as case:
        check_name(case)
        own.add(case)
        if not path.exists():
            write_file(path, case_image(case))
            return True
        with StoredCase(path) as there:
            if content_digest(there) != content_digest(case):
                raise StoreError(
                    f"{case.path}: the store {folder} has a case {name} with different content, which is not replaced: rename"
                    " one of them, or leave it out."
                )
    return False


def content_digest(case: StoredCase) -> str:
    """Return a SHA-256 over all of a case's content: facts, grids, voxels and what is derived from them.

    It does not depend on how the arrays are compressed, on where they are in a file, or on the version that wrote them.

    Args:
        case: from a folder or a packed store.

    Raises:
        StoreError: a part of it is damaged.
    """
    digest = hashlib.sha256()
    with reading(case.path):
        _add_attributes(digest, case.root)
        case.root.visititems(lambda name, item: _add(digest, name, item))
    return digest.hexdigest()


def _add(digest: Any, name: str, item: h5py.Dataset | h5py.Group) -> None:
    digest.update(name.encode())
    _add_attributes(digest, item)
    if isinstance(item, h5py.Dataset):
        digest.update(f"{item.dtype.str}{item.shape}".encode())
        for part in slabs(item) if item.ndim >= 3 else [item[()]]:
            digest.update(_content(part))


def _add_attributes(digest: Any, item: h5py.Dataset | h5py.Group) -> None:
    for name in sorted(item.attrs):
        if name not in NO_CONTENT:
            digest.update(name.encode() + b"=" + _content(item.attrs[name]))


def _content(value: Any) -> bytes:
    """Return the bytes of an array, a number or a string; those of an object array of strings would be addresses."""
    array = np.asarray(value)
    return str(array.tolist()).encode() if array.dtype == object else array.tobytes()
