"""Scores many cases, keeping the scores of a stopped call."""

from __future__ import annotations

from collections.abc import Sequence

from brats3d.console import Progress
from brats3d.errors import CaseError
from brats3d.evaluate.pair import Pair
from brats3d.evaluate.scored_case import CaseResult, evaluate_pair
from brats3d.evaluate.unfinished import Unfinished
from brats3d.parallel import map_cases


def score_pairs(
    pairs: Sequence[Pair], workers: int, unfinished: Unfinished, progress: Progress
) -> tuple[dict[Pair, CaseResult | CaseError], list[str]]:
    """Return pair → its result or its refusal, and the ids whose scores were already known.

    Args:
        pairs: the two labels of each case.
        workers: processes, each with one case in memory.
        unfinished: the scores of an earlier call; each new one is added.
        progress: called as cases finish.

    Raises:
        SpaceError: the disk is full.
        WorkerError: a worker process was killed.
    """
    results: dict[Pair, CaseResult | CaseError] = {}
    for pair in pairs:
        known = unfinished.known(pair)
        if known is not None and _same_coding(pair, known):
            results[pair] = known
    kept = [pair.id for pair in results]
    unfinished.folder.note_kept(len(kept), len(pairs))
    todo = [pair for pair in pairs if pair not in results]
    for done, (pair, answer) in enumerate(map_cases(evaluate_pair, todo, workers=workers), 1):
        results[pair] = answer
        if isinstance(answer, CaseResult):
            unfinished.add(pair, answer)
        progress("evaluate", done, len(todo))
    return results, kept


def _same_coding(pair: Pair, result: CaseResult) -> bool:
    """Return whether the labels still mean what they did when the case was scored: added labels may have settled a doubt."""
    sides = zip((pair.prediction, pair.reference), result.label_sets, strict=True)
    return all(file.settled is None or file.settled.name == name for file, name in sides)
