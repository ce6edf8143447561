"""Writes files. A file of the right name is always complete: it is written aside, synced and only then renamed.

A kill at any moment leaves the previous file and at most a hidden file beside it, which the next write of the same file on the
same machine removes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brats3d.errors import SpaceError
from brats3d.files.file_names import name_limit, temporary_name
from brats3d.files.leftovers import remove_stale

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""What the system says if a disk, or a user's quota, is full."""

UNKNOWN = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)
"""What the system says if a drive does not support a request, such as to sync; some network and FUSE drives do not."""


@contextmanager
def whole_file(path: Path | str, *, megabytes: float | None = None) -> Iterator[Path]:
    """Yield a temporary path beside a file to write to; on exit, what was written there becomes the file.

    The temporary name is hidden and consists of the file's name (shortened if necessary, so that any valid file name can be
    written), the host and the process, with the file's suffix. On an exception the temporary file is removed, and the file is
    unchanged.

    Args:
        path: the file; its folder exists.
        megabytes: how much is to be written, if known.

    Yields:
        The temporary path.

    Raises:
        SpaceError: the disk is full; the message says how much is needed, if known.
        OSError: the system refuses for another reason; the exception names the file.
    """
    path = Path(path)
    remove_stale(path.parent, [path.name])
    start, end = temporary_name(path, name_limit(path.parent))
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
    """Write a file completely or not at all.

    Args:
        path: the file; its folder exists.
        content: bytes, or text, which is written as UTF-8.

    Raises:
        SpaceError: the disk is full.
    """
    raw = content.encode() if isinstance(content, str) else content
    with whole_file(path, megabytes=len(raw) / 1e6) as temporary:
        temporary.write_bytes(raw)
