"""Reads a file once from start to end: inflates it on the way, sums its bytes and checks its end.

isal inflates the bytes straight into the array that keeps them. Reading to the very end matters: only there does gzip verify
its checksum, and only there does it show that a header declares less than the file holds.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from isal import igzip, isal_zlib

from brats3d.images.volume import SourceFile

BUFFER = 1 << 19
"""Bytes read at a time."""
GZIP = b"\x1f\x8b"
"""The first bytes of every gzip file, and of no image."""
MOST_INFLATED = 1032
"""Deflate expands a byte to at most this many (RFC 1951: 258 bytes from two bits)."""


class _Summed(io.RawIOBase):
    """A raw file that keeps the CRC-32 of what is read from it."""

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self._raw = raw
        self.crc32 = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        got: int = self._raw.readinto(buffer)  # type: ignore[attr-defined]
        self.crc32 = isal_zlib.crc32(memoryview(buffer)[:got], self.crc32)
        return got


class Stream:
    """The content of an image file, in order.

    Args:
        path: the file.
        raw: the open file, at its start; inflated if its first bytes are gzip's, whatever its name ends in.
    """

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._packed = raw.read(len(GZIP)) == GZIP
        raw.seek(0)
        self._summed = _Summed(raw)
        inflated: Any = igzip._IGzipReader  # IGzipFile.readinto would copy what this reads in place
        self._content = inflated(self._summed, BUFFER) if self._packed else self._summed

    def take(self, count: int, room: np.ndarray | None = None) -> np.ndarray:
        """Return exactly the next ``count`` bytes, (count,) uint8.

        Args:
            count: how many.
            room: (count,) uint8 array to read into.

        Raises:
            EOFError: the file ends too early.
        """
        if count > self._size * (MOST_INFLATED if self._packed else 1):
            raise EOFError(f"{count} bytes expected, more than a file of {self._size} bytes can hold")
        taken = np.empty(count, np.uint8) if room is None else room  # memory that is never written to is never really allocated
        got = 0
        while got < count:
            more = self._content.readinto(taken[got:])
            if not more:
                raise EOFError(f"{count} bytes expected, {got} left")
            got += more
        return taken

    def skip(self, count: int) -> None:
        """Skip bytes.

        Raises:
            EOFError: the file ends too early.
        """
        while count > 0:
            count -= len(self.take(min(count, 1 << 20)))

    def skip_rest(self) -> None:
        """Skip the rest."""
        buffer = bytearray(1 << 16)
        while self._content.readinto(buffer):
            pass

    def finish(self) -> SourceFile:
        """Check that the file has ended, and return what identifies it.

        Raises:
            ValueError: more bytes follow.
        """
        if self._content.readinto(bytearray(1)):
            raise ValueError(f"there are more bytes after the voxels than the header says, in a file of {self._size} bytes")
        return SourceFile(self._path.name, self._size, self._summed.crc32)


@contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """Open an image file to read it once; exceptions of gzip and zlib are not translated.

    Args:
        path: the file.

    Yields:
        The stream of its content.
    """
    with path.open("rb", buffering=0) as raw:
        yield Stream(path, raw)
