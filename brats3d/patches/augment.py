"""Random changes of a patch: drawn first, applied after, so that the same parameters always give the same patch.

`TRANSFORMS` is the table. A new kind of change is a module with its parameters and its functions, its strengths in
`Augmentation`, and a row at the table's end: rows draw in the table's order, so samples of the same seed stay the same as
long as the new strengths are off and nothing is drawn for them. Rows are applied in another order, those that move voxels
first, because what changes intensities has to leave the background at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from brats3d.patches.augmentation import Augmentation
from brats3d.patches.flipping import apply_flips, draw_flips, flip
from brats3d.patches.rescaling import apply_rescaling, draw_rescaling


@dataclass(frozen=True)
class Transform:
    """One kind of random change of a patch; a row of `TRANSFORMS`.

    Attributes:
        name: of the row.
        acts_on: ``voxels`` moves images and targets together; ``intensities`` changes only images.
        draw: (generator, strengths, number of modalities) → parameters, or None if nothing is to be changed.
        apply: (images (M, x, y, z) float32, targets (C, x, y, z), parameters) → the changed ones; the inputs are untouched,
            the results may be views.
        undo: (array (C, x, y, z), parameters) → the array with its voxels moved back; None if they cannot be, or never moved.
    """

    name: str
    acts_on: Literal["voxels", "intensities"]
    draw: Callable[[np.random.Generator, Augmentation, int], Any]
    apply: Callable[[np.ndarray, np.ndarray, Any], tuple[np.ndarray, np.ndarray]]
    undo: Callable[[np.ndarray, Any], np.ndarray] | None = None


TRANSFORMS: Mapping[str, Transform] = MappingProxyType({
    row.name: row
    for row in (
        Transform("flips", "voxels", draw_flips, apply_flips, flip),
        Transform("rescaling", "intensities", draw_rescaling, apply_rescaling),
    )
})  # fmt: skip
"""Name → kind of change, in drawing order."""

_ORDER = sorted(TRANSFORMS.values(), key=lambda row: row.acts_on != "voxels")
"""The order in which they are applied."""


@dataclass(frozen=True)
class Change:
    """What was drawn for one patch; nothing by default.

    Attributes:
        drawn: name of the transform → its parameters. Transforms that change nothing may be missing.
    """

    drawn: Mapping[str, Any] = field(default_factory=dict)


def draw_change(rng: np.random.Generator, augmentation: Augmentation, modalities: int) -> Change:
    """Draw a patch's change.

    Args:
        rng: the sample's generator.
        augmentation: strengths.
        modalities: number of image channels.
    """
    drawn = {name: row.draw(rng, augmentation, modalities) for name, row in TRANSFORMS.items()}
    return Change({name: parameters for name, parameters in drawn.items() if parameters is not None})


def apply_change(images: np.ndarray, targets: np.ndarray, change: Change) -> tuple[np.ndarray, np.ndarray]:
    """Apply a change to a patch; the inputs are untouched.

    Args:
        images: (M, x, y, z) float32, normalised.
        targets: (C, x, y, z), any type.
        change: what to do.

    Returns:
        Changed images and targets; views of the inputs where possible.
    """
    for row in _ORDER:
        if row.name in change.drawn:
            images, targets = row.apply(images, targets, change.drawn[row.name])
    return images, targets


def undo_moves(array: np.ndarray, change: Change) -> np.ndarray:
    """Return an array (C, x, y, z) with its voxels moved back to where they were before a change; intensities stay changed.

    Args:
        array: images or targets of a changed patch.
        change: what was done to it.
    """
    for row in reversed(_ORDER):
        if row.undo is not None and row.name in change.drawn:
            array = row.undo(array, change.drawn[row.name])
    return array
