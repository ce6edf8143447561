"""What readers make: samples, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brats3d.patches.augment import Change


@dataclass(frozen=True, eq=False)
class Sample:
    """A finished sample.

    Attributes:
        images: (M, x, y, z) float32, normalised and changed; zeros where the case lacks the modality.
        targets: (C, x, y, z) uint8, or float32 on an averaged grid, in [0, 1].
        change: what was drawn for it.
        available: (M,) bool, which modalities the case has.
    """

    images: np.ndarray
    targets: np.ndarray
    change: Change
    available: np.ndarray


@dataclass(frozen=True, eq=False)
class Batch:
    """A finished batch, channels last.

    Attributes:
        images: (B, x, y, z, M) float32, contiguous.
        targets: (B, x, y, z, C) uint8, or float32 on an averaged grid, contiguous.
        change: what was drawn for each sample.
        available: (B, M) bool, which modalities each sample has.
    """

    images: np.ndarray
    targets: np.ndarray
    change: tuple[Change, ...]
    available: np.ndarray


def batch_of(samples: Sequence[Sample]) -> Batch:
    """Return samples as a batch; the layout becomes Keras' here.

    Args:
        samples: at least one, all of the same shape.
    """
    return Batch(
        _channels_last([sample.images for sample in samples]),
        _channels_last([sample.targets for sample in samples]),
        tuple(sample.change for sample in samples),
        np.stack([sample.available for sample in samples]),
    )


def _channels_last(arrays: Sequence[np.ndarray]) -> np.ndarray:
    # np.stack keeps the memory order of moved axes, and Keras would copy again, in its own time
    return np.ascontiguousarray(np.moveaxis(np.stack(arrays), 1, -1))
