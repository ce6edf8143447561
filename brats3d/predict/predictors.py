"""Predictors: functions from images to probabilities that wrap one another, in any order.

A predictor takes (M, X, Y, Z) float32, normalised, and returns (R, X, Y, Z) float32 in [0, 1]. Only `from_network` knows
Keras; channels-first becomes channels-last there and nowhere else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from brats3d.errors import ArrayError, OptionError, check_range, check_wholes
from brats3d.geometry import whole_per_axis

if TYPE_CHECKING:
    import keras

Predictor = Callable[[np.ndarray], np.ndarray]
Size = tuple[int, int, int]
Passes = Literal["whole", "windows"]
"""How a volume was seen: all of it at once, or window by window."""
Note = Callable[[Passes], None]

SIGMAS = 8
"""A window is this many standard deviations of its Gaussian weights wide, as in nnU-Net and MONAI."""


def from_network(network: keras.Model, stride: int | Sequence[int], output: int = 0) -> Predictor:
    """Return a predictor that runs a network on its whole input.

    Sizes that the stride does not divide are padded with zeros (background) at the far end and cropped again. The network
    runs as a compiled graph: called eagerly, Keras keeps every layer's output until the end, five times the memory.

    Args:
        network: (batch, X, Y, Z, M) → (batch, X, Y, Z, R) probabilities. Its weights may change later; they are not copied.
        stride: what its sizes along X, Y, Z must be divisible by; one number applies to all three.
        output: which of the network's outputs to return.

    Returns:
        A predictor. It raises an ArrayError for another number of channels, and a MemoryError if the backend has too
        little memory.
    """
    import keras

    channels = network.input_shape[-1]
    # A separate model: it has no strategy and no compile state, and does not touch the network's.
    runner = keras.Model(network.input, network.outputs[output])
    steps = whole_per_axis("stride", stride, 1)
    runner.compile(jit_compile=keras.backend.backend() == "jax")

    def predict(images: np.ndarray) -> np.ndarray:
        if images.ndim != 4 or images.shape[0] != channels:
            raise ArrayError(f"the images have shape {images.shape}; the network takes {channels} channels, (M, X, Y, Z).")
        size = images.shape[1:]
        padding = [(0, 0), *((0, -n % step) for n, step in zip(size, steps, strict=True))]
        batch = np.pad(np.moveaxis(images, 0, -1), [*padding[1:], padding[0]])[np.newaxis]
        result = np.asarray(_run(runner, batch.astype(np.float32, copy=False)), np.float32)[0]
        x, y, z = size
        return np.ascontiguousarray(np.moveaxis(result[:x, :y, :z], -1, 0))

    return predict


def _run(runner: keras.Model, batch: np.ndarray) -> Any:
    try:
        return runner.predict_on_batch(batch)
    except Exception as problem:
        text = f"{type(problem).__name__} {problem}"
        if "ResourceExhausted" in text or "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower():
            raise MemoryError(f"the backend has too little memory for {batch.shape[1:4]} voxels") from problem
        raise


def window(predictor: Predictor, patch_size: Size, overlap: float = 0.5) -> Predictor:
    """Return a predictor that slides a window and blends the outputs with Gaussian weights.

    Windows are spread evenly from border to border, overlapping by at least ``overlap``; an axis that is shorter than the
    window is taken whole.

    Args:
        predictor: what to apply to each window.
        patch_size: voxels of the window.
        overlap: share of a window that its neighbour also covers, 0 to 0.95.

    Raises:
        OptionError: a size below 1, or an overlap out of range.
    """
    check_range("overlap", overlap, 0.0, 0.95)
    check_wholes("patch_size", patch_size, 1, count=3)

    def predict(images: np.ndarray) -> np.ndarray:
        shape = images.shape[1:]
        size = [min(p, n) for p, n in zip(patch_size, shape, strict=True)]
        starts = [_starts(n, s, overlap) for n, s in zip(shape, size, strict=True)]
        weights = [_gaussian(s) for s in size]
        weight = np.einsum("i,j,k->ijk", *weights)
        total: np.ndarray | None = None
        for corner in itertools.product(*starts):
            place = (slice(None), *(slice(c, c + s) for c, s in zip(corner, size, strict=True)))
            part = predictor(np.ascontiguousarray(images[place]))
            if total is None:
                total = np.zeros((len(part), *shape), np.float32)
            total[place] += part * weight
        # The windows are on a lattice, so the sum of their weights is a product of three sums.
        sums = [_spread(n, s, w) for n, s, w in zip(shape, starts, weights, strict=True)]
        return np.asarray(total / np.einsum("i,j,k->ijk", *sums), np.float32)

    return predict


def _starts(length: int, size: int, overlap: float) -> list[int]:
    step = max(1, int(size * (1 - overlap)))
    count = -(-(length - size) // step) + 1
    return [round(start) for start in np.linspace(0, length - size, count)]


def _gaussian(size: int) -> np.ndarray:
    offsets = (np.arange(size) - (size - 1) / 2) / (size / SIGMAS)
    return np.exp(-(offsets**2) / 2).astype(np.float32)


def _spread(length: int, starts: Sequence[int], weights: np.ndarray) -> np.ndarray:
    total = np.zeros(length, np.float32)
    for start in starts:
        total[start : start + len(weights)] += weights
    return total


def where_it_fits(
    whole: Predictor, windows: Predictor, fits: Callable[[Size], bool], note: Note = lambda passes: None
) -> Predictor:
    """Return a predictor that gives the whole volume to one predictor if memory allows, else to another.

    Each volume goes one way or the other, with all that a predictor wraps (flips, temperatures), since a network's output for
    windows is not quite that for the whole. A volume of a size that once did not fit is not tried again.

    Args:
        whole: takes a volume in one pass; may raise a MemoryError.
        windows: takes it in windows.
        fits: (X, Y, Z) → whether one pass should fit into memory.
        note: called with the way each volume went.
    """
    too_large: float = math.inf  # voxels of the smallest volume that did not fit, whatever `fits` said

    def predict(images: np.ndarray) -> np.ndarray:
        nonlocal too_large
        x, y, z = images.shape[1:]
        if x * y * z < too_large and fits((x, y, z)):
            try:
                found = whole(images)
            except MemoryError:
                too_large = x * y * z
            else:
                note("whole")
                return found
        found = windows(images)
        note("windows")
        return found

    return predict


def flips(predictor: Predictor, axes: Sequence[int]) -> Predictor:
    """Return a predictor that averages over all subsets of mirrored axes, each mirrored back.

    Args:
        predictor: what to apply; called 2^len(axes) times.
        axes: spatial axes out of 0, 1, 2; none returns the predictor itself.

    Raises:
        OptionError: an axis that is not one of them, or twice the same.
    """
    check_wholes("flips", axes, 0, 2)
    if len(set(axes)) != len(axes):
        raise OptionError(f"flips is {tuple(axes)!r}; expected different axes out of 0, 1, 2.")
    if not axes:
        return predictor
    subsets = [subset for n in range(len(axes) + 1) for subset in itertools.combinations(axes, n)]

    def predict(images: np.ndarray) -> np.ndarray:
        total: Any = 0
        for subset in subsets:
            mirrored = tuple(axis + 1 for axis in subset)
            total = total + np.flip(predictor(np.ascontiguousarray(np.flip(images, mirrored))), mirrored)
        return np.asarray(total / np.float32(len(subsets)), np.float32)

    return predict


def cooled(predictor: Predictor, temperatures: Sequence[float], *, exclusive: bool) -> Predictor:
    """Return a predictor whose logits are divided by temperatures: above 1 it is less confident.

    Args:
        predictor: gives (R, X, Y, Z) probabilities.
        temperatures: one per channel; the predictor itself is returned if all are 1.
        exclusive: whether the channels' probabilities sum to 1 (softmax), or each is independent (sigmoid).

    References:
        Guo et al. 2017 (arXiv 1706.04599), section 4.2: temperature scaling.
    """
    if all(temperature == 1 for temperature in temperatures):
        return predictor
    powers = 1 / np.asarray(temperatures, np.float32)[:, None, None, None]

    def predict(images: np.ndarray) -> np.ndarray:
        found = predictor(images)
        inside = found**powers
        outside = inside.sum(0, keepdims=True) - inside if exclusive else (1 - found) ** powers
        return np.asarray(inside / np.maximum(inside + outside, np.finfo(np.float32).tiny), np.float32)

    return predict
