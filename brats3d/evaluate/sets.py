"""Several sets of predictions of the same cases: paired differences, and the challenges' ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from brats3d.errors import OptionError
from brats3d.scores import COMPARED, Comparison, Ranking, RegionScores, compare_sets, rank_sets

LESIONWISE = ("lesion_dice", "lesion_hd95_mm")
"""What challenges have ranked by since 2023; before, Dice and HD95 (``COMPARED``)."""

Scores = Mapping[str, Mapping[str, RegionScores]]
"""case id → region → scores under one protocol."""


def set_names(folders: Sequence[Path]) -> list[str]:
    """Return a name for every set of predictions: as much of its folder's path as distinguishes them.

    Args:
        folders: one per set.

    Raises:
        OptionError: a folder is given twice.
    """
    whole = [folder.resolve() for folder in folders]
    twice = [folder for folder in whole if whole.count(folder) > 1]
    if twice:
        raise OptionError(f"{twice[0]} is given twice; expected different sets of predictions to compare.")
    for depth in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-depth:]) for path in whole]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in whole]


def compare(sets: Mapping[str, Scores]) -> tuple[Comparison, Ranking]:
    """Return the paired differences of several sets of predictions, and their ranking.

    Args:
        sets: name → scores; at least two.

    Raises:
        NoCasesError: the sets have no case in common.
        OptionError: they have no region in common.
    """
    values = {
        name: {case: {region: row.as_row() for region, row in rows.items()} for case, rows in scores.items()}
        for name, scores in sets.items()
    }
    by_lesion = any(row["lesion_dice"] is not None for rows in next(iter(values.values())).values() for row in rows.values())
    metrics = LESIONWISE if by_lesion else COMPARED
    return compare_sets(values, metrics=metrics), rank_sets(values, metrics=metrics)
