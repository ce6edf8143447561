"""How the modalities of one case relate to one another and to a brain: measurements on a coarse lattice of the case.

Everything is computed from some hundred thousand voxels, in milliseconds. Nothing here decides what is wrong: the limits are
in `checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brats3d.checks.tissue import lattice_slices, lattice_step, reference_of
from brats3d.geometry import box_slices
from brats3d.intensity import Histogram
from brats3d.regions import MODALITIES

GREYS = 16
"""Classes of intensity for mutual information."""
MIRROR_SHIFTS = 2
"""The middle of a head is searched for within this many lattice steps to either side."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Every n-th voxel of the brain's box, in all modalities.

    Attributes:
        values: modality → (x, y, z) original intensities.
        first: (3,) voxel of its first point.
        step: n.
        voxel_ml: volume that a lattice point represents.
    """

    values: Mapping[str, np.ndarray]
    first: np.ndarray
    step: int
    voxel_ml: float

    @property
    def brain(self) -> np.ndarray:
        """Where any modality is not 0: (x, y, z) bool."""
        return np.logical_or.reduce([v != 0 for v in self.values.values()])

    def place(self, points: np.ndarray) -> np.ndarray:
        """Return the voxels of lattice points.

        Args:
            points: (N, 3) indices of points.
        """
        return self.first + self.step * points


def brain_lattice(
    images: np.ndarray, modalities: tuple[str, ...], brain_box: np.ndarray, spacing_mm: tuple[float, float, float]
) -> Lattice:
    """Return a coarse lattice of a case's brain.

    Args:
        images: (M, X, Y, Z).
        modalities: names of the M channels.
        brain_box: (3, 2) half-open.
        spacing_mm: voxel spacing along each axis.
    """
    inside = images[(slice(None), *box_slices(brain_box))]
    step, slices = lattice_step(inside.shape[1:]), lattice_slices(inside.shape[1:])
    points = inside[(slice(None), *slices)].astype(np.float32)
    first = np.asarray(brain_box)[:, 0] + [each.start for each in slices]
    return Lattice(dict(zip(modalities, points, strict=True)), first, step, step**3 * float(np.prod(spacing_mm)) / 1000)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation of two images where both are not 0; NaN if that is nowhere, or one does not vary."""
    both = (first != 0) & (second != 0)
    a, b = first[both].astype(np.float64), second[both].astype(np.float64)
    if a.size < 2:
        return float("nan")
    a -= a.mean()
    b -= b.mean()
    # Not a @ b: BLAS would start threads for it, which cost more than they gain and take other workers' cores.
    size = np.sqrt(np.einsum("i,i", a, a) * np.einsum("i,i", b, b))
    return float(np.einsum("i,i", a, b) / size) if size > 0 else float("nan")


def containment(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of the smaller of two masks inside the other; 1 if one is empty.

    Unlike Dice it is not affected by a modality that covers only part of the brain.
    """
    smaller = min(int(first.sum()), int(second.sum()))
    return int((first & second).sum()) / smaller if smaller else 1.0


def grey_classes(image: np.ndarray, histogram: Histogram) -> np.ndarray:
    """Return an image in `GREYS` classes, 1 and up, from its 1st to its 99th percentile, and 0 where it is 0: uint16."""
    low, high = histogram.percentile(1), histogram.percentile(99)
    width = max(high - low, 1e-30) / GREYS
    classes = np.clip((image - np.float32(low)) / np.float32(width) + 1, 1, GREYS).astype(np.uint16)
    classes[image == 0] = 0
    return classes


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mutual information, in bits, of two images of grey classes where both are not 0; 0 if that is nowhere."""
    codes = (first * np.uint16(GREYS + 1) + second).ravel()
    joint = np.bincount(codes, minlength=(GREYS + 1) ** 2).reshape(GREYS + 1, GREYS + 1)[1:, 1:]
    total = joint.sum()
    if total == 0:
        return 0.0
    share = joint / total
    apart = share.sum(1, keepdims=True) * share.sum(0, keepdims=True)
    seen = joint > 0
    return float((share[seen] * np.log2(share[seen] / apart[seen])).sum())


def displaced_information(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the mutual information of two images in place, and the largest with one moved by a lattice step.

    Two registered images fit best in place: moved by four or five millimetres, folds no longer match.

    Args:
        first: (x, y, z) grey classes.
        second: the same.

    Returns:
        In place, and the largest of the six ways to move the second one along an axis.
    """
    moved = []
    for axis in range(3):
        for step in (1, -1):
            here, there = [slice(None)] * 3, [slice(None)] * 3
            here[axis], there[axis] = (slice(1, None), slice(None, -1))[::step]
            moved.append(mutual_information(first[tuple(here)], second[tuple(there)]))
    return mutual_information(first, second), max(moved)


def mirrored_information(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mutual information of two images with one mirrored left and right: the largest over small shifts.

    A head is nearly its own mirror image, but its folds are not: if one is mirrored, registered images share only a fraction
    of what they share in place.

    Args:
        first: (x, y, z) grey classes, the first axis from one side of the head to the other.
        second: the same.
    """
    size, turned = len(first), second[::-1]
    shifts = range(-MIRROR_SHIFTS, MIRROR_SHIFTS + 1)  # the middle of the box is not quite that of the head
    parts = [(slice(max(0, s), size + min(0, s)), slice(max(0, -s), size + min(0, -s))) for s in shifts]
    return max(mutual_information(first[here], turned[there]) for here, there in parts)


def rim(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of a mask with a face on the outside; beyond the volume's border counts as outside."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis in range(3):
        for step in (0, 2):
            window = [slice(1, -1)] * 3
            window[axis] = slice(step, step + mask.shape[axis])
            inner &= padded[tuple(window)]
    return mask & ~inner


def rim_brightness(image: np.ndarray, brain: np.ndarray) -> float:
    """Return how much brighter the rim of the brain is than its inside, in robust sd of the inside; NaN if unknown.

    Args:
        image: (x, y, z) intensities, 0 outside.
        brain: (x, y, z) bool.
    """
    edge = rim(brain)
    inside, outside = reference_of(image[brain & ~edge]), image[edge & (image != 0)]
    if inside is None or outside.size == 0:
        return float("nan")
    return (float(np.median(outside)) - inside.median) / inside.sd


def end_areas(brain: np.ndarray) -> np.ndarray:
    """Return the areas of the first and last slice of a brain's box as shares of its largest slice along that axis.

    Args:
        brain: (X, Y, Z) bool.

    Returns:
        (3, 2): a rounded brain has small shares, a cropped one has a large one; zeros without a brain.
    """
    shares = np.zeros((3, 2))
    for axis in range(3):
        area = brain.sum(axis=tuple(a for a in range(3) if a != axis))
        hit = np.flatnonzero(area)
        if hit.size:
            shares[axis] = area[hit[[0, -1]]] / area.max()
    return shares


PAIRS = (("t1", "t1ce"), ("t1", "t2"), ("t1", "flair"), ("t1ce", "t2"), ("t1ce", "flair"), ("t2", "flair"))
DARK_SHARE = 0.08
"""Share of the brain, the darkest in t1, that is taken for fluid."""
RANKED_VOXELS = 6_000
BRIGHTEST_PERCENT = 99.8
"""Percentile at which vessels and tumour with contrast agent are searched for: they are few voxels."""


@dataclass(frozen=True)
class Likeness:
    """How much four images are like t1, t1ce, t2 and flair, in this order.

    Attributes:
        alike: rank correlation of the first two: both are weighted by T1.
        fluid: how much brighter the third is than the fourth, in ranks of the brain, where the first is darkest.
        contrast: upper tail of second minus first against its lower tail, in robust sd: vessels and tumour take up contrast
            agent.
        brightest: logarithm of how much further the brightest voxels of the second are above its median than those of the
            first, in robust sd.
    """

    alike: float
    fluid: float
    contrast: float
    brightest: float

    @property
    def score(self) -> float:
        """The first three together; about 1 to 2 if the names are right."""
        return self.alike + self.fluid + 0.1 * float(np.clip(self.contrast, -3, 3))


def likenesses(lattice: Lattice) -> dict[tuple[str, str] | None, Likeness]:
    """Return how well a case's images match their names, as they are and with each pair of names exchanged.

    Args:
        lattice: that of a case with all four modalities.

    Returns:
        None → as named, pair of modalities → with those two exchanged; empty if no brain is covered by all four.
    """
    inside = np.logical_and.reduce([v != 0 for v in lattice.values.values()]) & ~rim(lattice.brain)
    points = np.flatnonzero(inside)
    whole = {m: v.ravel()[points] for m, v in lattice.values.items()}
    references = {m: reference for m, sample in whole.items() if (reference := reference_of(sample))}
    if points.size == 0 or len(references) < len(MODALITIES):
        return {}
    tops = {m: references[m].z(np.percentile(sample, (BRIGHTEST_PERCENT,)))[0] for m, sample in whole.items()}
    heights = {m: float(np.log(max(top, 1e-6))) for m, top in tops.items()}
    samples = {m: sample[:: max(1, -(-len(points) // RANKED_VOXELS))] for m, sample in whole.items()}
    ranks = {m: np.argsort(np.argsort(sample)) / len(sample) for m, sample in samples.items()}
    z = {m: references[m].z(samples[m]) for m in MODALITIES}

    def likeness(t1: str, t1ce: str, t2: str, flair: str) -> Likeness:
        fluid = ranks[t1] < DARK_SHARE
        low, middle, high = np.percentile(z[t1ce] - z[t1], (1, 50, 99))
        return Likeness(
            float(np.corrcoef(ranks[t1], ranks[t1ce])[0, 1]),
            float((ranks[t2][fluid] - ranks[flair][fluid]).mean()),
            float(high + low - 2 * middle),
            heights[t1ce] - heights[t1],
        )

    found: dict[tuple[str, str] | None, Likeness] = {None: likeness(*MODALITIES)}
    for pair in PAIRS:
        exchange = {pair[0]: pair[1], pair[1]: pair[0]}
        found[pair] = likeness(*(exchange.get(m, m) for m in MODALITIES))
    return found
