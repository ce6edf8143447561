"""A slow twin of the lesion-wise scores, written from the rules (R1 to R7 of 2023, D1 to D7 of 2024), lesion after lesion.

Nothing is taken from `brats3d.scores`: every lesion is a mask of the whole grid, dilated by SciPy; distances come from the
surface-distance package; the rules of the tasks stand here once more.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import surface_distance
from scipy import ndimage
from surface_distance import lookup_tables

EIGHTEEN = ndimage.generate_binary_structure(3, 2)
TWENTY_SIX = np.ones((3, 3, 3), bool)

Masks = dict[int, np.ndarray]
"""Pieces of a mask by their number, from 1."""


@dataclass(frozen=True)
class Row:
    """How one region of a task is scored: dilations, largest size left out, regions that join its lesions."""

    dilations: int
    limit: float
    through: tuple[str, ...] = ()


@dataclass(frozen=True)
class Twin:
    """One task: what the label's values mean, its rows, HD95 of a miss (None: the diagonal in voxels)."""

    values: dict[str, tuple[int, ...]]
    rows: dict[str, Row]
    penalty: float | None
    merged_predictions: bool
    scored: tuple[str, ...]


L23 = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,), "NETC": (1,), "SNFH": (2,)}
L24 = {**L23, "RC": (4,)}
LPED = {"WT": (1, 2, 3, 4), "TC": (1, 2, 3), "ET": (1,), "NETC": (2,), "CC": (3,), "ED": (4,)}
THREE = ("WT", "TC", "ET")


def _of_2023(dilations: int, limit: float) -> Twin:
    return Twin(L23, {region: Row(dilations, limit) for region in THREE}, 374, False, THREE)


TWINS = {
    ("brats2023", "GLI"): _of_2023(3, 50),
    ("brats2023", "SSA"): _of_2023(3, 50),
    ("brats2023", "PED"): _of_2023(3, 50),
    ("brats2023", "MEN"): _of_2023(1, 50),
    ("brats2023", "MET"): _of_2023(1, 2),
    ("brats2024", "GLI"): Twin(L24, {
        "WT": Row(3, 20), "TC": Row(3, 20), "NETC": Row(5, 20, ("ET", "RC")), "SNFH": Row(3, 20, ("ET", "RC", "NETC")),
        "ET": Row(3, 10, ("NETC", "RC")), "RC": Row(5, 20, ("ET", "NETC")),
    }, 337, True, ("WT", "TC", "NETC", "SNFH", "ET", "RC")),
    ("brats2024", "SSA"): Twin(
        L23, {"WT": Row(3, 50), "TC": Row(3, 50), "ET": Row(3, 50, ("NETC",)), "NETC": Row(3, 50)}, 374, True, THREE
    ),
    ("brats2024", "MET"): Twin(
        L23, {"WT": Row(1, 2), "TC": Row(1, 2), "ET": Row(1, 2, ("NETC",)), "NETC": Row(1, 2)}, 374, True, THREE
    ),
    ("brats2024", "PED"): Twin(LPED, dict.fromkeys(LPED, Row(5, 10)), 374, True, ("WT", "TC", "ET", "NETC", "CC", "ED")),
    ("brats2024", "MEN-RT"): Twin({"GTV": (1,)}, {"GTV": Row(1, 50)}, None, True, ("GTV",)),
}  # fmt: skip


def parts(mask: np.ndarray, marks: np.ndarray) -> Masks:
    """The parts of a mask inside each 26-connected component of another, numbered in the order of the array."""
    numbers, count = ndimage.label(marks, TWENTY_SIX)
    return {n: mask & (numbers == n) for n in range(1, count + 1)}


def grown(mask: np.ndarray, times: int) -> np.ndarray:
    return ndimage.binary_dilation(mask, EIGHTEEN, iterations=times)


def union(masks: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    found = np.zeros(shape, bool)
    for mask in masks:
        found |= mask
    return found


def joined(pieces: Masks, others: Iterable[Masks]) -> Masks:
    """Pieces that touch the same bridge become one, kind after kind of bridge; all are numbered anew at the end.

    A piece that touches several bridges goes with the first; joined pieces come after those that touch nothing.
    """
    row = list(pieces.values())
    for bridges in others:
        pairs = [
            (n, b)
            for n, piece in enumerate(row)
            for b, bridge in bridges.items()
            if (grown(piece, 1) & bridge).any() or (grown(bridge, 1) & piece).any()
        ]
        if len(pairs) < 2:
            continue
        first: dict[int, int] = {}
        for n, b in pairs:
            first.setdefault(n, b)
        groups = [[row[n] for n in first if first[n] == b] for b in dict.fromkeys(b for _, b in pairs)]
        row = [piece for n, piece in enumerate(row) if n not in first] + [union(g, g[0].shape) for g in groups if g]
    return dict(enumerate(row, 1))


def package_hd95(one: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package uses names that SciPy has moved
        found = surface_distance.compute_surface_distances(one, other, spacing)
        return float(surface_distance.compute_robust_hausdorff(found, 95))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else 1.0


def slow_case(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], key: tuple[str, str]) -> dict:
    """Region → column → value, named as in ``as_row``, and ``"sizes"``: mm³ of each lesion and of what matches it."""
    twin = TWINS[key]
    voxel = float(np.prod(spacing))
    found: dict[str, Masks] = {}
    lesions: dict[str, Masks] = {}
    for region, row in twin.rows.items():
        mine, theirs = (np.isin(label, twin.values[region]) for label in (prediction, reference))
        lesions[region] = parts(theirs, grown(theirs, row.dilations))
        found[region] = parts(mine, grown(mine, row.dilations) if twin.merged_predictions else mine)
        if twin.merged_predictions:
            smallest = row.limit / voxel if key[1] == "MEN-RT" else row.limit
            found[region] = {n: piece for n, piece in found[region].items() if piece.sum() > smallest}
    scores = {}
    for region in twin.scored:
        mine, theirs = found[region], lesions[region]
        if bridges := twin.rows[region].through:
            mine, theirs = (joined(side[region], [side[bridge] for bridge in bridges]) for side in (found, lesions))
        penalty = float(np.linalg.norm(reference.shape)) if twin.penalty is None else twin.penalty
        scores[region] = _lesion_rows(mine, theirs, spacing, twin.rows[region], penalty, counted=key[1] != "MEN-RT")
        shape = reference.shape
        scores[region] |= (_numbered if twin.merged_predictions else _plain)(mine, theirs, shape, spacing, penalty)
    return scores


def _lesion_rows(found: Masks, lesions: Masks, spacing: tuple[float, ...], row: Row, penalty: float, *, counted: bool) -> dict:
    voxel = float(np.prod(spacing))
    used: set[int] = set()
    dice, hd95, hits, misses, sizes = [], [], 0, 0, []
    for lesion in lesions.values():
        zone = grown(lesion, row.dilations)
        matching = [n for n, piece in found.items() if (piece & zone).any()]
        used |= set(matching)
        whole = union((found[n] for n in matching), lesion.shape)
        sizes.append((lesion.sum() * voxel, whole.sum() * voxel))
        if lesion.sum() * voxel <= row.limit:
            continue
        hits, misses = hits + bool(matching), misses + (not matching)
        dice.append(overlap(whole, lesion))
        hd95.append(package_hd95(lesion, whole, spacing) if matching else penalty)
    false = len(found) - len(used)
    sizes += [(0, piece.sum() * voxel) for n, piece in found.items() if n not in used]
    if counted:
        dice, hd95 = dice + [0] * false, hd95 + [penalty] * false
    return {
        "lesion_dice": np.mean(dice) if dice else 1,
        "lesion_hd95_mm": np.mean(hd95) if hd95 else 0,
        "lesions_tp": hits,
        "lesions_fp": false,
        "lesions_fn": misses,
        "sizes": sizes,
    }


def _plain(found: Masks, lesions: Masks, shape: tuple[int, ...], spacing: tuple[float, ...], penalty: float) -> dict:
    """The case-wise numbers of 2023, on masks."""
    mine, theirs = union(found.values(), shape), union(lesions.values(), shape)
    both, nothing = (mine & theirs).sum(), not (mine.any() or theirs.any())
    return {
        "dice": overlap(mine, theirs),
        "hd95_mm": package_hd95(theirs, mine, spacing) if mine.any() and theirs.any() else 0 if nothing else penalty,
        "sensitivity": 1 if nothing else both / theirs.sum() if theirs.any() else 0,
        "specificity": (~mine & ~theirs).sum() / (~theirs).sum(),
    }


def _numbered(found: Masks, lesions: Masks, shape: tuple[int, ...], spacing: tuple[float, ...], penalty: float) -> dict:
    """The case-wise numbers of 2024, on maps that number the pieces: only 1 counts as a hit, and sums add the numbers up."""
    mine, theirs = (sum((n * mask for n, mask in masks.items()), np.zeros(shape, int)) for masks in (found, lesions))
    hits = ((mine == 1) & (theirs == 1)).sum()
    neither = ((mine != 1) & (theirs != 1)).sum()
    false = mine.sum() - hits
    nothing = not (mine.any() or theirs.any())
    return {
        "dice": overlap(mine > 0, theirs > 0),
        "hd95_mm": slow_element_hd95(mine, theirs, spacing) if mine.any() and theirs.any() else 0 if nothing else penalty,
        "sensitivity": 1 if nothing else hits / theirs.sum() if theirs.any() else 0,
        "specificity": neither / (neither + false) if neither + false else 0,
    }


def slow_element_hd95(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> float:
    """HD95 by surface elements of maps of numbers: codes are sums modulo 256, distances are those of all pairs of points."""
    areas = np.array(lookup_tables.create_table_neighbour_code_to_surface_area(spacing))
    sides = []
    for numbers in (a, b):
        padded = np.pad(numbers, 1)
        codes = np.zeros([n + 1 for n in numbers.shape], int)
        for bit, step in enumerate(itertools.product((1, 0), repeat=3)):
            codes += padded[tuple(slice(s, s + n) for s, n in zip(step, codes.shape, strict=True))] << bit
        codes %= 256
        points = np.argwhere((codes != 0) & (codes != 255))
        sides.append((points * np.array(spacing), areas[codes[tuple(points.T)]]))
    between = np.linalg.norm(sides[0][0][:, None] - sides[1][0][None], axis=-1)
    return max(weighted_percentile(between.min(1 - side), sides[side][1]) for side in (0, 1))


def weighted_percentile(distances: np.ndarray, weights: np.ndarray, share: float = 0.95) -> float:
    """The first distance, in order, at which the cumulated weight reaches a share of all."""
    reached = 0.0
    for n in np.argsort(distances):
        reached += weights[n]
        if reached >= share * weights.sum() * (1 - 1e-9):
            return float(distances[n])
    return float(distances.max())
