"""What a process may take: memory and cores, under control groups of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from brats3d import limits
from brats3d.limits import available_bytes, core_count

SYSTEM = 50 * 1024
UNLIMITED = {"v2": "max", "v1": "9223372036854771712"}
FILES = {
    "v2": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "v1": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Of each version of control groups: folder, limit, use, and the line of memory.stat that says how much of it is cached."""


def write_group(root: Path, version: str, path: str, limit: str, used: int, cached: int) -> None:
    folder, *names, line = FILES[version]
    group = root / folder / path
    group.mkdir(parents=True, exist_ok=True)
    for name, text in zip(names, (limit, str(used)), strict=True):
        (group / name).write_text(f"{text}\n")
    (group / "memory.stat").write_text(f"anon 5\n{line} {cached}\ninactive_anon 7\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The kernel's files of a system that has 50 kB left and no control groups."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       100 kB\nMemFree:         10 kB\nMemAvailable:    50 kB\n")
    return tmp_path


def test_the_systems_memory_where_no_group_limits_it(root: Path, tmp_path: Path) -> None:
    assert available_bytes(tmp_path / "nothing here") == float("inf")
    assert available_bytes(root) == SYSTEM
    (root / "proc/self/cgroup").write_text("0::/job\n")
    assert available_bytes(root) == SYSTEM
    for version in FILES:
        for path in ("", "job"):
            write_group(root, version, path, UNLIMITED[version], 20_000, 3_000)
    assert available_bytes(root) == SYSTEM
    write_group(root, "v2", "job", "3000000", 20_000, 3_000)
    assert available_bytes(root) == SYSTEM


V1 = "5:cpu,cpuacct:/other\n4:hugetlb,memory:{}\n0::/\n"
V2 = "0::{}\n"


@pytest.mark.parametrize(("version", "lines"), [("v2", V2), ("v1", V1)])
@pytest.mark.parametrize(
    ("own", "limits", "left"),
    [
        ("/", {"": 30_000}, 13_000),
        ("/slice/job", {"slice/job": 30_000}, 13_000),
        ("/slice/job", {"slice": 28_000, "slice/job": 30_000, "other": 1}, 11_000),
        ("/slice/job", {"slice": 30_000, "slice/job": 28_000}, 11_000),
        ("/slice/job", {"": 25_000, "slice/job": 30_000}, 8_000),
        ("/docker/7f3a", {"": 30_000}, 13_000),  # named as the host sees it; inside, the root is the group
        ("/../../job", {"": 30_000, "job": 28_000}, 11_000),
    ],
)
def test_the_least_limit_of_the_groups_around_the_process(
    version: str, lines: str, own: str, limits: dict[str, int], left: int, root: Path
) -> None:
    (root / "proc/self/cgroup").write_text(lines.format(own))
    for path, limit in limits.items():
        write_group(root, version, path, str(limit), used=20_000, cached=3_000)
    assert available_bytes(root) == left


def test_without_a_list_of_groups_the_root_counts(root: Path) -> None:
    write_group(root, "v2", "", "30000", 20_000, 3_000)
    assert available_bytes(root) == 13_000


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("150000 100000", 1),
        ("300000 100000", 3),
        ("1600000 100000", 8),
        ("40000 100000", 1),
        ("max 100000", 8),
        ("-1 100000", 8),
    ],
)
@pytest.mark.parametrize(("version", "lines"), [("v2", V2), ("v1", "5:cpu,cpuacct:{}\n0::/\n")])
@pytest.mark.parametrize(("own", "limited"), [("/", ""), ("/slice/job", "slice"), ("/docker/7f3a", "")])
def test_the_cores_that_a_group_allows(
    quota: str, cores: int, version: str, lines: str, own: str, limited: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert core_count(root) == 8
    (root / "proc/self/cgroup").write_text(lines.format(own))
    group = root / ("sys/fs/cgroup" if version == "v2" else "sys/fs/cgroup/cpu") / limited
    group.mkdir(parents=True)
    files = (
        {"cpu.max": quota}
        if version == "v2"
        else dict(zip(("cpu.cfs_quota_us", "cpu.cfs_period_us"), quota.split(), strict=True))
    )
    for name, text in files.items():
        (group / name).write_text(f"{text}\n")
    assert core_count(root) == cores
