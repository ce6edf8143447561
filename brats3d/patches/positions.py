"""Which case a sample comes from, and where its patch is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from brats3d.geometry import Box
from brats3d.store import TumourSample

_CASE_ORDER = 1
"""Third word of the seed of an epoch's case order; a sample's own generator has its index there, and a fourth word."""


def case_of(seed: int, epoch: int, index: int, cases: int) -> int:
    """Return which case the sample of that index takes: every case is used once before any is used again.

    Args:
        seed: the run's seed.
        epoch: epoch number from 0.
        index: sample number within the epoch, from 0.
        cases: how many cases there are.
    """
    round_, place = divmod(index, cases)
    return int(np.random.default_rng([seed, epoch, round_, _CASE_ORDER]).permutation(cases)[place])


def draw_corner(
    rng: np.random.Generator,
    size: Sequence[int],
    box: Box,
    target: np.ndarray | None,
) -> np.ndarray:
    """Draw the first voxel of a patch.

    Args:
        rng: the sample's generator.
        size: patch size in voxels.
        box: (3, 2) half-open brain box, in the patch's voxels.
        target: a voxel that must be in the middle half of the patch, or None for a patch anywhere in the brain box. Patches
            larger than the box overhang it, at a place drawn alike.

    Returns:
        (3,) int corner; the patch may overhang the volume.
    """
    sizes = np.asarray(size)
    if target is not None:
        return np.subtract(target, rng.integers(sizes // 4, sizes - sizes // 4))
    first, last = box[:, 0], box[:, 1] - sizes
    return np.asarray(rng.integers(np.minimum(first, last), np.maximum(first, last) + 1))


def draw_target(
    rng: np.random.Generator, tumour: Mapping[int, TumourSample], groups: Sequence[Sequence[int]]
) -> np.ndarray | None:
    """Draw a tumour voxel, from each group of values equally often whatever its size.

    Args:
        rng: the sample's generator.
        tumour: label value → sample of its coordinates.
        groups: the values of each region (or label) to balance over; those absent from the case are left out.

    Returns:
        (3,) int voxel in the stored grid, or None if the case has no tumour.
    """
    present = [[value for value in values if value in tumour] for values in groups]
    present = [values for values in present if values]
    if not present:
        return None
    values = present[rng.integers(len(present))]
    counts = np.array([tumour[v].count for v in values], float)
    chosen = tumour[values[rng.choice(len(values), p=counts / counts.sum())]]
    return chosen.coordinates[rng.integers(len(chosen.coordinates))].astype(int)
