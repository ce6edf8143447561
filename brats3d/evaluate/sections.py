"""The report's tables and lists. Each function returns HTML, empty if there is nothing to report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brats3d import pages
from brats3d.evaluate.charts import SCORES, by_region, titled
from brats3d.evaluate.report import Evaluation
from brats3d.pages import Cell
from brats3d.scores.failures import FAILURES
from brats3d.scores.statistics import VOLUME_GROUPS

Summary = Mapping[str, Any]
"""The value of `Evaluation.summary`."""

SPREAD = ("mean", "95 % interval", "sd", "median", "quartiles", "n", "undefined")


def _spread(row: Mapping[str, Any]) -> list[Cell]:
    """Return the cells of `SPREAD`."""
    interval, quartiles = (_range(row[low], row[high]) for low, high in (("low", "high"), ("q25", "q75")))
    return [row["mean"], interval, row["sd"], row["median"], quartiles, row["n"], row["undefined"]]


def _range(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{pages.number(low)} to {pages.number(high)}"


def overview(evaluation: Evaluation, summary: Summary) -> str:
    """Return the first protocol's main scores per region, its counts, and all other scores collapsed."""
    protocol = evaluation.protocol
    regions = summary["protocols"][protocol]["regions"]
    main = [
        [region, titled(metric, protocol), *_spread(row[metric])]
        for region, row in regions.items()
        for metric in SCORES
        if row.get(metric, {}).get("n")
    ]
    rest = [
        [region, titled(metric, protocol), *_spread(spread)]
        for region, row in regions.items()
        for metric, spread in row.items()
        if isinstance(spread, Mapping) and metric not in SCORES and spread["n"]
    ]
    counts = [
        [region, row["cases"], row["empty_references"], row["empty_answered_empty"], row["penalties"], row["dice_pooled"]]
        for region, row in regions.items()
    ]
    columns = ["region", "score", *SPREAD]
    count_columns = ["region", "cases", "reference empty", "of these answered empty", "HD95 is the penalty", "pooled Dice"]
    return "\n".join(
        [
            pages.table(f"Scores over cases, protocol {protocol}", columns, main, headers=2),
            pages.table("Empty masks, and Dice over the voxels of all cases together", count_columns, counts),
            pages.details("All other scores", [pages.table("All other scores over cases", columns, rest, headers=2)])
            if rest
            else "",
        ]
    )


def protocols(evaluation: Evaluation, summary: Summary) -> str:
    """Return the means under every protocol side by side, if there are several."""
    if len(evaluation.scorings) < 2:
        return ""
    found = {protocol: card["regions"] for protocol, card in summary["protocols"].items()}
    rows: list[list[Cell]] = [
        [region, protocol, *(regions[region].get(metric, {}).get("mean") for metric in SCORES)]
        for region in dict.fromkeys(region for regions in found.values() for region in regions)
        for protocol, regions in found.items()
        if region in regions
    ]
    names = [SCORES[metric][0] for metric in SCORES]
    caption = "Means of the same masks under every protocol; HD95 in mm, of brats2021 in voxels"
    return pages.table(caption, ["region", "protocol", *names], rows, headers=2)


def failures(evaluation: Evaluation, summary: Summary) -> str:
    """Return how many cases are in each failure class, one column per region."""
    counts: Mapping[str, Mapping[str, int]] = summary["failures"]
    if not counts:
        return ""
    kinds = dict.fromkeys([*FAILURES, *(kind for found in counts.values() for kind in found)])
    rows: list[list[Cell]] = [
        [kind, *(found.get(kind, 0) for found in counts.values()), FAILURES[kind].meaning if kind in FAILURES else ""]
        for kind in kinds
        if any(kind in found for found in counts.values())
    ]
    explained = "Exactly one class per case and region: the first that fits, in the order of the table."
    return pages.table("Cases in each failure class", ["class", *counts, "meaning"], rows) + pages.note(explained)


def groups(evaluation: Evaluation, summary: Summary) -> str:
    """Return Dice and HD95 of sub-groups, one table per grouping."""
    hd95 = titled("hd95_mm", evaluation.protocol)
    columns = ["group", "region", "n", "Dice mean", "95 % interval", "Dice median", f"{hd95} mean", f"{hd95} median"]
    tables = []
    for name, found in summary["groups"].items():
        rows: list[list[Cell]] = [
            [group, region, row["n"], row["dice"]["mean"], _range(row["dice"]["low"], row["dice"]["high"]),
             row["dice"]["median"], row["hd95_mm"]["mean"], row["hd95_mm"]["median"]]
            for group in sorted(found, key=_group_order)
            for region, row in found[group].items()
        ]  # fmt: skip
        if rows:
            tables.append(pages.table(f"By {name}", columns, rows, headers=2))
    return "\n".join(tables)


def _group_order(group: str) -> tuple[int, str]:
    """Sort volumes by size, everything else by name."""
    return VOLUME_GROUPS.index(group) if group in VOLUME_GROUPS else -1, group


def empty_references(evaluation: Evaluation) -> str:
    """Return the cases whose reference lacks a region, and what was predicted for each."""
    found = [
        (region, case, row)
        for case, rows in evaluation.of().items()
        for region, row in rows.items()
        if row.reference_voxels == 0
    ]
    if not found:
        return pages.paragraph("Every reference has a voxel of every region.")
    order = list(by_region(evaluation))
    rows: list[list[Cell]] = [
        [case, region, _answer(row.predicted_voxels, row.predicted_ml), row.dice, row.hd95_mm]
        for region, case, row in sorted(found, key=lambda item: (order.index(item[0]), item[1]))
    ]
    columns = ["case", "missing region", "prediction", "Dice", titled("hd95_mm", evaluation.protocol)]
    return pages.table("References without a voxel of a region", columns, rows, headers=2)


def _answer(voxels: int, millilitres: float | None) -> str:
    if voxels == 0:
        return "empty, as it should be"
    volume = "" if millilitres is None else f" ({millilitres:.2f} ml)"
    return f"{voxels} voxels{volume} predicted"


def comparison(evaluation: Evaluation) -> str:
    """Return the paired differences of several sets, and their ranking."""
    parts = []
    if evaluation.ranking is not None:
        ranking = evaluation.ranking
        places: list[list[Cell]] = [[place.name, place.place, place.rank] for place in ranking.places]
        tests: list[list[Cell]] = [[test.better, test.worse, test.difference, _chance(test.p)] for test in ranking.tests]
        parts += [
            pages.table("Ranking of the sets", ["set", "place", "mean rank"], places),
            pages.table(
                "Do they differ by more than chance?", ["better", "worse", "difference of ranks", "p"], tests, headers=2
            ),
            pages.note(_sentence(ranking.method)),
        ]
    if evaluation.comparison is not None:
        rows: list[list[Cell]] = [
            [row.region, titled(row.metric, evaluation.protocol), f"{row.first} − {row.second}", row.n, row.mean_first,
             row.mean_second, row.difference, _range(row.low, row.high), _chance(row.p_holm), row.favours or "neither"]
            for row in evaluation.comparison.rows
        ]  # fmt: skip
        columns = [
            "region",
            "score",
            "sets",
            "n",
            "mean, first",
            "mean, second",
            "difference",
            "95 % interval",
            "p (Holm)",
            "better",
        ]
        parts += [
            pages.table("Paired differences", columns, rows, headers=3),
            pages.note(_sentence(evaluation.comparison.method)),
        ]
    return "\n".join(parts)


def _chance(p: float | None) -> Cell:
    return "< 0.001" if p is not None and p < 0.001 else p


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def cards(summary: Summary) -> str:
    """Return what a reader must know to compare the scores: where they come from, and each protocol's rules."""
    sides = summary["label_sets"]
    parts = [
        pages.facts({
            "predictions": f"{summary['predictions']} (label set {', '.join(sides['predictions']) or 'unknown'})",
            "references": f"{summary['references']} (label set {', '.join(sides['references']) or 'unknown'})",
            "cases": f"{summary['n']} scored, {len(summary['refused'])} refused",
            **({"seen in training": ", ".join(summary["trained_on"])} if summary["trained_on"] else {}),
            "intervals": "95 % percentile bootstrap of the mean over cases",
            "created with": f"{summary['created_with']}, summary schema {summary['schema']}",
        })
    ]  # fmt: skip
    for name, card in summary["protocols"].items():
        rows = {
            "source": card["source"],
            "task": card["task"] or "",
            "HD95": card["hd95"],
            "empty masks": card["empty_rule"],
            "aggregation": card["aggregation"],
        }
        parts.append(pages.card(f"Protocol {name}", [pages.facts({key: text for key, text in rows.items() if text})]))
    return "\n".join(parts)


def refused(evaluation: Evaluation) -> str:
    """Return the cases without scores, and why."""
    rows: list[list[Cell]] = [[case, why] for case, why in evaluation.refused.items()]
    return pages.table("Cases without scores", ["case", "why"], rows) if rows else ""


def warnings(evaluation: Evaluation) -> str:
    """Return what is odd about the evaluation as a whole."""
    return pages.items(evaluation.warnings)
