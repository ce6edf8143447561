"""What the benchmarks and checks of `scores` share: labels of real cases, and predictions as a network makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from brats3d import images
from brats3d.cases import find_cases
from brats3d.regions import LABEL_SETS, LabelSet, paint_regions, region_masks, whole_numbers


@dataclass(frozen=True, eq=False)
class RealLabel:
    """The label of a real case.

    Attributes:
        case: its id.
        array: (X, Y, Z) uint8.
        spacing_mm: voxel spacing along each axis.
        coding: what the values mean.
    """

    case: str
    array: np.ndarray
    spacing_mm: tuple[float, ...]
    coding: LabelSet


def labels_of_cases(folder: Path, count: int | None = None) -> Iterator[RealLabel]:
    """Yield the labels of the first cases of a folder of BraTS cases."""
    for case in [case for case in find_cases(folder) if case.label][:count]:
        volume = images.read(case.label)
        array = np.asfortranarray(whole_numbers(volume.array))  # as a reader gives it
        yield RealLabel(case.id, array, volume.grid.spacing_mm, LABEL_SETS["L23" if 3 in array else "L17"])


def wobble(label: np.ndarray, coding: LabelSet, seed: int = 0) -> np.ndarray:
    """Return a prediction: every region's outline moved by a smooth random field of about 1.5 voxels."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(label.shape, np.float32), 4)
    field *= 1.5 / field.std()
    masks = []
    for mask in region_masks(label, coding):
        depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
        masks.append(depth + field > 0.5)
    return paint_regions(np.stack(masks), coding)


def scatter(label: np.ndarray, coding: LabelSet, seed: int = 1, *, lost: float = 0.3, invented: int = 6) -> np.ndarray:
    """Return a prediction without some pieces of a label, and with small balls of enhancing tumour that are not there."""
    rng = np.random.default_rng(seed)
    numbers, count = ndimage.label(label > 0, np.ones((3, 3, 3)))
    gone = [n + 1 for n in range(count) if rng.random() < lost and n != np.bincount(numbers.ravel())[1:].argmax()]
    found = np.where(np.isin(numbers, gone), 0, label).astype(np.uint8)
    axes = np.ogrid[tuple(slice(n) for n in label.shape)]
    for _ in range(invented):
        centre, radius = [rng.integers(0, n) for n in label.shape], rng.integers(2, 6)
        ball = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)) <= radius**2
        found[ball] = dict(coding.paint)["ET"]
    return found
