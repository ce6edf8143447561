"""Will one pass over a whole brain fit into memory?

On a CPU there is no second try: a process that takes too much is killed. So the pass is only tried if an estimate says that it
fits. On other devices the backend raises an error, and windows are used then.

The estimate: a forward pass holds about twice the inputs and outputs of its largest layer. Measured with TensorFlow 2.21 on a
CPU, peak above the idle process in bytes per voxel, against that layer's bytes: `isensee2017` at 160×192×160 456 against 256
(base 16) and 246 against 128 (base 8), `isensee2017_paper` at 128³ 534 against 256, `unet3d` (base 16) at 96³ 1,152 against
768.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from brats3d.limits import available_bytes

if TYPE_CHECKING:
    import keras

SAFETY = 2.5
"""Largest measured ratio of peak to largest layer, 2.1, with a margin."""
SHARE = 0.8
"""Share of the available memory that may be used."""


def bytes_per_voxel(network: keras.Model, stride: tuple[int, int, int]) -> float:
    """Return an estimate of a forward pass's peak memory, in bytes per voxel of its input.

    Args:
        network: a functional Keras network.
        stride: what its sizes along X, Y, Z must be divisible by.
    """
    import keras

    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    taps = keras.Model(network.input, [layer.output for layer in layers])
    shapes = taps.compute_output_shape((1, *stride, network.input_shape[-1]))
    voxels = int(np.prod(stride))
    size = {id(network.input): voxels * network.input_shape[-1]}
    size |= {id(layer.output): int(np.prod(shape)) for layer, shape in zip(layers, shapes, strict=True)}
    largest = max(size[id(y.output)] + sum(size[id(x)] for x in _inputs(y)) for y in layers)
    return SAFETY * 4 * largest / voxels


def _inputs(layer: keras.layers.Layer) -> list[object]:
    return list(layer.input) if isinstance(layer.input, list | tuple) else [layer.input]


def fits_in_memory(network: keras.Model, stride: tuple[int, int, int]) -> Callable[[tuple[int, int, int]], bool]:
    """Return a function (X, Y, Z) → whether one pass over that many voxels should fit into memory.

    On other devices than a CPU it is always True: their own memory counts, and the backend raises an error when it is full.

    Args:
        network: the network.
        stride: what its sizes along X, Y, Z must be divisible by.
    """
    if not _on_cpu():
        return lambda size: True
    each = bytes_per_voxel(network, stride)
    return lambda size: each * float(np.prod(size)) <= SHARE * available_bytes()


def _on_cpu() -> bool:
    import keras

    return all("cpu" in device.lower() for device in keras.distribution.list_devices())
