"""Leftovers of killed writers: hidden files beside those they were writing."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from brats3d.files.file_names import name_limit, temporary_name


def remove_stale(folder: Path, names: Iterable[str]) -> None:
    """Remove leftovers of earlier writes of a folder's files by processes on this host that have ended.

    Args:
        folder: where the files are; it may not exist.
        names: the files' names.
    """
    host, limit = socket.gethostname(), name_limit(folder)
    known: set[tuple[str, str]] = set()
    for path in map(Path, names):  # also as earlier versions named them, however long
        known |= {temporary_name(path, limit), (f".{path.stem}.{host}-", path.suffix)}
    pattern = re.compile(rf"(\..+\.{re.escape(host)}-)(\d+)(\.[^.]*|)")
    for left in list(folder.glob(".*")):
        found = pattern.fullmatch(left.name)
        if found and (found[1], found[3]) in known and not _alive(int(found[2])):
            left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    with suppress(PermissionError):  # another user's process
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    with suppress(OSError):  # no such file: not Linux, or it has ended
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:1] not in ([b"Z"], [b"X"])
    return True
