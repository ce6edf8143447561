"""The library's log messages, on standard error, while a command runs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def messages_on_stderr(level: int) -> Iterator[None]:
    """Show the library's messages of a level and above for the duration of the context.

    The level is the handler's: a run's own log file may need more than the terminal shows.

    Args:
        level: as in `logging`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.setLevel(level)
    logger = logging.getLogger("brats3d")
    before = logger.level
    logger.setLevel(level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
