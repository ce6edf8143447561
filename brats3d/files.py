"""Files found and files written. What has the right name is whole: it is written aside, synced, and only then gets its name.

A kill at any moment leaves the file that was there before, and at most a hidden file beside it, which the next write of the
same file on the same machine removes.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from brats3d.errors import SpaceError

log = logging.getLogger(__name__)

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where a disk, or a user's share of it, is full."""


def files_below(folders: Iterable[Path | str]) -> Iterator[str]:
    """Yield the absolute path of every file below folders that is not hidden, in the order of their names.

    Links are followed and each folder is visited once; what cannot be listed is passed over with a warning.

    Args:
        folders: where to look.
    """
    seen: set[tuple[int, int]] = set()
    for top in folders:
        for folder, subfolders, names in os.walk(os.path.abspath(top), onerror=_passed_over, followlinks=True):
            try:
                status = os.stat(folder)
            except OSError as problem:  # removed meanwhile
                _passed_over(problem)
                subfolders.clear()
                continue
            if (status.st_dev, status.st_ino) in seen:
                subfolders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            subfolders[:] = sorted(s for s in subfolders if not s.startswith(".") and s != "__MACOSX")
            yield from (os.path.join(folder, name) for name in sorted(names) if not name.startswith("."))


def _passed_over(problem: OSError) -> None:
    log.warning("%s cannot be listed (%s); what it holds is passed over.", problem.filename, problem.strerror)


@contextmanager
def whole_file(path: Path | str, *, megabytes: float | None = None) -> Iterator[Path]:
    """Give a name beside a file to write to; on leaving, what was written there becomes the file.

    The temporary name is hidden and holds the file's name, the host and the process, and ends as the file's does. Where the
    context is left by an exception, nothing stays of it, and the file is what it was.

    Args:
        path: the file; its folder exists.
        megabytes: how much is to be written, where that is known.

    Yields:
        The temporary path.

    Raises:
        SpaceError: the disk is full; says how much is needed, where that is known.
    """
    path = Path(path)
    remove_stale(path.parent, [path.name])
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        if problem.errno not in NO_SPACE:
            raise
        needed = "make some" if megabytes is None else f"{max(megabytes, 0.1):.1f} MB are needed"
        raise SpaceError(f"{path}: no space left on the disk; {needed}.") from problem
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: Path | str, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Args:
        path: the file; its folder exists.
        content: bytes, or text, which is written as UTF-8.

    Raises:
        SpaceError: the disk is full.
    """
    raw = content.encode() if isinstance(content, str) else content
    with whole_file(path, megabytes=len(raw) / 1e6) as temporary:
        temporary.write_bytes(raw)


def remove_stale(folder: Path, names: Iterable[str]) -> None:
    """Remove what is left of earlier writes of a folder's files whose writers, on this host, are dead.

    Args:
        folder: where the files are; it may not exist.
        names: the files' names.
    """
    known = set(names)
    pattern = re.compile(rf"\.(.+)\.{re.escape(socket.gethostname())}-(\d+)(\.[^.]*|)")
    for left in list(folder.glob(".*")):
        found = pattern.fullmatch(left.name)
        if found and f"{found[1]}{found[3]}" in known and not _alive(int(found[2])):
            left.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.stem}.{socket.gethostname()}-"


def _alive(pid: int) -> bool:
    with suppress(PermissionError):  # somebody else's process
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
