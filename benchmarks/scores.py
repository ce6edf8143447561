"""Question: how long do Dice and HD95 of WT, TC and ET take for one real case, against surface-distance with NumPy?

Both score the same full-size labels, turn about, in one process and one thread; CPU seconds, of which the median of the
repetitions counts, and the values must agree. Three predictions a case: the reference's outlines moved by a smooth random
field of about 1.5 mm, the same shifted by 4 voxels, and by 12.

    python benchmarks/scores.py DATA --cases 3 --repeat 3

DATA holds BraTS case folders with labels; surface-distance comes with the extra ``bench``.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import surface_distance
from scipy import ndimage

from brats3d import images
from brats3d.cases import find_cases
from brats3d.console import text_table
from brats3d.regions import LABEL_SETS, REGIONS, LabelSet, paint_regions, region_masks, whole_numbers
from brats3d.scores import case_scores

Scores = dict[str, tuple[float, float]]
SHIFTS = (0, 4, 12)


def ours(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...], coding: LabelSet) -> Scores:
    """Every score that `case_scores` gives, not these two alone."""
    found = case_scores(prediction, reference, spacing_mm, label_set=coding)
    return {region: (scores.dice, scores.hd95_mm) for region, scores in found.items()}


def peer(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...], coding: LabelSet) -> Scores:
    found = {}
    for region in REGIONS:
        p, r = (np.isin(label, coding.regions[region]) for label in (prediction, reference))
        distances = surface_distance.compute_surface_distances(r, p, spacing_mm)
        hd95 = surface_distance.compute_robust_hausdorff(distances, 95)
        found[region] = (2 * np.count_nonzero(p & r) / (np.count_nonzero(p) + np.count_nonzero(r)), float(hd95))
    return found


def wobble(label: np.ndarray, coding: LabelSet) -> np.ndarray:
    """Return a prediction: every region's outline moved by a smooth random field."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.standard_normal(label.shape, np.float32), 4)
    field *= 1.5 / field.std()
    masks = []
    for mask in region_masks(label, coding):
        depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
        masks.append(depth + field > 0.5)
    return paint_regions(np.stack(masks), coding)


def compare(*arguments: object, repeat: int) -> tuple[Scores, float, float]:
    """Return our scores, our seconds and the peer's."""
    spent: dict[Callable[..., Scores], list[float]] = {ours: [], peer: []}
    found: dict[Callable[..., Scores], Scores] = {}
    for _ in range(repeat):
        for function, times in spent.items():
            start = time.process_time()
            found[function] = function(*arguments)
            times.append(time.process_time() - start)
    np.testing.assert_allclose(*([scores[r] for r in REGIONS] for scores in found.values()), atol=1e-9)
    return found[ours], statistics.median(spent[ours]), statistics.median(spent[peer])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # the package uses names that SciPy has moved
    rows, ratios = [], []
    for case in [c for c in find_cases(options.data) if c.label][: options.cases]:
        volume = images.read(case.label)
        label = np.asfortranarray(whole_numbers(volume.array))  # as a reader gives it
        coding = LABEL_SETS["L23" if 3 in label else "L17"]
        near = wobble(label, coding)
        for shift in SHIFTS:
            prediction = np.asfortranarray(np.roll(near, shift, axis=0))
            scores, own, other = compare(prediction, label, volume.grid.spacing_mm, coding, repeat=options.repeat)
            ratios.append(other / own)
            rows.append([case.id, shift, *scores["WT"], own, other, other / own])
    print(text_table(["case", "shift", "dice WT", "hd95 WT", "ours s", "surface-distance s", "ratio"], rows))
    print(f"times faster: median {statistics.median(ratios):.1f}, least {min(ratios):.1f}")


if __name__ == "__main__":
    main()
