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


def system(root: Path) -> Path:
    """Write the kernel's files of a system that has 50 kB left and no control groups; return its root."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal:       100 kB\nMemFree:         10 kB\nMemAvailable:    50 kB\n")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return system(tmp_path)


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


GROUPS = [
    ("/", {"": 30_000}, 13_000),
    ("/slice/job", {"slice/job": 30_000}, 13_000),
    ("/slice/job", {"slice": 28_000, "slice/job": 30_000, "other": 1}, 11_000),
    ("/slice/job", {"slice": 30_000, "slice/job": 28_000}, 11_000),
    ("/slice/job", {"": 25_000, "slice/job": 30_000}, 8_000),
    ("/docker/7f3a", {"": 30_000}, 13_000),  # named as the host sees it; inside, the root is the group
    ("/../../job", {"": 30_000, "job": 28_000}, 11_000),
]
"""The process' own group, limits, and what is left of the least of those around it."""


@pytest.mark.parametrize(("version", "lines"), [("v2", V2), ("v1", V1)])
def test_the_least_limit_of_the_groups_around_the_process(version: str, lines: str, tmp_path: Path) -> None:
    found = []
    for number, (own, allowed, _) in enumerate(GROUPS):
        root = system(tmp_path / str(number))
        (root / "proc/self/cgroup").write_text(lines.format(own))
        for path, limit in allowed.items():
            write_group(root, version, path, str(limit), used=20_000, cached=3_000)
        found.append((own, allowed, available_bytes(root)))
    assert found == GROUPS


def test_without_a_list_of_groups_the_root_counts(root: Path) -> None:
    write_group(root, "v2", "", "30000", 20_000, 3_000)
    assert available_bytes(root) == 13_000


CPU = {
    "v2": ("sys/fs/cgroup", "0::{}\n", lambda quota: {"cpu.max": quota}),
    "v1": (
        "sys/fs/cgroup/cpu",
        "5:cpu,cpuacct:{}\n0::/\n",
        lambda quota: dict(zip(("cpu.cfs_quota_us", "cpu.cfs_period_us"), quota.split(), strict=True)),
    ),
}
"""Of each version of control groups: folder, the process' own group, and the files that hold a quota and its period."""
QUOTAS = {
    "150000 100000": 1,
    "300000 100000": 3,
    "1600000 100000": 8,
    "40000 100000": 1,
    "max 100000": 8,
    "-1 100000": 8,
}


@pytest.mark.parametrize(("own", "limited"), [("/", ""), ("/slice/job", "slice"), ("/docker/7f3a", "")])
def test_the_cores_that_a_group_allows(own: str, limited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for version, (folder, line, files) in CPU.items():
        found = {}
        for number, quota in enumerate(QUOTAS):
            root = system(tmp_path / version / str(number))
            assert core_count(root) == 8
            (root / "proc/self/cgroup").write_text(line.format(own))
            (root / folder / limited).mkdir(parents=True)
            for name, text in files(quota).items():
                (root / folder / limited / name).write_text(f"{text}\n")
            found[quota] = core_count(root)
        assert found == QUOTAS, version
