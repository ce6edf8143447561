"""The tables of an evaluation, as text and as files: ``scores.csv`` and ``lesions.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from brats3d.files import write_file
from brats3d.scores import RegionScores

CaseScores = Mapping[str, RegionScores]
"""region → scores, for one case under one protocol."""
FIRST_COLUMNS = ("case", "region", "protocol")
LESION_COLUMNS = ("lesion", "reference_mm3", "predicted_mm3", "components", "dice", "hd95_mm", "counted")


def write_scores(path: Path, scores: Mapping[str, CaseScores], protocol: str) -> None:
    """Write scores as a table with one row per case and region; the file is written aside and then renamed.

    Args:
        path: the ``.csv`` file; its folder is created if it does not exist.
        scores: case id → region → scores.
        protocol: the rules they were scored by, for the column of that name.

    Raises:
        SpaceError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, scores_table({case: {protocol: rows} for case, rows in scores.items()}))


def scores_table(scores: Mapping[str, Mapping[str, CaseScores]], trained_on: Collection[str] = ()) -> str:
    """Return ``scores.csv``: one row per case, region and protocol; what a protocol leaves undefined is an empty field.

    Args:
        scores: case id → protocol → region → scores.
        trained_on: ids of cases of patients that the model was trained on. If there are any, the column ``trained_on`` is 1
            for them and 0 for the others.
    """
    marked = [case for case in scores if case in trained_on]
    rows = [
        {
            "case": case,
            "region": region,
            "protocol": protocol,
            **row.as_row(),
            **({"trained_on": int(case in marked)} if marked else {}),
        }
        for case, found in scores.items()
        for protocol, regions in found.items()
        for region, row in regions.items()
    ]
    columns = dict.fromkeys(name for row in rows for name in row)
    return _csv(list(columns) or list(FIRST_COLUMNS), [[row.get(name) for name in columns] for row in rows])


def lesions_table(scores: Mapping[str, Mapping[str, CaseScores]]) -> str:
    """Return ``lesions.csv``: one row per lesion of the reference and per false alarm (``reference_mm3`` 0).

    Args:
        scores: case id → protocol → region → scores.
    """
    rows = [
        [case, region, protocol, number, lesion.reference_mm3, lesion.predicted_mm3, " ".join(map(str, lesion.components)),
         lesion.dice, lesion.hd95_mm, int(lesion.counted)]
        for case, found in scores.items()
        for protocol, regions in found.items()
        for region, row in regions.items()
        for number, lesion in enumerate(row.lesions, 1)
    ]  # fmt: skip
    return _csv([*FIRST_COLUMNS, *LESION_COLUMNS], rows)


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue()
