"""What surface-distance, MedPy and MONAI say about a pair of masks, by names that tell the definitions apart.

Plain names are those of surface elements in mm (surface-distance), ``border`` ones those of border voxels (MedPy, MONAI). Only
what `brats3d.scores` defines in the same way is here: MONAI's HD95 (directed percentiles, interpolated) is another number by
definition, as is what each package makes of empty masks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import surface_distance

Values = dict[str, float | None]


def by_surface_distance(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...]) -> Values:
    found: Values = {}
    if prediction.any() or reference.any():  # NaN where both are empty
        found["dice"] = float(surface_distance.compute_dice_coefficient(reference, prediction))
    if not (prediction.any() and reference.any()):
        return found
    distances = surface_distance.compute_surface_distances(reference, prediction, spacing_mm)
    directed = surface_distance.compute_average_surface_distance(distances)
    areas = [distances[f"surfel_areas_{side}"].sum() for side in ("gt", "pred")]
    return found | {
        "hd95_mm": float(surface_distance.compute_robust_hausdorff(distances, 95)),
        "hd_mm": float(surface_distance.compute_robust_hausdorff(distances, 100)),
        "assd_mm": float(np.average(directed, weights=areas)),
        "nsd_1mm": float(surface_distance.compute_surface_dice_at_tolerance(distances, 1)),
        "nsd_2mm": float(surface_distance.compute_surface_dice_at_tolerance(distances, 2)),
    }


def by_medpy(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...]) -> Values:
    from medpy.metric import binary

    found: Values = {"specificity": float(binary.specificity(prediction, reference))}
    if not (prediction.any() and reference.any()):  # it answers 0 or raises
        return found
    return found | {
        "dice": float(binary.dc(prediction, reference)),
        "iou": float(binary.jc(prediction, reference)),
        "sensitivity": float(binary.recall(prediction, reference)),
        "precision": float(binary.precision(prediction, reference)),
        "border hd95 voxels": float(binary.hd95(prediction, reference)),
        "border hd_mm": float(binary.hd(prediction, reference, voxelspacing=spacing_mm)),
        "border assd_mm": float(binary.assd(prediction, reference, voxelspacing=spacing_mm)),
    }


def by_monai(prediction: np.ndarray, reference: np.ndarray, spacing_mm: tuple[float, ...]) -> Values:
    import torch
    from monai import metrics

    pair = [torch.from_numpy(np.ascontiguousarray(mask)[None, None]).double() for mask in (prediction, reference)]
    counts = metrics.get_confusion_matrix(*pair)
    found: Values = {
        "dice": float(metrics.compute_dice(*pair, ignore_empty=False)),
        "iou": float(metrics.compute_iou(*pair, ignore_empty=False)),
        "specificity": float(metrics.compute_confusion_matrix_metric("specificity", counts)),
    }
    if not (prediction.any() and reference.any()):  # NaN or infinite
        return found
    found |= {name: float(metrics.compute_confusion_matrix_metric(name, counts)) for name in ("sensitivity", "precision")}
    whole = {"include_background": True, "spacing": spacing_mm}
    found["border hd_mm"] = float(metrics.compute_hausdorff_distance(*pair, **whole))
    found["border assd_mm"] = float(metrics.compute_average_surface_distance(*pair, symmetric=True, **whole))
    for tolerance in (1, 2):
        found[f"border nsd_{tolerance}mm"] = float(metrics.compute_surface_dice(*pair, [tolerance], **whole))
    return found


PEERS: dict[str, Callable[[np.ndarray, np.ndarray, tuple[float, ...]], Values]] = {
    "surface-distance": by_surface_distance,
    "MedPy": by_medpy,
    "MONAI": by_monai,
}
