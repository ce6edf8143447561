"""Smooth random functions of space, and the lattice of points they are sampled on.

A function is a sum of cosine waves with random vectors, so a few numbers define it at every point: unlike interpolated random
noise, the same head can be sampled on any grid. Because cos(a + b) = cos a cos b − sin a
sin b, a sum of M waves over a whole lattice is one matrix product; 40 waves on 240×240×155 points take about 0.1 s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brats3d.geometry import Box

BOX_MM = (240.0, 240.0, 155.0)
"""The physical box of every phantom: that of the BraTS grid, whatever the number of voxels."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """The voxel centres of a grid over the phantom's box, or of a part of it.

    Attributes:
        axes_mm: positions along the three axes (L, P, S), float32, in mm from the box's corner.
        spacing_mm: distance between voxels along the three axes.
    """

    axes_mm: tuple[np.ndarray, np.ndarray, np.ndarray]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of_shape(cls, shape: tuple[int, int, int]) -> Lattice:
        """Return the lattice of ``shape`` voxels that fill `BOX_MM`."""
        spacing = [mm / n for mm, n in zip(BOX_MM, shape, strict=True)]
        x, y, z = (((np.arange(n) + 0.5) * s).astype(np.float32) for n, s in zip(shape, spacing, strict=True))
        return cls((x, y, z), (spacing[0], spacing[1], spacing[2]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Points along the three axes."""
        x, y, z = self.axes_mm
        return len(x), len(y), len(z)

    @property
    def voxel_mm(self) -> float:
        """Edge of a cube as large as a voxel."""
        return float(np.prod(self.spacing_mm) ** (1 / 3))

    def crop(self, box: Box) -> Lattice:
        """Return the part of the lattice inside a half-open box."""
        x, y, z = (axis[int(a) : int(b)] for axis, (a, b) in zip(self.axes_mm, box, strict=True))
        return Lattice((x, y, z), self.spacing_mm)

    def coordinates(self, origin_mm: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Return ``matrix @ (point − origin_mm)`` for every point: (3, X, Y, Z) float32."""
        x, y, z = (axis - np.float32(o) for axis, o in zip(self.axes_mm, origin_mm, strict=True))
        rows = np.asarray(matrix, np.float32)
        return np.stack([(r[0] * x)[:, None, None] + (r[1] * y)[:, None] + r[2] * z for r in rows])


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random function with mean 0 and standard deviation 1 over space.

    Attributes:
        vectors: (M, 3) wave vectors, radians per mm.
        phases: (M,) radians.
    """

    vectors: np.ndarray
    phases: np.ndarray

    def on(self, lattice: Lattice) -> np.ndarray:
        """Return the function's values on a lattice: (X, Y, Z) float32."""
        (kx, ky, kz), (x, y, z) = self.vectors.T.astype(np.float32), lattice.axes_mm
        plane = (x[:, None] * kx)[:, None] + y[:, None] * ky + self.phases.astype(np.float32)
        depth = z[:, None] * kz
        left = np.concatenate([np.cos(plane), -np.sin(plane)], -1).reshape(len(x) * len(y), -1)
        right = np.concatenate([np.cos(depth), np.sin(depth)], -1) * np.float32(np.sqrt(2 / len(kx)))
        return (left @ right.T).reshape(lattice.shape)


def draw_blobs(rng: np.random.Generator, scale_mm: float, waves: int = 40) -> Waves:
    """Draw a function of blobs: approximately Gaussian, with correlation exp(−d² / (2 scale²)) at distance d.

    Args:
        rng: source of the draw.
        scale_mm: length over which values stay similar.
        waves: number of cosines.

    References:
        Rahimi and Recht, Random features for large-scale kernel machines, 2007, section 3.
    """
    return Waves(rng.standard_normal((waves, 3)) / scale_mm, rng.uniform(0, 2 * np.pi, waves))


def draw_folds(rng: np.random.Generator, wavelength_mm: float, waves: int = 40) -> Waves:
    """Draw a function of ridges of uniform width: waves of one length in random directions.

    Args:
        rng: source of the draw.
        wavelength_mm: length of every wave; folds are about half of it apart.
        waves: number of cosines.
    """
    directions = rng.standard_normal((waves, 3))
    directions *= 2 * np.pi / wavelength_mm / np.linalg.norm(directions, axis=1, keepdims=True)
    return Waves(directions, rng.uniform(0, 2 * np.pi, waves))


def draw_rotation(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """Draw a rotation by normally distributed angles about each axis, sd in degrees: (3, 3) float64."""
    result = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.normal(0, degrees, 3))):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result
