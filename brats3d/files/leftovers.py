"""What killed writers left: hidden files beside those that they were writing."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from brats3d.files.file_names import name_limit, temporary_name


def remove_stale(folder: Path, names: Iterable[str]) -> None:
    """Remove what is left of earlier writes of a folder's files whose writers, on this host, are dead.

    Args:
        folder: where the files are; it may not exist.
        names: the files' names.
    """
    host, limit = socket.gethostname(), name_limit(folder)
    known: set[tuple[str, str]] = set()
    for path in map(Path, names):  # and as earlier versions called them, however long
        known |= {temporary_name(path, limit), (f".{path.stem}.{host}-", path.suffix)}
    pattern = re.compile(rf"(\..+\.{re.escape(host)}-)(\d+)(\.[^.]*|)")
    for left in list(folder.glob(".*")):
        found = pattern.fullmatch(left.name)
        if found and (found[1], found[3]) in known and not _alive(int(found[2])):
            left.unlink(missing_ok=True)


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
