"""Intensities of each modality shifted, scaled and raised to a power.

On normalised images, only where a modality is not zero, so that background stays background: shift and scale are in
standard deviations, gamma acts on the ±5 range mapped to [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brats3d.intensity import CLIP_SD
from brats3d.patches.augmentation import Augmentation


@dataclass(frozen=True)
class Rescaling:
    """What was drawn, one number per modality; 0, 1 and 1 if nothing is changed.

    Attributes:
        shift: added, in standard deviations.
        scale: multiplied by, before the shift.
        gamma: the power.
    """

    shift: tuple[float, ...]
    scale: tuple[float, ...]
    gamma: tuple[float, ...]


def draw_rescaling(rng: np.random.Generator, strengths: Augmentation, modalities: int) -> Rescaling:
    """Draw which modalities are changed, and how."""
    changed = rng.random(modalities) < strengths.intensity_probability
    shift = changed * rng.uniform(-strengths.shift, strengths.shift, modalities)
    scale = 1 + changed * rng.uniform(-strengths.scale, strengths.scale, modalities)
    power = np.log1p(strengths.gamma)
    gamma = np.exp(changed * rng.uniform(-power, power, modalities))
    return Rescaling(tuple(shift.tolist()), tuple(scale.tolist()), tuple(gamma.tolist()))


def apply_rescaling(images: np.ndarray, targets: np.ndarray, drawn: Rescaling) -> tuple[np.ndarray, np.ndarray]:
    """Return new images (M, x, y, z) float32, and the targets as they are."""
    out = np.empty(images.shape, np.float32)
    for target, source, shift, scale, gamma in zip(out, images, drawn.shift, drawn.scale, drawn.gamma, strict=True):
        if (shift, scale, gamma) == (0, 1, 1):
            target[:] = source
            continue
        np.clip(source * np.float32(scale) + np.float32(shift), -CLIP_SD, CLIP_SD, out=target)
        if gamma != 1:
            target[:] = ((target + CLIP_SD) / (2 * CLIP_SD)) ** np.float32(gamma) * (2 * CLIP_SD) - CLIP_SD
        target *= source != 0
    return out, targets
