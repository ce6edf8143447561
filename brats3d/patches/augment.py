"""Random changes of a patch: drawn first, applied after, so that the same parameters always give the same patch.

Flips move images and regions together. Intensity changes act on normalised images where a modality is not zero, so the
background stays background: scale and shift are in standard deviations, gamma acts on the ±5 range brought to [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brats3d.errors import check_range, check_wholes
from brats3d.intensity import CLIP_SD


@dataclass(frozen=True)
class Augmentation:
    """How strongly patches are changed.

    Attributes:
        flip_axes: spatial axes (0 left–right, 1 front–back, 2 down–up in the stored orientation) mirrored with probability ½.
        intensity_probability: share of modalities of a patch whose intensities are changed.
        shift: a change adds up to ± this many standard deviations.
        scale: a change multiplies by 1 ± up to this.
        gamma: a change raises to a power between 1/(1 + gamma) and 1 + gamma.
    """

    flip_axes: tuple[int, ...] = (0, 1, 2)
    intensity_probability: float = 0.5
    shift: float = 0.2
    scale: float = 0.2
    gamma: float = 0.3

    def __post_init__(self) -> None:
        check_wholes("flip_axes", self.flip_axes, 0, 2)
        check_range("intensity_probability", self.intensity_probability, 0, 1)
        check_range("shift", self.shift, 0, 5)
        check_range("scale", self.scale, 0, 0.9)
        check_range("gamma", self.gamma, 0, 5)


@dataclass(frozen=True)
class Change:
    """The parameters drawn for one patch.

    Attributes:
        flips: axes mirrored.
        shift: per modality, in standard deviations.
        scale: per modality.
        gamma: per modality.
    """

    flips: tuple[int, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    gamma: tuple[float, ...]


def draw_change(rng: np.random.Generator, augmentation: Augmentation, modalities: int) -> Change:
    """Draw a patch's change.

    Args:
        rng: the sample's generator.
        augmentation: strengths.
        modalities: number of image channels.
    """
    flips = tuple(axis for axis in sorted(set(augmentation.flip_axes)) if rng.random() < 0.5)
    changed = rng.random(modalities) < augmentation.intensity_probability
    shift = changed * rng.uniform(-augmentation.shift, augmentation.shift, modalities)
    scale = 1 + changed * rng.uniform(-augmentation.scale, augmentation.scale, modalities)
    power = np.log1p(augmentation.gamma)
    gamma = np.exp(changed * rng.uniform(-power, power, modalities))
    return Change(flips, tuple(shift.tolist()), tuple(scale.tolist()), tuple(gamma.tolist()))


def apply_change(images: np.ndarray, regions: np.ndarray, change: Change) -> tuple[np.ndarray, np.ndarray]:
    """Apply a change to a patch; the inputs are untouched.

    Args:
        images: (M, x, y, z) float32, normalised.
        regions: (R, x, y, z), any type.
        change: what to do.

    Returns:
        Changed images (new array) and flipped regions (a view where nothing is flipped).
    """
    axes = tuple(axis + 1 for axis in change.flips)
    flipped = np.flip(images, axes)
    out = np.empty(images.shape, np.float32)
    for target, source, shift, scale, gamma in zip(out, flipped, change.shift, change.scale, change.gamma, strict=True):
        if (shift, scale, gamma) == (0, 1, 1):
            target[:] = source
            continue
        np.clip(source * np.float32(scale) + np.float32(shift), -CLIP_SD, CLIP_SD, out=target)
        if gamma != 1:
            target[:] = ((target + CLIP_SD) / (2 * CLIP_SD)) ** np.float32(gamma) * (2 * CLIP_SD) - CLIP_SD
        target *= source != 0
    return out, np.flip(regions, axes)


def undo_flips(array: np.ndarray, change: Change) -> np.ndarray:
    """Return an array (C, x, y, z) with a change's flips undone; intensity changes have no inverse."""
    return np.flip(array, tuple(axis + 1 for axis in change.flips))
