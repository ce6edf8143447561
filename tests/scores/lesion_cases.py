"""Pairs of box lesions for the rules worked out by hand: cubes of 8³ = 512 voxels of 1 mm, unless said otherwise."""

from __future__ import annotations

from boxes import Box, paint

from brats3d.regions import LABEL_SETS, LabelSet
from brats3d.scores import RegionScores, Scoring, case_scores

L23, L24, GTV = LABEL_SETS["L23"], LABEL_SETS["L24"], LABEL_SETS["GTV"]
SHAPE = (44, 40, 20)
CUBE = (8, 8, 8)
A = (3, (4, 4, 4), CUBE)
"""A lesion of enhancing tumour, from voxel 4 to 11."""


def cube(x: int, y: int = 4, z: int = 4, value: int = 3) -> Box:
    return value, (x, y, z), CUBE


def score(
    predicted: list[Box],
    wanted: list[Box],
    protocol: str = "brats2023",
    task: str = "GLI",
    region: str = "WT",
    *,
    coding: LabelSet = L23,
    spacing: tuple[float, ...] = (1, 1, 1),
) -> RegionScores:
    prediction, reference = paint(SHAPE, predicted), paint(SHAPE, wanted)
    return case_scores(prediction, reference, spacing, Scoring(protocol, task), label_set=coding)[region]


def averages(scores: RegionScores) -> tuple[float | None, ...]:
    return scores.lesion_dice, scores.lesion_hd95_mm


def counts(scores: RegionScores) -> tuple[int | None, ...]:
    return scores.lesions_tp, scores.lesions_fp, scores.lesions_fn
