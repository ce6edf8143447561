"""Progress reports: the library calls a function, the caller decides what it shows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from brats3d.console.streams import reader_may_leave, say

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``: called whenever ``done`` of ``total`` steps of ``what`` are finished."""

SECONDS_BETWEEN_LINES = 10.0


def silent(what: str, done: int, total: int) -> None:
    """Report nothing; the default of every public function.

    Args:
        what: what is being done.
        done: how many steps of it are finished.
        total: how many there are.
    """


def bar() -> Progress:
    """Return a progress function for standard error: a bar on a terminal, a line now and then elsewhere."""
    return _terminal_bar() if sys.stderr.isatty() else _lines()


def _terminal_bar() -> Progress:
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def report(what: str, done: int, total: int) -> None:
        with reader_may_leave(sys.stderr):
            if what not in bars:
                bars[what] = tqdm(total=total, desc=what, file=sys.stderr)
            bars[what].total = total
            bars[what].update(done - bars[what].n)
            if done >= total:
                bars.pop(what).close()

    return report


def _lines() -> Progress:
    last: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - last.get(what, -1e9) >= SECONDS_BETWEEN_LINES:
            last[what] = now
            say(f"{what}: {done} of {total}", sys.stderr)

    return report
