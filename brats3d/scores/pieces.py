"""Masks split into numbered pieces: components, lesions merged by dilation, and pieces joined through other tissues.

All dilations use the 18-neighbour element, components touch by faces, edges or corners (26 neighbours), and numbers follow
the order of the array, as in the challenges' scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from brats3d.scores.overlap import widened_box

EVERY_NEIGHBOUR = np.ones((3, 3, 3), bool)


@dataclass(frozen=True, eq=False)
class Pieces:
    """A mask split into numbered pieces.

    Attributes:
        numbers: (X, Y, Z) int16 or int32, 0 outside the mask, else the number of a piece.
        zones: (X, Y, Z), the same numbers on the dilated mask; ``numbers`` itself if nothing was dilated.
    """

    numbers: np.ndarray
    zones: np.ndarray


def dilate(mask: np.ndarray, times: int) -> np.ndarray:
    """Return a mask dilated a number of times with the 18-neighbour element (faces and edges, no corners).

    Args:
        mask: (X, Y, Z) bool. Not modified.
        times: how often; the mask grows by offsets with max |·| ≤ times and |dx| + |dy| + |dz| ≤ 2 · times, up to the
            array's border.
    """
    for _ in range(times):
        x, y = _widen(mask, 0), _widen(mask, 1)
        # the element is the union of the three 3 × 3 squares through its centre
        mask = _widen(x, 1) | _widen(x, 2) | _widen(y, 2)
    return mask


def _widen(mask: np.ndarray, axis: int) -> np.ndarray:
    ahead = (slice(None),) * axis
    out = mask.copy()
    out[(*ahead, slice(1, None))] |= mask[(*ahead, slice(None, -1))]
    out[(*ahead, slice(None, -1))] |= mask[(*ahead, slice(1, None))]
    return out


def components(mask: np.ndarray) -> Pieces:
    """Return the 26-connected components of a mask.

    Args:
        mask: (X, Y, Z) bool. Not modified.
    """
    box = widened_box((mask,), 1)
    found, count = ndimage.label(mask[box], EVERY_NEIGHBOUR)
    numbers = np.zeros(mask.shape, _kind_of(count))
    numbers[box] = found
    return Pieces(numbers, numbers)


def _kind_of(highest: int) -> type[np.signedinteger]:
    """Return the smallest type that can hold a number: maps of numbers are the largest arrays here."""
    return np.int16 if highest <= np.iinfo(np.int16).max else np.int32


def merged_lesions(mask: np.ndarray, dilations: int) -> Pieces:
    """Return a mask's lesions: its parts inside the 26-connected components of its dilation.

    Along an axis two parts merge if there are at most 2 · dilations empty voxels between them.

    Args:
        mask: (X, Y, Z) bool. Not modified.
        dilations: how often the mask is dilated.
    """
    box = widened_box((mask,), dilations + 1)
    found, count = ndimage.label(dilate(mask[box], dilations), EVERY_NEIGHBOUR)
    zones, numbers = np.zeros(mask.shape, _kind_of(count)), np.zeros(mask.shape, _kind_of(count))
    zones[box], numbers[box] = found, found * mask[box]
    return Pieces(numbers, zones)


def without_small(pieces: Pieces, largest_dropped: float) -> Pieces:
    """Return pieces without the small ones; the others keep their numbers.

    Args:
        pieces: what to filter. Not modified.
        largest_dropped: size in voxels up to which a piece is dropped.
    """
    sizes = piece_sizes(pieces)
    kept = np.where(sizes > largest_dropped, np.arange(len(sizes)), 0)
    return _renumber(pieces, kept)


def piece_sizes(pieces: Pieces) -> np.ndarray:
    """Return the number of voxels of each piece, by number; 0 for number 0 and for unused numbers.

    Args:
        pieces: what to count.
    """
    return np.bincount(pieces.numbers[pieces.numbers > 0], minlength=1)


def joined_through(pieces: Pieces, others: Sequence[Pieces]) -> Pieces:
    """Return pieces renumbered from 1, with those joined that touch the same piece of another mask.

    In turn, each of the other masks joins the pieces that touch (within one 18-neighbour dilation) the same piece of it; a
    piece that touches several is joined to the one with the lowest number. As in the script, nothing is joined if only one
    pair touches.

    Args:
        pieces: what to join. Not modified.
        others: pieces of the other masks, on arrays of the same shape.
    """
    for other in others:
        pairs = _touching(pieces.numbers, other.numbers)
        if len(pairs) < 2:
            continue
        highest = int(pieces.numbers.max())
        first: dict[int, int] = {}
        for number, touched in pairs:
            first.setdefault(number, touched)
        new = {touched: highest + 1 + i for i, touched in enumerate(dict.fromkeys(touched for _, touched in pairs))}
        table = np.arange(highest + 1)
        table[list(first)] = [new[touched] for touched in first.values()]
        pieces = _renumber(pieces, table)
    sizes = piece_sizes(pieces)
    used = np.flatnonzero(sizes)
    table = np.zeros(len(sizes), int)
    table[used] = np.arange(1, len(used) + 1)
    return _renumber(pieces, table)


def _touching(numbers: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """Return the sorted pairs of pieces of two arrays that an 18-neighbour dilation brings together."""
    places = np.argwhere(dilate(numbers > 0, 1) & (others > 0))
    touched, padded = others[tuple(places.T)], np.pad(numbers, 1)
    pairs: set[tuple[int, int]] = set()
    for step in np.ndindex(3, 3, 3):
        if sum(v != 1 for v in step) <= 2:
            pairs.update(meeting_numbers(padded[tuple((places + step).T)], touched))
    return sorted(pairs)


def meeting_numbers(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of positive numbers at the same position in two arrays, sorted, each pair once.

    Args:
        first: whole numbers.
        second: the same, of the same shape.
    """
    both = (first > 0) & (second > 0)
    keys = np.unique((first[both].astype(np.int64) << 32) | second[both])
    return list(zip((keys >> 32).tolist(), (keys & 0xFFFFFFFF).tolist(), strict=True))


def _renumber(pieces: Pieces, table: np.ndarray) -> Pieces:
    """Return pieces renumbered by a table; zones of dropped pieces lose their number."""
    longer = np.zeros(max(len(table), int(pieces.zones.max(initial=0)) + 1), _kind_of(int(table.max(initial=0))))
    longer[: len(table)] = table
    if np.array_equal(longer, np.arange(len(longer))):
        return pieces
    numbers = longer[pieces.numbers]
    return Pieces(numbers, numbers if pieces.zones is pieces.numbers else longer[pieces.zones])
