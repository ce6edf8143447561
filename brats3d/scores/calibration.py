"""Calibration of probabilities: of the voxels given 0.8, 80 % should be tumour.

A `Reliability` has three numbers per bin of probability; two can be added, so a cohort needs only one case in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from brats3d.errors import ArrayError, check_shapes_equal, check_whole

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """How often voxels belong to the region, per bin of predicted probability; all bins have the same width.

    A bin includes its lower limit but not its upper one; the last bin includes 1.
    ``a + b`` is the reliability of all voxels of both.

    Attributes:
        counts: voxels per bin.
        positives: those of them that belong to the region.
        probability_sums: sums of their probabilities.
    """

    counts: tuple[int, ...]
    positives: tuple[int, ...]
    probability_sums: tuple[float, ...]

    @classmethod
    def empty(cls, bins: int = BINS) -> Reliability:
        """Return the reliability of no voxels, to start a sum.

        Args:
            bins: number of bins, 1 to 1000.

        Raises:
            OptionError: ``bins`` is out of range.
        """
        check_whole("bins", bins, 1, 1000)
        return cls((0,) * bins, (0,) * bins, (0.0,) * bins)

    def __add__(self, other: Reliability) -> Reliability:
        if len(self.counts) != len(other.counts):
            raise ArrayError(f"found {len(self.counts)} and {len(other.counts)} bins; expected equal numbers to add them.")
        return Reliability(
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            tuple(a + b for a, b in zip(self.positives, other.positives, strict=True)),
            tuple(a + b for a, b in zip(self.probability_sums, other.probability_sums, strict=True)),
        )

    @property
    def n(self) -> int:
        """Voxels in all bins."""
        return sum(self.counts)

    @property
    def mean_probabilities(self) -> tuple[float | None, ...]:
        """The mean probability of each bin's voxels; None for an empty bin."""
        return tuple(s / n if n else None for s, n in zip(self.probability_sums, self.counts, strict=True))

    @property
    def observed_frequencies(self) -> tuple[float | None, ...]:
        """The share of each bin's voxels that belong to the region; None for an empty bin."""
        return tuple(p / n if n else None for p, n in zip(self.positives, self.counts, strict=True))

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean over voxels of |observed frequency − mean probability| of their bin, 0 to 1.

        None if there are no voxels. Certain background is nearly always right and makes it small, so compare only values for
        the same part of the head.

        References:
            Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo et al.
            2017, "On calibration of modern neural networks", take the probability of the winning class instead.
        """
        if not self.n:
            return None
        return sum(abs(p - s) for p, s in zip(self.positives, self.probability_sums, strict=True)) / self.n

    def as_dict(self) -> dict[str, Any]:
        """Return plain values: ``n``, ``ece``, and ``bins`` with limits, count, mean probability and observed frequency."""
        bins = len(self.counts)
        columns = zip(self.counts, self.mean_probabilities, self.observed_frequencies, strict=True)
        return {
            "n": self.n,
            "ece": self.ece,
            "bins": [
                {
                    "low": i / bins,
                    "high": (i + 1) / bins,
                    "count": count,
                    "mean_probability": mean,
                    "observed_frequency": share,
                }
                for i, (count, mean, share) in enumerate(columns)
            ],
        }


def reliability(
    probabilities: np.ndarray, mask: np.ndarray, *, within: np.ndarray | None = None, bins: int = BINS
) -> Reliability:
    """Return the reliability of one case's probabilities for one region.

    Args:
        probabilities: (X, Y, Z), or any other shape, real, 0 to 1. Not modified.
        mask: bool of the same shape, the region. Not modified.
        within: bool of the same shape, the voxels to include, such as the brain; by default all.
        bins: number of equally wide bins, 1 to 1000.

    Returns:
        The reliability; of no voxels if ``within`` is empty.

    Raises:
        ArrayError: the shapes differ, a mask is not bool, or a probability is NaN or not between 0 and 1 (even outside
            ``within``).
        OptionError: ``bins`` is out of range.
    """
    check_whole("bins", bins, 1, 1000)
    probabilities, mask = np.asarray(probabilities), np.asarray(mask)
    masks = {"mask": mask} if within is None else {"mask": mask, "within": np.asarray(within)}
    check_shapes_equal(probabilities=probabilities.shape, **{name: array.shape for name, array in masks.items()})
    for name, array in masks.items():
        if array.dtype != bool:
            raise ArrayError(f"the array {name} is of type {array.dtype}; expected bool: take the regions of a label first.")
    _check_probabilities(probabilities)
    inside = masks.get("within", ...)
    values = probabilities[inside].astype(np.float64).ravel()
    index = np.minimum((values * bins).astype(np.uint16), bins - 1)
    # one number per voxel encodes bin and mask: bins 0 to bins − 1 of the background, then those of the region
    counts = np.bincount(index + np.multiply(mask[inside], bins, dtype=np.uint16).ravel(), minlength=2 * bins).reshape(2, bins)
    sums = np.bincount(index, weights=values, minlength=bins)
    return Reliability(tuple(counts.sum(0).tolist()), tuple(counts[1].tolist()), tuple(sums.tolist()))


def _check_probabilities(probabilities: np.ndarray) -> None:
    if probabilities.size == 0 or (probabilities.min() >= 0 and probabilities.max() <= 1):  # false for NaN
        return
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    raise ArrayError(
        f"the probabilities hold {probabilities[wrong][0]!s} in {int(wrong.sum())} of {probabilities.size} voxels; expected"
        " numbers from 0 to 1: give the output of the sigmoid, not logits."
    )
