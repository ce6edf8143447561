"""Whole files: written aside, synced, renamed; full disks, stops and what killed writers left."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from brats3d.errors import SpaceError
from brats3d.files import whole_file, write_file

HOST = socket.gethostname()
DEAD = 4_194_304
"""Linux gives out no process number above this one less one."""


@pytest.fixture(params=["first", "over an older file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "scan.t1.nii.gz"
    if request.param != "first":
        path.write_text("old")
    return path


def contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir()}


@pytest.mark.parametrize("content", ["α\n", "α\n".encode()])
def test_what_is_written_has_the_name_and_nothing_is_left(path: Path, content: str | bytes) -> None:
    write_file(str(path), content)
    assert path.read_bytes() == "α\n".encode()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_name_comes_last(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(path.parent)
    steps: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda old, new: (steps.append("rename"), replace(old, new)))
    with whole_file(path) as temporary:
        assert temporary == path.with_name(f".scan.t1.nii.{HOST}-{os.getpid()}.gz")
        temporary.write_text("new")
        assert contents(path.parent) == {**before, temporary.name: "new"}
    assert (steps, contents(path.parent)) == (["sync", "rename"], {path.name: "new"})


def write_half(path: Path, problem: BaseException) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("half")
        raise problem


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), ValueError("a bug"), OSError(errno.EIO, "Input/output error")])
def test_a_stop_or_a_fault_leaves_what_was_there(path: Path, problem: BaseException) -> None:
    before = contents(path.parent)
    with pytest.raises(type(problem)) as raised:
        write_half(path, problem)
    assert raised.value is problem
    assert contents(path.parent) == before


@pytest.mark.parametrize("content", [b"few", bytes(10**6)])
def test_a_full_disk_says_what_is_needed(path: Path, content: bytes) -> None:
    before = contents(path.parent)
    # What is written through this link meets a full disk.
    path.with_name(f".scan.t1.nii.{HOST}-{os.getpid()}.gz").symlink_to("/dev/full")
    needed = "1.0" if len(content) == 10**6 else "0.1"
    with pytest.raises(SpaceError, match=rf"scan\.t1\.nii\.gz: no space left on the disk; {needed} MB are needed\.$"):
        write_file(path, content)
    assert contents(path.parent) == before


def test_a_used_up_quota_is_a_full_disk(path: Path) -> None:
    with pytest.raises(SpaceError, match=r"no space left on the disk; make some\.$"):
        write_half(path, OSError(errno.EDQUOT, "Disk quota exceeded"))


def test_only_what_dead_writers_of_this_file_left_here_is_removed(path: Path) -> None:
    left = path.with_name(f".scan.t1.nii.{HOST}-{DEAD}.gz")
    others = [
        f".scan.t1.nii.{HOST}-{os.getppid()}.gz",  # at work
        f".scan.t1.nii.another[host]-{DEAD}.gz",
        f".scan.t2.nii.{HOST}-{DEAD}.gz",
        f".scan.t1.nii.{HOST}-{DEAD}.nii",
        f".scan.t1.nii.{HOST}-x.gz",
    ]
    for name in (left.name, *others):
        path.with_name(name).touch()
    write_file(path, "new")
    assert sorted(contents(path.parent)) == sorted([path.name, *others])
