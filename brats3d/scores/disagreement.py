"""How two masks of a region disagree: errors near a boundary, lesions missed or invented, and whether a shift fixes it.

An error voxel is in only one of the masks; it is *near* if the other mask is at most `BOUNDARY_MM` (or one voxel, if voxels
are larger) away, so that moving a boundary that far would fix it. Shares of errors and the Dice of moved masks are estimated
on at most `SAMPLE` evenly spaced voxels, the same ones every time.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from brats3d.scores.overlap import Overlap, count_overlap
from brats3d.scores.pieces import components
from brats3d.scores.surfaces import SHELL_VOXELS, border_surface

SPECK_MM3 = 50.0
"""Missed or invented lesions up to this volume count only if there is nothing larger (BraTS 2023's limit for gliomas)."""
BOUNDARY_MM = 2.0
"""Errors up to this distance from the other mask are boundary errors."""
FAR_MM = 5.0
"""Predicted lesions further than this from the reference are invented."""
SAMPLE = 4000
DIRECTIONS = ("left-right", "front-back", "top-bottom")
"""Names of mirrored axes in the stored orientation L, P, S, that of BraTS files."""
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ErrorVoxels:
    """The error voxels of one side: at most `SAMPLE` of them, each representing equally many.

    Attributes:
        points: (N, 3) int, positions in the box.
        weight: how many voxels each represents.
        distances: (N,) to the other mask, in multiples of `BOUNDARY_MM` or of a larger voxel; infinite if that is empty.
    """

    points: np.ndarray
    weight: float
    distances: np.ndarray

    def voxels(self, chosen: np.ndarray) -> float:
        """Return how many voxels the chosen points represent.

        Args:
            chosen: (N,) bool.
        """
        return self.weight * int(np.count_nonzero(chosen))

    @property
    def near(self) -> np.ndarray:
        """Which points are near the other mask, (N,) bool."""
        chosen: np.ndarray = self.distances <= 1 + ROUNDING
        return chosen


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Both masks of a region in their joint box, and what the rules need of them; each answer is computed once.

    Attributes:
        prediction: (X, Y, Z) bool, the prediction within the box.
        reference: the same for the reference.
        start: the box's first voxel in the whole grid.
        grid: shape of the whole grid.
        spacing_mm: voxel spacing along each axis.
        others: name → the reference's tissues outside the region, within the box.
        predicted_others: the same for the prediction.
    """

    prediction: np.ndarray
    reference: np.ndarray
    start: tuple[int, ...]
    grid: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    others: Mapping[str, np.ndarray]
    predicted_others: Mapping[str, np.ndarray]

    @cached_property
    def counts(self) -> Overlap:
        """Voxels in both masks and in only one of them."""
        return count_overlap(self.prediction, self.reference)

    @property
    def errors(self) -> int:
        """Voxels in only one of the masks."""
        return self.counts.false_positive + self.counts.false_negative

    def millilitres(self, voxels: float) -> float:
        """Return the volume of a number of voxels."""
        return voxels * float(np.prod(self.spacing_mm)) / 1000

    def dice_without(self, voxels: float) -> float:
        """Return the Dice without a number of error voxels; both masks empty: 1."""
        total = self.counts.predicted + self.counts.reference - voxels
        return 2 * self.counts.true_positive / total if total > 0 else 1.0

    @property
    def dice(self) -> float:
        """The Dice of the masks as they are."""
        return self.dice_without(0)

    @cached_property
    def lesions(self) -> tuple[np.ndarray, np.ndarray]:
        """Sizes in voxels of the reference's 26-connected lesions that were found, at least in part, and of those missed.

        Missed specks are left out, unless there are only specks and nothing was found.
        """
        _, _, sizes, hits = _lesions(self.reference, self.prediction)
        missed = sizes[hits == 0]
        large = missed[missed * np.prod(self.spacing_mm) > SPECK_MM3]
        return sizes[hits > 0], large if len(large) or hits.any() else missed

    @cached_property
    def invented(self) -> float:
        """Voxels of predicted lesions that do not touch the reference and are far from it; specks count if none was found."""
        places, ids, sizes, hits = _lesions(self.prediction, self.reference)
        alone = (hits == 0) & (sizes * np.prod(self.spacing_mm) > (SPECK_MM3 if self.counts.true_positive else 0))
        if not alone.any():
            return 0.0
        found = self._voxels(places[alone[ids]], self._reference_surface)
        return found.voxels(found.distances > FAR_MM / BOUNDARY_MM + ROUNDING)

    @cached_property
    def extra(self) -> ErrorVoxels:
        """Error voxels of the prediction."""
        return self._voxels(np.flatnonzero(self.prediction & ~self.reference), self._reference_surface)

    @cached_property
    def missing(self) -> ErrorVoxels:
        """Error voxels of the reference."""
        return self._voxels(np.flatnonzero(self.reference & ~self.prediction), self._predicted_surface)

    @cached_property
    def _reference_surface(self) -> cKDTree | None:
        return self._surface(self.reference)

    @cached_property
    def _predicted_surface(self) -> cKDTree | None:
        return self._surface(self.prediction)

    @property
    def _unit(self) -> tuple[float, ...]:
        return tuple(s / max(s, BOUNDARY_MM) for s in self.spacing_mm)

    def _surface(self, mask: np.ndarray) -> cKDTree | None:
        """Return a tree of the voxels at a mask's surface; None if the mask is empty."""
        surface = border_surface(mask, self._unit)
        if len(surface.points) == 0:
            return None
        return cKDTree(surface.coordinates_mm(surface.points, self._unit), compact_nodes=False, balanced_tree=False)

    def _voxels(self, places: np.ndarray, other: cKDTree | None) -> ErrorVoxels:
        points, weight = _sample(places, self.reference.shape)
        if len(points) == 0 or other is None:
            return ErrorVoxels(points, weight, np.full(len(points), np.inf))
        return ErrorVoxels(points, weight, other.query((points + SHELL_VOXELS) * self._unit)[0])

    def mirrored(self) -> tuple[float, str]:
        """Return the best Dice of the prediction mirrored about the grid's middle along any axes, and those axes."""
        points = _sample(np.flatnonzero(self.prediction), self.prediction.shape)[0]
        last = np.array(self.grid) - 1 - 2 * np.array(self.start)
        tried = []
        for count in (1, 2, 3):
            for axes in itertools.combinations(range(3), count):
                moved = points.copy()
                moved[:, axes] = last[list(axes)] - points[:, axes]
                found = self._dice_at(moved)
                # among equals the fewest axes: many tumours are nearly symmetric themselves
                tried.append((round(found, 2), -count, found, " and ".join(DIRECTIONS[axis] for axis in axes)))
        _, _, best, words = max(tried)
        return best, words

    def shifted(self) -> tuple[float, tuple[int, ...]]:
        """Return the best Dice of the shifted prediction, and by how many voxels the prediction is off.

        Searches voxel by voxel, as long as that helps, from the shift that aligns the centres of mass; not if they coincide.
        Neither mask may be empty.
        """
        points = _sample(np.flatnonzero(self.prediction), self.prediction.shape)[0]
        wanted = _sample(np.flatnonzero(self.reference), self.reference.shape)[0]
        shift = np.round(wanted.mean(0) - points.mean(0)).astype(int)
        steps = np.array(list(itertools.product((0, -1, 1), repeat=3)))
        best = self._dice_at(points + shift)
        for _ in range(4 if shift.any() else 0):
            around = [self._dice_at(points + shift + step) for step in steps]
            if max(around) <= best:
                break
            best, shift = max(around), shift + steps[int(np.argmax(around))]
        return best, tuple((-shift).tolist())

    def _dice_at(self, points: np.ndarray) -> float:
        """Return the Dice if the predicted voxels were at these points of the box."""
        inside = ((points >= 0) & (points < self.reference.shape)).all(1)
        hits = np.count_nonzero(self.reference[tuple(points[inside].T)]) / len(points)
        return 2 * hits * self.counts.predicted / (self.counts.predicted + self.counts.reference)


def _sample(places: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Return at most `SAMPLE` evenly spaced voxels, and how many voxels each represents.

    Args:
        places: positions in a flattened array.
        shape: the array's shape.
    """
    count = min(SAMPLE, len(places))
    chosen = places[np.linspace(0, len(places) - 1, count).astype(int)] if count else places
    return np.stack(np.unravel_index(chosen, shape), -1), len(places) / max(count, 1)


def _lesions(mask: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the positions of a mask's voxels, the lesion number of each from 0, and the size and hits of every lesion.

    Lesions are 26-connected; hits are voxels that are also in the other mask of the same shape.
    """
    places = np.flatnonzero(mask)
    ids = components(mask).numbers.ravel()[places] - 1
    count = int(ids.max(initial=-1)) + 1
    return places, ids, np.bincount(ids, minlength=count), np.bincount(ids[other.ravel()[places]], minlength=count)
