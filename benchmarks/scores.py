"""Question: how long do the case-wise scores of WT, TC and ET take for one real case, against other packages?

All score the same full-size labels, turn about, in one process and one thread; CPU seconds, of which the median of the
repetitions counts, and the values must agree where the definitions do. Three predictions a case: the reference's outlines moved
by a smooth random field of about 1.5 mm, the same shifted by 4 voxels, and by 12.

- *Dice and HD95* (surface-distance's definition) of brats3d: `case_scores` by a protocol without HD, ASSD and surface Dice,
  which need the farthest points too.
- *all*: `case_scores`, every case-wise score (`RegionScores`).
- surface-distance with NumPy: Dice and HD95.
- MONAI's DiceMetric and HausdorffDistanceMetric, where MONAI is installed (the extra ``bench``). Its HD95 is another one.

    python benchmarks/scores.py DATA --cases 3 --repeat 3

DATA holds BraTS case folders with labels.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
import unittest.mock
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import surface_distance
from real_labels import RealLabel, labels_of_cases, wobble

from brats3d.console import text_table
from brats3d.machine import describe_machine
from brats3d.regions import REGIONS
from brats3d.scores import PROTOCOLS, case_scores, protocols

Scores = dict[str, tuple[float, float]]
SHIFTS = (0, 4, 12)


def every_score(prediction: np.ndarray, label: RealLabel) -> Scores:
    found = case_scores(prediction, label.array, label.spacing_mm, label_set=label.coding)
    return {region: (scores.dice, scores.hd95_mm) for region, scores in found.items()}


def dice_and_hd95(prediction: np.ndarray, label: RealLabel) -> Scores:
    fewer = dataclasses.replace(PROTOCOLS["casewise"], undefined=("hd_mm", "assd_mm", "nsd"))
    with unittest.mock.patch.object(protocols, "PROTOCOLS", {"casewise": fewer}):
        return every_score(prediction, label)


def package(prediction: np.ndarray, label: RealLabel) -> Scores:
    found = {}
    for region in REGIONS:
        p, r = (np.isin(side, label.coding.regions[region]) for side in (prediction, label.array))
        distances = surface_distance.compute_surface_distances(r, p, label.spacing_mm)
        hd95 = surface_distance.compute_robust_hausdorff(distances, 95)
        found[region] = (2 * np.count_nonzero(p & r) / (np.count_nonzero(p) + np.count_nonzero(r)), float(hd95))
    return found


def monai(prediction: np.ndarray, label: RealLabel) -> Scores:
    import torch
    from monai.metrics import DiceMetric, HausdorffDistanceMetric

    torch.set_num_threads(1)
    channels = [
        torch.from_numpy(np.stack([np.isin(side, label.coding.regions[region]) for region in REGIONS])[None]).float()
        for side in (prediction, label.array)
    ]
    dice, hd95 = DiceMetric(reduction="none"), HausdorffDistanceMetric(include_background=True, percentile=95, reduction="none")
    found = dice(*channels)[0], hd95(*channels, spacing=label.spacing_mm)[0]
    return {region: (float(d), float(h)) for region, d, h in zip(REGIONS, *found, strict=True)}


def compare(prediction: np.ndarray, label: RealLabel, contenders: list[Callable[..., Scores]], repeat: int) -> list[float]:
    """Return the CPU seconds of each contender, having compared what they say."""
    spent: dict[str, list[float]] = {each.__name__: [] for each in contenders}
    found: dict[str, Scores] = {}
    for _ in range(repeat):
        for each in contenders:
            start = time.process_time()
            found[each.__name__] = each(prediction, label)
            spent[each.__name__].append(time.process_time() - start)
    expected = np.array([found["package"][r] for r in REGIONS])
    for name, scores in found.items():
        columns = slice(0, 1 if name == "monai" else 2)
        np.testing.assert_allclose(np.array([scores[r] for r in REGIONS])[:, columns], expected[:, columns], atol=1e-6)
    return [statistics.median(times) for times in spent.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(describe_machine())
    warnings.simplefilter("ignore")  # the peers use names that SciPy and NumPy have moved
    contenders = [dice_and_hd95, every_score, package]
    try:
        import monai as _  # noqa: F401

        contenders.append(monai)
    except ImportError:
        print("MONAI is not installed: left out")
    rows, ratios = [], []
    for label in labels_of_cases(options.data, options.cases):
        near = wobble(label.array, label.coding)
        for shift in SHIFTS:
            prediction = np.asfortranarray(np.roll(near, shift, axis=0))
            dice = every_score(prediction, label)["WT"][0]
            own, every, *peers = compare(prediction, label, contenders, options.repeat)
            ratios.append([every / own, *(peer / own for peer in peers), *(peer / every for peer in peers)])
            rows.append([label.case, shift, dice, own, *ratios[-1]])
    names = ["surface-distance", "MONAI"][: len(contenders) - 2]
    columns = ["all ÷ own", *(f"{n} ÷ own" for n in names), *(f"{n} ÷ all" for n in names)]
    print(text_table(["case", "shift", "dice WT", "own: Dice and HD95, s", *columns], rows))
    for column, values in zip(columns, zip(*ratios, strict=True), strict=True):
        print(f"{column}: median {statistics.median(values):.2f}, from {min(values):.2f} to {max(values):.2f}")


if __name__ == "__main__":
    main()
