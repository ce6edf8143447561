"""The results of an evaluation: rows, a summary, and their files.

``summary.json``, schema 2::

    schema, created_with, predictions, references, label_sets {predictions, references}, n, refused {case: sentence}
    warnings [sentence]
    protocols {name: {source, task, hd95, empty_rule, aggregation, regions {region: {
        cases, empty_references, empty_answered_empty, penalties, dice_pooled,
        <metric> {n, undefined, mean, sd, median, q25, q75, low, high}}}}}
    failures {region: {class: cases}}                       of the first protocol
    groups {grouping: {group: {region: {n, dice {…}, hd95_mm {…}}}}}
    trained_on [case]                                       of patients that the model was trained on, as predictions.json says
    calibration {region: …}, comparison {…}, ranking {…}    if requested
    calibration_notes [sentence]                            what the calibration assumes and leaves out, if anything

A metric's ``low`` and ``high`` are the 95 % bootstrap interval of its mean. Pooled Dice counts the voxels of all cases as if
they were one; everything else is per case, then over cases.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from brats3d.evaluate.score_tables import CaseScores, lesions_table, scores_table
from brats3d.files import write_file
from brats3d.scores import (
    Comparison,
    Ranking,
    RegionScores,
    Reliability,
    Scoring,
    describe,
    find_protocol,
    find_task,
)
from brats3d.version import __version__

SCHEMA = 2
SCORES_NAME, LESIONS_NAME, SUMMARY_NAME, REPORT_NAME = "scores.csv", "lesions.csv", "summary.json", "report.html"
FILES = (SCORES_NAME, LESIONS_NAME, SUMMARY_NAME, REPORT_NAME)
COUNTS = ("reference_voxels", "predicted_voxels")
AGGREGATION = "scores per case, then mean, sd, median and quartiles over cases; dice_pooled over the voxels of all cases"


@dataclass(frozen=True)
class Evaluation:
    """The scores of many cases.

    Attributes:
        predictions: the folder that was scored.
        references: the folder it was compared with.
        out: folder of the files written; there are none if no case has scores.
        scorings: the rules, one per protocol; tables and pictures show the first.
        scores: case id → protocol → region → scores.
        failures: case id → region → failure class and its detail, by the first protocol's regions.
        groups: grouping (``grade``, ``site``, ``volume``, …) → case id → group.
        label_sets: case id → label sets of prediction and reference.
        kept: ids of the cases whose scores an earlier, unfinished call had found.
        refused: case id → why it has no scores.
        calibration: region → how probabilities and frequencies agree, if requested.
        comparison: paired differences of the compared sets, if there are several.
        ranking: their ranking.
        trained_on: ids of the scored cases of patients that the model was trained on, as ``predictions.json`` records it; those
            of other sets as ``CASE of SET``.
        calibration_notes: what the calibration assumes and which regions it lacks, one sentence each.
        warnings: what is odd about the evaluation as a whole, one sentence each.
    """

    predictions: str
    references: str
    out: str
    scorings: tuple[Scoring, ...]
    scores: dict[str, dict[str, dict[str, RegionScores]]]
    failures: dict[str, dict[str, str]]
    groups: dict[str, dict[str, str]]
    label_sets: dict[str, tuple[str, str]]
    kept: tuple[str, ...]
    refused: dict[str, str]
    calibration: dict[str, Reliability] = field(default_factory=dict)
    comparison: Comparison | None = None
    ranking: Ranking | None = None
    trained_on: tuple[str, ...] = ()
    calibration_notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """The first protocol."""
        return self.scorings[0].protocol

    def of(self, protocol: str | None = None) -> dict[str, dict[str, RegionScores]]:
        """Return case id → region → scores under one protocol.

        Args:
            protocol: which; by default the first.
        """
        return {case: found[protocol or self.protocol] for case, found in self.scores.items()}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of ``summary.json``; its bootstrap intervals are computed once."""
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "created_with": f"brats3d {__version__}",
            "predictions": self.predictions,
            "references": self.references,
            "label_sets": {
                side: sorted({sets[i] for sets in self.label_sets.values()})
                for i, side in enumerate(("predictions", "references"))
            },
            "n": len(self.scores),
            "protocols": {s.protocol: protocol_card(s, self.of(s.protocol)) for s in self.scorings},
            "failures": count_failures(self.failures),
            "groups": {name: summarise_groups(cases, self.of()) for name, cases in self.groups.items()},
            "refused": self.refused,
            "trained_on": list(self.trained_on),
            "warnings": list(self.warnings),
        }
        if self.calibration:
            found["calibration"] = {region: row.as_dict() for region, row in self.calibration.items()}
        if self.calibration_notes:
            found["calibration_notes"] = list(self.calibration_notes)
        for name, part in (("comparison", self.comparison), ("ranking", self.ranking)):
            if part is not None:
                found[name] = part.as_dict()
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the summary and every case's scores as plain values."""
        cases = {
            case: {protocol: {region: row.as_row() for region, row in rows.items()} for protocol, rows in found.items()}
            for case, found in self.scores.items()
        }
        return {"out": self.out, **self.summary, "kept": list(self.kept), "cases": cases}


def protocol_card(scoring: Scoring, scores: Mapping[str, CaseScores]) -> dict[str, Any]:
    """Return the scores and what a reader must know to compare them.

    Args:
        scoring: the rules.
        scores: case id → region → scores by these rules.
    """
    rules, task = find_protocol(scoring.protocol), find_task(scoring.protocol, scoring.task)
    return {
        "source": rules.source,
        "task": None if task is None else task.rule,
        "hd95": rules.hd95,
        "empty_rule": rules.empty_rule,
        "aggregation": AGGREGATION,
        "regions": summarise_scores(scores),
    }


def summarise_scores(scores: Mapping[str, CaseScores]) -> dict[str, dict[str, Any]]:
    """Return the distribution of each region's scores over the cases.

    Args:
        scores: case id → region → scores.

    Returns:
        Region → ``cases`` (that have it), ``empty_references`` and how many of those were answered by an empty prediction,
        ``penalties`` (exactly one mask empty, so that HD95 is the protocol's penalty), ``dice_pooled`` and, per metric, the
        result of `brats3d.scores.statistics.describe`. What cannot be computed is None.
    """
    regions = dict.fromkeys(region for rows in scores.values() for region in rows)
    summary: dict[str, dict[str, Any]] = {}
    for region in regions:
        rows = [case[region] for case in scores.values() if region in case]
        empty = [row for row in rows if row.reference_voxels == 0]
        voxels = sum(row.reference_voxels + row.predicted_voxels for row in rows)
        shared = sum(row.dice * (row.reference_voxels + row.predicted_voxels) for row in rows)
        columns = dict.fromkeys(name for row in rows for name in row.as_row() if name not in COUNTS)
        summary[region] = {
            "cases": len(rows),
            "empty_references": len(empty),
            "empty_answered_empty": sum(row.predicted_voxels == 0 for row in empty),
            "penalties": sum(row.penalised for row in rows),
            "dice_pooled": shared / voxels if voxels else None,
            **{name: describe([row.as_row()[name] for row in rows]).as_dict() for name in columns},
        }
    return summary


def summarise_groups(groups: Mapping[str, str], scores: Mapping[str, CaseScores]) -> dict[str, dict[str, Any]]:
    """Return group → region → number of cases, Dice and HD95.

    Args:
        groups: case id → group; cases without one are left out.
        scores: case id → region → scores.
    """
    found: dict[str, dict[str, Any]] = {}
    for group in sorted(set(groups.values())):
        members = {case: rows for case, rows in scores.items() if groups.get(case) == group}
        if members:
            found[group] = {
                region: {"n": row["cases"], "dice": row["dice"], "hd95_mm": row["hd95_mm"]}
                for region, row in summarise_scores(members).items()
            }
    return found


def count_failures(failures: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, int]]:
    """Return region → failure class → number of cases, most common first.

    Args:
        failures: case id → region → class, with its detail after a colon.
    """
    regions = dict.fromkeys(region for rows in failures.values() for region in rows)
    return {
        region: dict(Counter(rows[region].split(":")[0] for rows in failures.values() if region in rows).most_common())
        for region in regions
    }


def write_results(out: Path, evaluation: Evaluation, page: str) -> None:
    """Write an evaluation's files, the summary last: if it exists, all of them do.

    Args:
        out: their folder; created if it does not exist.
        evaluation: what to write.
        page: the report.

    Raises:
        SpaceError: the disk is full.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_file(out / SCORES_NAME, scores_table(evaluation.scores, evaluation.trained_on))
    write_file(out / LESIONS_NAME, lesions_table(evaluation.scores))
    write_file(out / REPORT_NAME, page)
    write_file(out / SUMMARY_NAME, json.dumps(evaluation.summary, indent=2) + "\n")
