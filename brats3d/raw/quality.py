"""Measurements that show whether a prepared study is right, and flags if they look wrong.

NumPy computes the mutual information here from a joint histogram, independently of the registration's own estimate.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from brats3d.errors import check_shapes_equal
from brats3d.geometry import Grid

BINS = 48
BRAIN_ML = (700.0, 2100.0)
"""A brain with its fluid outside this range has a wrong mask, except in infants."""
COVERED = 0.85
"""A scan that shows less than this share of the brain is flagged."""
FAR_MM, FAR_DEGREES = 30.0, 25.0
"""By their headers, scans of one visit are closer to each other than this."""
LOST = 0.02
"""A pair whose mutual information fell by this much, in nats, was not registered."""


@dataclass(frozen=True)
class Quality:
    """Measurements of a prepared study.

    Attributes:
        brain_method: how the brain was found.
        brain_ml: volume of the brain mask.
        information_before: pair of modalities, as ``t1ce-t2`` → mutual information within the brain in nats, with the scans
            aligned only by their headers.
        information_after: the same after registration.
        covered: modality → share of the brain that its scan shows.
        moved_mm: modality → how far the brain's centre moved relative to the reference scan.
        turned_degrees: modality → its rotation.
        flags: what looks wrong, one sentence each; empty if nothing does.
    """

    brain_method: str
    brain_ml: float
    information_before: Mapping[str, float]
    information_after: Mapping[str, float]
    covered: Mapping[str, float]
    moved_mm: Mapping[str, float]
    turned_degrees: Mapping[str, float]
    flags: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the measurements as plain values."""
        return asdict(self)


def mutual_information(one: np.ndarray, other: np.ndarray, mask: np.ndarray) -> float:
    """Return the mutual information of two images within a mask, in nats; 0 if the mask is empty.

    Each image is cut into `BINS` bins of equal width between its 0.5th and 99.5th percentile.

    Args:
        one: (X, Y, Z).
        other: the same shape.
        mask: (X, Y, Z) bool: voxels that count.

    Raises:
        ArrayError: shapes differ.
    """
    check_shapes_equal(one=one.shape, other=other.shape, mask=mask.shape)
    first, second = one[mask], other[mask]
    if first.size == 0:
        return 0.0
    joint = np.bincount(_bins(first) * BINS + _bins(second), minlength=BINS * BINS).reshape(BINS, BINS) / first.size
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    met = joint > 0
    return float((joint[met] * np.log(joint[met] / independent[met])).sum())


def _bins(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, [0.5, 99.5])
    scaled = (values - low) * (BINS / max(float(high - low), 1e-12))
    return np.clip(scaled, 0, BINS - 1).astype(np.int64)


def measure(
    images: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray],
    brain: np.ndarray,
    grid: Grid,
    moves: Mapping[str, np.ndarray],
    *,
    brain_method: str,
) -> Quality:
    """Return the measurements of a prepared study with their flags.

    Args:
        images: modality → (X, Y, Z) on the stored grid, 0 where the scan does not reach.
        before: the same, aligned by the headers.
        brain: (X, Y, Z) bool.
        grid: the stored grid.
        moves: modality → (4, 4) rigid matrix by which registration moved it in the world of the stored grid.
        brain_method: how the brain was found.

    Raises:
        ArrayError: shapes differ.
    """
    was, now = pair_information(images, before, brain)
    middle = np.array([*np.argwhere(brain).mean(0), 1.0]) if brain.any() else np.array([0.0, 0.0, 0.0, 1.0])
    middle = grid.affine @ middle
    quality = Quality(
        brain_method=brain_method,
        brain_ml=float(brain.sum()) * grid.voxel_ml,
        information_before=was,
        information_after=now,
        covered={m: float((image[brain] > 0).mean()) if brain.any() else 0.0 for m, image in images.items()},
        moved_mm={m: float(np.linalg.norm((matrix @ middle - middle)[:3])) for m, matrix in moves.items()},
        turned_degrees={m: turn_degrees(matrix) for m, matrix in moves.items()},
    )
    return replace(quality, flags=flags_of(quality))


def pair_information(
    images: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray], brain: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the mutual information of each pair of modalities before and after registration.

    Both use the same voxels: those of the brain shown by all four images of a pair.

    Args:
        images: modality → (X, Y, Z) after registration.
        before: modality → (X, Y, Z) aligned by the headers.
        brain: (X, Y, Z) bool.

    Returns:
        (before, after), each ``t1-t2`` → nats.
    """
    was, now = {}, {}
    for one, other in itertools.combinations(images, 2):
        shown = brain & (images[one] > 0) & (images[other] > 0) & (before[one] > 0) & (before[other] > 0)
        was[f"{one}-{other}"] = mutual_information(before[one], before[other], shown)
        now[f"{one}-{other}"] = mutual_information(images[one], images[other], shown)
    return was, now


def turn_degrees(matrix: np.ndarray) -> float:
    """Return the rotation angle of a rigid (4, 4) matrix."""
    return float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))


def flags_of(quality: Quality) -> tuple[str, ...]:
    """Return one sentence per measurement that looks wrong.

    Args:
        quality: the measurements; its own flags are ignored.
    """
    flags = []
    if not BRAIN_ML[0] <= quality.brain_ml <= BRAIN_ML[1]:
        flags.append(f"the brain mask has {quality.brain_ml:.0f} ml; brains have {BRAIN_ML[0]:.0f} to {BRAIN_ML[1]:.0f} ml")
    for pair, now in quality.information_after.items():
        was = quality.information_before[pair]
        if now < was - LOST:
            flags.append(f"{pair}: mutual information fell from {was:.3f} nats by the headers to {now:.3f} after registration")
    for modality, share in quality.covered.items():
        if share < COVERED:
            flags.append(f"{modality} shows {share:.0%} of the brain")
    for modality, moved in quality.moved_mm.items():
        turned = quality.turned_degrees[modality]
        if moved > FAR_MM or turned > FAR_DEGREES:
            flags.append(f"{modality} was moved by {moved:.0f} mm and rotated by {turned:.0f} degrees")
    return tuple(flags)
