"""The pool of readers: the same batches from one reader or many, ahead of time, through memory that leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import brats3d
from brats3d.errors import LabelError, WorkerError
from brats3d.patches import Augmentation, Batch, BatchSettings, CaseReader, Change, PatchPlan, ReaderPool, pool
from brats3d.patches.slots import Slots, Written
from brats3d.store import PreparedCase, write_case

Make = Callable[..., PreparedCase]
NAMES = ("c0", "c1", "c2", "c3", "c4")


@pytest.fixture(scope="module")
def store(make_prepared: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for name in NAMES:
        write_case(folder, make_prepared(name, (40, 37, 35)))
    return folder


def plan(store: Path, batch_size: int = 2, readers: int = 0, **fields: Any) -> PatchPlan:
    kept = {name: fields.pop(name) for name in ("augmentation", "cases") if name in fields}
    settings = {"patch_size": (9, 8, 6), "spacing_mm": None, "batch_size": batch_size, "readers": readers, **fields}
    return PatchPlan(**{"store": store, "cases": NAMES, "settings": BatchSettings(**settings), **kept})


def assert_same(ours: Batch, theirs: Batch) -> None:
    for name in ("images", "targets", "available"):
        first, second = getattr(ours, name), getattr(theirs, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    assert ours.change == theirs.change


ASKED = [(0, 2), (0, 0), (0, 1), (0, 1), (1, 0), (7, 2)]


def batches_of(asked: PatchPlan, readers: int) -> list[Batch]:
    readers_of = ReaderPool(replace(asked, settings=replace(asked.settings, readers=readers)))
    try:
        return [readers_of.get(epoch, number, 3) for epoch, number in ASKED]
    finally:
        readers_of.close()


def test_a_batch_is_its_samples_with_the_channels_last(store: Path) -> None:
    asked = plan(store, augmentation=Augmentation(), spacing_mm=2.0)
    single = CaseReader(asked)
    for (epoch, number), batch in zip(ASKED, batches_of(asked, 0), strict=True):
        images, targets = batch.images, batch.targets
        assert batch.available.all()
        assert batch.available.shape == (2, 4)
        assert (images.shape, targets.shape) == ((2, 9, 8, 6, 4), (2, 9, 8, 6, 3))
        assert images.flags.c_contiguous
        assert targets.flags.c_contiguous
        for row in range(2):
            sample = single.sample(epoch, 2 * number + row)
            np.testing.assert_array_equal(images[row], np.moveaxis(sample.images, 0, -1))
            np.testing.assert_array_equal(targets[row], np.moveaxis(sample.targets, 0, -1))
            assert batch.change[row] == sample.change
            assert set(sample.change.drawn) == {"flips", "rescaling"}


@pytest.mark.slow
@pytest.mark.parametrize(("readers", "spacing_mm"), [(1, None), (4, None), (2, 2.0)])
def test_reader_processes_give_the_same_batches(store: Path, readers: int, spacing_mm: float | None) -> None:
    asked = plan(store, augmentation=Augmentation(), spacing_mm=spacing_mm)
    for ours, theirs in zip(batches_of(asked, readers), batches_of(asked, 0), strict=True):
        assert_same(ours, theirs)


def test_the_next_batches_are_read_ahead_over_the_end_of_an_epoch(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    plain = pool.read_batch
    monkeypatch.setattr(pool, "read_batch", lambda reader, *job: [read.append(job[:2]), plain(reader, *job)][1])
    readers = ReaderPool(plan(store, 1))
    for number in range(4):
        readers.get(0, number, 4)
    readers.close()
    assert sorted(read[:4]) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert len(read) == len(set(read)), "a batch was read twice"
    assert set(read) <= {(0, n) for n in range(4)} | {(1, n) for n in range(3)}


@pytest.mark.parametrize(
    ("readers", "batch_size", "ahead"),
    [(0, 2, 3), (1, 2, 3), (3, 2, 6), (8, 2, 16), (16, 2, 16), (16, 20, 1), (0, 100, 1)],
)
def test_every_reader_has_work_within_the_bound(
    store: Path, readers: int, batch_size: int, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 × 128³ × (4 + 3) float32 are 117 MB, of 2 GB."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(pool, "Slots", lambda context, count, size: asked.append((count, size)) or Counted(count))
    made = ReaderPool(plan(store, batch_size, readers, patch_size=(128, 128, 128)))
    made.close()
    assert made.ahead == ahead
    assert asked == ([(ahead + 1, 128**3 * 7 * 4 * batch_size)] if readers else [])


class Counted:
    def __init__(self, count: int) -> None:
        self.count = count

    def close(self) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("readers", [0, 1])
def test_a_readers_refusal_reaches_the_asker(tmp_path: Path, make_prepared: Make, readers: int) -> None:
    write_case(tmp_path, make_prepared(labelled=False))
    made = ReaderPool(plan(tmp_path, 1, readers, cases=("c0",)))
    for _ in range(7):  # slots of refused batches come back
        with pytest.raises(LabelError, match="case c0 in the store has no label"):
            made.get(0, 0, 1)
        with pytest.raises(LabelError, match="case c0 in the store has no label"):
            made.get(5, 0, 1)
    made.close()


# --- reader processes ------------------------------------------------------------------------------------------------


class Watched(ProcessPoolExecutor):
    """The executor of the reader processes, with what they are started with and what they answer."""

    made: Watched

    def __init__(self, *options: Any, **more: Any) -> None:
        super().__init__(*options, **more)
        Watched.made = self
        self.given = more["initargs"]
        self.answers: list[Future] = []

    def submit(self, *job: Any, **more: Any) -> Future:
        self.answers.append(super().submit(*job, **more))
        return self.answers[-1]


@pytest.fixture(scope="module")
def two_readers(store: Path) -> Iterator[ReaderPool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "ProcessPoolExecutor", Watched)
        made = ReaderPool(plan(store, 2, 2, memory_mb=100.0))
    yield made
    made.close()


@pytest.mark.slow
def test_batches_come_through_shared_memory_and_not_through_the_pipe(two_readers: ReaderPool) -> None:
    batch = two_readers.get(3, 0, 9)
    assert len(pickle.dumps(Watched.made.answers[0].result())) < 2000 < batch.images.nbytes
    before = replace(batch, images=batch.images.copy(), targets=batch.targets.copy())
    for number in range(1, 9):  # the slot is used again, the batch is not touched
        two_readers.get(3, number, 9)
    assert_same(batch, before)


@pytest.mark.slow
def test_the_readers_share_the_memory_of_the_plan(two_readers: ReaderPool) -> None:
    assert [given.settings.memory_mb for given in Watched.made.given if isinstance(given, PatchPlan)] == [50]


@pytest.mark.slow
def test_jumping_about_never_runs_out_of_slots(two_readers: ReaderPool, store: Path) -> None:
    """Every jump drops all that was read ahead; some of it is in work and keeps its slot for a while.

    With more jumps than slots, one that did not come back would be missed.
    """
    single = ReaderPool(plan(store))
    for key in [(0, 0), (50, 1), (2, 2), (90, 0), (0, 1), (33, 2), (0, 0)] * 2:
        assert_same(asked(two_readers, *key, 3).result(60), single.get(*key, 3))
    single.close()


@pytest.mark.slow
def test_an_iterator_that_was_given_up_gets_its_batch_all_the_same(two_readers: ReaderPool, store: Path) -> None:
    """Keras may ask for the next epoch's batches while a thread of the last one is still asking."""
    single = ReaderPool(plan(store))
    found: dict[tuple[int, int], Batch] = {}

    def ask(epoch: int) -> None:
        for number in range(6):
            found[epoch, number] = two_readers.get(epoch, number, 6)

    threads = [threading.Thread(target=ask, args=(epoch,)) for epoch in (11, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for key, batch in found.items():
        assert_same(batch, single.get(*key, 6))
    assert len(found) == 12
    single.close()


def named_segments() -> set[str]:
    """The names of shared memory on this machine."""
    return {p.name for p in Path("/dev/shm").glob("p[sy]m*")}


def shared_megabytes() -> float:
    """How much unnamed shared memory this process has mapped."""
    total = 0
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if "pym-" in line:
            first, last = line.split()[0].split("-")
            total += int(last, 16) - int(first, 16)
    return total / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_the_memory_has_no_name_and_goes_with_the_pool(store: Path) -> None:
    names, before = named_segments(), shared_megabytes()
    made = ReaderPool(plan(store, 1, 1, patch_size=(64, 64, 64)))
    made.get(0, 0, 1)
    assert shared_megabytes() - before == pytest.approx(4 * 64**3 * 7 * 4 / 1e6, rel=0.01)
    assert named_segments() == names
    made.close()
    assert shared_megabytes() == before


@pytest.mark.slow
def test_a_reader_that_is_killed_is_told(store: Path) -> None:
    others = set(multiprocessing.active_children())
    made = ReaderPool(plan(store, 2, 1))
    try:
        made.get(0, 0, 3)
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        with pytest.raises(WorkerError, match="reader processes was killed"):
            [made.get(1, number % 3, 3) for number in range(9)]
    finally:
        made.close()


LEFT = """
import sys, os
from pathlib import Path
from brats3d.patches import BatchSettings, PatchPlan, ReaderPool
if __name__ == "__main__":
    settings = BatchSettings(patch_size=(48, 48, 48), spacing_mm=None, batch_size=1, readers=2)
    made = ReaderPool(PatchPlan(Path(sys.argv[1]), ("c0", "c1"), settings))
    made.get(0, 0, 2)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), 9)
    print(made.get(0, 1, 2).images.shape)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["left", "killed"])
def test_a_process_that_never_closed_its_pool_leaves_nothing_and_says_nothing(store: Path, tmp_path: Path, end: str) -> None:
    (tmp_path / "left.py").write_text(LEFT)
    before = named_segments()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(tmp_path / "left.py"), str(store), end],
        env={**os.environ, "PYTHONPATH": str(Path(brats3d.__file__).parents[1])},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if end == "left":
        assert (done.returncode, done.stdout, done.stderr) == (0, "(1, 48, 48, 48, 4)\n", "")
        return
    assert done.returncode == -9
    assert "shared_memory" not in done.stderr
    time.sleep(0.5)  # the readers see that their parent is gone
    assert named_segments() <= before


# --- whose slot it is, with readers that work when they are told -----------------------------------------------------


class Begun(Future):
    """A job that was begun and cannot be cancelled, and knows whether somebody tried."""

    unwanted = False

    def cancel(self) -> bool:
        self.unwanted = True
        return super().cancel()


class ByHand:
    """An executor whose jobs are begun at once, cannot be cancelled, and end when the test says so."""

    made: ByHand

    def __init__(self, *_: object, initargs: tuple[object, ...], **__: object) -> None:
        ByHand.made = self
        (self.slots,) = (given for given in initargs if isinstance(given, Slots))
        self.jobs: dict[tuple[int, int], tuple[int, Begun]] = {}

    def submit(self, function: object, epoch: int, number: int, size: int, slot: int) -> Future:
        job = Begun()
        job.set_running_or_notify_cancel()
        self.jobs[epoch, number] = (slot, job)
        return job

    def end(self, epoch: int, number: int) -> None:
        slot, job = self.jobs[epoch, number]
        array = np.full((1, 2), 10 * epoch + number, np.float32)
        batch = Batch(array, array, (Change(),), np.ones((1, 4), bool))
        job.set_result(self.slots.write(slot, batch))

    def shutdown(self, **_: object) -> None:
        pass


def until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.001)


@pytest.fixture
def by_hand(store: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ReaderPool, ByHand]:
    monkeypatch.setattr(pool, "ProcessPoolExecutor", ByHand)
    made = ReaderPool(plan(store, 1, 1))
    return made, ByHand.made


def asked(made: ReaderPool, *key: int) -> Future:
    """Ask in a thread of its own, which ends with the tests even where its batch never comes."""
    answer: Future = Future()

    def ask() -> None:
        try:
            answer.set_result(made.get(*key))
        except BaseException as problem:
            answer.set_exception(problem)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def test_a_slot_that_is_written_to_is_nobody_elses(by_hand: tuple[ReaderPool, ByHand]) -> None:
    made, readers = by_hand
    first = asked(made, 0, 0, 9)
    until(lambda: len(readers.jobs) == 4)
    readers.end(0, 0)
    assert first.result(20).images[0, 0] == 0
    busy = {readers.jobs[0, number][0] for number in (1, 2, 3)}
    second = asked(made, 5, 0, 9)
    until(lambda: (5, 0) in readers.jobs)
    assert len(readers.jobs) == 5, "the other three slots are in work, for batches that nobody wants any more"
    assert readers.jobs[5, 0][0] not in busy
    for number in (1, 2, 3):
        readers.end(0, number)
    readers.end(5, 0)
    assert second.result(20).images[0, 0] == 50
    third = asked(made, 5, 1, 9)
    until(lambda: len(readers.jobs) == 9)  # all four are free again: 5 1, 5 2, 5 3, 5 4
    readers.end(5, 1)
    assert third.result(20).images[0, 0] == 51


def test_a_slot_that_is_read_from_is_nobody_elses(by_hand: tuple[ReaderPool, ByHand], monkeypatch: pytest.MonkeyPatch) -> None:
    made, readers = by_hand
    reading, go_on = threading.Event(), threading.Event()
    read = Slots.read

    def slowly(slots: Slots, written: Written) -> Batch:
        if not go_on.is_set():
            reading.set()
            go_on.wait(20)
        return read(slots, written)

    monkeypatch.setattr(Slots, "read", slowly)
    first = asked(made, 0, 0, 9)
    until(lambda: len(readers.jobs) == 4)
    readers.end(0, 0)
    assert reading.wait(20)
    second = asked(made, 5, 0, 9)
    until(lambda: all(readers.jobs[0, number][1].unwanted for number in (1, 2, 3)))
    time.sleep(0.05)
    assert (5, 0) not in readers.jobs, "no slot is free while the first asker copies out of its own"
    go_on.set()
    assert first.result(20).images[0, 0] == 0
    until(lambda: (5, 0) in readers.jobs)
    assert readers.jobs[5, 0][0] == readers.jobs[0, 0][0]
    readers.end(5, 0)
    assert second.result(20).images[0, 0] == 50
