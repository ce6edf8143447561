"""Fingerprints of volumes: small, comparable at every shift, and independent of rescaled intensities.

Voxels are replaced by their rank among their modality's non-zero voxels, so that rescaled intensities do not matter, and
averaged over blocks counted from the brain's centroid, so that neither shifts nor cropped background matter. Two volumes are
compared at all shifts at once, by FFT: many pairs on coarse maps, the few that are alike on finer ones, correlated where both
brains are (normalised cross-correlation with masks: Padfield, IEEE Trans. Image Process. 21(5), 2012).

On twelve real cases, no two patients correlate above 0.51 on maps of 4 mm. Copies that were shifted or rescaled reach 1.00,
mirrored or resampled ones 0.89, parts of a brain (half of it, a corner) 0.85, a brain rotated by 5° 0.78.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brats3d.geometry import block_average, box_at, crop_padded
from brats3d.intensity import Histogram

CUBE_MM = 192.0
"""Edge of the cube around the brain's centroid that a map covers; no brain is longer."""
SAMPLE_MM = 2.0
"""Distance between the voxels used: closer ones add little and take eight times as long."""
SPACE = (-3, -2, -1)
SIGNATURE_PERCENTILES = np.linspace(2, 98, 33)


@dataclass(frozen=True, eq=False)
class BlockMap:
    """Average ranks of a volume's voxels, block by block around the brain's centroid.

    Attributes:
        ranks: (M, n, n, n) float32 in −1 … 1, averages over the brain's voxels in the block; 0 where there are none.
        brain: (n, n, n) float32 in 0 … 1, the brain's share of the block.
    """

    ranks: np.ndarray
    brain: np.ndarray

    def mirrored(self) -> BlockMap:
        """Return the map of the volume mirrored left to right, along X."""
        return BlockMap(self.ranks[:, ::-1], self.brain[::-1])


def block_map(images: np.ndarray, histograms: Sequence[Histogram], spacing_mm: Sequence[float], block_mm: float) -> BlockMap:
    """Return a volume's map.

    Args:
        images: (M, X, Y, Z), the brain's box at least, int16 or float; 0 is background.
        histograms: one per modality, of its non-zero voxels.
        spacing_mm: voxel spacing along each axis.
        block_mm: edge of a block, as closely as whole numbers of voxels allow.
    """
    step = [max(1, round(SAMPLE_MM / s)) for s in spacing_mm]
    few = images[:, :: step[0], :: step[1], :: step[2]]
    x, y, z = (max(1, round(block_mm / (s * n))) for s, n in zip(spacing_mm, step, strict=True))
    inside = (few != 0).any(0)
    size = [round(CUBE_MM / block_mm) * f for f in (x, y, z)]
    centre = [_mean_place(inside.sum(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = box_at([round(c - n / 2) for c, n in zip(centre, size, strict=True)], size)
    ranks = np.stack([ranks_of(channel, h) for channel, h in zip(few, histograms, strict=True)])
    brain = block_average(crop_padded(inside, box), (x, y, z))
    sums = block_average(crop_padded(ranks, box), (x, y, z))
    return BlockMap(np.divide(sums, brain, out=np.zeros_like(sums), where=brain > 0), brain)


def _mean_place(counts: np.ndarray) -> float:
    return float((counts * np.arange(len(counts))).sum() / max(counts.sum(), 1))


def ranks_of(channel: np.ndarray, histogram: Histogram) -> np.ndarray:
    """Return the rank of each non-zero voxel, float32 from −1 (lowest) to 1 (highest); zeros stay 0.

    Args:
        channel: any shape, int16 or float.
        histogram: histogram of its non-zero voxels.
    """
    known = histogram.arrays()
    if "counts" in known:
        counts = known["counts"]
        knots, places = known["values"], (np.cumsum(counts) - counts / 2) / counts.sum()
    else:
        knots, places = known["quantiles"], np.linspace(0, 1, len(known["quantiles"]))
    if channel.dtype != np.int16:
        return np.where(channel == 0, 0, np.interp(channel, knots, 2 * places - 1)).astype(np.float32)
    every = np.arange(2**16, dtype=np.uint16).view(np.int16)  # a table look-up takes a tenth of the time
    table = np.interp(every, knots, 2 * places - 1).astype(np.float32)
    table[0] = 0
    return table[channel.view(np.uint16)]


def spectrum(block_map: BlockMap) -> np.ndarray:
    """Return the spectrum of ranks weighted by the brain, (M, n, n, n // 2 + 1) complex64, for `likeness`."""
    return np.fft.rfftn(block_map.ranks * block_map.brain, axes=SPACE).astype(np.complex64)


def energies(block_map: BlockMap) -> np.ndarray:
    """Return each modality's sum of squares, (M,) float64, of what `spectrum` transforms; 0 for a missing one."""
    return ((block_map.ranks * block_map.brain).astype(np.float64) ** 2).sum(SPACE)


def likeness(one: np.ndarray, others: np.ndarray, energy: np.ndarray, other_energies: np.ndarray) -> np.ndarray:
    """Return how similar a map is to others at the best shift, over the modalities that both have.

    The correlation is divided by the smaller of the two energies, so that a part of a brain is similar to the whole. It can
    slightly exceed 1 if there is noise.

    Args:
        one: (M, n, n, n // 2 + 1) spectrum.
        others: (N, M, n, n, n // 2 + 1) spectra.
        energy: (M,) energies of the one; 0 for a missing modality.
        other_energies: (N, M).

    Returns:
        (N,) float64; 0 if there is no modality in common.
    """
    n = one.shape[-2]
    shifted = np.fft.irfftn((one.conj() * others).sum(1), s=(n, n, n), axes=SPACE)
    smaller = np.minimum((energy * (other_energies > 0)).sum(1), (other_energies * (energy > 0)).sum(1))
    return np.divide(shifted.max(SPACE), smaller, out=np.zeros(len(others)), where=smaller > 0)


def correlation(one: BlockMap, other: BlockMap, *, overlap: float = 0.7) -> float:
    """Return the largest correlation of two maps over all shifts, computed where both brains are.

    Modalities are pooled: their covariances and variances are summed before the ratio is taken.

    Args:
        one: a map.
        other: a map of the same blocks and modalities; those missing in one of the two are ignored.
        overlap: least share of the smaller brain that must be inside the other.

    Returns:
        −1 … 1; 0 if a map is constant.
    """
    both = [i for i in range(len(one.ranks)) if one.ranks[i].any() and other.ranks[i].any()]
    masks = [(m.brain > 0.3).astype(np.float32) for m in (one, other)]
    values = [m.ranks[both] * mask for m, mask in zip((one, other), masks, strict=True)]
    (mask_a, mask_b), (a, b), (aa, bb) = (
        [np.fft.rfftn(v, axes=SPACE) for v in arrays] for arrays in (masks, values, [v * v for v in values])
    )

    def at_all_shifts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.asarray(np.fft.irfftn(first.conj() * second, s=masks[0].shape, axes=SPACE), np.float64)

    common = np.maximum(at_all_shifts(mask_a, mask_b), 0.5)
    mean_a, mean_b = at_all_shifts(a, mask_b), at_all_shifts(mask_a, b)
    covariance = (at_all_shifts(a, b) - mean_a * mean_b / common).sum(0)
    variance = [
        np.maximum((squares - mean**2 / common).sum(0), 0)
        for squares, mean in ((at_all_shifts(aa, mask_b), mean_a), (at_all_shifts(mask_a, bb), mean_b))
    ]
    counts = (common >= overlap * min(m.sum() for m in masks)) & (np.minimum(*variance) > 1e-3)
    found = covariance[counts] / np.sqrt(variance[0][counts] * variance[1][counts])
    return float(np.clip(found.max(initial=-1), -1, 1)) if counts.any() else 0.0


def signature(histogram: Histogram) -> np.ndarray:
    """Return a distribution's shape, (33,) float32: percentiles scaled to median 0 and a range of 1 from 8% to 92%.

    It does not change with a shift, a flip, cropping of background or linear rescaling of intensities.
    """
    values = np.array([histogram.percentile(p) for p in SIGNATURE_PERCENTILES])
    middle, low, high = values[len(values) // 2], values[2], values[-3]
    return ((values - middle) / max(high - low, 1e-9)).astype(np.float32)
