"""Readers that work ahead: threads in this process, or separate processes.

Jobs and their answers are keyed by (epoch, batch number), so asking twice, or out of order, is harmless. Threads are the
default: normalising and h5py both release the interpreter's lock. HDF5 holds one lock per process, so if reading itself is
the limit, ``readers`` processes read in parallel, and leave their batches in shared memory (`slots`).
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np

from brats3d.errors import WorkerError
from brats3d.parallel import shown_level, start_worker
from brats3d.patches.plan import PatchPlan
from brats3d.patches.reader import CaseReader
from brats3d.patches.samples import Batch, batch_of
from brats3d.patches.slots import Slots, Written
from brats3d.store import StoredCase, case_path

Key = tuple[int, int]
AHEAD = 3
"""Batches requested ahead of the one in use, if that keeps all readers busy."""
AHEAD_BYTES = 2e9
"""Limit of what is read ahead: 17 batches of 2 × 128³ × (4 + 3) float32."""
THREADS = 2


def read_batch(reader: CaseReader, epoch: int, number: int, size: int) -> Batch:
    """Return a finished batch.

    Args:
        reader: reads the samples.
        epoch: epoch number from 0.
        number: batch number within the epoch from 0.
        size: samples per batch.
    """
    return batch_of([reader.sample(epoch, number * size + i) for i in range(size)])


@dataclass(eq=False)
class _Job:
    """A requested batch."""

    answer: Future[Any]
    slot: int | None = None
    users: int = 0


class ReaderPool:
    """Reads batches ahead of their use.

    Args:
        plan: what to read, with the size of the batches and the number of readers: 0 reads in threads of this process, N in N
            processes, which divide the plan's memory.

    Raises:
        StoreError: the first case's file is damaged.
    """

    def __init__(self, plan: PatchPlan) -> None:
        self._size, self._readers = plan.settings.batch_size, plan.settings.readers
        readers = self._readers
        self._jobs: dict[Key, _Job] = {}
        self._dropped: dict[int, _Job] = {}
        self._lock = Lock()
        self._reader: CaseReader | None = None
        self._slots: Slots | None = None
        self._free: list[int] = []
        self._executor: Executor
        batch_bytes = _batch_bytes(plan, self._size)
        self.ahead = max(1, min(max(AHEAD, 2 * readers), int(AHEAD_BYTES // batch_bytes) - 1))
        if readers:
            context = multiprocessing.get_context("spawn")
            self._slots = Slots(context, self.ahead + 1, batch_bytes)
            self._free = list(range(self._slots.count))
            shared = replace(plan, settings=replace(plan.settings, memory_mb=plan.settings.memory_mb / readers))
            self._executor = ProcessPoolExecutor(
                readers, context, initializer=_start_reader, initargs=(shared, self._slots, shown_level())
            )
        else:
            self._reader = CaseReader(plan)
            self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="reader")

    def get(self, epoch: int, number: int, batches: int) -> Batch:
        """Return a batch, and request those after it.

        Args:
            epoch: epoch number from 0.
            number: batch number within the epoch.
            batches: batches per epoch; after its last one come those of the next epoch.

        Raises:
            WorkerError: a reader process was killed.
        """
        first = epoch * batches + number
        wanted = [divmod(first + ahead, batches) for ahead in range(self.ahead + 1)]
        try:
            job = self._ask(wanted)
            try:
                answer = job.answer.result()
                return answer if self._slots is None else self._slots.read(answer)
            finally:
                with self._lock:
                    job.users -= 1
        except BrokenProcessPool as problem:
            raise WorkerError(
                f"one of {self._readers} reader processes was killed, most often for lack of memory; use fewer readers or less"
                " memory_mb."
            ) from problem

    def _ask(self, wanted: list[Key]) -> _Job:
        """Request batches and return the first one's job, marked as in use; drop all other jobs."""
        while True:
            with self._lock:  # an abandoned iterator may still ask from its own thread
                for key in [k for k in self._jobs if k not in wanted]:
                    self._drop(self._jobs.pop(key))
                self._collect()
                for key in wanted:
                    if key not in self._jobs and (self._slots is None or self._free):
                        self._jobs[key] = self._submit(key)
                if wanted[0] in self._jobs:
                    job = self._jobs[wanted[0]]
                    job.users += 1
                    return job
                busy = [job.answer for job in self._dropped.values()]
            wait(busy, return_when=FIRST_COMPLETED)  # a reader has a slot for a batch that is no longer wanted
            time.sleep(0.001)  # or another thread is copying from it

    def _submit(self, key: Key) -> _Job:
        if self._reader is not None:
            return _Job(self._executor.submit(read_batch, self._reader, *key, self._size))
        job = _Job(self._executor.submit(_read_into_slot, *key, self._size, self._free[-1]), self._free[-1])
        self._free.pop()
        return job

    def _drop(self, job: _Job) -> None:
        if not job.users:
            job.answer.cancel()  # a job that has started runs to its end
        if job.slot is not None:
            self._dropped[job.slot] = job

    def _collect(self) -> None:
        """Free the slots whose batches are finished, no longer wanted, and not being read.

        Done here, under the lock, and not as jobs end: a callback would wait for this lock while the executor holds one that
        `submit` waits for.
        """
        for slot, job in list(self._dropped.items()):
            if job.answer.done() and not job.users:
                del self._dropped[slot]
                self._free.append(slot)

    def close(self) -> None:
        """Drop the pending jobs, end the readers, and close the case files."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._jobs.clear()
        if self._slots is not None:
            self._slots.close()
        if self._reader is not None:
            self._reader.close()


def _batch_bytes(plan: PatchPlan, batch_size: int) -> int:
    """Return the bytes of a batch whose images and targets are float32; on a grid that is not averaged targets are smaller."""
    with StoredCase(case_path(plan.store, plan.cases[0])) as case:
        channels = len(plan.modalities or case.modalities) + len(plan.target.channels)
    return int(np.prod(plan.settings.patch_size)) * batch_size * channels * 4


_IN_PROCESS: dict[str, Any] = {}


def _start_reader(plan: PatchPlan, slots: Slots, level: int) -> None:
    start_worker(level)
    _IN_PROCESS.update(reader=CaseReader(plan), slots=slots)


def _read_into_slot(epoch: int, number: int, size: int, slot: int) -> Written:
    slots: Slots = _IN_PROCESS["slots"]
    return slots.write(slot, read_batch(_IN_PROCESS["reader"], epoch, number, size))
