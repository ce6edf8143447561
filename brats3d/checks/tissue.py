"""How each value of a label behaves on the images, from which its coding can be identified.

Intensities are compared with the case's own normal brain, the unlabelled voxels: (x − median) / (1.4826 · MAD), so scans need
no unit. Everything is computed from samples (a coarse lattice of the brain, some thousand voxels of each value), in
milliseconds: the whole volume is scanned once, eight voxels at a time, to locate the label. Only a label with a single value is
examined as a whole, for its holes (about 0.1 s).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from brats3d.geometry import bounding_box, box_slices

LATTICE_VOXELS = 50_000
"""Most voxels of the brain's lattice, which takes every n-th voxel along each axis with the smallest such n."""
VALUE_VOXELS = 3_000
"""Voxels examined of each value of a label, evenly spread over its list."""
FEW_VOXELS = 20
"""A value with fewer voxels is not compared with the others."""
REFERENCE_VOXELS = 8_000
"""About this many voxels are used for a median and its spread."""
ENHANCING_SD = 2.0
"""A voxel enhances if t1ce is this many sd above what t1 predicts."""


@dataclass(frozen=True)
class ValueFeatures:
    """How the voxels of one value behave; intensities in robust standard deviations of normal brain, NaN where unknown.

    Attributes:
        voxels: how many there are.
        enhancement: median of t1ce above what t1 predicts.
        enhancing: share of the voxels that enhance.
        peak: 90th percentile of that.
        brightest: how much more it enhances than the most enhancing other value; NaN if it is the only one.
        wettest: the same for brightness in t2.
        outermost: the same for the share of its surface that faces unlabelled tissue.
        hollow: how much larger it would be with its holes in any plane filled; NaN if there are other values.
        t1: median brightness in t1.
        t1ce: median brightness in t1ce.
        t2: median brightness in t2.
        flair: median brightness in flair.
        surface: neighbouring value → share of the value's surface that faces it; empty if it has no surface.
    """

    voxels: int
    enhancement: float
    enhancing: float
    peak: float
    brightest: float
    wettest: float
    outermost: float
    hollow: float
    t1: float
    t1ce: float
    t2: float
    flair: float
    surface: Mapping[int, float]

    @property
    def outer(self) -> float:
        """Share of the surface that faces unlabelled tissue; NaN without a surface."""
        return self.surface.get(0, 0.0) if self.surface else float("nan")


CodingFeatures = Mapping[int, ValueFeatures]
"""Label value → how it behaves, without the background."""


def as_plain(features: CodingFeatures) -> dict[int, dict[str, Any]]:
    """Return features as plain numbers by name, as a case's header keeps them, without unknown ones."""
    plain = {value: asdict(seen) for value, seen in features.items()}
    return {v: {n: x for n, x in seen.items() if x == x} for v, seen in plain.items()}


def from_plain(plain: Mapping[int, Mapping[str, Any]]) -> CodingFeatures:
    """Return features from the result of `as_plain`, possibly of another version or via JSON, whose keys are strings."""
    names = [f.name for f in fields(ValueFeatures) if f.name != "surface"]
    return {
        value: ValueFeatures(
            **{name: seen.get(name, float("nan")) for name in names},
            surface={int(v): share for v, share in seen.get("surface", {}).items()},
        )
        for value, seen in plain.items()
    }


@dataclass(frozen=True)
class Reference:
    """Normal brain in one modality: median and 1.4826 · MAD of its non-zero unlabelled voxels."""

    median: float
    sd: float

    def z(self, values: np.ndarray) -> np.ndarray:
        """Return float32 deviations from normal brain; NaN where a value is 0, i.e. outside the modality's brain."""
        z = (values.astype(np.float32) - np.float32(self.median)) / np.float32(self.sd)
        z[values == 0] = np.nan
        return z


def lattice_step(shape: tuple[int, ...], voxels: int = LATTICE_VOXELS) -> int:
    """Return the smallest step along each axis that leaves at most ``voxels`` voxels of a volume."""
    return max(1, int(np.ceil((np.prod(shape, dtype=float) / voxels) ** (1 / 3))))


def lattice_slices(shape: tuple[int, ...], voxels: int = LATTICE_VOXELS) -> tuple[slice, ...]:
    """Return centred slices that take every n-th voxel along each axis, at most ``voxels`` in all."""
    step = lattice_step(shape, voxels)
    return tuple(slice(min(step, size) // 2, None, step) for size in shape)


def reference_of(values: np.ndarray) -> Reference | None:
    """Return median and robust sd of a sample's non-zero values; None if they do not vary or there are none."""
    inside = values[values != 0]
    if inside.size == 0:
        return None
    inside = inside[:: max(1, inside.size // REFERENCE_VOXELS)].astype(np.float32)
    median = float(np.median(inside))
    sd = 1.4826 * float(np.median(np.abs(inside - np.float32(median))))
    return Reference(median, sd) if sd > 0 else None


def label_voxels(label: np.ndarray) -> np.ndarray:
    """Return the flat indices of a label's non-zero voxels, sorted.

    Args:
        label: (X, Y, Z) uint8. Scanned eight voxels at a time, several times faster than voxel by voxel.
    """
    flat = np.ascontiguousarray(label).ravel()
    whole = flat.size // 8 * 8
    words = np.flatnonzero(flat[:whole].view(np.uint64) != 0)  # several times faster on bool
    near = (words[:, None] * 8 + np.arange(8)).ravel()
    near = np.concatenate([near, np.arange(whole, flat.size)])
    return near[flat[near] != 0]


def coding_features(label: np.ndarray, images: Mapping[str, np.ndarray]) -> CodingFeatures:
    """Return how each value of a label behaves on a case's images.

    Args:
        label: (X, Y, Z) uint8.
        images: modality → (X, Y, Z) of any real type, 0 outside the brain; t1, t1ce, t2, flair or some of them.

    Returns:
        Value → features, sorted by value, without 0; missing images give NaN.
    """
    if (
        label.flags.f_contiguous
    ):  # nothing here depends on the order of the axes, and a copy would cost more than everything else
        label, images = label.T, {m: image.T for m, image in images.items()}
    label = np.ascontiguousarray(label)
    where = label_voxels(label)
    values = label.ravel()[where]
    lattice = lattice_slices(label.shape)
    normal = label[lattice] == 0
    samples = {m: np.where(normal, image[lattice], 0) for m, image in images.items()}
    references = {m: reference for m, sample in samples.items() if (reference := reference_of(sample))}
    expected = _expected(samples, references)
    features = {
        int(value): _value_features(label, images, where[values == value], references, expected)
        for value in np.flatnonzero(np.bincount(values))
    }
    if len(features) == 1:
        return {value: replace(seen, hollow=hollow(label)) for value, seen in features.items()}
    return {value: _against_others(value, features) for value in features}


def hollow(label: np.ndarray) -> float:
    """Return how much larger a label would be with its holes filled: oedema around a core has some, a whole tumour none.

    Args:
        label: (X, Y, Z), not all 0. Holes are what is enclosed in a plane along any two axes: few are closed in 3-D.
    """
    from scipy import ndimage

    inside = label[box_slices(bounding_box(label))] != 0
    filled = np.zeros_like(inside)
    for axis in range(3):
        plane = np.moveaxis(ndimage.generate_binary_structure(3, 1), axis, 0).copy()
        plane[[0, 2]] = False
        filled |= ndimage.binary_fill_holes(inside, np.moveaxis(plane, 0, axis))
    return float(np.count_nonzero(filled) / np.count_nonzero(inside) - 1)


def _against_others(value: int, features: CodingFeatures) -> ValueFeatures:
    """Return a value's features with how far they exceed the largest of the others."""
    own, others = features[value], [f for other, f in features.items() if other != value and f.voxels >= FEW_VOXELS]

    def ahead(feature: str) -> float:
        return float(getattr(own, feature)) - max((getattr(f, feature) for f in others), default=float("nan"))

    return replace(own, brightest=ahead("enhancement"), wettest=ahead("t2"), outermost=ahead("outer"))


def _expected(samples: Mapping[str, np.ndarray], references: Mapping[str, Reference]) -> Reference | None:
    """Return the reference of t1ce − t1, both as deviations, in normal brain."""
    if not {"t1", "t1ce"} <= references.keys():
        return None
    both = (samples["t1"] != 0) & (samples["t1ce"] != 0)
    difference = references["t1ce"].z(samples["t1ce"][both]) - references["t1"].z(samples["t1"][both])
    if difference.size == 0:
        return None
    median = float(np.median(difference))
    return Reference(median, 1.4826 * float(np.median(np.abs(difference - np.float32(median)))))


def _value_features(
    label: np.ndarray,
    images: Mapping[str, np.ndarray],
    where: np.ndarray,
    references: Mapping[str, Reference],
    expected: Reference | None,
) -> ValueFeatures:
    sample = where[:: max(1, -(-len(where) // VALUE_VOXELS))]
    at = np.unravel_index(sample, label.shape)
    z = {m: reference.z(images[m][at]) for m, reference in references.items()}
    medians = {m: _median(z[m]) if m in z else float("nan") for m in ("t1", "t1ce", "t2", "flair")}
    enhancement = enhancing = peak = float("nan")
    if expected is not None:
        difference = z["t1ce"] - z["t1"] - np.float32(expected.median)
        enhancement = _median(difference)
        enhancing = float(np.mean(difference > ENHANCING_SD))
        known = difference[~np.isnan(difference)]
        peak = float(np.percentile(known, 90)) if known.size else float("nan")
    later = dict.fromkeys(("brightest", "wettest", "outermost", "hollow"), float("nan"))  # what needs all values
    return ValueFeatures(len(where), enhancement, enhancing, peak, **later, **medians, surface=_surface(label, at))


def _median(z: np.ndarray) -> float:
    known = z[~np.isnan(z)]
    return float(np.median(known)) if known.size else float("nan")


def _surface(label: np.ndarray, at: tuple[np.ndarray, ...]) -> dict[int, float]:
    """Return the shares of other values that the faces of these voxels adjoin; outside the volume counts as 0."""
    own = label[at]
    counts = np.zeros(256, np.int64)
    for axis in range(3):
        for step in (-1, 1):
            place = at[axis] + step
            inside = (place >= 0) & (place < label.shape[axis])
            neighbour = list(at)
            neighbour[axis] = np.clip(place, 0, label.shape[axis] - 1)
            seen = np.where(inside, label[tuple(neighbour)], 0)
            counts += np.bincount(seen[seen != own], minlength=256)
    total = counts.sum()
    return {int(v): float(counts[v] / total) for v in np.flatnonzero(counts)}
