"""Will one pass over a whole brain fit into memory?

On a CPU nobody asks twice: a process that takes too much is killed. So the pass is only tried where an estimate says that it
fits. On other devices the backend says so itself, and the window is taken then.

The estimate: a forward pass holds about twice the inputs and outputs of its largest layer. Measured with TensorFlow 2.21 on a
CPU, peak above the idle process in bytes per voxel, against that layer's bytes: `isensee2017` at 160×192×160 456 against 256
(base 16) and 246 against 128 (base 8), `isensee2017_paper` at 128³ 534 against 256, `unet3d` (base 16) at 96³ 1,152 against
768.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

SAFETY = 2.5
"""Largest measured ratio of peak to largest layer, 2.1, and some."""
SHARE = 0.8
"""Of the memory at hand, this much may be planned with."""


@dataclass(frozen=True)
class _Groups:
    """Where one version of the kernel's control groups keeps its numbers: the folder, and the names of the files in it."""

    controller: str
    folder: str
    limit: str
    used: str
    cached: str


_GROUPS = (
    _Groups("", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    _Groups("memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Versions 2 and 1 (docs.kernel.org: admin-guide/cgroup-v2, admin-guide/cgroup-v1/memory)."""


def bytes_per_voxel(network: keras.Model, stride: int) -> float:
    """Return an estimate of a forward pass's peak memory, in bytes per voxel of its input.

    Args:
        network: a functional Keras network.
        stride: what its spatial sizes must be divisible by.
    """
    import keras

    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    taps = keras.Model(network.input, [layer.output for layer in layers])
    shapes = taps.compute_output_shape((1, stride, stride, stride, network.input_shape[-1]))
    size = {id(network.input): stride**3 * network.input_shape[-1]}
    size |= {id(layer.output): int(np.prod(shape)) for layer, shape in zip(layers, shapes, strict=True)}
    largest = max(size[id(y.output)] + sum(size[id(x)] for x in _inputs(y)) for y in layers)
    return SAFETY * 4 * largest / stride**3


def _inputs(layer: keras.layers.Layer) -> list[object]:
    return list(layer.input) if isinstance(layer.input, list | tuple) else [layer.input]


def available_bytes(root: Path = Path("/")) -> float:
    """Return the memory this process may still take, in bytes.

    That is what the system has, or less where a control group that the process is in, or one around it, has a limit.

    Args:
        root: folder of the kernel's own ``proc`` and ``sys``.

    Returns:
        Bytes; infinite where the system does not say.
    """
    system = _numbers(root / "proc/meminfo").get("MemAvailable:", math.inf) * 1024
    left = [system]
    for groups, folder in _own_groups(root):
        limit, used = (_numbers(folder / name).get("", math.inf) for name in (groups.limit, groups.used))
        if math.isfinite(limit) and math.isfinite(used):
            # Cached files count as used there, and are given up on demand.
            left.append(limit - used + _numbers(folder / "memory.stat").get(groups.cached, 0.0))
    return min(left)


def _own_groups(root: Path) -> Iterator[tuple[_Groups, Path]]:
    """Yield the control groups that the process is in, from the innermost out to the one at the root of its file system.

    In a container the kernel may name the groups as the host sees them; those that cannot be seen from inside hold no files,
    and the root is then the container's own.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    inside: dict[str, str] = {}
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        inside |= dict.fromkeys(controllers.split(","), path)
    for groups in _GROUPS:
        parts = [part for part in PurePosixPath(inside.get(groups.controller, "/")).parts[1:] if part != ".."]
        for depth in range(len(parts), -1, -1):
            yield groups, root.joinpath(groups.folder, *parts[:depth])


def _numbers(path: Path) -> dict[str, float]:
    """Return word → first number behind it, of a file of the kernel's; a number on its own is under the empty word."""
    found = {}
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    for words in (line.split() for line in lines):
        numbers = [w for w in words if w.isdigit()]
        if numbers:
            found["" if words[0].isdigit() else words[0]] = float(numbers[0])
    return found


def fits_in_memory(network: keras.Model, stride: int) -> Callable[[tuple[int, int, int]], bool]:
    """Return a function (X, Y, Z) → whether one pass over so many voxels should fit into memory.

    On other devices than a CPU it always says yes: their own memory counts, and the backend tells when it is full.

    Args:
        network: the network.
        stride: what its spatial sizes must be divisible by.
    """
    if not _on_cpu():
        return lambda size: True
    each = bytes_per_voxel(network, stride)
    return lambda size: each * float(np.prod(size)) <= SHARE * available_bytes()


def _on_cpu() -> bool:
    import keras

    return all("cpu" in device.lower() for device in keras.distribution.list_devices())
