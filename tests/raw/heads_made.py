"""A synthetic head with skull and scalp, scanned on any grid from any pose: what a raw study looks like, made by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brats3d.geometry import Grid
from brats3d.phantom import make_phantom

MODALITIES = ("t1", "t1ce", "t2", "flair")
SCALP = {"t1": 1.25, "t1ce": 1.25, "t2": 0.7, "flair": 0.6}
"""Brightness of scalp, as a share of the brain's mean."""
VOXEL_MM = 3.0
GRID = Grid((80, 80, 52), np.array([[-3.0, 0, 0, 0], [0, -3, 0, 239], [0, 0, 3, 0], [0, 0, 0, 1]]))
"""The BraTS grid at 3 mm."""


@dataclass(frozen=True, eq=False)
class Head:
    """A head on `GRID`: modality → image with skull; the brain's mask; modality → image without skull."""

    images: dict[str, np.ndarray]
    brain: np.ndarray
    stripped: dict[str, np.ndarray]


def make_head(seed: int) -> Head:
    """Return a phantom in a skull: 3 mm of fluid, 6 mm of bone, 9 mm of scalp around the brain."""
    phantom = make_phantom(np.random.default_rng(seed), GRID.shape)
    brain = phantom.images[0] > 0
    away = ndimage.distance_transform_edt(~brain, sampling=VOXEL_MM)
    rng = np.random.default_rng(seed)
    images, stripped = {}, {}
    for modality, image in zip(MODALITIES, phantom.images, strict=True):
        mean = image[brain].mean()
        whole = image.astype(np.float32)
        whole[~brain & (away <= 3)] = mean * (1.6 if modality == "t2" else 0.3)
        whole[(away > 3) & (away <= 9)] = mean * 0.08
        whole[(away > 9) & (away <= 18)] = mean * SCALP[modality]
        images[modality] = np.abs(whole + rng.normal(0, 0.03 * mean, whole.shape)).astype(np.float32)
        stripped[modality] = image.astype(np.float32)
    return Head(images, brain, stripped)


def rigid(degrees: tuple[float, float, float], shift_mm: tuple[float, float, float], about: np.ndarray) -> np.ndarray:
    """Return a rigid matrix that turns about a point and then shifts."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = about - matrix[:3, :3] @ about + shift_mm
    return matrix


MIDDLE = (GRID.affine @ [40, 40, 26, 1])[:3]


def scan_grid(spacing_mm: tuple[float, float, float], world: np.ndarray, size_mm: float = 225.0) -> Grid:
    """Return an axial grid, axes L, A, S, around the head's middle in a scanner's world; ``world`` is head → scanner."""
    shape = tuple(int(np.ceil(n / mm)) for n, mm in zip((size_mm, size_mm, 165.0), spacing_mm, strict=True))
    affine = np.diag([-spacing_mm[0], spacing_mm[1], spacing_mm[2], 1.0])
    middle = (world @ [*MIDDLE, 1])[:3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def scanned(image: np.ndarray, grid: Grid, world: np.ndarray) -> np.ndarray:
    """Return what a scanner sees, by SciPy at each voxel's place: slices have a profile, so thick ones blur."""
    places = np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3)
    total = np.zeros(len(places), np.float32)
    offsets = (-0.3, 0.0, 0.3)
    to_head = np.linalg.inv(GRID.affine) @ np.linalg.inv(world) @ grid.affine
    for offset in offsets:
        points = (places + np.array([0, 0, offset])) @ to_head[:3, :3].T + to_head[:3, 3]
        total += ndimage.map_coordinates(image, points.T, order=1, mode="constant")
    return (total / len(offsets)).reshape(grid.shape)
