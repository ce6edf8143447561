"""A store as one file: each case is a group laid out like its case file; chunks are copied unchanged, never decoded.

One file suits archives and network copies; while a store grows, it is a folder.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py

from brats3d.console import Progress, silent
from brats3d.errors import OutputExistsError, StoreError
from brats3d.files import UNKNOWN, whole_file
from brats3d.store.read import StoredCase, reading
from brats3d.store.store_folder import PACKED_FORMAT, Store, open_store
from brats3d.store.write import SCHEMA, case_path
from brats3d.version import __version__

BYTES_A_CASE = 65_536
"""Space that a case's group may take beyond its file's."""


@dataclass(frozen=True)
class PackReport:
    """A packed store.

    Attributes:
        store: what was packed.
        out: the file it was packed into.
        cases: ids of its cases.
        megabytes: the file's size.
    """

    store: str
    out: str
    cases: tuple[str, ...]
    megabytes: float

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def pack_store(store: Path | str, out: Path | str, *, force: bool = False, progress: Progress = silent) -> PackReport:
    """Pack a store into one file, completely or not at all.

    `open_store` opens the file like the folder, for reading. A case file that cannot be opened stops everything, so that a
    packed store lacks nothing; damage inside a chunk is copied with its checksum, which still reveals it.

    Args:
        store: the store's folder.
        out: the file to write, such as STORE.h5.
        force: replace the file if it exists.
        progress: called as cases are copied.

    Returns:
        What was packed.

    Raises:
        NoCasesError: there are no case files.
        OutputExistsError: the file exists, a folder has its name, or it would be inside the store itself.
        StoreError: a case file is damaged, or has another case's name; nothing is written.
        SpaceError: the disk is too full; nothing is written.
    """
    opened, out = open_store(store), Path(out)
    if opened.path.is_dir() and out.resolve().parent == opened.path.resolve():
        raise OutputExistsError(f"{out} is inside the store itself, where it would be taken for a case; choose another place.")
    if out.is_dir() or (out.exists() and not force):
        raise OutputExistsError(
            f"{out} is a folder; expected the name of a file, such as {out}.h5."
            if out.is_dir()
            else f"{out} already exists; use --force to replace it, or choose another name."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    needed = _bytes_needed(opened)
    with whole_file(out, megabytes=needed / 1e6) as temporary:
        _begin(temporary, needed)
        with _Output(temporary, "r+b") as output, output.raising(), h5py.File(output, "r+") as file:
            for done, (name, case) in enumerate(opened.items(), 1):
                with case:
                    check_name(case)
                    with reading(case.path):
                        file.copy(case.root, file, name=name)
                output.check()
                progress("packing", done, len(opened))
    return PackReport(str(store), str(out), tuple(opened), round(out.stat().st_size / 1e6, 2))


class _Output(io.FileIO):
    """A file that HDF5 writes to. Failures are kept in ``problem`` and hidden from HDF5, which would crash the process.

    Seen with h5py 3.14 on drives that fail in the middle of a file: "double free", or a segmentation fault.
    """

    problem: OSError | None = None

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        try:
            done = 0
            while done < len(view):
                done += super().write(view[done:])
        except OSError as problem:
            self.problem = self.problem or problem
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as problem:
            self.problem = self.problem or problem
            return self.tell() if size is None else size

    @contextmanager
    def raising(self) -> Iterator[None]:
        """On exit, raise what failed instead of its consequences."""
        try:
            yield
        finally:
            self.check()

    def check(self) -> None:
        """Raise what has failed so far."""
        if self.problem is not None:
            raise self.problem


def check_name(case: StoredCase) -> None:
    """Refuse a case whose file or group has another case's name.

    Raises:
        StoreError: the names differ; the message says which case it contains.
    """
    if case.id != case.path.name.removesuffix(".h5"):
        raise StoreError(f"{case.path}: the file contains case {case.id!r}; expected the case in its name: rename it.")


def _bytes_needed(store: Store) -> int:
    files = [store.path] if store.path.is_file() else [case_path(store.path, case) for case in store]
    return sum(f.stat().st_size for f in files) + BYTES_A_CASE * len(store)


def _begin(path: Path, size: int) -> None:
    """Create an empty packed store and reserve the space for all of it.

    It is better to find out now that the disk is full than after an hour.
    """
    with h5py.File(f"{path.name}.memory", "w", driver="core", backing_store=False) as file:  # never on the disk
        file.attrs["format"] = PACKED_FORMAT
        file.attrs["schema"] = SCHEMA
        file.attrs["created_with"] = f"brats3d {__version__}"
        file.flush()
        content = file.id.get_file_image()
    with path.open("wb") as raw:
        raw.write(content)
        raw.flush()
        try:
            os.posix_fallocate(raw.fileno(), 0, size)  # HDF5 truncates what it did not need when it closes the file
        except OSError as problem:
            if problem.errno not in UNKNOWN:  # otherwise space is taken as needed
                raise


def case_image(case: StoredCase) -> bytes:
    """Return a case as the content of a separate file, its chunks copied unchanged.

    Args:
        case: from a folder or a packed store.

    Raises:
        StoreError: the case cannot be read.
    """
    with reading(case.path):
        if not case.path.parent.is_file():
            return case.path.read_bytes()
        with h5py.File(f"{case.id}.memory", "w", driver="core", backing_store=False) as file:  # never on the disk
            for name in case.root:
                case.root.copy(name, file)
            for name, value in case.root.attrs.items():
                file.attrs[name] = value
            file.flush()
            return bytes(file.id.get_file_image())
