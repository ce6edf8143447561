"""The healthy head: brain, cortex, ventricles, vessels and harmless bright spots.

Everything is a *distance* in mm, negative inside, approximated from implicit functions (exact distances would need a
distance transform per structure, without visible benefit). Head coordinates are mm from the centre of the brain towards the
patient's left, back and top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brats3d.phantom.fields import Lattice, Waves, draw_blobs, draw_folds, draw_rotation

CENTRE_MM = (119.5, 128.0, 70.0)
SEMI_AXES_MM = (67.0, 84.0, 66.0)
"""Cerebrum: half its width, half its length, and its height above the centre."""
BELOW_MM = 46.0
"""Height of the cerebrum below its centre."""
CEREBELLUM = ((0.0, 47.0, -40.0), (50.0, 34.0, 25.0))
BRAIN_STEM = ((0.0, 14.0, -46.0), (15.0, 15.0, 32.0))
THALAMUS = ((11.0, 10.0, 2.0), (8.0, 13.0, 8.0))
LENTIFORM = ((24.0, -6.0, 0.0), (7.0, 16.0, 9.0))
THIRD_VENTRICLE = ((0.0, 4.0, 0.0), (2.5, 13.0, 9.0))
CHOROID_PLEXUS = ((19.0, 24.0, 8.0), (3.5, 8.0, 4.0))
"""Centre and semi-axes in head coordinates; those off the midline are mirrored to both sides."""


@dataclass(frozen=True, eq=False)
class Head:
    """The random parameters of one healthy head; lengths in mm.

    Attributes:
        centre_mm: centre of the brain in the box.
        to_head: (3, 3) from box directions to head coordinates: tilt and size.
        outline: bulges of the brain's surface.
        bulge_mm: their standard deviation.
        folds: the folds of the cortex; sulci run where the function is 0.
        fold_mm: wavelength of the folds.
        sulcus_depth_mm: how far sulci reach below the surface.
        sulcus_mm: half the width of a sulcus.
        cortex_mm: thickness of the grey matter.
        ventricle_scale: size of the ventricles, 1 is ordinary.
        band_mm: thickness of the bright bands along the ventricles.
        spots: white matter hyperintensities are where this function exceeds ``spot_level``.
        spot_level: 2 is a few spots, 3 none.
        vessels: vessels run where both functions are 0.
        vessel_mm: radius of a vessel.
    """

    centre_mm: np.ndarray
    to_head: np.ndarray
    outline: Waves
    bulge_mm: float
    folds: Waves
    fold_mm: float
    sulcus_depth_mm: float
    sulcus_mm: float
    cortex_mm: float
    ventricle_scale: float
    band_mm: float
    spots: Waves
    spot_level: float
    vessels: tuple[Waves, Waves]
    vessel_mm: float


SPOT_MM = 9.0
VESSEL_FIELD_MM = 17.0


def draw_head(rng: np.random.Generator) -> Head:
    """Draw the parameters of a head."""
    fold_mm = rng.uniform(23, 30)
    return Head(
        centre_mm=np.array(CENTRE_MM) + rng.normal(0, 2.5, 3),
        to_head=draw_rotation(rng, 4.0) * (1 / rng.normal(1, 0.03, (3, 1))),
        outline=draw_blobs(rng, 35.0),
        bulge_mm=rng.uniform(1.0, 2.5),
        folds=draw_folds(rng, fold_mm),
        fold_mm=fold_mm,
        sulcus_depth_mm=rng.uniform(14, 22),
        sulcus_mm=rng.uniform(0.5, 1.3),
        cortex_mm=rng.uniform(2.6, 3.4),
        ventricle_scale=rng.uniform(0.75, 1.5),
        band_mm=rng.uniform(2.0, 7.0),
        spots=draw_blobs(rng, SPOT_MM, waves=60),
        spot_level=rng.uniform(1.3, 2.4),
        vessels=(draw_blobs(rng, VESSEL_FIELD_MM), draw_blobs(rng, VESSEL_FIELD_MM)),
        vessel_mm=rng.uniform(1.5, 2.4),
    )


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Distances on a lattice, each (X, Y, Z) float32 in mm, negative inside.

    Attributes:
        fluid: sulci, the fissure between the hemispheres and the outermost rim of the brain.
        grey: cortex and the fluid around it.
        nuclei: deep grey matter.
        ventricles: lateral and third.
        choroid: choroid plexus, which takes up contrast agent.
        hyperintensities: bright bands and spots in FLAIR that are not tumour.
        vessels: vessels and the sagittal sinus.
    """

    fluid: np.ndarray
    grey: np.ndarray
    nuclei: np.ndarray
    ventricles: np.ndarray
    choroid: np.ndarray
    hyperintensities: np.ndarray
    vessels: np.ndarray


def brain_depth(head: Head, lattice: Lattice) -> np.ndarray:
    """Return each point's depth below the brain's surface in mm, negative outside: (X, Y, Z) float32."""
    x, y, z = lattice.coordinates(head.centre_mm, head.to_head)
    half_width, half_length, above = SEMI_AXES_MM
    # narrower towards the forehead, flatter below
    narrow = 1 - 0.12 * np.clip(-y / half_length, 0, 1)
    point = (x / (half_width * narrow), y / half_length, z / np.where(z > 0, above, BELOW_MM).astype(np.float32))
    cerebrum = _depth((x, y, z), point)
    below = np.maximum(-_ellipsoid(x, y, z, *CEREBELLUM), -_ellipsoid(x, y, z, *BRAIN_STEM))
    depth: np.ndarray = np.maximum(cerebrum, below) + np.float32(head.bulge_mm) * head.outline.on(lattice)
    return depth


def anatomy(head: Head, lattice: Lattice, depth: np.ndarray) -> Anatomy:
    """Return the distances to the structures of a head.

    Args:
        head: its parameters.
        lattice: the points.
        depth: (X, Y, Z) from `brain_depth` on the same lattice.
    """
    x, y, z = lattice.coordinates(head.centre_mm, head.to_head)
    side = np.abs(x)
    to_fluid = _to_fluid(head, lattice, depth, side)
    ventricles = _ventricles(side, y, z) - np.float32(4 * (head.ventricle_scale - 1))
    spots = (head.spot_level - head.spots.on(lattice)) * np.float32(SPOT_MM / 2)
    # bands are thicker at the horns and fade between them; spots stay in the deep white matter
    bands = ventricles - head.band_mm * np.clip(0.25 + np.abs(y - 4) / 40, 0, 1)
    spots = np.maximum(spots, 7 - to_fluid)
    first, second = (waves.on(lattice) for waves in head.vessels)
    tubes = np.hypot(first, second) * np.float32(VESSEL_FIELD_MM) - max(head.vessel_mm, 0.6 * lattice.voxel_mm)
    sinus = np.maximum(np.hypot(x, depth) - 4.5, -10 - z)
    return Anatomy(
        fluid=to_fluid - head.sulcus_mm,
        grey=to_fluid - head.sulcus_mm - head.cortex_mm,
        nuclei=np.minimum(_ellipsoid(side, y, z, *THALAMUS), _ellipsoid(side, y, z, *LENTIFORM)),
        ventricles=ventricles,
        choroid=np.maximum(_ellipsoid(side, y, z, *CHOROID_PLEXUS), ventricles),
        hyperintensities=np.minimum(bands, spots),
        vessels=np.minimum(np.maximum(tubes, depth - 30), sinus),
    )


def _to_fluid(head: Head, lattice: Lattice, depth: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest fluid outside the ventricles: surface, sulcus or fissure."""
    # near its zeros, |f| / |gradient| is the distance, and 2π/wavelength the typical gradient
    sulcus = np.abs(head.folds.on(lattice)) * np.float32(head.fold_mm / (2 * np.pi))
    sulcus += np.maximum(depth - head.sulcus_depth_mm, 0)
    fissure = np.hypot(side, np.maximum(depth - 26, 0))
    nearest: np.ndarray = np.minimum(np.minimum(depth, sulcus), fissure)
    return nearest


def _ventricles(side: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the distance to the lateral ventricles, whose posterior horns bend outwards and down, and to the third."""
    back = np.clip(y / 34, 0, 1.2) ** 2
    lateral = _ellipsoid(side - 11 * back, y, z + 14 * back, (9.0, -2.0, 15.0), (5.0, 34.0, 8.0))
    third: np.ndarray = _ellipsoid(side, y, z, *THIRD_VENTRICLE)
    nearest: np.ndarray = np.minimum(lateral, third)
    return nearest


def _ellipsoid(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, centre: tuple[float, float, float], semi: tuple[float, float, float]
) -> np.ndarray:
    """Return the approximate distance to an ellipsoid, negative inside."""
    offset = (x - centre[0], y - centre[1], z - centre[2])
    return -_depth(offset, tuple(o / s for o, s in zip(offset, semi, strict=True)))


def _depth(offset: tuple[np.ndarray, ...], unit: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the depth below a surface that ``unit`` maps to the unit sphere, along the ray through the centre."""
    distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
    radius = np.sqrt(unit[0] ** 2 + unit[1] ** 2 + unit[2] ** 2)
    return distance / np.maximum(radius, np.float32(1e-6)) - distance
