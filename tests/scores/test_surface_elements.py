"""The table of surface elements, against the surface-distance package and against convex hulls."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull
from surface_distance import lookup_tables

from brats3d.scores.elements import element_areas, neighbour_codes

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.9, 1.3), (5.0, 1.0, 0.3)]


@pytest.mark.parametrize("spacing", SPACINGS)
def test_areas_are_those_of_surface_distance_for_all_256_codes(spacing: tuple[float, ...]) -> None:
    expected = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    np.testing.assert_allclose(element_areas(spacing), expected, atol=1e-12)


@pytest.mark.parametrize("spacing", [s[:2] for s in SPACINGS])
def test_lengths_are_those_of_surface_distance_for_all_16_codes(spacing: tuple[float, ...]) -> None:
    expected = lookup_tables.create_table_neighbour_code_to_contour_length(spacing)
    np.testing.assert_allclose(element_areas(spacing), expected, atol=1e-12)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_areas_are_the_facets_of_convex_hulls(spacing: tuple[float, ...]) -> None:
    """A piece that is not bent is cut off along the hull of its voxel centres and the middles of the edges leaving it."""
    areas = element_areas(spacing)
    corners = list(itertools.product((0, 1), repeat=3))
    for code in range(1, 255):
        inside = {c for bit, c in enumerate(reversed(corners)) if code >> bit & 1}
        pieces = _pieces(inside if len(inside) <= 4 else set(corners) - inside)
        if not any(_is_bent(piece) for piece in pieces):
            assert areas[code] == pytest.approx(sum(_hull_cut(piece, spacing) for piece in pieces), abs=1e-9), bin(code)


def _pieces(voxels: set[tuple[int, ...]]) -> list[frozenset[tuple[int, ...]]]:
    """Voxels that touch by faces, as SciPy labels them."""
    block = np.zeros((2, 2, 2), bool)
    block[tuple(np.transpose(sorted(voxels)))] = True
    labels, count = ndimage.label(block)
    return [frozenset(map(tuple, np.argwhere(labels == n).tolist())) for n in range(1, count + 1)]


def _is_bent(piece: frozenset[tuple[int, ...]]) -> bool:
    opposite = any(tuple(1 - v for v in voxel) in piece for voxel in piece)
    return len(piece) == 4 and opposite


def _hull_cut(piece: frozenset[tuple[int, ...]], spacing: tuple[float, ...]) -> float:
    points = [np.array(v, float) for v in piece]
    for voxel in piece:
        for axis in range(3):
            other = tuple(1 - v if a == axis else v for a, v in enumerate(voxel))
            if other not in piece:
                points.append((np.array(voxel) + other) / 2)
    corners = np.unique(points, axis=0)
    area = 0.0
    for triangle in corners[ConvexHull(corners).simplices]:
        on_the_block = (np.ptp(triangle, axis=0) == 0) & np.isin(triangle[0], (0, 1))
        if not on_the_block.any():
            a, b, c = triangle * spacing
            area += float(np.linalg.norm(np.cross(b - a, c - a))) / 2
    return area


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4)])
def test_codes_name_the_voxels_around_a_corner(shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    codes = neighbour_codes(mask)
    assert codes.shape == tuple(n + 1 for n in shape)
    padded = np.pad(mask, 1)
    for corner in np.ndindex(codes.shape):
        bits = "".join(
            str(int(padded[tuple(c + s for c, s in zip(corner, step, strict=True))]))
            for step in itertools.product((0, 1), repeat=mask.ndim)
        )
        assert codes[corner] == int(bits, 2)
