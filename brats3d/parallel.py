"""One function over many cases, in this process or in several.

Workers are spawned, never forked: HDF5 and TensorFlow do not survive a fork. A worker whose parent dies ends by itself, and
Ctrl-C reaches the parent alone, which then lets the cases in work finish.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from brats3d.errors import CaseError, OptionError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")


def core_count() -> int:
    """Return how many cores this process may use, which a batch system may have made fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(workers: int | None, items: int) -> int:
    """Return how many processes to use: ``workers``, or one a core; never more than there are items.

    Raises:
        OptionError: a number below 1.
    """
    if workers is not None and workers < 1:
        raise OptionError(f"workers is {workers}; expected 1 or more.")
    return max(1, min(workers or core_count(), items))


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
        WorkerError: a worker process was killed.
    """
    count = worker_count(workers, len(items))
    if count == 1:
        for item in items:
            yield item, _answer(function, item)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=start_worker, initargs=(shown_level(),))
    try:
        jobs = {pool.submit(_answer, function, item): item for item in items}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    except BrokenProcessPool as problem:
        raise WorkerError(
            "a worker process was killed, most often for lack of memory; finished cases stay: give the command again with"
            " fewer --workers."
        ) from problem
    finally:
        # On a stop, cases not begun are dropped and those in work end whole.
        pool.shutdown(wait=True, cancel_futures=True)


def _answer(function: Callable[[Item], Result], item: Item) -> Result | CaseError:
    try:
        return function(item)
    except CaseError as problem:
        return problem


def shown_level() -> int:
    """Return the level from which this process shows the library's messages on a stream; above all levels where on none."""
    logger = logging.getLogger("brats3d")
    streams = [h for h in (*logger.handlers, *logging.getLogger().handlers) if type(h) is logging.StreamHandler]
    return max(logger.getEffectiveLevel(), min((h.level for h in streams), default=logging.CRITICAL + 1))


def start_worker(level: int) -> None:
    """Prepare a spawned process: Ctrl-C is the parent's affair, messages look like its own, and it ends when its parent does.

    Args:
        level: the parent's `shown_level`; nothing of the parent's logging reaches a spawned process by itself.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("brats3d")
    logger.addHandler(handler)
    logger.setLevel(level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
