"""Patches mirrored along spatial axes, images and targets together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brats3d.patches.augmentation import Augmentation


@dataclass(frozen=True)
class Flips:
    """What was drawn.

    Attributes:
        axes: spatial axes mirrored, each once.
    """

    axes: tuple[int, ...] = ()


def draw_flips(rng: np.random.Generator, strengths: Augmentation, modalities: int) -> Flips:
    """Draw the axes that are mirrored, each allowed one with probability ½."""
    return Flips(tuple(axis for axis in sorted(set(strengths.flip_axes)) if rng.random() < 0.5))


def apply_flips(images: np.ndarray, targets: np.ndarray, drawn: Flips) -> tuple[np.ndarray, np.ndarray]:
    """Return views of images (M, x, y, z) and targets (C, x, y, z), mirrored."""
    return flip(images, drawn), flip(targets, drawn)


def flip(array: np.ndarray, drawn: Flips) -> np.ndarray:
    """Return a view of an array (C, x, y, z), mirrored; twice is the array itself."""
    return np.flip(array, tuple(axis + 1 for axis in drawn.axes))
