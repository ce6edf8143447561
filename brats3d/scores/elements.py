"""Surface elements at voxel corners: how much surface there is where voxels of a mask meet.

Every voxel corner is surrounded by 2×2×2 voxels (2×2 in a plane); which of them belong to the mask is a *code* of 8 (4) bits.
The element is the cut of marching cubes (Lorensen and Cline 1987) through the block at the middle of its edges. Two rules make
it unambiguous, and reproduce the areas of the surface-distance package for all 256 codes and any spacing:

- the smaller side is cut off: if more than half the voxels are set, the complement is used (a code and its complement have the
  same area);
- voxels that touch by a face are one piece, voxels that touch by an edge or a corner only are separate pieces.

Up to symmetry that leaves two pieces in a plane and six in space (`PIECES`). All their facets are flat; only the bent piece of
four voxels could be triangulated otherwise: its cut is one triangle across the middle, one at the inner corner, and two that
join them.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

Corner = tuple[int, ...]
Facets = tuple[tuple[float, ...], ...]

PIECES: tuple[tuple[tuple[Corner, ...], Facets], ...] = (
    # voxels of a piece (others by symmetry)              area vectors of its facets, signs dropped, in units of voxels
    (((0, 0),), ((1 / 2, 1 / 2),)),
    (((0, 0), (0, 1)), ((1, 0),)),
    (((0, 0, 0),), ((1 / 8, 1 / 8, 1 / 8),)),
    (((0, 0, 0), (0, 0, 1)), ((1 / 2, 1 / 2, 0),)),
    (((0, 0, 0), (0, 0, 1), (0, 1, 0)), ((1 / 2, 0, 0), (3 / 8, 3 / 8, 3 / 8))),
    (((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)), ((1, 0, 0),)),
    (((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)), ((3 / 4, 3 / 4, 3 / 4),)),
    (
        ((0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1)),
        ((3 / 8, 3 / 8, 3 / 8), (1 / 8, 1 / 8, 1 / 8), (1 / 4, 1 / 4, 0), (0, 1 / 4, 1 / 4)),
    ),
)  # fmt: skip
MOST_FACETS = 4


def neighbour_codes(mask: np.ndarray) -> np.ndarray:
    """Return, for every voxel corner, which of the voxels around it belong to the mask.

    Args:
        mask: (X, Y) or (X, Y, Z) bool; outside it lies nothing. (Of other numbers than 0 and 1 the bits run into each other,
            modulo 256: what surface-distance makes of them, and 2024's script with it.)

    Returns:
        uint8, one larger along each axis: entry (i, j, k) is the corner before voxel (i, j, k). The voxel before the corner
        along an axis has the higher bit, and the first axis counts most: 0 outside, 15 or 255 inside.
    """
    codes: np.ndarray = np.pad(np.asarray(mask, np.uint8), 1)
    for power, axis in enumerate(reversed(range(mask.ndim))):
        ahead = (slice(None),) * axis
        codes = (codes[(*ahead, slice(None, -1))] << (1 << power)) + codes[(*ahead, slice(1, None))]
    return codes


def element_areas(spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Return the area of the surface element of every neighbour code.

    Args:
        spacing_mm: voxel spacing along the 2 or 3 axes.

    Returns:
        (16,) float64 contour lengths in mm, or (256,) areas in mm²; 0 for the codes without surface.
    """
    spacing = np.asarray(spacing_mm, float)
    return np.linalg.norm(_facets(len(spacing)) / spacing, axis=-1).sum(-1) * spacing.prod()


@functools.cache
def _facets(axes: int) -> np.ndarray:
    """Return (codes, MOST_FACETS, axes): area vectors of the element of every code, zeros where it has fewer."""
    corners = tuple(itertools.product((0, 1), repeat=axes))
    table = _pieces_in_all_positions(axes)
    facets = np.zeros((1 << len(corners), MOST_FACETS, axes))
    for code in range(1, len(facets) - 1):
        inside = {c for bit, c in enumerate(reversed(corners)) if code >> bit & 1}
        smaller = inside if len(inside) <= len(corners) // 2 else set(corners) - inside
        found = [facet for piece in _connected_pieces(smaller) for facet in table[piece]]
        facets[code, : len(found)] = found
    return facets


def _pieces_in_all_positions(axes: int) -> dict[frozenset[Corner], Facets]:
    table: dict[frozenset[Corner], Facets] = {}
    for voxels, facets in PIECES:
        if len(voxels[0]) != axes:
            continue
        for order in itertools.permutations(range(axes)):
            turned = tuple(tuple(facet[a] for a in order) for facet in facets)
            for flip in itertools.product((0, 1), repeat=axes):
                table[frozenset(tuple(v[a] ^ f for a, f in zip(order, flip, strict=True)) for v in voxels)] = turned
    return table


def _connected_pieces(voxels: set[Corner]) -> list[frozenset[Corner]]:
    left, pieces = set(voxels), []
    while left:
        piece, front = set(), [left.pop()]
        while front:
            here = front.pop()
            piece.add(here)
            touching = {v for v in left if sum(a != b for a, b in zip(v, here, strict=True)) == 1}
            left -= touching
            front.extend(touching)
        pieces.append(frozenset(piece))
    return pieces
