"""Runs one function over many cases: in this process, in several, on a cluster, or a share of them in each job of an array.

Workers are spawned, never forked: HDF5 and TensorFlow do not survive a fork. A worker whose parent dies exits too, and Ctrl-C
reaches only the parent, which then lets the running cases finish. Beyond one machine, Dask (extra ``cluster``) maps the same
function, or each job takes its `share`.
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
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from brats3d.errors import CaseError, MissingExtraError, OptionError, WorkerError, check_whole, first_line
from brats3d.limits import core_count

__all__ = ["Sharing", "map_cases", "share", "shown_level", "start_worker", "worker_count"]
__dir__ = __all__.copy

Item = TypeVar("Item")
Result = TypeVar("Result")

CLUSTER_SECONDS = 30
"""How long a scheduler may take to answer, and its first worker to appear."""


@dataclass(frozen=True)
class Sharing:
    """How the work on many cases is shared out.

    Attributes:
        workers: processes, each with one case in memory; by default one per core; from Python 1, and None is one per core.
        shard: I/N: only every N-th case, starting with the I-th; 1/8 to 8/8 in eight jobs do them all.
        scheduler: address of a Dask scheduler whose workers do the work instead.

    Raises:
        OptionError: fewer than one worker, or a shard that is none.
    """

    workers: int | None = 1
    shard: str | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        worker_count(self.workers, 1)
        share((), self.shard)


def worker_count(workers: int | None, items: int) -> int:
    """Return how many processes to use: ``workers``, or one per core; never more than there are items.

    Raises:
        OptionError: not a whole number of at least 1.
    """
    if workers is not None:
        check_whole("workers", workers, 1)
    return max(1, min(workers or core_count(), items))


def share(items: Sequence[Item], shard: str | None) -> list[Item]:
    """Return the items of one job of an array: every N-th, starting from the I-th.

    Args:
        items: all items, the same and in the same order in every job.
        shard: ``I/N``, I from 1 to N; None is all of them.

    Raises:
        OptionError: ``shard`` does not have that form.
    """
    if shard is None:
        return list(items)
    index, slash, count = str(shard).partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise OptionError(f"shard is {shard!r}; expected I/N with I from 1 to N, such as 3/8 for the third of eight jobs.")
    return list(items)[int(index) - 1 :: int(count)]


def map_cases(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int | None = None, scheduler: str | None = None
) -> Iterator[tuple[Item, Result | CaseError]]:
    """Call a function once per item and yield each item with its result, in the order in which they finish.

    Args:
        function: a picklable function of one item. A `CaseError` is yielded instead of a result; any other exception stops
            everything.
        items: what to call it with.
        workers: processes; None is one per core, 1 stays in this process.
        scheduler: address of a Dask scheduler to use instead; its workers must see the same files under the same names.

    Yields:
        (item, result or the CaseError raised).

    Raises:
        OptionError: fewer than one worker, or no scheduler answers at the address.
        MissingExtraError: a scheduler is given, and Dask is not installed.
        WorkerError: a worker process was killed, or the scheduler has none.
    """
    if scheduler is not None:
        yield from _map_on_cluster(function, items, scheduler)
        return
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
            f"one of {count} worker processes was killed, most often for lack of memory; finished cases are kept: run the"
            " command again with fewer --workers."
        ) from problem
    finally:
        # When stopped, cases not yet started are dropped and running ones finish.
        pool.shutdown(wait=True, cancel_futures=True)


def _map_on_cluster(
    function: Callable[[Item], Result], items: Sequence[Item], scheduler: str
) -> Iterator[tuple[Item, Result | CaseError]]:
    """Do what `map_cases` does on the workers of a Dask scheduler."""
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as missing:
        raise MissingExtraError(
            f"a Dask scheduler needs distributed ({first_line(missing)}); run: pip install 'brats3d[cluster]'."
        ) from missing
    try:
        client = Client(scheduler, timeout=CLUSTER_SECONDS, set_as_default=False)
    except (OSError, TypeError, ValueError) as problem:  # a time-out is an OSError
        raise OptionError(
            f"scheduler is {scheduler!r}, which does not answer ({first_line(problem)}); expected the address that"
            " `dask scheduler` shows, such as tcp://10.0.0.1:8786."
        ) from problem
    with client:
        _wait_for_workers(client, scheduler)
        jobs = dict(zip(client.map(partial(_answer, function), items, pure=False), items, strict=True))
        try:
            for job, answer in as_completed(list(jobs), loop=client.loop, with_results=True):
                yield jobs[job], answer
        except KilledWorker as problem:
            raise WorkerError(
                f"a worker of {scheduler} was killed repeatedly, most often for lack of memory; finished cases are kept: run"
                " the command again with more memory per worker."
            ) from problem
        except ImportError as problem:
            raise WorkerError(
                f"the workers of {scheduler} cannot import what they need ({first_line(problem)}); install brats3d there."
            ) from problem
        finally:
            client.cancel(list(jobs))  # cases not yet started; running ones finish


def _wait_for_workers(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CLUSTER_SECONDS)
    except TimeoutError as problem:
        raise WorkerError(
            f"the scheduler {scheduler} has no workers; start some with: dask worker {scheduler} --nthreads 1 --nworkers 4."
        ) from problem


def _answer(function: Callable[[Item], Result], item: Item) -> Result | CaseError:
    try:
        return function(item)
    except CaseError as problem:
        return problem


def shown_level() -> int:
    """Return the lowest level of library messages that this process shows on a stream; above all levels if it shows none."""
    logger = logging.getLogger("brats3d")
    streams = [h for h in (*logger.handlers, *logging.getLogger().handlers) if type(h) is logging.StreamHandler]
    return max(logger.getEffectiveLevel(), min((h.level for h in streams), default=logging.CRITICAL + 1))


def start_worker(level: int) -> None:
    """Prepare a spawned process: ignore Ctrl-C, log as the parent does, and exit when the parent does.

    Args:
        level: the parent's `shown_level`; a spawned process does not inherit the parent's logging.
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
