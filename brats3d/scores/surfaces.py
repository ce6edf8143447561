"""Surfaces of masks, distances between them, and scores based on those distances.

Two definitions of a surface are in use, and they give different numbers (Protocol says which one counts):

- `element_surface`: voxel corners where mask and background meet, weighted by the area of the surface element there.
- `border_surface`: voxels of the mask with a face neighbour outside it, each with weight 1.

`distances` is exact and made for masks that nearly agree, as predictions do: points of one surface search for the other in
shells of growing radius (whole voxel offsets), points on both surfaces first; only those that find nothing within
`SHELL_VOXELS` use a k-d tree. The obvious way, a Euclidean distance transform of the box around both masks, takes several
times as long (benchmarks/scores.py).
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from brats3d.scores.elements import element_areas, neighbour_codes

SHELL_VOXELS = 3
FEW_POINTS = 200
"""Up to this many points search for the nearest target in the slab that must contain it; a tree of all would take longer."""
SAMPLED_TARGETS = 1000
"""The nearest of this many targets determines how thick that slab is."""
ROUNDING = 1e-9
"""Shares of area are compared with this tolerance, so that an exact tie does not depend on the order of a sum."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The points of a mask's surface.

    Attributes:
        present: bool array in C order with a margin of `SHELL_VOXELS` on every side: True at the points.
        points: (N,) positions in the flattened ``present``.
        weights: (N,) float64, the weight of each point.
    """

    present: np.ndarray
    points: np.ndarray
    weights: np.ndarray

    def coordinates_mm(self, points: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
        """Return the coordinates of positions in the flattened array.

        Args:
            points: (N,) positions in the flattened ``present``.
            spacing_mm: voxel spacing along each axis.

        Returns:
            (N, axes) float64 in mm from the array's first entry.
        """
        return np.stack(np.unravel_index(points, self.present.shape), -1) * np.asarray(spacing_mm, float)


def element_surface(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> Surface:
    """Return the voxel corners on a mask's surface, each with the area of its surface element.

    Args:
        mask: (X, Y) or (X, Y, Z) bool; outside the array is background. An empty mask has no points.
        spacing_mm: voxel spacing along each axis.

    References:
        google-deepmind/surface-distance, ``compute_surface_distances``.
    """
    codes = np.pad(neighbour_codes(np.ascontiguousarray(mask)), SHELL_VOXELS)
    present = (codes != 0) & (codes != (1 << (1 << mask.ndim)) - 1)
    points = np.flatnonzero(present)
    return Surface(present, points, element_areas(spacing_mm)[codes.ravel()[points]])


def border_surface(mask: np.ndarray, spacing_mm: tuple[float, ...]) -> Surface:
    """Return the voxels of a mask with a face neighbour outside it (or at the volume's border), each with weight 1.

    Args:
        mask: (X, Y) or (X, Y, Z) bool; outside the array is background. An empty mask has no points.
        spacing_mm: ignored: a border voxel has the same weight whatever its shape.

    References:
        loli/medpy, ``medpy.metric.binary``: mask minus its erosion by the 6-neighbour (4-neighbour) element.
    """
    mask = np.ascontiguousarray(mask)
    inside = mask.copy()
    for axis in range(mask.ndim):
        ahead = (slice(None),) * axis
        inside[(*ahead, slice(1, None))] &= mask[(*ahead, slice(None, -1))]
        inside[(*ahead, slice(None, -1))] &= mask[(*ahead, slice(1, None))]
        for end in (slice(1), slice(-1, None)):
            inside[(*ahead, end)] = False  # outside the volume is background
    present = np.pad(mask & ~inside, SHELL_VOXELS)
    points = np.flatnonzero(present)
    return Surface(present, points, np.ones(len(points)))


def distances(start: Surface, target: Surface, spacing_mm: tuple[float, ...], share: float = 1.0) -> np.ndarray:
    """Return the distance from every point of a surface to the nearest point of another.

    Args:
        start: where distances start; of the same array shape as ``target``.
        target: where they end; at least one point.
        spacing_mm: voxel spacing along each axis.
        share: share of the start's weight that needs distances. Those of the farthest points, beyond it, may stay infinite.

    Returns:
        (N,) float64 in mm.
    """
    found = np.full(len(start.points), np.inf)
    left = np.arange(len(found))
    strides = np.array(target.present.strides) // target.present.itemsize
    present, limit = target.present.ravel(), share * (1 - ROUNDING) * start.weights.sum()
    for length, offsets in _shells(tuple(spacing_mm)):
        near = present[start.points[left] + (offsets @ strides)[:, None]].any(0)
        found[left[near]] = length
        left = left[~near]
        if len(left) == 0 or (share < 1 and start.weights.sum() - start.weights[left].sum() >= limit):
            return found
    found[left] = _nearest(
        start.coordinates_mm(start.points[left], spacing_mm), target.coordinates_mm(target.points, spacing_mm)
    )
    return found


def _nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the distance from each of (N, axes) points to the nearest of (M, axes) targets, sorted along the first axis."""
    if len(points) > FEW_POINTS:
        return cKDTree(targets, compact_nodes=False, balanced_tree=False).query(points)[0]
    reach = cdist(points, targets[:: 1 + len(targets) // SAMPLED_TARGETS]).min(1) * (1 + ROUNDING)
    along = targets[:, 0]
    first = np.searchsorted(along, points[:, 0] - reach)
    last = np.searchsorted(along, points[:, 0] + reach, side="right")
    return np.array([cdist(points[[i]], targets[first[i] : last[i]]).min() for i in range(len(points))])


@functools.cache
def _shells(spacing_mm: tuple[float, ...]) -> tuple[tuple[float, np.ndarray], ...]:
    """Return (length in mm, offsets in voxels) of all offsets shorter than any outside the box of `SHELL_VOXELS`."""
    steps = range(-SHELL_VOXELS, SHELL_VOXELS + 1)
    offsets = np.array(list(itertools.product(steps, repeat=len(spacing_mm))))
    lengths = np.linalg.norm(offsets * spacing_mm, axis=1)
    complete = lengths < (SHELL_VOXELS + 1) * min(spacing_mm)
    return tuple((float(v), offsets[lengths == v]) for v in np.unique(lengths[complete]))


@dataclass(frozen=True, eq=False)
class Directed:
    """How far each point of one surface is from another surface.

    Attributes:
        lengths: (N,) float64, at least one; the farthest may be infinite if only a share was computed.
        weights: (N,) float64, the weight of each point.
    """

    lengths: np.ndarray
    weights: np.ndarray

    def percentile(self, share: float = 0.95) -> float:
        """Return the distance within which a share of the surface is from the other; nothing is interpolated.

        That is the distance of the first point, in order of distance, at which the cumulative weight reaches the share.

        Args:
            share: 0 to 1.
        """
        order = np.argsort(self.lengths)
        cumulated = np.cumsum(self.weights[order])
        first = np.searchsorted(cumulated, share * cumulated[-1] * (1 - ROUNDING))
        return float(self.lengths[order[min(first, len(order) - 1)]])

    def within(self, tolerance_mm: float) -> float:
        """Return the weight of the points within a tolerance.

        Args:
            tolerance_mm: in the unit of the distances.
        """
        return float(self.weights[self.lengths <= tolerance_mm].sum())


Pair = tuple[Directed, Directed]


def measure(a: Surface, b: Surface, spacing_mm: tuple[float, ...], share: float = 1.0) -> Pair:
    """Return the distances between two surfaces in both directions.

    Args:
        a: a surface with at least one point.
        b: another, of the same array shape.
        spacing_mm: voxel spacing along each axis.
        share: share of each surface that needs distances.
    """
    return Directed(distances(a, b, spacing_mm, share), a.weights), Directed(distances(b, a, spacing_mm, share), b.weights)


def larger_percentile(pair: Pair) -> float:
    """Return HD95 as the larger of the two directed 95th percentiles, weighted by area.

    Args:
        pair: distances there and back.

    References:
        google-deepmind/surface-distance, ``compute_robust_hausdorff``.
    """
    return max(side.percentile() for side in pair)


def union_percentile(pair: Pair) -> float:
    """Return HD95 as the 95th percentile, linearly interpolated, of both directed lists of distances together.

    Args:
        pair: distances there and back.

    References:
        loli/medpy, ``medpy.metric.binary.hd95``.
    """
    return float(np.percentile(np.concatenate([side.lengths for side in pair]), 95))


def largest_distance(pair: Pair) -> float:
    """Return the Hausdorff distance: the largest distance from either surface to the other.

    Args:
        pair: distances there and back.
    """
    return float(max(side.lengths.max() for side in pair))


def mean_distance(pair: Pair) -> float:
    """Return the average symmetric surface distance (ASSD): the weighted mean of both directed lists together.

    The mean of the two directed means (MASD), also in use, differs if one surface is larger than the other.

    Args:
        pair: distances there and back.

    References:
        Maier-Hein et al. 2024, "Metrics reloaded"; loli/medpy 0.5, ``medpy.metric.binary.assd`` (up to 0.4 it was the MASD);
        MONAI, ``compute_average_surface_distance`` with ``symmetric=True``.
    """
    # a vector product (@) would wake all threads of the linear algebra library for so little
    moments = sum(float((side.lengths * side.weights).sum()) for side in pair)
    return moments / sum(float(side.weights.sum()) for side in pair)


def surface_dice(pair: Pair, tolerance_mm: float) -> float:
    """Return the normalised surface Dice: the share of both surfaces within a tolerance of the other.

    Args:
        pair: distances there and back.
        tolerance_mm: the tolerance, in the unit of the distances.

    References:
        Nikolov et al. 2021, "Clinically applicable segmentation of head and neck anatomy", and surface-distance,
        ``compute_surface_dice_at_tolerance``.
    """
    return sum(side.within(tolerance_mm) for side in pair) / sum(float(side.weights.sum()) for side in pair)
