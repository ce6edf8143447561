"""Question: how long do the lesion-wise scores of 2023 take for one case, against the official steps done straightforwardly?

Straightforward means the rules R1 to R7 with the packages that the challenge's script uses, on the whole volume: cc3d for
components, SciPy's dilation for the merged lesions and once more for every lesion, surface-distance for its HD95 and for the
case-wise HD95 beside it. No file is written, read or numbered anew on the way, as the script does: that would be slower still.

Real labels; predictions are the references with outlines moved, some pieces lost and six balls invented, and the reference
itself scattered over the volume. CPU seconds, median of the repetitions, and both must say the same.

    python benchmarks/lesion_scores.py DATA --cases 3 --repeat 3

DATA holds BraTS case folders with labels. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from pathlib import Path

import cc3d
import numpy as np
import surface_distance
from real_labels import RealLabel, labels_of_cases, scatter, wobble
from scipy import ndimage

from brats3d.console import text_table
from brats3d.machine import describe_machine
from brats3d.regions import REGIONS
from brats3d.scores import Scoring, case_scores

Scores = dict[str, tuple[float, ...]]
TASKS = {"GLI": (3, 50), "MET": (1, 2)}
"""Task of 2023 → dilations, mm³ up to which lesions are left out."""
ELEMENT = ndimage.generate_binary_structure(3, 2)
PENALTY = 374.0


def ours(prediction: np.ndarray, label: RealLabel, task: str) -> Scores:
    found = case_scores(prediction, label.array, label.spacing_mm, Scoring("brats2023", task), label_set=label.coding)
    return {
        region: (row.lesion_dice, row.lesion_hd95_mm, row.lesions_tp, row.lesions_fp, row.lesions_fn, row.dice, row.hd95_mm)
        for region, row in found.items()
    }


def straightforward(prediction: np.ndarray, label: RealLabel, task: str) -> Scores:
    return {
        region: by_the_rules(
            np.isin(prediction, label.coding.regions[region]),
            np.isin(label.array, label.coding.regions[region]),
            label.spacing_mm,
            *TASKS[task],
        )
        for region in REGIONS
    }


def by_the_rules(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...], dilations: int, limit_mm3: float
) -> tuple[float, ...]:
    """Return lesion-wise Dice and HD95, TP, FP, FN, then case-wise Dice and HD95."""
    lesions = reference * cc3d.connected_components(
        ndimage.binary_dilation(reference, ELEMENT, iterations=dilations), connectivity=26
    )
    components = cc3d.connected_components(prediction, connectivity=26)
    used: set[int] = set()
    dice, hd95, hits, misses = [], [], 0, 0
    for number in range(1, int(lesions.max()) + 1):
        lesion = lesions == number
        zone = ndimage.binary_dilation(lesion, ELEMENT, iterations=dilations)
        matching = np.unique(components[zone])
        matching = matching[matching > 0]
        used.update(matching.tolist())
        if lesion.sum() * np.prod(spacing_mm) <= limit_mm3:
            continue
        whole = np.isin(components, matching) if len(matching) else np.zeros_like(lesion)
        hits, misses = hits + (len(matching) > 0), misses + (len(matching) == 0)
        dice.append(overlap(whole, lesion))
        hd95.append(distance(whole, lesion, spacing_mm))
    false = int(components.max()) - len(used)
    count = len(dice) + false
    averages = (sum(dice) / count, (sum(hd95) + PENALTY * false) / count) if count else (1.0, 0.0)
    return (*averages, hits, false, misses, overlap(prediction, reference), distance(prediction, reference, spacing_mm))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else 1.0


def distance(one: np.ndarray, other: np.ndarray, spacing_mm: tuple[float, ...]) -> float:
    if not (one.any() and other.any()):
        return PENALTY if one.any() or other.any() else 0.0
    found = surface_distance.compute_surface_distances(other, one, spacing_mm)
    return float(surface_distance.compute_robust_hausdorff(found, 95))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(describe_machine())
    warnings.simplefilter("ignore")  # the package uses names that SciPy has moved
    rows, ratios = [], []
    for label in labels_of_cases(options.data, options.cases):
        near = wobble(label.array, label.coding)
        predictions = {"outlines moved": near, "and scattered": scatter(near, label.coding)}
        for kind, prediction in predictions.items():
            for task in TASKS:
                spent: dict[str, list[float]] = {"ours": [], "straightforward": []}
                found = {}
                for _ in range(options.repeat):
                    for each in (ours, straightforward):
                        start = time.process_time()
                        found[each.__name__] = each(np.asfortranarray(prediction), label, task)
                        spent[each.__name__].append(time.process_time() - start)
                for region in REGIONS:
                    np.testing.assert_allclose(found["ours"][region], found["straightforward"][region], atol=1e-6)
                own, other = (statistics.median(times) for times in spent.values())
                ratios.append(other / own)
                lesions = " ".join("/".join(str(int(n)) for n in found["ours"][r][2:5]) for r in REGIONS)
                rows.append([label.case, task, kind, lesions, own, other, other / own])
    print(text_table(["case", "task", "prediction", "TP/FP/FN of WT TC ET", "ours s", "straightforward s", "ratio"], rows))
    print(f"times faster: median {statistics.median(ratios):.1f}, least {min(ratios):.1f}")


if __name__ == "__main__":
    main()
