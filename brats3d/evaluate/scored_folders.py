"""A folder of predictions against a folder of references: the function behind the command."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from brats3d.cases import CaseIds, read_case_ids
from brats3d.console import Progress, silent
from brats3d.errors import check_kind
from brats3d.evaluate.doubts import unscored
from brats3d.evaluate.evaluation_settings import EvaluationSettings
from brats3d.evaluate.find_labels import find_labels
from brats3d.evaluate.groups import GroupTable, group_cases, read_groups, unnamed
from brats3d.evaluate.label_files import Side
from brats3d.evaluate.pair import Pair
from brats3d.evaluate.pairing import Labels
from brats3d.evaluate.probabilities import calibration_notes
from brats3d.evaluate.report import Evaluation, write_results
from brats3d.evaluate.scored_case import CaseResult
from brats3d.evaluate.scored_sets import ScoredSet, SharedWork
from brats3d.evaluate.sets import compare, set_names
from brats3d.evaluate.unfinished import check_results
from brats3d.parallel import worker_count
from brats3d.scores import Reliability

log = logging.getLogger(__name__)


def evaluate_cases(
    predictions: Path | str,
    references: Path | str,
    *,
    out: Path | str,
    cases: CaseIds | None = None,
    settings: EvaluationSettings = EvaluationSettings(),
    workers: int = 1,
    force: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Score predicted masks against references and write scores.csv, lesions.csv, summary.json and report.html.

    A stopped call continues where it stopped if repeated with the same settings. If no case can be scored,
    nothing is written.

    Args:
        predictions: folder of masks (<case>.nii.gz, with or without predictions.json), folder of case folders, or a store.
        references: folder of case folders, folder of masks (<case>.nii.gz, <case>_seg, <case>-seg), or a store.
        out: folder for the results; made if it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test; from Python a list of ids too.
        settings: how labels are read, which protocol scores them, and what else is compared.
        workers: processes, each with one case in memory.
        force: overwrite existing results.
        progress: called as cases finish.

    Returns:
        The scores, and the cases that were refused: without a prediction, without a reference, damaged, on another grid, or
        with impossible values or label set. Ids that differ only in letter case are matched.

    Raises:
        NoCasesError: a folder holds no case, or the two have none in common.
        OutputExistsError: the folder holds results, or an unfinished evaluation with other settings.
        OptionError: a table or list of cases cannot be read, the same folder is given twice, fewer than one worker, or labels
            of one folder contradict their names or one another and no label set is given.
        SpaceError: the disk is full.
        WorkerError: a worker process was killed.
    """
    check_kind("settings", settings, EvaluationSettings)
    out = Path(out)
    worker_count(workers, 1)
    sides = [settings.predicted(folder) for folder in (predictions, *settings.against)]
    sides += [] if settings.rater is None else [settings.drawn(settings.rater)]
    names = set_names([side.folder for side in sides])
    check_results(out, force=force)
    table = None if settings.groups is None else read_groups(Path(settings.groups))
    theirs = _labels(settings.drawn(references))
    wanted = None if cases is None else read_case_ids(cases)
    work = SharedWork(settings, settings.scorings(), theirs, out, workers, force, progress)
    scored = work.score({name: _labels(side) for name, side in zip(names, sides, strict=True)}, wanted)
    evaluation = _assemble(scored, work, table)
    _warn(evaluation)
    if evaluation.scores:
        _write(out, evaluation, scored)
    return evaluation


def _labels(side: Side) -> Labels:
    return Labels(side, find_labels(side))


def _write(out: Path, evaluation: Evaluation, scored: Mapping[str, ScoredSet]) -> None:
    write_results(out, evaluation, _page(evaluation, next(iter(scored.values())).results))
    for each in scored.values():
        each.unfinished.remove()


def _warn(evaluation: Evaluation) -> None:
    """Warn once about what a reader of the scores must know."""
    if evaluation.trained_on:
        log.warning(
            "%d of the scored cases, such as %s, are of patients that the model was trained on; their scores do not show how it"
            " performs on new patients.", len(evaluation.trained_on), ", ".join(evaluation.trained_on[:3]),
        )  # fmt: skip
    for note in (*evaluation.warnings, *evaluation.calibration_notes):
        log.warning("%s", note)


def _assemble(sets: Mapping[str, ScoredSet], shared: SharedWork, table: GroupTable | None) -> Evaluation:
    first = next(iter(sets.values()))
    protocol = shared.scorings[0].protocol
    refused = dict(first.refused)
    for name, scored in list(sets.items())[1:]:
        refused |= {f"{case} of {name}": why for case, why in scored.refused.items()}
    several = {name: scored.scores(protocol) for name, scored in sets.items() if scored.results}
    comparison, ranking = compare(several) if len(several) > 1 else (None, None)
    found: dict[str, Reliability] = {}
    for result in first.results.values():
        for region, part in result.calibration.items():
            found[region] = found[region] + part if region in found else part
    regions = dict.fromkeys(region for r in first.results.values() for region in (*r.scores[protocol], *r.untold))
    predicted = [pair.prediction for pair in first.results] if shared.settings.calibration else []
    return Evaluation(
        predictions=str(first.labels.side.folder),
        references=str(shared.references.side.folder),
        out=str(shared.out),
        scorings=shared.scorings,
        scores={pair.id: {p: dict(rows) for p, rows in r.scores.items()} for pair, r in first.results.items()},
        failures={pair.id: dict(r.failures) for pair, r in first.results.items()},
        groups=group_cases(first.results.items(), table),
        label_sets={pair.id: r.label_sets for pair, r in first.results.items()},
        kept=first.kept,
        refused=dict(sorted(refused.items())),
        calibration=found,
        comparison=comparison,
        ranking=ranking,
        trained_on=_trained_on(sets),
        calibration_notes=calibration_notes(predicted, regions, found),
        warnings=(
            *first.reference_warnings,
            *(sentence for scored in sets.values() for sentence in scored.warnings),
            *unscored(first.results.values(), shared.scorings),
            *unnamed(table, [pair.id for pair in first.results]),
        ),
    )


def _trained_on(sets: Mapping[str, ScoredSet]) -> tuple[str, ...]:
    first = next(iter(sets))
    return tuple(
        pair.id if name == first else f"{pair.id} of {name}"
        for name, scored in sets.items()
        for pair in scored.results
        if pair.prediction.trained_on
    )


def _page(evaluation: Evaluation, results: Mapping[Pair, CaseResult]) -> str:
    """Return the report; Matplotlib is only loaded here."""
    from brats3d.evaluate.page import report_page
    from brats3d.evaluate.thumbnails import draw_thumbnails

    return report_page(evaluation, draw_thumbnails(evaluation, {pair.id: pair for pair in results}))
