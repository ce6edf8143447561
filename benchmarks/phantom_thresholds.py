"""Question: does a threshold solve the phantoms?

For each modality and region, every threshold in both directions ("brighter than", "darker than") is tried on a cohort, once
as one threshold for all cases (on intensities standardised over each image's non-zero voxels, as a network sees them), once
as the best threshold of each case, chosen with the reference at hand (no method could know it). The table shows the mean Dice
of the best. A network is meant to reach WT 0.85, TC 0.7, ET 0.6.

    python benchmarks/phantom_thresholds.py --cases 20 --shape 80x80x52
"""

from __future__ import annotations

import argparse

import numpy as np

from brats3d.console import text_table
from brats3d.machine import describe_machine
from brats3d.phantom import Phantom, make_phantom
from brats3d.regions import LABEL_SETS, REGIONS, region_masks

MODALITIES = ("t1", "t1ce", "t2", "flair")
LEVELS = np.linspace(-4, 8, 2401)
"""Candidate thresholds in standard deviations: 0.005 apart, finer than a grey level of most images."""


def dice_curves(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the Dice of (brighter than, darker than) each level against a mask, among non-zero voxels: (2, levels)."""
    values, inside = image[image != 0].astype(float), mask[image != 0]
    values = (values - values.mean()) / values.std()
    edges = [-np.inf, *LEVELS, np.inf]
    every, hit = (np.histogram(v, edges)[0] for v in (values, values[inside]))
    darker = np.stack([every.cumsum(), hit.cumsum()])[:, :-1]
    brighter = np.array([[len(values)], [inside.sum()]]) - darker
    selected, found = np.stack([brighter, darker], 1)
    total = selected + mask.sum()
    return np.where(total > 0, 2 * found / np.maximum(total, 1), 1.0)


def best_thresholds(cohort: list[Phantom]) -> list[tuple[str, str, str, float, float, float]]:
    """Return a row a modality and region: modality, region, direction, level, mean Dice of one threshold, of one a case."""
    rows = []
    masks = [region_masks(phantom.label, LABEL_SETS["L17"]) for phantom in cohort]
    for m, modality in enumerate(MODALITIES):
        for r, region in enumerate(REGIONS):
            curves = np.stack([dice_curves(phantom.images[m], mask[r]) for phantom, mask in zip(cohort, masks, strict=True)])
            mean = curves.mean(0)
            direction, level = np.unravel_index(mean.argmax(), mean.shape)
            sign = ("above", "below")[direction]
            rows.append((modality, region, sign, float(LEVELS[level]), float(mean.max()), float(curves.max((1, 2)).mean())))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--shape", default="80x80x52")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe_machine())
    x, y, z = (int(n) for n in options.shape.split("x"))
    cohort = [make_phantom(np.random.default_rng([options.seed, k]), (x, y, z)) for k in range(options.cases)]
    rows = best_thresholds(cohort)
    print(f"{options.cases} phantoms of {options.shape} voxels, seed {options.seed}: mean Dice of the best threshold")
    print(text_table(["modality", "region", "side", "level (sd)", "one for all", "one a case"], rows))


if __name__ == "__main__":
    main()
