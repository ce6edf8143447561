"""What surface-distance, MedPy and MONAI said about hand-made pairs (written by ``benchmarks/check_peers.py --write``)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from boxes import paint

from brats3d.scores import region_scores
from brats3d.scores.surfaces import border_surface, largest_distance, mean_distance, measure, surface_dice

STORED = json.loads(Path(__file__).with_name("peer_values.json").read_text(encoding="utf-8"))
PAIRS = {pair["name"]: pair for pair in STORED["pairs"]}


def values_of(pair: dict) -> dict[str, float | None]:
    """Every metric by the name that the file has for it: plain, of surface elements; "border", of border voxels."""
    sides = [[(1, *box) for box in pair[side]] for side in ("prediction", "reference")]
    prediction, reference = (paint(pair["shape"], boxes) > 0 for boxes in sides)
    spacing = tuple(pair["spacing_mm"])
    found = region_scores(prediction, reference, spacing, tolerances_mm=(1, 2)).as_row()
    if prediction.any() and reference.any():
        found["border hd95 voxels"] = region_scores(prediction, reference, spacing, "brats2021").hd95_mm
        both = measure(*(border_surface(mask, spacing) for mask in (prediction, reference)), spacing)
        found |= {"border hd_mm": largest_distance(both), "border assd_mm": mean_distance(both)}
        found |= {f"border nsd_{t}mm": surface_dice(both, t) for t in (1, 2)}
    return found


@pytest.mark.parametrize("peer", ["surface-distance", "MedPy", "MONAI"])
def test_other_packages_said_the_same(peer: str) -> None:
    rows = [(name, values_of(pair), pair["values"][peer]) for name, pair in PAIRS.items()]
    pairs = [(name, metric, found[metric], stored) for name, found, values in rows for metric, stored in values.items()]
    assert not [row for row in pairs if row[2] != pytest.approx(row[3], rel=1e-6, abs=1e-6)]


def test_the_file_holds_every_metric_of_every_package() -> None:
    held = {(peer, metric) for pair in PAIRS.values() for peer, values in pair["values"].items() for metric in values}
    ratios = {"dice", "iou", "sensitivity", "specificity", "precision"}
    border = {"border hd_mm", "border assd_mm", "border hd95 voxels"}
    assert held == (
        {("surface-distance", m) for m in ("dice", "hd95_mm", "hd_mm", "assd_mm", "nsd_1mm", "nsd_2mm")}
        | {("MedPy", m) for m in ratios | border}
        | {("MONAI", m) for m in (*ratios, "border hd_mm", "border assd_mm", "border nsd_1mm", "border nsd_2mm")}
    )
    assert len(PAIRS) == 20
