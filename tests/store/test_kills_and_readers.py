"""Killed at any moment, read by many at once: what is whole stays whole, and nobody waits for anybody."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brats3d.phantom import write_cohort
from brats3d.preprocess import StoreSettings, build_store
from brats3d.store import PreparedCase, Store, open_store, pack_store, verify_file, write_case
from brats3d.store.merge import content_digest

CASES = 8
SHAPE = (66, 40, 35)
OPTIONS = ("--label-set", "L17", "--quiet")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "scans"
    write_cohort(folder, cases=CASES, shape=(40, 36, 32), seed=5)
    return folder


def digests(store: Path) -> dict[str, str]:
    found = {}
    for name, case in open_store(store).items():
        with case:
            found[name] = content_digest(case)
    return found


def hidden(store: Path) -> list[str]:
    return [name for name in os.listdir(store) if name.startswith(".")]


KILLED = """
import os, sys, time
import numpy as np
from brats3d.console import run
from brats3d.preprocess.__main__ import main
kills, seconds, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
rng = np.random.default_rng(kills)
fsync = os.fsync
os.fsync = lambda handle: (time.sleep(seconds / 16), fsync(handle))  # a slow disk, so that many kills meet a file half written
def start():
    child = os.fork()  # a process of its own, without the second that the imports take
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(run(main, command))
    return child
for _ in range(kills):
    child = start()
    time.sleep(rng.uniform(0, seconds))
    os.kill(child, 9)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print(os.waitstatus_to_exitcode(os.waitpid(start(), 0)[1]))
"""
"""Kills a command so many times, each at a random moment within so many seconds, and gives it once more."""


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "options"), [(8, ()), (12, ("--force",))], ids=["going on", "--force"])
def test_a_store_killed_at_random_moments_is_the_undisturbed_one_in_the_end(
    tmp_path: Path, scans: Path, kills: int, options: tuple[str, ...]
) -> None:
    """Without ``--force`` a run goes on where the last one died, with it all begins anew over the older files."""
    began = time.perf_counter()
    build_store(scans, out=tmp_path / "undisturbed", settings=StoreSettings(label_set="L17"))
    seconds = time.perf_counter() - began
    store = tmp_path / "store"
    command = [str(scans), "--out", str(store), "--workers", "1", *OPTIONS, *options]
    within = 1.5 * seconds if options else 2 * seconds / kills
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(kills), str(within), *command], stdout=subprocess.PIPE, text=True, check=True
    )
    *died, last = map(int, done.stdout.split())
    assert sum(code == -signal.SIGKILL for code in died) >= kills * 0.6, died
    assert last in (0, 2), "2: the run before was not killed in time, and all cases are stored"
    assert sorted(os.listdir(store)) == [f"Phantom_{n:03d}.h5" for n in range(CASES)], "a temporary file stays"
    for name in os.listdir(store):
        verify_file(store / name)
    assert digests(store) == digests(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_command_with_workers_is_killed_and_given_again(tmp_path: Path, scans: Path) -> None:
    store = tmp_path / "store"
    command = [sys.executable, "-m", "brats3d.preprocess", str(scans), "--out", str(store), "--workers", "2", *OPTIONS]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while first.poll() is None and not (store.is_dir() and os.listdir(store)):
        time.sleep(0.002)
    first.kill()
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    for name in set(os.listdir(store)) - set(hidden(store)):
        verify_file(store / name)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    build_store(scans, out=tmp_path / "undisturbed", settings=StoreSettings(label_set="L17"))
    assert hidden(store) == []
    assert digests(store) == digests(tmp_path / "undisturbed")


@pytest.mark.slow
def test_what_dead_runs_left_is_removed_also_beside_finished_cases(tmp_path: Path, scans: Path) -> None:
    """Of two runs that filled one store, one died while it wrote a case that the other had finished."""
    store = tmp_path / "store"
    build_store(scans, out=store, cases=["Phantom_000", "Phantom_001"], settings=StoreSettings(label_set="L17"))
    host, dead = socket.gethostname(), subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = store / f".Phantom_000.{host}-{dead.pid}.h5"
    others = [
        store / f".Phantom_000.{host}-{os.getppid()}.h5",  # its writer lives
        store / f".Phantom_000.elsewhere-{dead.pid}.h5",
        store / f".Patient_000.{host}-{dead.pid}.h5",
    ]
    for path in (leftover, *others):
        path.touch()
    asked = ["Phantom_000", "Phantom_001", "Phantom_002"]
    report = build_store(scans, out=store, cases=asked, settings=StoreSettings(label_set="L17"))
    assert (report.written, report.kept) == (("Phantom_002",), ("Phantom_000", "Phantom_001"))
    assert sorted(hidden(store)) == sorted(path.name for path in others)


@pytest.fixture(params=["folder", "packed"])
def store(request: pytest.FixtureRequest, tmp_path: Path, make_prepared: Callable[..., PreparedCase]) -> Iterator[Store]:
    folder = tmp_path / "store"
    folder.mkdir()
    for name in ("c1", "c2", "c3"):
        write_case(folder, make_prepared(name, SHAPE))
    if request.param == "packed":
        pack_store(folder, tmp_path / "store.h5")
        yield open_store(tmp_path / "store.h5")
    else:
        yield open_store(folder)


READER = """
import sys, zlib, json
import numpy as np
from brats3d.store import open_store
store, seed, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(seed)
opened = {name: case for name, case in open_store(store).items()}
print("reading", flush=True)
sums = []
for _ in range(rounds):
    name = sorted(opened)[rng.integers(3)]
    corner = [int(v) for v in rng.integers(-5, 30, 3)]
    sums.append([name, corner, zlib.crc32(opened[name].patch(corner, (17, 20, 19)).tobytes())])
print(json.dumps(sums))
"""
"""Reads patches, and tells their checksums."""


@pytest.fixture(scope="module")
def padded(make_prepared: Callable[..., PreparedCase]) -> dict[str, np.ndarray]:
    """Case → its images with zeros around."""
    return {name: np.pad(make_prepared(name, SHAPE).images, [(0, 0)] + [(50, 50)] * 3) for name in ("c1", "c2", "c3")}


def expected(padded: np.ndarray, corner: list[int]) -> np.ndarray:
    there = tuple(slice(c + 50, c + 50 + s) for c, s in zip(corner, (17, 20, 19), strict=True))
    return np.ascontiguousarray(padded[(slice(None), *there)])


@pytest.mark.slow
def test_processes_read_at_once_while_one_dies(store: Store, padded: dict[str, np.ndarray]) -> None:
    def start(seed: int, rounds: int) -> subprocess.Popen:
        arguments = [sys.executable, "-c", READER, str(store.path), str(seed), str(rounds)]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    doomed, *readers = start(0, 10**9), start(1, 40), start(2, 40)
    assert doomed.stdout is not None
    assert doomed.stdout.readline() == "reading\n"
    doomed.kill()
    doomed.communicate()
    assert doomed.returncode == -signal.SIGKILL
    told = [reader.communicate()[0] for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0]
    for text in told:
        for name, corner, checksum in json.loads(text.splitlines()[1]):
            assert checksum == zlib.crc32(expected(padded[name], corner).tobytes())
    for name in store:
        verify_file(store.path / f"{name}.h5")


def test_threads_read_at_once_from_shared_and_own_files(store: Store, padded: dict[str, np.ndarray]) -> None:
    shared = store["c1"]
    wrong: list[str] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(15):
            corner = [int(v) for v in rng.integers(-5, 30, 3)]
            name = f"c{rng.integers(1, 4)}"
            with store[name] as own:
                for case in (own, shared):
                    if not np.array_equal(case.patch(corner, (17, 20, 19)), expected(padded[case.id], corner)):
                        wrong.append(f"{case.id} at {corner}")

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    assert wrong == []


def test_a_case_is_written_while_it_is_read(tmp_path: Path, make_prepared: Callable[..., PreparedCase]) -> None:
    """A reader sees the old case or the new one, never a mixture, and neither waits for the other."""
    versions = [make_prepared("c1", (40, 37, 35)), make_prepared("c2", (40, 37, 35))]
    versions[1] = replace(versions[1], header=versions[0].header)
    write_case(tmp_path, versions[0])
    seen: set[int] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set() or not seen:
            with open_store(tmp_path)["c1"] as case:
                images = case.images[:]
            (which,) = [n for n, v in enumerate(versions) if np.array_equal(images, v.images)]
            seen.add(which)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(12):
        write_case(tmp_path, versions[number % 2])
    over.set()
    for reader in readers:
        reader.join()
    assert seen == {0, 1}
