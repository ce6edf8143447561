"""One function over many cases: in this process and in spawned ones."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from brats3d.console.messages import messages_on_stderr
from brats3d.errors import CaseError, LabelError, MissingExtraError, OptionError, SpaceError, WorkerError
from brats3d.parallel import map_cases, share, shown_level, worker_count


def answer(item: int) -> tuple[int, int]:
    """Return the item's square and the process; 3 is refused, 7 to 9 end everything."""
    logging.getLogger("brats3d.work").info("item %d", item)
    logging.getLogger("brats3d.work").warning("mind item %d", item)
    if item == 9 and multiprocessing.parent_process():
        os._exit(1)
    if item == 3:
        raise LabelError("case 3 is refused")
    if item == 7:
        raise SpaceError("the disk is full")
    if item == 8:
        raise ZeroDivisionError("a bug")
    return item * item, os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_refused_item_does_not_stop_the_others(workers: int) -> None:
    got = dict(map_cases(answer, [1, 3, 2, 5], workers=workers))
    refused = got.pop(3)
    assert isinstance(refused, LabelError)
    assert str(refused) == "case 3 is refused"
    answers = {item: a[0] for item, a in got.items() if not isinstance(a, CaseError)}
    assert answers == {1: 1, 2: 4, 5: 25}
    in_this_process = {a[1] == os.getpid() for a in got.values() if not isinstance(a, CaseError)}
    assert in_this_process == {workers == 1}


@pytest.mark.parametrize(("workers", "item", "problem"), [(1, 7, SpaceError), (1, 8, ZeroDivisionError), (2, 7, SpaceError)])
def test_any_other_exception_ends_the_whole(workers: int, item: int, problem: type[Exception]) -> None:
    with pytest.raises(problem, match=r"the disk is full|a bug"):
        list(map_cases(answer, [item, 1, 2], workers=workers))


def test_a_worker_that_dies_is_told_and_what_to_do() -> None:
    with pytest.raises(WorkerError, match=r"one of 2 worker processes was killed, .* fewer --workers\.$") as dead:
        list(map_cases(answer, [9, 1, 2], workers=2))
    assert dead.value.exit_code == 2


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (logging.INFO, ["INFO: item 1", "WARNING: mind item 1"]),
        (logging.WARNING, ["WARNING: mind item 1"]),
        (logging.ERROR, []),
    ],
)
def test_workers_messages_look_like_the_commands_own(level: int, shown: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with messages_on_stderr(level):
        assert shown_level() == level
        assert len(dict(map_cases(answer, [1, 2], workers=2))) == 2
    assert [line for line in capfd.readouterr().err.splitlines() if line.endswith("1")] == shown


def test_workers_are_silent_where_their_parent_is() -> None:
    assert shown_level() > logging.CRITICAL


def test_no_items_give_nothing() -> None:
    assert list(map_cases(answer, [])) == []


@pytest.mark.parametrize(("workers", "items", "count"), [(1, 9, 1), (4, 3, 3), (4, 0, 1), (2, 9, 2)])
def test_never_more_workers_than_items(workers: int, items: int, count: int) -> None:
    assert worker_count(workers, items) == count


def test_workers_are_as_many_as_the_cores_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5})
    assert (worker_count(None, 9), worker_count(None, 2), worker_count(None, 0)) == (3, 2, 1)
    monkeypatch.delattr(os, "sched_getaffinity")  # as on a Mac
    assert worker_count(None, 9) == 7


@pytest.mark.parametrize("workers", [0, -2, 1.5, True, "2"])
def test_fewer_than_one_worker_is_refused(workers: int) -> None:
    with pytest.raises(OptionError, match=rf"workers is {workers!r}"):
        list(map_cases(answer, [1], workers=workers))


@pytest.mark.parametrize(("shard", "left"), [(None, "abcdefg"), ("1/1", "abcdefg"), ("1/3", "adg"), ("3/3", "cf"), ("9/9", "")])
def test_a_share_of_the_items(shard: str | None, left: str) -> None:
    assert share("abcdefg", shard) == list(left)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_shares_are_all_and_each_once(count: int) -> None:
    shares = [share(range(7), f"{index}/{count}") for index in range(1, count + 1)]
    assert sorted(item for items in shares for item in items) == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("shard", ["", "3", "0/3", "4/3", "-1/3", "1/0", "1/x", "1.0/2", "1/2/3", 3])
def test_what_is_no_shard_is_refused(shard: Any) -> None:
    with pytest.raises(OptionError, match=r"shard is .* I/N"):
        share([1], shard)


@pytest.mark.slow
def test_a_cluster_answers_as_workers_do(cluster: str) -> None:
    got = dict(map_cases(answer, [1, 3, 2, 5], scheduler=cluster))
    assert isinstance(got[3], LabelError)
    assert {item: a[0] for item, a in got.items() if not isinstance(a, CaseError)} == {1: 1, 2: 4, 5: 25}
    assert os.getpid() not in {a[1] for a in got.values() if not isinstance(a, CaseError)}
    for item, problem in ((7, SpaceError), (8, ZeroDivisionError)):
        with pytest.raises(problem, match=r"the disk is full|a bug"):
            list(map_cases(answer, [item, 1], scheduler=cluster))


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs Dask (extra cluster)")
    monkeypatch.setattr("brats3d.parallel.CLUSTER_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "nowhere"):
        with pytest.raises(OptionError, match=rf"scheduler is '{address}', .*\(.*\); expected the address"):
            list(map_cases(answer, [1], scheduler=address))


def test_a_cluster_without_dask_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'brats3d\[cluster\]'"):
        list(map_cases(answer, [1], scheduler="tcp://127.0.0.1:9"))


# A command over many cases of half a second each; what is begun leaves a file, what is finished another.
COMMAND = """
import signal, sys, time
from functools import partial
from pathlib import Path
from brats3d.console import run
from brats3d.parallel import map_cases

def work(case, out):
    import os
    (Path(out) / f"begun-{case}-{os.getpid()}").touch()
    time.sleep(0.5)
    (Path(out) / f"finished-{case}").touch()

def main(argv):
    for _ in map_cases(partial(work, out=argv[0]), range(99), workers=2):
        pass
    return 0

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts jobs in the background has it ignored
    sys.exit(run(main, sys.argv[1:]))
"""


def start(folder: Path) -> tuple[subprocess.Popen, set[int]]:
    """Start the command in a process group of its own; returns it and its workers, once both are at work."""
    script, out = folder / "command.py", folder / "out"
    script.write_text(COMMAND)
    out.mkdir()
    command = [sys.executable, str(script), str(out)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    workers: set[int] = set()
    while len(workers) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
        workers = {int(p.name.split("-")[2]) for p in out.glob("begun-*")}
    return process, workers


@pytest.mark.slow
def test_ctrl_c_lets_the_cases_in_work_finish(tmp_path: Path) -> None:
    process, _ = start(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    begun, finished = ({p.name.split("-")[1] for p in (tmp_path / "out").glob(f"{kind}-*")} for kind in ("begun", "finished"))
    assert begun == finished
    assert len(finished) < 99


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    process, workers = start(tmp_path)
    process.kill()
    process.wait(60)
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(list((tmp_path / "out").glob("finished-*"))) < 99


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # an orphan nobody has reaped is dead
