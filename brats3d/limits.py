"""Cores and memory this process may use, including the limits of a batch system or a container."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["available_bytes", "core_count"]
__dir__ = __all__.copy


@dataclass(frozen=True)
class _Groups:
    """Where one version of the kernel's control groups keeps a controller's numbers.

    Attributes:
        controller: its name in ``/proc/self/cgroup``; empty for version 2, which has one tree for all.
        folder: the tree, from the root of the file system.
        files: names of the files in a group's folder.
    """

    controller: str
    folder: str
    files: tuple[str, ...]


_MEMORY = (
    _Groups("", "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")),
    _Groups("memory", "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
)
"""Limit, usage, and the line of ``memory.stat`` that says how much of it is cached: versions 2 and 1 of control groups
(docs.kernel.org: admin-guide/cgroup-v2, admin-guide/cgroup-v1/memory)."""
_CORES = (
    _Groups("", "sys/fs/cgroup", ("cpu.max",)),
    _Groups("cpu", "sys/fs/cgroup/cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")),
)
"""Microseconds of all cores together per period, and the period; version 2 has both in one file."""


def core_count(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least 1.

    Args:
        root: folder of the kernel's own ``proc`` and ``sys``.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for groups, folder in _own_groups(_CORES, root):
        words = [word for name in groups.files for word in _words(folder / name)]
        if len(words) == 2 and all(word.isdigit() for word in words):  # without a limit: max, or -1
            cores = min(cores, int(words[0]) // max(int(words[1]), 1))
    return max(1, cores)


def available_bytes(root: Path = Path("/")) -> float:
    """Return the memory this process may still take, in bytes.

    That is what the system has, or less if a control group of the process, or one around it, has a limit.

    Args:
        root: folder of the kernel's own ``proc`` and ``sys``.

    Returns:
        Bytes; infinite if the system does not say.
    """
    system = _numbers(root / "proc/meminfo").get("MemAvailable:", math.inf) * 1024
    left = [system]
    for groups, folder in _own_groups(_MEMORY, root):
        *names, cached = groups.files
        limit, used = (_numbers(folder / name).get("", math.inf) for name in names)
        if math.isfinite(limit) and math.isfinite(used):
            # Cached files count as used, but are released on demand.
            left.append(limit - used + _numbers(folder / "memory.stat").get(cached, 0.0))
    return min(left)


def _own_groups(versions: tuple[_Groups, ...], root: Path) -> Iterator[tuple[_Groups, Path]]:
    """Yield the control groups of the process, from the innermost to the root of its file system.

    In a container the kernel may name the groups as the host sees them; those that are not visible from inside have no files,
    and the root is then the container's own.
    """
    inside: dict[str, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        inside |= dict.fromkeys(controllers.split(","), path)
    for groups in versions:
        parts = [part for part in PurePosixPath(inside.get(groups.controller, "/")).parts[1:] if part != ".."]
        for depth in range(len(parts), -1, -1):
            yield groups, root.joinpath(groups.folder, *parts[:depth])


def _lines(path: Path) -> list[str]:
    """Return the lines of a kernel file; none if it cannot be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _numbers(path: Path) -> dict[str, float]:
    """Return word → first number after it, from a kernel file; a number on its own is under the empty word."""
    found = {}
    for words in (line.split() for line in _lines(path)):
        numbers = [w for w in words if w.isdigit()]
        if numbers:
            found["" if words[0].isdigit() else words[0]] = float(numbers[0])
    return found
