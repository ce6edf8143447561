"""Where a modality fits the others best: as it lies, or moved, turned or mirrored?

That two scans share little information as they lie says little: thick slices, noise or a weak contrast do the same. That one of
them shares much more somewhere else says that it does not lie on the others. So a modality that fits badly is moved, turned and
mirrored step by step, as long as that brings more: hill climbing by the mutual information of grey classes at some thousand
points of the brain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from brats3d.checks.relations import GREYS, mutual_information

POINTS = 4_000
"""About so many points of the brain are compared."""
FIRST_STEPS = (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)
"""Millimetres along one axis that a modality is moved, or by `TURN` times as many degrees turned, for a start of the climb."""
STEPS = (10.0, 5.0, 2.5)
"""The same for a step of the climb, the wide ones first."""
TURN = 0.6
UNIT = np.repeat([1.0, np.deg2rad(TURN)], 3)
"""What makes of such millimetres the numbers of a pose: three of a move, in mm, and three of a turn, in radians."""
FURTHEST_MM = 40.0
"""No further from where the climb starts is a modality moved along an axis, or by `TURN` times as many degrees turned."""
WORTHWHILE = 1.002
"""A step must bring so many times as much: what brings less is chance."""
LEAST_BITS = 0.02
"""A point's information that chance may bring at best: less as it lies counts as this much."""
SIDES = ("left and right", "front and back", "top and bottom")

Classes = Callable[[np.ndarray], np.ndarray]
"""(N, 3) places in voxels → (N,) grey classes of an image there, 0 outside."""


@dataclass(frozen=True)
class Fit:
    """Where a modality fits the others best.

    Attributes:
        gain: how many times as much it shares with them there as where it lies: the median over the others, of two the lower.
        moved_mm: how far it was moved.
        turned: the greatest of the angles about the three axes that it was turned by, in degrees.
        mirrored: the sides that were exchanged, as words; empty if none were.
    """

    gain: float
    moved_mm: float
    turned: float
    mirrored: str

    def words(self) -> str:
        """Return what was done to it, as words."""
        done = [f"with {self.mirrored} exchanged"] if self.mirrored else []
        done += [f"moved by {self.moved_mm:.0f} mm"] if self.moved_mm >= 1 else []
        done += [f"turned by {self.turned:.0f}°"] if self.turned >= 1 else []
        return " and ".join(done) or "as it lies"


def best_fit(
    points: np.ndarray, others: Mapping[str, Classes], moving: Classes, middle: np.ndarray, spacing_mm: np.ndarray
) -> Fit:
    """Return where a modality fits the others best.

    Args:
        points: (N, 3) voxels of the brain as the others show it.
        others: modality → grey classes at places.
        moving: the same of the one that is moved.
        middle: (3,) voxel in the middle of its brain.
        spacing_mm: (3,) voxel spacing.
    """
    points = points[:: max(1, len(points) // POINTS)]
    if not len(points):
        return Fit(1.0, 0.0, 0.0, "")
    fixed = [image(points) for image in others.values()]
    centre = points.mean(0)
    from_centre = (points - centre) * spacing_mm

    def shared(pose: np.ndarray, mirrored: int | None = None) -> np.ndarray:
        places = (from_centre @ _rotation(pose[3:]).T + pose[:3]) / spacing_mm + centre
        if mirrored is not None:
            places[:, mirrored] = 2 * middle[mirrored] - places[:, mirrored]
        there = moving(np.rint(places).astype(np.intp))
        return np.array([_information(image, there) for image in fixed])

    as_it_lies = np.maximum(shared(np.zeros(6)), LEAST_BITS)
    onto_theirs = np.append((middle - centre) * spacing_mm, np.zeros(3))
    single = [step * axis for step in FIRST_STEPS for axis in np.diag(UNIT)]
    found = [(*_climb(max([np.zeros(6), onto_theirs, *single], key=lambda pose: shared(pose).sum()), shared), "")]
    for axis, sides in enumerate(SIDES):
        mirrored = partial(shared, mirrored=axis)
        if mirrored(onto_theirs).sum() > as_it_lies.sum():  # else it is not worth a climb
            pose, value = _climb(onto_theirs, mirrored)
            found.append((pose - onto_theirs, value, sides))
    pose, value, sides = max(found, key=lambda one: one[1].sum())
    moved, turned = float(np.linalg.norm(pose[:3])), float(np.rad2deg(np.abs(pose[3:]).max()))
    gains = np.sort(value / as_it_lies)
    return Fit(float(gains[(len(gains) - 1) // 2]), moved, turned, sides)


def _information(first: np.ndarray, second: np.ndarray) -> float:
    """Return what two lists of grey classes share, in bits per point of all, without what as many random numbers would.

    Points that come to lie outside share nothing: else the fewer are left, the more they would seem to.
    """
    both = int(np.count_nonzero(first * second))
    by_chance = (GREYS - 1) ** 2 / (2 * np.log(2))
    return (mutual_information(first, second) * both - by_chance) / len(first)


def _climb(start: np.ndarray, shared: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pose that no step from a start makes better any more, and what is shared there."""
    pose, best = start, shared(start)
    for step in STEPS:
        better = True
        while better:
            better = False
            for axis, sign in itertools.product(range(6), (1, -1)):
                tried = pose.copy()
                tried[axis] += sign * step * UNIT[axis]
                if abs(tried[axis] - start[axis]) > FURTHEST_MM * UNIT[axis]:
                    continue
                value = shared(tried)
                if value.sum() > best.sum() * WORTHWHILE:
                    pose, best, better = tried, value, True
    return pose, best


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Return the matrix of turns about the three axes, one after the other, in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z
