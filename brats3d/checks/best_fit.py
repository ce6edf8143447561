"""Where a modality fits the others best: in place, or moved, rotated or mirrored?

Two scans may have little mutual information because of thick slices, noise or a weak contrast. But if one of them shares much
more in another pose, it is not aligned with the others. So a modality that fits badly is moved, rotated and mirrored step by
step, as long as that improves the fit: hill climbing by the mutual information of grey classes at some thousand points of the
brain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from brats3d.checks.relations import GREYS, mutual_information

POINTS = 4_000
"""Approximate number of points of the brain that are compared."""
FIRST_STEPS = (-30.0, -20.0, -10.0, 10.0, 20.0, 30.0)
"""Moves along one axis in mm, or rotations by `TURN` times as many degrees, at which a climb starts."""
STEPS = (10.0, 5.0, 2.5)
"""The same for the steps of the climb, wide ones first."""
TURN = 0.6
UNIT = np.repeat([1.0, np.deg2rad(TURN)], 3)
"""Converts such millimetres to the numbers of a pose: three translations in mm and three rotations in radians."""
FURTHEST_MM = 40.0
"""Furthest move along an axis from the start of the climb, in mm, or rotation by `TURN` times as many degrees."""
WORTHWHILE = 1.002
"""Factor by which a step must improve the fit; less is chance."""
LEAST_BITS = 0.02
"""Most information per point that chance may give; less than this in place counts as this much."""
SIDES = ("left and right", "front and back", "top and bottom")

Classes = Callable[[np.ndarray], np.ndarray]
"""(N, 3) places in voxels → (N,) grey classes of an image there, 0 outside."""


@dataclass(frozen=True)
class Fit:
    """Where a modality fits the others best.

    Attributes:
        gain: how many times as much it shares with them there as in place: the median over the others, the lower of two.
        moved_mm: how far it was moved.
        turned: the largest of its rotation angles about the three axes, in degrees.
        mirrored: the sides that were exchanged, in words; empty if none were.
    """

    gain: float
    moved_mm: float
    turned: float
    mirrored: str

    def words(self) -> str:
        """Describe how it was moved."""
        done = [f"with {self.mirrored} exchanged"] if self.mirrored else []
        done += [f"moved by {self.moved_mm:.0f} mm"] if self.moved_mm >= 1 else []
        done += [f"rotated by {self.turned:.0f}°"] if self.turned >= 1 else []
        return " and ".join(done) or "in place"


def best_fit(
    points: np.ndarray, others: Mapping[str, Classes], moving: Classes, middle: np.ndarray, spacing_mm: np.ndarray
) -> Fit:
    """Return where a modality fits the others best.

    Args:
        points: (N, 3) voxels of the brain as the others show it.
        others: modality → grey classes at places.
        moving: the same for the one that is moved.
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
        if mirrored(onto_theirs).sum() > as_it_lies.sum():  # otherwise a climb is not worthwhile
            pose, value = _climb(onto_theirs, mirrored)
            found.append((pose - onto_theirs, value, sides))
    pose, value, sides = max(found, key=lambda one: one[1].sum())
    moved, turned = float(np.linalg.norm(pose[:3])), float(np.rad2deg(np.abs(pose[3:]).max()))
    gains = np.sort(value / as_it_lies)
    return Fit(float(gains[(len(gains) - 1) // 2]), moved, turned, sides)


def _information(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mutual information of two lists of grey classes, in bits per point, minus what random numbers would share.

    Points outside share nothing; otherwise the fewer were left, the more they would seem to share.
    """
    both = int(np.count_nonzero(first * second))
    by_chance = (GREYS - 1) ** 2 / (2 * np.log(2))
    return (mutual_information(first, second) * both - by_chance) / len(first)


def _climb(start: np.ndarray, shared: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pose from which no step improves the fit, and what is shared there."""
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
    """Return the matrix of successive rotations about the three axes, in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z
