"""Whole files: written aside, synced, renamed; full disks, stops and what killed writers left."""

from __future__ import annotations

import codecs
import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brats3d.errors import CaseError, SpaceError
from brats3d.files import check_name, read_text, remove_stale, whole_file, write_file

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
    return {p.name: p.read_text(encoding="utf-8") for p in folder.iterdir()}


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
    with pytest.raises(SpaceError, match=rf"scan\.t1\.nii\.gz: no space .* {needed} MB"):
        write_file(path, content)
    assert contents(path.parent) == before


def test_a_used_up_quota_is_a_full_disk(path: Path) -> None:
    with pytest.raises(SpaceError, match=r"no space"):
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


LONGEST = ["x" * 248 + ".nii.gz", "ä" * 126 + ".h5", "x" * 255, "x." + "y" * 253]
"""Names of 255 bytes, the most that a file's name may have."""


@pytest.mark.parametrize("name", LONGEST)
def test_every_name_that_a_file_may_have_can_be_written(name: str, tmp_path: Path) -> None:
    path, alike = tmp_path / name, tmp_path / f"{name[:100]}{'z' * 20}{name[120:]}"[: len(str(tmp_path / name))]
    left = []
    for each in (path, alike):
        with whole_file(each) as temporary:
            temporary.write_text("new")
            assert len(os.fsencode(temporary.name)) <= 255
            assert len(path.suffix) not in range(1, 10) or temporary.suffix == path.suffix
        left.append(temporary.with_name(temporary.name.replace(f"-{os.getpid()}", f"-{DEAD}")))
        left[-1].write_text("of a dead process")
    write_file(path, "newer")
    assert contents(tmp_path) == {name: "newer", alike.name: "new", left[1].name: "of a dead process"}


@pytest.mark.parametrize(("name", "bytes_"), [("x" * 256, 256), ("ä" * 128 + ".h5", 259)])
def test_a_name_that_is_too_long_is_refused_by_itself(name: str, bytes_: int, tmp_path: Path) -> None:
    check_name(tmp_path / "not yet" / name[:100])
    with pytest.raises(CaseError, match=rf"{bytes_} bytes; {tmp_path}/not yet .* 255"):
        check_name(tmp_path / "not yet" / name)


TEXT = "Fälle\nBraTS2021_00001\n"


@pytest.mark.parametrize("raw", [
    TEXT.encode(), TEXT.encode("utf-8-sig"), TEXT.encode("utf-16"), codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    TEXT.encode("utf-16-le"), TEXT.encode("utf-16-be"),
])  # fmt: skip
def test_text_in_the_encodings_that_editors_write(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes(raw)
    assert read_text(tmp_path / "ids.txt") == TEXT


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(UnicodeError, match="UTF-8"):
        read_text(tmp_path / "ids.txt")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS])
def test_a_drive_that_knows_no_sync_takes_the_file(path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    write_file(path, "new")
    assert contents(path.parent) == {path.name: "new"}


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EBUSY, errno.EXDEV, errno.ETXTBSY, errno.ETIMEDOUT, errno.ENOTCONN])
def test_what_the_system_refuses_names_the_file_and_leaves_what_was_there(
    path: Path, step: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*places: object) -> None:
        raise OSError(number, os.strerror(number), *([str(places[0]), None, str(places[1])] if step == "replace" else []))

    before = contents(path.parent)
    with monkeypatch.context() as patch:
        patch.setattr(os, step, refuse)
        with pytest.raises(OSError, match=os.strerror(number)) as raised:
            write_file(path, "new")
    assert (raised.value.errno, raised.value.filename, raised.value.filename2) == (number, str(path), None)
    assert contents(path.parent) == before


def test_a_writer_that_ended_is_dead_though_nobody_asked_for_its_exit_code(tmp_path: Path) -> None:
    """As after a kill in a container whose first process is slow to ask."""
    writer = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.read()  # until it ends; its exit code stays where it is
    left = tmp_path / f".case.{socket.gethostname()}-{writer.pid}.h5"
    left.touch()
    deadline = time.monotonic() + 10
    while left.exists() and time.monotonic() < deadline:
        remove_stale(tmp_path, ["case.h5"])
    assert not left.exists()
    writer.wait()
    writer.stdout.close()
