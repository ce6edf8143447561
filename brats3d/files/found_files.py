"""Finds and reads files."""

from __future__ import annotations

import codecs
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

log = logging.getLogger(__name__)


def files_below(folders: Iterable[Path | str]) -> Iterator[str]:
    """Yield the absolute path of every file below folders that is not hidden, sorted by name.

    Links are followed and each folder is visited once; folders that cannot be listed are skipped with a warning.

    Args:
        folders: where to look.
    """
    seen: set[tuple[int, int]] = set()
    for top in folders:
        for folder, subfolders, names in os.walk(os.path.abspath(top), onerror=_passed_over, followlinks=True):
            try:
                status = os.stat(folder)
            except OSError as problem:  # removed in the meantime
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
    log.warning("%s cannot be listed (%s); its content is skipped.", problem.filename, problem.strerror)


def read_text(path: Path | str) -> str:
    """Read a text file made by a person, in UTF-8 or UTF-16, with or without a byte order mark.

    Windows writes UTF-16 when it says "Unicode", and so does PowerShell's ``>``.

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
