"""One function over many cases, in this process or in several.

Workers are spawned, never forked: HDF5 and TensorFlow do not survive a fork. A worker whose parent dies ends by itself, and
Ctrl-C reaches the parent alone, which then lets the cases in work finish.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from brats3d.errors import CaseError, OptionError

Item = TypeVar("Item")
Result = TypeVar("Result")


def worker_count(workers: int | None, items: int) -> int:
    """Return how many processes to use: ``workers``, or one a core; never more than there are items.

    Raises:
        OptionError: a number below 1.
    """
    if workers is not None and workers < 1:
        raise OptionError(f"workers is {workers}; expected 1 or more.")
    return max(1, min(workers or os.cpu_count() or 1, items))


def map_cases(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int | None = None
) -> Iterator[tuple[Item, Result | CaseError]]:
    """Call a function once an item and yield each item with its result, in the order in which they finish.

    Args:
        function: a picklable function of one item. Its `CaseError` is yielded in the result's place; any other exception
            ends the whole.
        items: what to call it with.
        workers: processes; None is one a core, 1 stays in this process.

    Yields:
        (item, result or the CaseError raised).

    Raises:
        OptionError: fewer than one worker.
    """
    count = worker_count(workers, len(items))
    if count == 1:
        for item in items:
            yield item, _answer(function, item)
        return
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=start_worker)
    try:
        jobs = {pool.submit(_answer, function, item): item for item in items}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    finally:
        # On a stop, cases not begun are dropped and those in work end whole.
        pool.shutdown(wait=True, cancel_futures=True)


def _answer(function: Callable[[Item], Result], item: Item) -> Result | CaseError:
    try:
        return function(item)
    except CaseError as problem:
        return problem


def start_worker() -> None:
    """Prepare a spawned process: Ctrl-C is the parent's affair, and it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
