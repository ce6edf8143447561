"""Tumours: a partly solid, partly liquid core, an enhancing rim of uneven thickness, and oedema that spares the ventricles.

A lesion is a deformed ellipsoid given by a few numbers and smooth random functions. Low-grade-like tumours have no rim: all
of their core is label 1 (necrosis and non-enhancing tumour).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from brats3d.phantom.fields import Lattice, Waves, draw_blobs, draw_rotation
from brats3d.phantom.head import BELOW_MM, SEMI_AXES_MM, Anatomy, Head

NECROSIS, OEDEMA, ENHANCING = 1, 2, 4
"""Values of label set L17."""

COUNT_SHARES = (0.7, 0.22, 0.08)
"""Shares of cases with one, two and three lesions."""
LOW_GRADE_SHARE = 0.18
"""Share of cases without enhancing tumour."""
RIM_VOXELS = 2.3
CORE_VOXELS = 1.5
"""On coarse grids, rim and inner core radius are at least this many voxels, so that they do not vanish."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """The random parameters of one lesion; lengths in mm.

    Attributes:
        centre_mm: in the phantom's box.
        to_unit: (3, 3) from mm in the box to mm along axes in which the lesion is a ball: turn and stretch, volume kept.
        radius_mm: of the tumour core, rim included.
        rim_mm: mean thickness of the enhancing rim; 0 if nothing enhances.
        gap_level: the rim is missing where ``gaps`` is below this: -2 is a complete rim, 0 half of one.
        gaps: where the rim is open.
        wall_mm: mean thickness of the solid, non-enhancing part around the liquid one; negative if most of it is liquid.
        oedema_mm: mean distance from the core's edge to the oedema's.
        shape: (core, rim, oedema, detail): functions that deform the surfaces, the last one all of them.
    """

    centre_mm: np.ndarray
    to_unit: np.ndarray
    radius_mm: float
    rim_mm: float
    gap_level: float
    gaps: Waves
    wall_mm: float
    oedema_mm: float
    shape: tuple[Waves, Waves, Waves, Waves]


def draw_lesions(rng: np.random.Generator, head: Head) -> tuple[Lesion, ...]:
    """Draw one to three lesions in the cerebrum of a head, separate if a few tries find room."""
    count = int(rng.choice(len(COUNT_SHARES), p=COUNT_SHARES)) + 1
    enhancing = bool(rng.random() >= LOW_GRADE_SHARE)
    lesions: list[Lesion] = []
    for number in range(count):
        tries = [_draw_lesion(rng, head, enhancing, 1.0 if number == 0 else 0.7) for _ in range(8)]
        lesions.append(max(tries, key=lambda t: min((_gap_mm(t, other) for other in lesions), default=0.0)))
    return tuple(lesions)


def _draw_lesion(rng: np.random.Generator, head: Head, enhancing: bool, size: float) -> Lesion:
    direction = rng.standard_normal(3)
    direction *= rng.uniform(0.45, 0.72) / np.linalg.norm(direction)
    semi = np.array([*SEMI_AXES_MM[:2], BELOW_MM if direction[2] < 0 else SEMI_AXES_MM[2]])
    stretch = rng.uniform(0.75, 1.35, 3)
    radius = size * (rng.uniform(16, 30) if enhancing else rng.uniform(18, 32))
    return Lesion(
        centre_mm=head.centre_mm + np.linalg.solve(head.to_head, direction * semi),
        to_unit=(stretch / np.prod(stretch) ** (1 / 3))[:, None] * draw_rotation(rng, 60.0),
        radius_mm=radius,
        rim_mm=rng.uniform(4.5, 7.5) if enhancing else 0.0,
        gap_level=rng.uniform(-2.2, -0.2),
        gaps=draw_blobs(rng, 0.6 * radius),
        wall_mm=radius * (rng.uniform(-0.3, 0.5) if enhancing else rng.uniform(0.2, 1.2)),
        oedema_mm=size * (rng.uniform(4, 12) if enhancing else rng.uniform(3, 8)),
        shape=(
            draw_blobs(rng, 0.7 * radius),
            draw_blobs(rng, 0.4 * radius),
            draw_blobs(rng, 0.7 * radius),
            draw_blobs(rng, 5.0),
        ),
    )


def _gap_mm(one: Lesion, other: Lesion) -> float:
    return float(np.linalg.norm(one.centre_mm - other.centre_mm)) - one.radius_mm - other.radius_mm


@dataclass(frozen=True, eq=False)
class Tumour:
    """Distances to the tumour's surfaces on a lattice, each (X, Y, Z) float32 in mm, negative inside.

    Attributes:
        whole: core and oedema.
        core: necrosis, non-enhancing tumour and rim.
        inner: the non-enhancing part of the core, solid or liquid; nowhere less than ``core``, equal to it if nothing enhances.
        cavity: the liquid part of ``inner``.
    """

    whole: np.ndarray
    core: np.ndarray
    inner: np.ndarray
    cavity: np.ndarray


def tumour(lesions: tuple[Lesion, ...], lattice: Lattice) -> Tumour:
    """Return the distances to the union of the lesions, ignoring the anatomy."""
    parts = [_surfaces(lesion, lattice) for lesion in lesions]
    return Tumour(*(np.minimum.reduce(surfaces) for surfaces in zip(*parts, strict=True)))


def _surfaces(lesion: Lesion, lattice: Lattice) -> tuple[np.ndarray, ...]:
    voxel = lattice.voxel_mm
    offset = lattice.coordinates(lesion.centre_mm, lesion.to_unit)
    thinnest = RIM_VOXELS * voxel if lesion.rim_mm else 0.0
    radius = np.float32(max(lesion.radius_mm, max(lesion.rim_mm, thinnest) + CORE_VOXELS * voxel))
    distance = np.sqrt((offset**2).sum(0))
    # growth of the stretched distance per millimetre: without it, rims would be thin along the short axes
    slope = np.sqrt(((offset * np.linalg.norm(lesion.to_unit, axis=1)[:, None, None, None].astype(np.float32)) ** 2).sum(0))
    slope /= np.maximum(distance, np.float32(1e-6))
    bumps, thickness, spread, detail = (waves.on(lattice) for waves in lesion.shape)
    core = (distance - radius * (1 + np.float32(0.14) * bumps)) / np.maximum(slope, np.float32(0.5)) + np.float32(0.7) * detail
    rim = np.maximum(lesion.rim_mm * np.clip(1 + np.float32(0.35) * thickness, 0.7, 1.8), thinnest)
    rim *= lesion.gaps.on(lattice) > lesion.gap_level
    reach = lesion.oedema_mm * np.clip(1 + np.float32(0.6) * spread, 0.1, 2.2) + detail
    wall = np.maximum(lesion.wall_mm + 0.3 * radius * spread, 0)
    return core - np.maximum(reach, 0), core, core + rim, core + rim + wall


def confine(tissue: Tumour, healthy: Anatomy, depth: np.ndarray) -> tuple[Tumour, Anatomy]:
    """Fit tumour and anatomy to each other: ventricles give way to the core, oedema to ventricles and grey matter.

    Args:
        tissue: the tumour alone.
        healthy: the anatomy alone.
        depth: depth below the brain's surface in mm, same lattice.
    """
    ventricles = np.maximum(healthy.ventricles, 4 - tissue.core)
    # oedema follows white matter: grey matter within 4 mm of its edge stays free
    resistance = 4 * np.clip(0.5 - healthy.grey / 4, 0, 1)
    whole = np.maximum(tissue.whole + resistance, 0.5 - ventricles)
    core = np.maximum(tissue.core, 1 - depth)
    whole = np.minimum(np.maximum(whole, 1 - depth), core)
    shaped = replace(healthy, ventricles=ventricles, choroid=np.maximum(healthy.choroid, 4 - tissue.core))
    # the rim keeps its thickness where the brain's surface cuts the core
    cut = core - tissue.core
    return Tumour(whole, core, tissue.inner + cut, tissue.cavity + cut), shaped


def label_of(tissue: Tumour) -> np.ndarray:
    """Return the label of confined tumour surfaces: (X, Y, Z) uint8 in label set L17."""
    label = np.zeros(tissue.whole.shape, np.uint8)
    label[tissue.whole < 0] = OEDEMA
    label[tissue.core < 0] = ENHANCING
    label[tissue.inner < 0] = NECROSIS
    return label
