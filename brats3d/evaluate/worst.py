"""The worst cases, and a picture of what is wrong with one."""

from __future__ import annotations

import numpy as np

from brats3d.errors import check_shapes_equal
from brats3d.evaluate.report import Evaluation
from brats3d.figures import png_bytes, thumbnail_figure
from brats3d.geometry import bounding_box, box_slices
from brats3d.regions import LabelSet, region_masks, whole_numbers

WORST = 12
"""Default number of cases shown."""
SURROUNDINGS = 64
"""Voxels around the tumour of which the scan is read for a picture."""
DOTS_PER_INCH = 150


def worst_cases(evaluation: Evaluation, count: int = WORST) -> list[tuple[str, str]]:
    """Return the cases with the lowest mean Dice, worst first, each with the region of its lowest Dice.

    Args:
        evaluation: the scores; the first protocol's count.
        count: how many at most; cases without any error are left out.
    """
    means = {
        case: (float(np.mean([row.dice for row in rows.values()])), min(rows, key=lambda r, of=rows: of[r].dice))  # type: ignore[misc]
        for case, rows in evaluation.of().items()
        if rows
    }
    wrong = sorted((mean, case, region) for case, (mean, region) in means.items() if mean < 1)
    return [(case, region) for _, case, region in wrong[:count]]


def error_thumbnail(
    image: np.ndarray | None,
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: tuple[float, float, float],
    label_sets: tuple[LabelSet, LabelSet],
    *,
    region: str | None = None,
) -> bytes:
    """Return a small picture of the slice with the largest error: prediction filled, reference outlined.

    Args:
        image: (X, Y, Z) scan in the stored orientation L, P, S, or None for a dark background.
        prediction: label of the same shape and orientation. Not modified.
        reference: the same. Not modified.
        spacing_mm: voxel spacing along each axis.
        label_sets: what the values of prediction and reference mean.
        region: the region whose error picks the slice; if it is not drawn, all that are drawn count.

    Returns:
        The content of a PNG file. The regions that the reference's label set paints are drawn if both label sets define them.

    Raises:
        ArrayError: shapes differ.
        LabelError: a label contains values that are not whole numbers.
    """
    check_shapes_equal(
        prediction=prediction.shape, reference=reference.shape, **({} if image is None else {"image": image.shape})
    )
    box = bounding_box((prediction != 0) | (reference != 0))
    if box.any():
        box[:2] = np.clip(box[:2] + np.array([-SURROUNDINGS, SURROUNDINGS]), 0, np.array(reference.shape[:2])[:, None])
    else:
        box = np.stack([np.zeros(3, int), np.array(reference.shape)], 1)
    part = box_slices(box)
    regions = [name for name in label_sets[1].painted if name in label_sets[0].regions]
    mine, theirs = (
        dict(zip(regions, region_masks(whole_numbers(label[part]), coding, regions), strict=True))
        for label, coding in zip((prediction, reference), label_sets, strict=True)
    )
    scan = None if image is None else image[part]
    figure = thumbnail_figure(mine, theirs, scan, spacing_mm=spacing_mm, region=region if region in regions else None)
    return png_bytes(figure, dots_per_inch=DOTS_PER_INCH)
