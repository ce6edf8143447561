"""Histograms of non-zero voxels, and normalisations computed from them.

Every normalisation is computed from a histogram in the store, so it can change without preprocessing again, and `predict`
does exactly what training does. Integer scans keep all their values and counts; float scans keep 1,001 quantiles,
read as a piecewise linear distribution.

``clamped_zscore`` is Isensee's 2017 rule (arXiv 1802.10508 and the authors' released code): mean and standard deviation of
the values clamped to their 2nd and 98th percentile, applied to the unclamped values, the result clipped to ±5, background 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from brats3d.errors import ALL_ZERO, ImageError, check_option

__all__ = [
    "CLIP_SD",
    "NORMALISATIONS",
    "Counts",
    "Histogram",
    "Quantiles",
    "Scaling",
    "clamped_zscore",
    "histogram_from_arrays",
    "histogram_of",
    "parts",
    "scaling_of",
]
__dir__ = __all__.copy

QUANTILES = 1001
CACHED = 1 << 16
"""Voxels processed at a time: a quarter of a megabyte of float32."""
MOST_COUNTED = 1 << 24
"""Integers with a wider range than this are sorted, not counted."""
CLIP_SD = 5.0
"""Normalised intensities are clipped to plus and minus this many standard deviations."""


class Histogram(Protocol):
    """The distribution of a modality's non-zero voxels."""

    def percentile(self, percent: float) -> float:
        """Return the percentile, linear between neighbours."""

    def clamped_moments(self, low: float, high: float) -> tuple[float, float]:
        """Return mean and population standard deviation of the values clamped to ``low`` … ``high``."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays from which `histogram_from_arrays` rebuilds the histogram."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Distinct values and how often each occurs, (N,) each, values ascending."""

    values: np.ndarray
    counts: np.ndarray

    def percentile(self, percent: float) -> float:
        """Return the percentile as ``numpy.percentile`` would for all voxels (linear interpolation)."""
        last = np.cumsum(self.counts)
        position = percent / 100 * (last[-1] - 1)
        below, above = (self.values[np.searchsorted(last, p, side="right")] for p in (np.floor(position), np.ceil(position)))
        return float(below + (above - below) * (position - np.floor(position)))

    def clamped_moments(self, low: float, high: float) -> tuple[float, float]:
        """Return mean and population standard deviation of the values clamped to ``low`` … ``high``."""
        clamped = np.clip(self.values, low, high)
        total = self.counts.sum()
        mean = float((clamped * self.counts).sum() / total)
        return mean, float(np.sqrt(((clamped - mean) ** 2 * self.counts).sum() / total))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``values`` and ``counts``."""
        return {"values": self.values, "counts": self.counts}


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Equally spaced quantiles, (1001,), from the least to the greatest value."""

    quantiles: np.ndarray

    def percentile(self, percent: float) -> float:
        """Return the percentile, linear between the stored quantiles."""
        return float(np.interp(percent / 100 * (len(self.quantiles) - 1), np.arange(len(self.quantiles)), self.quantiles))

    def clamped_moments(self, low: float, high: float) -> tuple[float, float]:
        """Return mean and standard deviation of the piecewise uniform distribution, clamped to ``low`` … ``high``."""
        knots = np.clip(self.quantiles, low, high)
        a, b = knots[:-1], knots[1:]
        mean = float(((a + b) / 2).mean())
        centred_a, centred_b = a - mean, b - mean
        variance = float(((centred_a**2 + centred_a * centred_b + centred_b**2) / 3).mean())
        return mean, float(np.sqrt(variance))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return ``quantiles``."""
        return {"quantiles": self.quantiles}


def histogram_of(array: np.ndarray) -> Histogram:
    """Return the histogram of an image's non-zero voxels.

    Args:
        array: any shape; integers give `Counts`, floats `Quantiles`.

    Raises:
        ImageError: all voxels are zero.
    """
    if np.issubdtype(array.dtype, np.integer):
        values, counts = _distinct(array)
        inside = values != 0
        if not inside.any():
            raise ImageError(ALL_ZERO)
        return Counts(values[inside].astype(np.float64), counts[inside].astype(np.int64))
    inside_values = array[array != 0]
    if inside_values.size == 0:
        raise ImageError(ALL_ZERO)
    return Quantiles(np.quantile(inside_values, np.linspace(0, 1, QUANTILES)).astype(np.float64))


def _distinct(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an integer array's values, ascending, and how often each occurs."""
    least, greatest = int(array.min(initial=0)), int(array.max(initial=0))
    if greatest - least > MOST_COUNTED:
        return np.unique(array, return_counts=True)
    counts = np.zeros(greatest - least + 1, np.int64)
    for part in parts(array):
        voxels = array[part].ravel(order="K")
        counts += np.bincount(voxels if least == 0 else voxels.astype(np.int64) - least, minlength=len(counts))
    values = np.flatnonzero(counts)
    return values + least, counts[values]


def parts(array: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """Yield indices that cut an array along its slowest axis in memory into parts that fit a processor's cache.

    Running several NumPy functions in a row part by part takes a third of the time they take on the whole array.
    """
    if array.size == 0 or array.ndim == 0:
        yield (...,)
        return
    slowest = int(np.argmax(np.abs(array.strides)))
    length = array.shape[slowest]
    step = max(1, CACHED * length // array.size)
    for start in range(0, length, step):
        yield (*(slice(None),) * slowest, slice(start, start + step))


def histogram_from_arrays(arrays: Mapping[str, np.ndarray]) -> Histogram:
    """Return the histogram that ``arrays()`` describes."""
    if "quantiles" in arrays:
        return Quantiles(np.asarray(arrays["quantiles"], np.float64))
    return Counts(np.asarray(arrays["values"], np.float64), np.asarray(arrays["counts"], np.int64))


@dataclass(frozen=True)
class Scaling:
    """A linear map of intensities, clipped; zeros (background) stay zero.

    Attributes:
        mean: intensity that becomes 0.
        sd: intensity difference that becomes 1.
        clip: results are limited to −clip … clip.
    """

    mean: float
    sd: float
    clip: float = CLIP_SD

    def apply(self, array: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return the normalised image.

        Args:
            array: any shape and real type, intensities as stored.
            out: float32 of the same shape, filled and returned if given.

        Returns:
            float32 of the same shape; 0 where the input is 0.
        """
        scaled = np.empty_like(array, np.float32) if out is None else out
        mean, factor = np.float32(self.mean), np.float32(1 / self.sd)
        for part in parts(array):
            raw, into = array[part], scaled[part]
            np.subtract(raw, mean, out=into, dtype=np.float32, casting="unsafe")
            into *= factor
            np.clip(into, -self.clip, self.clip, out=into)
            into *= raw != 0
        return scaled


def clamped_zscore(histogram: Histogram) -> Scaling:
    """Return the default scaling: mean and sd of the values clamped to their 2nd and 98th percentile.

    Raises:
        ImageError: all values are (nearly) the same.
    """
    low, high = histogram.percentile(2), histogram.percentile(98)
    mean, sd = histogram.clamped_moments(low, high)
    if not sd > 1e-6 * abs(mean):
        raise ImageError(
            f"the intensities do not vary (2nd percentile {low:g}, 98th {high:g}, standard deviation {sd:g});"
            " expected a scan, found a mask or a constant image."
        )
    return Scaling(mean, sd)


NORMALISATIONS: Mapping[str, Callable[[Histogram], Scaling]] = MappingProxyType({"clamped_zscore": clamped_zscore})
"""Name in recipes and cards → function from histogram to scaling."""


def scaling_of(histogram: Histogram, normalisation: str) -> Scaling:
    """Return the scaling of a histogram by the named normalisation.

    Raises:
        OptionError: there is no normalisation of that name.
        ImageError: the histogram cannot be normalised.
    """
    check_option("normalisation", normalisation, NORMALISATIONS)
    return NORMALISATIONS[normalisation](histogram)
