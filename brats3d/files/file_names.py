"""Valid file names, and the hidden ones that files are written under."""

from __future__ import annotations

import os
import socket
import sys
import zlib
from contextlib import suppress
from pathlib import Path

from brats3d.errors import CaseError

NAME_BYTES = 255
"""Longest file name in bytes, if the system does not say."""
PROCESS_DIGITS = 10
"""Room for a process id in a temporary name, so that the rest of the name does not depend on it."""
LONGEST_SUFFIX = 16
"""A longer part after a name's last dot is not a file type, and stays with the stem."""


def name_limit(folder: Path) -> int:
    """Return how many bytes a file name in a folder may have.

    Args:
        folder: the file's folder; the nearest existing folder above it is queried.
    """
    for place in (folder, *folder.absolute().parents):
        with suppress(OSError, ValueError, AttributeError):  # not there yet, or the system does not say
            return os.pathconf(place, "PC_NAME_MAX")
    return NAME_BYTES


def check_name(path: Path) -> None:
    """Refuse a file whose name is not valid text, or is too long for its file system, before any work is done for it.

    Args:
        path: the file; neither it nor its folder need exist.

    Raises:
        CaseError: the message shows the name as escaped text, or gives its length and the longest allowed.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError as problem:
        raise CaseError(
            f"the name {path.name!a} is not text in {sys.getfilesystemencoding()}, so it cannot be recorded; expected"
            " UTF-8: rename the case's files and folders, or name them in a manifest."
        ) from problem
    length, limit = len(os.fsencode(path.name)), name_limit(path.parent)
    if length > limit:
        raise CaseError(
            f"{path.name[:40]}… has {length} bytes; {path.parent} takes file names of at most {limit}: give the case a shorter"
            " name."
        )


def temporary_name(path: Path, limit: int) -> tuple[str, str]:
    """Return what precedes and follows the process id in a file's temporary name of at most ``limit`` bytes.

    A stem that is too long is cut, and a checksum of the whole name distinguishes it from others that start alike.
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
