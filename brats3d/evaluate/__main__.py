"""``python -m brats3d.evaluate``: from masks and references to scores."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from brats3d.console import call, run, text_table
from brats3d.evaluate.report import Evaluation
from brats3d.evaluate.scored_folders import evaluate_cases

COUNTS = ("empty_references", "penalties")
SIDE_BY_SIDE = ("dice", "hd95_mm", "lesion_dice", "lesion_hd95_mm")


def _show(evaluation: Evaluation) -> str:
    """Return the tables for the terminal: every case, the means, and all protocols side by side if there are several."""
    if not evaluation.scores:
        return f"no case was scored, {len(evaluation.refused)} refused; nothing was written"
    summary = evaluation.summary
    parts = [_cases(evaluation), _means(evaluation, summary)]
    if len(evaluation.scorings) > 1:
        parts.append(_protocols(summary))
    if evaluation.comparison is not None:
        parts.append(_sets(summary))
    card = summary["protocols"][evaluation.protocol]
    task = f"; {card['task']}" if card["task"] else ""
    parts.append(
        f"protocol {evaluation.protocol}{task}; HD95: {card['hd95']}\n"
        f"{len(evaluation.scores)} cases scored, {len(evaluation.refused)} refused; written: {evaluation.out}/scores.csv,"
        " lesions.csv, summary.json, report.html"
    )
    return "\n\n".join(parts)


def _cases(evaluation: Evaluation) -> str:
    found = evaluation.of()
    regions = list(dict.fromkeys(region for rows in found.values() for region in rows))
    header = ["case", *(f"dice {r}" for r in regions), *(f"hd95 {r}" for r in regions)]
    rows = [
        [case, *(getattr(scores[r], metric) if r in scores else None for metric in ("dice", "hd95_mm") for r in regions)]
        for case, scores in found.items()
    ]
    return text_table(header, rows)


def _means(evaluation: Evaluation, summary: dict[str, Any]) -> str:
    means = [
        [region, *(spread[metric][value] for metric in ("dice", "hd95_mm") for value in ("mean", "sd", "median")),
         spread["sensitivity"]["mean"], spread["precision"]["mean"], *(spread[c] for c in ("cases", *COUNTS))]
        for region, spread in summary["protocols"][evaluation.protocol]["regions"].items()
    ]  # fmt: skip
    columns = ["region", "dice mean", "sd", "median", "hd95 mean", "sd", "median", "sensitivity", "precision"]
    return text_table([*columns, "cases", *(c.replace("_", " ") for c in COUNTS)], means)


def _protocols(summary: dict[str, Any]) -> str:
    rows = [
        [region, name, *(spread[metric]["mean"] if metric in spread else None for metric in SIDE_BY_SIDE)]
        for name, card in summary["protocols"].items()
        for region, spread in card["regions"].items()
    ]
    order = list(dict.fromkeys(row[0] for row in rows))
    rows.sort(key=lambda row: order.index(row[0]))
    return text_table(["region", "protocol", "dice", "hd95", "lesion dice", "lesion hd95"], rows)


def _sets(summary: dict[str, Any]) -> str:
    """Return the ranking, and the paired differences of Dice and HD95."""
    places = [[place["place"], place["name"], place["rank"]] for place in summary["ranking"]["places"]]
    rows = [
        [row[name] for name in ("first", "second", "region", "metric", "n", "difference", "low", "high", "p_holm")]
        for row in summary["comparison"]["rows"]
    ]
    columns = ["first", "second", "region", "metric", "n", "first - second", "low", "high", "p (Holm)"]
    return text_table(["place", "predictions", "mean rank"], places) + "\n\n" + text_table(columns, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate predictions."""
    return call(
        evaluate_cases,
        argv,
        example="python -m brats3d.evaluate PREDICTIONS MICCAI_BraTS2020_TrainingData --out SCORES",
        show=_show,
        prog="python -m brats3d.evaluate",
    )


if __name__ == "__main__":
    sys.exit(run(main))
