"""Files found and files written. What has the right name is whole: it is written aside, synced, and only then gets its name.

A kill at any moment leaves the file that was there before, and at most a hidden file beside it, which the next write of the
same file on the same machine removes.
"""

from __future__ import annotations

import codecs
import errno
import logging
import os
import re
import socket
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from brats3d.errors import CaseError, SpaceError

log = logging.getLogger(__name__)

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where a disk, or a user's share of it, is full."""

NAME_BYTES = 255
"""How long a file's name may be, in bytes, where the system does not say it."""
PROCESS_DIGITS = 10
"""Room for the number of a process in a temporary name, so that the rest of the name does not depend on it."""
LONGEST_SUFFIX = 16
"""A longer part behind a name's last dot is no file type, and stays with the stem."""

UNKNOWN = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)
"""What the system says where a drive does not know a request, such as to sync; some network and FUSE drives do not."""


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

    The temporary name is hidden and holds the file's name (shortened if need be, so that every name a file may have can be
    written), the host and the process, and ends as the file's does. If the context is left by an exception, nothing stays of
    it, and the file is what it was.

    Args:
        path: the file; its folder exists.
        megabytes: how much is to be written, where that is known.

    Yields:
        The temporary path.

    Raises:
        SpaceError: the disk is full; says how much is needed, where that is known.
        OSError: the system refuses for another reason; names the file.
    """
    path = Path(path)
    remove_stale(path.parent, [path.name])
    start, end = _temporary_name(path, name_limit(path.parent))
    temporary = path.with_name(f"{start}{os.getpid()}{end}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as problem:
        if problem.errno not in NO_SPACE:
            if problem.errno and problem.filename in (None, str(temporary)):
                problem.filename, problem.filename2 = str(path), None  # what the user knows
            raise
        needed = "free some space" if megabytes is None else f"{max(megabytes, 0.1):.1f} MB are needed"
        raise SpaceError(f"{path}: no space left on the disk; {needed}.") from problem
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as written:
        try:
            os.fsync(written.fileno())
        except OSError as problem:
            if problem.errno not in UNKNOWN:
                raise


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


def read_text(path: Path | str) -> str:
    """Read a text file that a person made, in UTF-8 or UTF-16, with a byte order mark or without.

    Windows writes UTF-16 where it says "Unicode", and so does PowerShell's ``>``.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read.
        UnicodeError: it is neither.
    """
    raw = Path(path).read_bytes()
    encoding = "utf-8-sig"
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in raw[:2]:  # half of a first letter
        encoding = "utf-16-be" if raw[:1] == b"\0" else "utf-16-le"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as problem:
        raise UnicodeError(f"byte {problem.start} is not text in UTF-8 or UTF-16; save it as UTF-8") from problem


def remove_stale(folder: Path, names: Iterable[str]) -> None:
    """Remove what is left of earlier writes of a folder's files whose writers, on this host, are dead.

    Args:
        folder: where the files are; it may not exist.
        names: the files' names.
    """
    host, limit = socket.gethostname(), name_limit(folder)
    known: set[tuple[str, str]] = set()
    for path in map(Path, names):  # and as earlier versions called them, however long
        known |= {_temporary_name(path, limit), (f".{path.stem}.{host}-", path.suffix)}
    pattern = re.compile(rf"(\..+\.{re.escape(host)}-)(\d+)(\.[^.]*|)")
    for left in list(folder.glob(".*")):
        found = pattern.fullmatch(left.name)
        if found and (found[1], found[3]) in known and not _alive(int(found[2])):
            left.unlink(missing_ok=True)


def name_limit(folder: Path) -> int:
    """Return how many bytes the name of a file in a folder may have.

    Args:
        folder: where the file is to be; the nearest folder above it that exists is asked.
    """
    for place in (folder, *folder.absolute().parents):
        with suppress(OSError, ValueError, AttributeError):  # not there yet; or a system that does not say it
            return os.pathconf(place, "PC_NAME_MAX")
    return NAME_BYTES


def check_name(path: Path) -> None:
    """Refuse a file whose name is no text, or longer than its file system takes, before any work is done for it.

    Args:
        path: the file; neither it nor its folder need exist.

    Raises:
        CaseError: shows the name as escaped text; or says how long it is and how long it may be.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError as problem:
        raise CaseError(
            f"the name {path.name!a} is not text in {sys.getfilesystemencoding()}, so that it cannot be recorded; expected"
            " UTF-8: rename the case's files and folders, or name them in a manifest."
        ) from problem
    length, limit = len(os.fsencode(path.name)), name_limit(path.parent)
    if length > limit:
        raise CaseError(
            f"{path.name[:40]}… has {length} bytes; {path.parent} takes file names of at most {limit}: give the case a shorter"
            " name."
        )


def _temporary_name(path: Path, limit: int) -> tuple[str, str]:
    """Return what stands before and after the process's number in a file's temporary name of at most ``limit`` bytes.

    A stem that is too long is cut, and a checksum of the whole name tells it from others that begin alike.
    """
    suffix = path.suffix if len(path.suffix) <= LONGEST_SUFFIX else ""
    stem, host = path.name.removesuffix(suffix), socket.gethostname()
    whole = f".{stem}.{host}-"
    room = limit - PROCESS_DIGITS - len(os.fsencode(suffix))
    if len(os.fsencode(whole)) <= room:
        return whole, suffix
    mark = f"~{zlib.crc32(os.fsencode(path.name)):08x}.{host}-"
    cut = os.fsencode(f".{stem}")[: room - len(os.fsencode(mark))].decode(errors="ignore")
    return f"{cut}{mark}", suffix


def _alive(pid: int) -> bool:
    """Return whether a process runs; one that ended, and that nobody has asked for its exit code yet, does not."""
    with suppress(PermissionError):  # somebody else's process
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    with suppress(OSError):  # no such file: not Linux, or ended meanwhile
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1] not in ([b"Z"], [b"X"])
    return True
