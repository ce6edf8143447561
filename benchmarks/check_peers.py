"""Check: do the scores agree with surface-distance, MedPy and MONAI wherever the definitions do?

Hundreds of pairs of masks made of real labels (cropped around the tumour): shifted, dilated, eroded, with pieces lost and
invented, other regions' outlines, touching the border of the volume, in voxels that are no cubes; and hand-made ones: single
voxels, planes, empty on either side. Ratios must agree to 1e-6, distances to 1e-3 mm; the table shows the largest difference of
each metric and package, and the exit code is 1 where one is larger.

    python benchmarks/check_peers.py DATA
    python benchmarks/check_peers.py DATA --write tests/scores/peer_values.json

DATA holds BraTS case folders with labels; pairs of metastases, ``labels_only/BraTS-MET/{ref,pred}`` beside it, join where they
are there. ``--write`` stores what the packages say about the hand-made pairs, for the tests. Needs the extra ``bench``:
``make check-peers``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from peers import PEERS, Values
from real_labels import RealLabel, labels_of_cases, wobble
from scipy import ndimage

from brats3d import images
from brats3d.console import text_table
from brats3d.machine import describe_machine
from brats3d.regions import LABEL_SETS, REGIONS, region_masks, whole_numbers
from brats3d.scores import region_scores
from brats3d.scores.surfaces import border_surface, largest_distance, mean_distance, measure, surface_dice

Masks = tuple[np.ndarray, np.ndarray]
SPACINGS = ((1.0, 1.0, 1.0), (0.7, 1.9, 1.3), (1.0, 1.0, 3.0))
MARGIN = 6
LARGEST = 72
PACKAGES = ("surface-distance", "medpy", "monai", "numpy", "scipy")
RATIOS = ("dice", "iou", "sensitivity", "specificity", "precision")


def ours(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...]) -> Values:
    """Return every metric that a package has, by the name that says which definition it is."""
    case = region_scores(prediction, reference, spacing_mm, tolerances_mm=(1, 2))
    found: Values = {name: getattr(case, name) for name in RATIOS}
    if not (case.reference_voxels and case.predicted_voxels):
        return found
    found |= {name: case.as_row()[name] for name in ("hd95_mm", "hd_mm", "assd_mm", "nsd_1mm", "nsd_2mm")}
    found["border hd95 voxels"] = region_scores(prediction, reference, spacing_mm, "brats2021").hd95_mm
    pair = measure(*(border_surface(mask, spacing_mm) for mask in (prediction, reference)), spacing_mm)
    found |= {"border hd_mm": largest_distance(pair), "border assd_mm": mean_distance(pair)}
    return found | {f"border nsd_{t}mm": surface_dice(pair, t) for t in (1, 2)}


# --- pairs --------------------------------------------------------------------------------------------------------------


def real_pairs(labels: Iterator[RealLabel]) -> Iterator[tuple[str, Masks, tuple[float, ...]]]:
    for number, label in enumerate(labels):
        box = around(label.array > 0, number)
        array = label.array[box]
        regions = dict(zip(REGIONS, region_masks(array, label.coding), strict=True))
        moved = dict(zip(REGIONS, region_masks(wobble(array, label.coding, number), label.coding), strict=True))
        for at, (region, reference) in enumerate(regions.items()):
            if not reference.any():
                continue
            spacing = label.spacing_mm if at == 0 else SPACINGS[(number + at) % len(SPACINGS)]
            other = regions[REGIONS[(at + 1) % 3]]
            predictions = {"outline moved": moved[region], "other region": other, **changed(reference, number)}
            for kind, prediction in predictions.items():
                yield f"{label.case} {region} {kind}", (prediction, reference), spacing
            half = reference.shape[0] // 2
            yield f"{label.case} {region} cut", (moved[region][half:], reference[half:]), spacing


def metastases(folder: Path) -> Iterator[tuple[str, Masks, tuple[float, ...]]]:
    """Pairs of a prediction and a reference whose names share a number of five digits."""
    predictions = {re.findall(r"\d{5}", path.name)[0]: path for path in sorted(folder.glob("pred/*.nii.gz"))}
    for number, path in enumerate(sorted(folder.glob("ref/*.nii.gz"))):
        volumes = [images.read(each) for each in (predictions[re.findall(r"\d{5}", path.name)[0]], path)]
        labels = [whole_numbers(volume.array) for volume in volumes]
        box = around(labels[1] > 0, number)
        for region, *masks in zip(REGIONS, *(region_masks(label[box], LABEL_SETS["L23"]) for label in labels), strict=True):
            yield f"{path.name} {region}", (masks[0], masks[1]), volumes[1].grid.spacing_mm


def around(mask: np.ndarray, seed: int) -> tuple[slice, ...]:
    """The box of a mask with a margin, cut to `LARGEST` around one of its voxels where it is longer."""
    rng = np.random.default_rng(seed)
    centre = rng.choice(np.argwhere(mask))
    box = []
    for found, middle, length in zip(ndimage.find_objects(mask.astype(np.uint8))[0], centre, mask.shape, strict=True):
        low, high = max(0, found.start - MARGIN), min(length, found.stop + MARGIN)
        low = min(max(low, middle - LARGEST // 2), max(low, high - LARGEST))
        box.append(slice(int(low), int(min(high, low + LARGEST))))
    return tuple(box)


def changed(mask: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Predictions made of a reference by one change each."""
    rng = np.random.default_rng(seed)
    numbers, count = ndimage.label(mask, np.ones((3, 3, 3)))
    added = mask.copy()
    for _ in range(3):
        corner, size = rng.integers(0, mask.shape), rng.integers(1, 7, 3)
        added[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] = True
    one = np.zeros_like(mask)
    one[tuple(rng.choice(np.argwhere(mask)))] = True
    return {
        "shifted": np.roll(mask, (2, -1, 1), (0, 1, 2)),
        "dilated": ndimage.binary_dilation(mask, iterations=2),
        "eroded": ndimage.binary_erosion(mask),
        "a piece lost": mask & (numbers != rng.integers(1, count + 1)),
        "pieces invented": added,
        "one voxel": one,
        "mirrored": mask[::-1],
    }


Box = tuple[tuple[int, ...], tuple[int, ...]]
HAND_MADE: dict[str, tuple[tuple[int, ...], tuple[float, ...], list[Box], list[Box]]] = {
    # name: shape, spacing, boxes (first voxel, size) of the prediction, of the reference
    "equal": ((9, 10, 11), (1, 1, 1), [((2, 3, 2), (4, 5, 6))], [((2, 3, 2), (4, 5, 6))]),
    "shifted": ((9, 10, 11), (0.7, 1.9, 1.3), [((3, 3, 2), (4, 5, 6))], [((2, 3, 2), (4, 5, 6))]),
    "nested": ((12, 12, 12), (1, 1, 2.5), [((4, 4, 4), (3, 3, 3))], [((2, 2, 2), (8, 8, 7))]),
    "apart": ((14, 12, 10), (1, 1, 1), [((0, 0, 0), (3, 3, 3))], [((9, 8, 6), (4, 3, 4))]),
    "a lesion missed": ((16, 14, 12), (1, 1, 1), [((2, 2, 2), (5, 5, 5))], [((2, 2, 2), (5, 5, 5)), ((11, 9, 8), (3, 4, 3))]),
    "a false alarm": (
        (16, 14, 12),
        (1, 1.9, 1.3),
        [((2, 2, 2), (5, 5, 5)), ((13, 11, 9), (2, 2, 2))],
        [((2, 2, 2), (5, 6, 5))],
    ),
    "single voxels": ((7, 8, 9), (0.7, 1.9, 1.3), [((1, 1, 1), (1, 1, 1))], [((4, 6, 7), (1, 1, 1))]),
    "the same voxel": ((7, 8, 9), (1, 1, 1), [((3, 3, 3), (1, 1, 1))], [((3, 3, 3), (1, 1, 1))]),
    "one voxel in a box": ((9, 9, 9), (1, 1, 1), [((4, 4, 4), (1, 1, 1))], [((2, 2, 2), (5, 5, 5))]),
    "at the border": ((8, 8, 8), (1, 1, 1), [((0, 0, 0), (4, 8, 8))], [((0, 0, 0), (5, 7, 8))]),
    "at the far corner": ((8, 9, 7), (2, 0.5, 1), [((5, 6, 4), (3, 3, 3))], [((4, 6, 4), (4, 3, 3))]),
    "one voxel thick": ((12, 10, 10), (1, 1, 1), [((3, 1, 1), (1, 8, 8))], [((5, 1, 1), (1, 8, 8))]),
    "a corner in common": ((12, 12, 12), (1, 1, 1), [((2, 2, 2), (4, 4, 4)), ((6, 6, 6), (4, 4, 4))], [((2, 2, 2), (4, 4, 4))]),
    "an L": ((10, 11, 12), (1, 1, 1.5), [((2, 2, 2), (6, 3, 3)), ((2, 2, 2), (3, 7, 3))], [((2, 2, 2), (6, 3, 4))]),
    "prediction empty": ((6, 7, 8), (1, 1, 1), [], [((2, 2, 2), (3, 3, 3))]),
    "reference empty": ((6, 7, 8), (0.7, 1.9, 1.3), [((2, 2, 2), (3, 3, 3))], []),
    "both empty": ((6, 7, 8), (1, 1, 1), [], []),
    "plane, shifted": ((12, 14), (1, 1), [((2, 3), (5, 6))], [((3, 3), (5, 6))]),
    "plane, apart": ((15, 13), (0.4, 2.5), [((0, 0), (3, 4))], [((9, 8), (5, 3))]),
    "plane, at the border": ((10, 10), (2, 1), [((0, 0), (4, 10))], [((0, 2), (5, 8))]),
}


def hand_made_pairs() -> Iterator[tuple[str, Masks, tuple[float, ...]]]:
    for name, (shape, spacing, *sides) in HAND_MADE.items():
        masks = np.zeros((2, *shape), bool)
        for mask, boxes in zip(masks, sides, strict=True):
            for first, size in boxes:
                mask[tuple(slice(a, a + n) for a, n in zip(first, size, strict=True))] = True
        yield name, (masks[0], masks[1]), tuple(float(s) for s in spacing)


# --- comparing ----------------------------------------------------------------------------------------------------------


def tolerance(metric: str) -> float:
    """A surface Dice counts the points within a distance, and is a ratio; what is in mm or voxels is a distance."""
    return 1e-3 if "hd" in metric or "assd" in metric or "nsd" in metric else 1e-6


def differences(pairs: Iterator[tuple[str, Masks, tuple[float, ...]]]) -> dict[tuple[str, str], list[tuple[float, str]]]:
    """(metric, package) → (difference, name) a pair for which both define it."""
    found = defaultdict(list)
    for name, (prediction, reference), spacing in pairs:
        own = ours(prediction, reference, spacing)
        for peer, function in PEERS.items():
            for metric, value in function(prediction, reference, spacing).items():
                mine = own.get(metric)
                if mine is not None and value is not None:
                    found[metric, peer].append((abs(mine - value), name))
    return found


def write(path: Path) -> None:
    """Write the hand-made pairs and what the packages say about them."""
    rows = []
    for name, masks, spacing in hand_made_pairs():
        shape, _, prediction, reference = HAND_MADE[name]
        values = {peer: function(*masks, spacing) for peer, function in PEERS.items()}
        known = {peer: {m: round(v, 10) for m, v in sorted(found.items()) if v is not None} for peer, found in values.items()}
        boxes = {"prediction": prediction, "reference": reference}
        rows.append({"name": name, "shape": shape, "spacing_mm": spacing, **boxes, "values": known})
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    head = f'"written_by": "benchmarks/check_peers.py --write", "versions": {json.dumps(versions)}'
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f'{{{head}, "pairs": [\n{lines}\n]}}\n')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    print(describe_machine())
    warnings.simplefilter("ignore")  # the packages use names that SciPy and NumPy have moved
    if options.write:
        write(options.write)
    real = real_pairs(labels_of_cases(options.data, options.cases))
    found = differences(itertools.chain(hand_made_pairs(), metastases(options.data.parent / "labels_only" / "BraTS-MET"), real))
    rows, wrong = [], 0
    for (metric, peer), values in sorted(found.items()):
        largest, name = max(values)
        wrong += largest > tolerance(metric)
        rows.append([metric, peer, len(values), f"{largest:.2g}", "yes" if largest <= tolerance(metric) else f"NO: {name}"])
    print(text_table(["metric", "package", "pairs", "largest difference", "agrees"], rows))
    pairs = len({name for values in found.values() for _, name in values})
    print(f"{pairs} pairs; {wrong} of {len(rows)} comparisons disagree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
