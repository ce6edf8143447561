"""What an evaluation gives: rows, a summary, and the two files that hold them."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

import brats3d
from brats3d.errors import SpaceError
from brats3d.scores import RegionScores, find_protocol

SCHEMA = 1
SCORES_NAME, SUMMARY_NAME = "scores.csv", "summary.json"
METRICS = ("dice", "hd95_mm", "sensitivity", "specificity", "precision", "iou")
COLUMNS = ("case", "region", "protocol", *(field.name for field in fields(RegionScores)))
"""The columns of ``scores.csv``; a value that the protocol leaves undefined is an empty field."""

Scores = Mapping[str, Mapping[str, RegionScores]]
"""case id → region → scores."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of many cases.

    Attributes:
        predictions: the folder that was scored.
        references: the folder it was compared with.
        out: folder of ``scores.csv`` and ``summary.json``.
        protocol: the rules they were scored by.
        scores: case id → region → scores.
        label_sets: case id → label sets of prediction and reference.
        kept: ids of the cases whose scores an earlier, unfinished call had found.
        refused: case id → why it has no scores.
    """

    predictions: str
    references: str
    out: str
    protocol: str
    scores: dict[str, dict[str, RegionScores]]
    label_sets: dict[str, tuple[str, str]]
    kept: tuple[str, ...]
    refused: dict[str, str]

    @property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds."""
        rules = find_protocol(self.protocol)
        return {
            "schema": SCHEMA,
            "created_with": f"brats3d {brats3d.__version__}",
            "predictions": self.predictions,
            "references": self.references,
            "protocol": rules.name,
            "source": rules.source,
            "hd95": rules.hd95,
            "empty_rule": rules.empty_rule,
            "n": len(self.scores),
            "label_sets": {
                side: sorted({sets[i] for sets in self.label_sets.values()})
                for i, side in enumerate(("predictions", "references"))
            },
            "regions": summarise_scores(self.scores),
            "refused": self.refused,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the summary and every case's scores as plain values."""
        cases = {case: {region: asdict(row) for region, row in rows.items()} for case, rows in self.scores.items()}
        return {"out": self.out, **self.summary, "kept": list(self.kept), "cases": cases}


def summarise_scores(scores: Scores) -> dict[str, dict[str, Any]]:
    """Return, for every region, how its scores are spread over the cases.

    Args:
        scores: case id → region → scores.

    Returns:
        Region → ``cases`` (that have it), ``empty_references``, ``penalties`` (exactly one mask empty, so that HD95 is the
        protocol's penalty) and, a metric, ``n`` (cases in which it is defined), ``mean``, ``sd`` (n − 1), ``median``, ``q25``
        and ``q75`` (linear). What cannot be computed is None.
    """
    regions = dict.fromkeys(region for rows in scores.values() for region in rows)
    summary: dict[str, dict[str, Any]] = {}
    for region in regions:
        rows = [case[region] for case in scores.values() if region in case]
        summary[region] = {
            "cases": len(rows),
            "empty_references": sum(row.reference_voxels == 0 for row in rows),
            "penalties": sum(row.penalised for row in rows),
            **{metric: _spread([getattr(row, metric) for row in rows]) for metric in METRICS},
        }
    return summary


def _spread(values: Sequence[float | None]) -> dict[str, float | int | None]:
    known = np.array([v for v in values if v is not None], float)
    if len(known) == 0:
        return {"n": 0, "mean": None, "sd": None, "median": None, "q25": None, "q75": None}
    low, middle, high = (float(q) for q in np.percentile(known, (25, 50, 75)))
    sd = float(known.std(ddof=1)) if len(known) > 1 else None
    return {"n": len(known), "mean": float(known.mean()), "sd": sd, "median": middle, "q25": low, "q75": high}


def write_scores(path: Path, scores: Scores, protocol: str) -> None:
    """Write scores as a table, a row a case and region, aside and then renamed.

    Args:
        path: the ``.csv`` file; its folder is made where it does not exist.
        scores: case id → region → scores.
        protocol: the rules they were scored by, for the column of that name.

    Raises:
        SpaceError: the disk is full.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case, rows in scores.items():
        for region, row in rows.items():
            writer.writerow([case, region, protocol, *("" if v is None else v for v in asdict(row).values())])
    write_text(path, text.getvalue())


def write_results(out: Path, evaluation: Evaluation) -> None:
    """Write ``scores.csv`` and ``summary.json``.

    Args:
        out: their folder; made where it does not exist.
        evaluation: what to write.

    Raises:
        SpaceError: the disk is full.
    """
    write_scores(out / SCORES_NAME, evaluation.scores, evaluation.protocol)
    write_text(out / SUMMARY_NAME, json.dumps(evaluation.summary, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a small file aside and rename it: what has the right name is whole.

    Args:
        path: the file; its folder is made where it does not exist.
        text: its content.

    Raises:
        SpaceError: the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with space_for(path, text):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def space_for(path: Path, text: str) -> Iterator[None]:
    """Turn a full disk, met while a text is written, into an error that says how much is needed.

    Args:
        path: the file, for the message.
        text: what is to be written.

    Raises:
        SpaceError: the disk is full.
    """
    try:
        yield
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise SpaceError(f"{path}: no space left on the disk; {len(text) / 1e6:.3f} MB are needed.") from problem
        raise
