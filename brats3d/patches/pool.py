"""Readers that work ahead: threads in this process, or processes of their own.

Jobs are (epoch, batch number); answers come by the same key, so asking twice, or out of order, is harmless. Threads are the
default: normalising and h5py both let go of the interpreter. HDF5 holds one lock a process, so where reading itself is the
limit, ``readers`` processes read in parallel.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from brats3d.errors import OptionError
from brats3d.parallel import start_worker
from brats3d.patches.reader import CaseReader, PatchPlan

Batch = tuple[np.ndarray, np.ndarray]
AHEAD = 3
"""Batches asked for ahead of the one in use: 2 × 128³ × (4 + 3) float32 are 117 MB each."""


def read_batch(reader: CaseReader, epoch: int, number: int, size: int) -> Batch:
    """Return a finished batch, channels last: where the layout changes for Keras.

    Args:
        reader: reads the samples.
        epoch: epoch number from 0.
        number: batch number within the epoch from 0.
        size: samples a batch.

    Returns:
        images (B, x, y, z, M) float32 and targets (B, x, y, z, R), each contiguous.
    """
    samples = [reader.sample(epoch, number * size + i) for i in range(size)]
    # np.stack keeps the memory order of moved axes, and Keras would copy again, on its own time
    images, targets = (np.ascontiguousarray(np.moveaxis(np.stack(part), 1, -1)) for part in zip(*samples, strict=True))
    return images, targets


class ReaderPool:
    """Reads batches ahead of their use.

    Args:
        plan: what to read.
        batch_size: samples a batch.
        readers: 0 reads in threads of this process; N in N processes.

    Raises:
        OptionError: fewer than 0 readers.
    """

    def __init__(self, plan: PatchPlan, batch_size: int, readers: int = 0) -> None:
        if readers < 0:
            raise OptionError(f"readers is {readers}; expected 0 (threads) or a number of processes.")
        self._size = batch_size
        self._jobs: dict[tuple[int, int], Future[Batch]] = {}
        self._lock = Lock()
        self._reader: CaseReader | None = None
        self._executor: Executor
        self._read: Callable[..., Batch]
        if readers:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(readers, context, initializer=_start_reader, initargs=(plan,))
            self._read = _read_in_process
        else:
            self._reader = CaseReader(plan)
            self._executor = ThreadPoolExecutor(2, thread_name_prefix="reader")
            self._read = partial(read_batch, self._reader)

    def get(self, epoch: int, number: int, batches: int) -> Batch:
        """Return a batch, and ask for those after it.

        Args:
            epoch: epoch number from 0.
            number: batch number within the epoch.
            batches: batches an epoch; after its last one come those of the next epoch.
        """
        wanted = [divmod(epoch * batches + number + ahead, batches) for ahead in range(AHEAD + 1)]
        with self._lock:  # an iterator that was given up may still be asking from its own thread
            for key in wanted:
                if key not in self._jobs:
                    self._jobs[key] = self._executor.submit(self._read, *key, self._size)
            for key in [k for k in self._jobs if k not in wanted]:
                self._jobs.pop(key).cancel()
            job = self._jobs[epoch, number]
        return job.result()

    def close(self) -> None:
        """Drop the jobs not begun, end the readers, and close the case files."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._jobs.clear()
        if self._reader is not None:
            self._reader.close()


_IN_PROCESS: dict[str, Any] = {}


def _start_reader(plan: PatchPlan) -> None:
    start_worker()
    _IN_PROCESS["reader"] = CaseReader(plan)


def _read_in_process(epoch: int, number: int, size: int) -> Batch:
    return read_batch(_IN_PROCESS["reader"], epoch, number, size)
