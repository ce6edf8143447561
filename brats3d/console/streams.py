"""Writing to streams whose reader may close them, as with ``| head``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def reader_may_leave(stream: TextIO) -> Iterator[None]:
    """Write to a stream; if its reader has closed it, the text is dropped and the work continues.

    Later output is discarded too: Python would otherwise fail once more as it ends.

    Args:
        stream: standard output or standard error.
    """
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def say(text: str, stream: TextIO) -> None:
    """Print a text at once, if the stream is open; letters that it cannot encode are written as escapes."""
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding, stream.errors or "strict")
    except UnicodeEncodeError:
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    with reader_may_leave(stream):
        print(text, file=stream, flush=True)
