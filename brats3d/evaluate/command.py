"""A folder of predictions against a folder of references: the function behind the command."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Literal

from brats3d.cases import read_case_ids
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, NoCasesError, OutputExistsError
from brats3d.evaluate.case import CaseResult, Pair, evaluate_pair
from brats3d.evaluate.labels import Side, find_labels
from brats3d.evaluate.report import SCORES_NAME, SUMMARY_NAME, Evaluation, write_results
from brats3d.evaluate.unfinished import Unfinished
from brats3d.parallel import map_cases, worker_count
from brats3d.regions import label_set as named_label_set
from brats3d.scores import find_protocol

log = logging.getLogger(__name__)


def evaluate_cases(
    predictions: Path | str,
    references: Path | str,
    *,
    out: Path | str,
    cases: str | None = None,
    label_set: str | None = None,
    reference_label_set: str | None = None,
    protocol: Literal["casewise", "brats2021"] = "casewise",
    workers: int = 1,
    force: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Score predicted masks against references and write scores.csv and summary.json.

    A call that was stopped goes on where it stopped when it is repeated with the same settings.

    Args:
        predictions: folder of masks (<case>.nii.gz, with predictions.json or without), of case folders, or a store.
        references: folder of case folders, of masks (<case>.nii.gz, <case>_seg, <case>-seg), or a store.
        out: folder for the results; made where it does not exist.
        cases: only these: a file of ids, one a line, or RUN/split.json:test.
        label_set: what the predictions' values mean, such as L17; by default as predictions.json or the names say.
        reference_label_set: what the references' values mean; by default as the store or the names say.
        protocol: casewise (HD95 in mm by surface elements) or brats2021 (what the challenges of 2021 and 2022 computed).
        workers: processes, each with one case in memory.
        force: write over results that are there already.
        progress: called as cases finish.

    Returns:
        The scores, and the cases that were refused: without a prediction, without a reference, damaged, on another grid,
        with values or a label set that cannot be.

    Raises:
        NoCasesError: a folder holds no case, or the two have none in common.
        OutputExistsError: the folder holds results, or an unfinished evaluation with other settings.
        OptionError: no such label set or protocol, a list of cases that cannot be read, or fewer than one worker.
        SpaceError: the disk is full.
    """
    predictions, references, out = Path(predictions), Path(references), Path(out)
    _check_options(out, (label_set, reference_label_set), protocol, workers, force=force)
    mine = Labels(Side("prediction", predictions, "--label-set", label_set, names_bind=False))
    theirs = Labels(Side("reference", references, "--reference-label-set", reference_label_set, names_bind=True))
    pairs, refused = _pair_up(mine, theirs, cases)
    settings = {
        "predictions": str(predictions.resolve()),
        "references": str(references.resolve()),
        "label_set": label_set,
        "reference_label_set": reference_label_set,
        "protocol": protocol,
    }
    unfinished = Unfinished(out, settings, force=force)
    results, kept = _score_all(pairs, protocol, workers, unfinished, progress)
    refused |= {case: str(answer) for case, answer in results.items() if isinstance(answer, CaseError)}
    scored = {case: answer for case, answer in sorted(results.items()) if isinstance(answer, CaseResult)}
    evaluation = Evaluation(
        predictions=str(predictions),
        references=str(references),
        out=str(out),
        protocol=protocol,
        scores={case: dict(result.scores) for case, result in scored.items()},
        label_sets={case: result.label_sets for case, result in scored.items()},
        kept=tuple(kept),
        refused=dict(sorted(refused.items())),
    )
    write_results(out, evaluation)
    unfinished.remove()
    return evaluation


class Labels:
    """The labels of one side: what `find_labels` found, and how to speak of it."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.files = find_labels(side)

    def __str__(self) -> str:
        return f"{self.side.folder} holds {len(self.files)} ({_some(list(self.files))})"


def _check_options(out: Path, label_sets: Iterable[str | None], protocol: str, workers: int, *, force: bool) -> None:
    """Refuse what cannot be, before anything is read."""
    find_protocol(protocol)
    worker_count(workers, 1)
    for name in label_sets:
        if name is not None:
            named_label_set(name)
    present = [name for name in (SCORES_NAME, SUMMARY_NAME) if (out / name).exists()]
    if present and not force:
        raise OutputExistsError(f"{out} holds {' and '.join(present)} already; choose another --out, or use --force.")
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file; expected a folder for the results: choose another --out.")


def _pair_up(mine: Labels, theirs: Labels, cases: str | None) -> tuple[list[Pair], dict[str, str]]:
    """Return the cases that both sides hold, and case id → why it cannot be compared for the others."""
    wanted = sorted({*mine.files, *theirs.files}) if cases is None else read_case_ids(cases)
    pairs = [Pair(c, mine.files[c], theirs.files[c]) for c in wanted if c in mine.files and c in theirs.files]
    if not pairs:
        asked = f" among the {len(wanted)} asked for ({_some(wanted)})" if cases else ""
        raise NoCasesError(
            f"no case has both a prediction and a reference{asked}: {mine}, {theirs}; name the masks after their cases,"
            " CASE.nii.gz."
        )
    both = {pair.case for pair in pairs}
    return pairs, {case: _alone(case, mine, theirs) for case in wanted if case not in both}


def _alone(case: str, mine: Labels, theirs: Labels) -> str:
    if case in mine.files:
        return f"there is a prediction, but no reference in {theirs.side.folder}; add it, or choose cases with --cases."
    if case in theirs.files:
        return f"there is a reference, but no prediction in {mine.side.folder}; predict it, or choose cases with --cases."
    return f"neither {mine.side.folder} nor {theirs.side.folder} holds the case; check the list of --cases."


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")


def _score_all(
    pairs: list[Pair], protocol: str, workers: int, unfinished: Unfinished, progress: Progress
) -> tuple[dict[str, CaseResult | CaseError], list[str]]:
    """Return case id → its result or its refusal, and the ids whose scores were known already."""
    results: dict[str, CaseResult | CaseError] = {}
    for pair in pairs:
        known = unfinished.known(pair)
        if known is not None:
            results[pair.case] = known
    kept = list(results)
    if kept:
        log.warning("%s: going on, %d of %d cases are scored already.", unfinished.path.parent, len(kept), len(pairs))
    todo = [pair for pair in pairs if pair.case not in results]
    for done, (pair, answer) in enumerate(map_cases(partial(evaluate_pair, protocol=protocol), todo, workers=workers), 1):
        results[pair.case] = answer
        if isinstance(answer, CaseResult):
            unfinished.add(pair, answer)
        progress("evaluate", done, len(todo))
    return results, kept
