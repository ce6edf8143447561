"""Labels painted of boxes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Box = tuple[int, tuple[int, ...], tuple[int, ...]]


def paint(shape: Iterable[int], boxes: Iterable[Box]) -> np.ndarray:
    """A label of zeros, then of boxes (value, first voxel, size); later boxes win."""
    label = np.zeros(tuple(shape), np.uint8)
    for value, first, size in boxes:
        label[tuple(slice(a, a + n) for a, n in zip(first, size, strict=True))] = value
    return label


def paint_golden(shape: list[int], boxes: list[dict]) -> np.ndarray:
    """A label of the golden file: boxes with their first voxel and the one after their last."""
    sizes = [[b - a for a, b in zip(box["start"], box["stop"], strict=True)] for box in boxes]
    return paint(shape, [(box["label"], box["start"], size) for box, size in zip(boxes, sizes, strict=True)])
