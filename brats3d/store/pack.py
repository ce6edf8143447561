"""A store as one file: each case a group that looks as its case file does; chunks are copied as they are, never decoded.

One file is what archives and copies over a network like; while a store grows, it is a folder.
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
"""Room for what a case's group takes beyond what its file took."""


@dataclass(frozen=True)
class PackReport:
    """A store that was packed.

    Attributes:
        store: what was packed.
        out: the file it is packed in.
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
    """Pack a store into one file, whole or not at all.

    The file opens with `open_store` like the folder, for reading. A case file that cannot be opened ends the whole, so that
    nothing is missing in what is packed; damage inside a chunk is copied with its checksum, which still tells it.

    Args:
        store: the store's folder.
        out: the file to write, such as STORE.h5.
        force: replace the file if it exists.
        progress: called as cases are copied.

    Returns:
        What was packed.

    Raises:
        NoCasesError: there is no case file.
        OutputExistsError: the file is there already, a folder has its name, or it would lie in the store itself.
        StoreError: a case file is damaged, or named as another case; nothing is written.
        SpaceError: the disk has too little room; nothing is written.
    """
    opened, out = open_store(store), Path(out)
    if opened.path.is_dir() and out.resolve().parent == opened.path.resolve():
        raise OutputExistsError(f"{out} lies in the store itself, where it would be taken for a case; choose another place.")
    if out.is_dir() or (out.exists() and not force):
        raise OutputExistsError(
            f"{out} is a folder; expected the name of a file, such as {out}.h5."
            if out.is_dir()
            else f"{out} is there already; use --force to replace it, or choose another name."
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
    """A file that HDF5 writes to. What fails is kept in ``problem`` and not told to HDF5, which would end the process.

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
        """Raise what failed, on leaving, in place of whatever came of it."""
        try:
            yield
        finally:
            self.check()

    def check(self) -> None:
        """Raise what failed so far."""
        if self.problem is not None:
            raise self.problem


def check_name(case: StoredCase) -> None:
    """Refuse a case whose file or group has another case's name.

    Raises:
        StoreError: says which case it holds.
    """
    if case.id != case.path.name.removesuffix(".h5"):
        raise StoreError(f"{case.path}: the file holds case {case.id!r}; expected the case its name says: rename it.")


def _bytes_needed(store: Store) -> int:
    files = [store.path] if store.path.is_file() else [case_path(store.path, case) for case in store]
    return sum(f.stat().st_size for f in files) + BYTES_A_CASE * len(store)


def _begin(path: Path, size: int) -> None:
    """Make an empty packed store on a disk that then has room for all of it.

    The room is taken at once: a full disk is better met now than after an hour.
    """
    with h5py.File(f"{path.name}.memory", "w", driver="core", backing_store=False) as file:  # a name that is never on the disk
        file.attrs["format"] = PACKED_FORMAT
        file.attrs["schema"] = SCHEMA
        file.attrs["created_with"] = f"brats3d {__version__}"
        file.flush()
        content = file.id.get_file_image()
    with path.open("wb") as raw:
        raw.write(content)
        raw.flush()
        try:
            os.posix_fallocate(raw.fileno(), 0, size)  # HDF5 cuts off what it did not need when it closes the file
        except OSError as problem:
            if problem.errno not in UNKNOWN:  # else the room is taken as it is needed
                raise


def case_image(case: StoredCase) -> bytes:
    """Return a case as the content of a file of its own, its chunks copied as they are.

    Args:
        case: of a folder or of a packed store.

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
