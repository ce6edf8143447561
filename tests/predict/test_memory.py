"""The estimate that decides between one pass and the window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brats3d.models import build_model, stride
from brats3d.predict.memory import available_bytes, bytes_per_voxel, fits_in_memory

keras = pytest.importorskip("keras")


@pytest.fixture(autouse=True)
def _fresh_session() -> Iterator[None]:
    yield
    keras.utils.clear_session()


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "filters", "measured"),
    [("isensee2017", 16, 456), ("isensee2017", 8, 246), ("isensee2017_paper", 16, 534), ("unet3d", 16, 1152)],
)
def test_the_estimate_is_above_what_was_measured_but_not_far(name: str, filters: int, measured: float) -> None:
    """Measured: peak of a forward pass above the idle process, TensorFlow on a CPU, bytes per voxel."""
    estimate = bytes_per_voxel(build_model(name, base_filters=filters), stride(name))
    assert measured < estimate < 1.8 * measured


@pytest.mark.network
def test_small_fits_and_huge_does_not() -> None:
    fits = fits_in_memory(build_model("isensee2017", base_filters=2), 16)
    assert fits((16, 16, 16))
    assert not fits((100_000, 10_000, 1_000))


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
