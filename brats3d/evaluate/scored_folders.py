"""A folder of predictions against a folder of references: the function behind the command."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from brats3d.cases import read_case_ids
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, check_list, check_option
from brats3d.evaluate.doubts import swapped, unscored, untold
from brats3d.evaluate.find_labels import find_labels
from brats3d.evaluate.groups import GroupTable, group_cases, read_groups, unnamed
from brats3d.evaluate.label_files import Side
from brats3d.evaluate.pair import OtherGrid, Pair
from brats3d.evaluate.pairing import Labels, Matches, match_cases
from brats3d.evaluate.probabilities import calibration_notes
from brats3d.evaluate.report import Evaluation, write_results
from brats3d.evaluate.score_pairs import score_pairs
from brats3d.evaluate.scored_case import CaseResult
from brats3d.evaluate.sets import compare, set_names
from brats3d.evaluate.shared_coding import Codings, settle_codings
from brats3d.evaluate.unfinished import Unfinished, check_results
from brats3d.parallel import worker_count
from brats3d.regions import LabelSetLike
from brats3d.scores import PROTOCOLS, TASKS, Reliability, Scoring

log = logging.getLogger(__name__)


def evaluate_cases(
    predictions: Path | str,
    references: Path | str,
    *,
    out: Path | str,
    cases: str | None = None,
    label_set: LabelSetLike | None = None,
    reference_label_set: LabelSetLike | None = None,
    protocol: Literal["casewise", "brats2021", "brats2023", "brats2024", "all"] = "casewise",
    task: str | None = None,
    tolerances: Sequence[float] = (1.0, 2.0),
    against: Sequence[Path] = (),
    rater: Path | str | None = None,
    groups: Path | str | None = None,
    calibration: bool = False,
    other_grid: OtherGrid = "refuse",
    workers: int = 1,
    force: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Score predicted masks against references and write scores.csv, lesions.csv, summary.json and report.html.

    A call that was stopped continues where it stopped if it is repeated with the same settings. If no case can be scored,
    nothing is written.

    Args:
        predictions: folder of masks (<case>.nii.gz, with or without predictions.json), folder of case folders, or a store.
        references: folder of case folders, folder of masks (<case>.nii.gz, <case>_seg, <case>-seg), or a store.
        out: folder for the results; made if it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test.
        label_set: what the predictions' values mean, such as L17 (GTV for masks of the whole tumour), or a .toml or .json file
            with a label set of your own; by default as predictions.json or the names say.
        reference_label_set: what the references' values mean; by default as the store or the names say.
        protocol: casewise (HD95 in mm by surface elements), brats2021 (what the challenges of 2021 and 2022 computed),
            brats2023 or brats2024 (lesion by lesion), or all of them side by side.
        task: task of the lesion-wise protocols: GLI, SSA, PED, MEN, MET, MEN-RT; by default GLI.
        tolerances: tolerances of the normalised surface Dice, in mm.
        against: other folders of predictions of the same cases, to compare with the first: paired differences and ranking.
        rater: a second folder of references; the two raters are compared with each other too.
        groups: a CSV file with a column case and others to group the summary by, besides grade, site and volume.
        calibration: compare the probabilities beside the predictions with the references.
        other_grid: what to do with a prediction on another grid than its reference's: refuse it, resample it there (nearest
            voxel; refused if more than 1% of it lies outside or its volume changes by more than 5%), or compare voxelwise,
            whatever the headers say.
        workers: processes, each with one case in memory.
        force: overwrite existing results.
        progress: called as cases finish.

    Returns:
        The scores, and the cases that were refused: without a prediction, without a reference, damaged, on another grid,
        with values or a label set that cannot be. Ids that differ only in letter case are matched.

    Raises:
        NoCasesError: a folder holds no case, or the two have none in common.
        OutputExistsError: the folder holds results, or an unfinished evaluation with other settings.
        OptionError: no such label set, protocol or task, a table or list of cases that cannot be read, the same folder
            twice, fewer than one worker, or labels of one folder that contradict their names or one another, until the label
            set is said.
        SpaceError: the disk is full.
        WorkerError: a worker process was killed.
    """
    out, predictions = Path(out), Path(predictions)
    worker_count(workers, 1)
    check_option("other_grid", other_grid, get_args(OtherGrid))
    check_list("against", against)
    check_list("tolerances", tolerances)
    scorings = _scorings(protocol, task, tuple(tolerances))
    sides = [_predicted(folder, label_set) for folder in (predictions, *map(Path, against))]
    side = _drawn(Path(references), reference_label_set)
    _ = sides[0].asked, side.asked  # refuses what is no label set, before anything is read
    sides += [] if rater is None else [_drawn(Path(rater), reference_label_set)]
    names = set_names([side.folder for side in sides])
    check_results(out, force=force)
    table = None if groups is None else read_groups(Path(groups))
    theirs, wanted = Labels(side, find_labels(side)), None if cases is None else read_case_ids(cases)
    call = _Call(scorings, theirs, calibration, other_grid, workers, force, out, progress)
    sets = call.prepare({name: Labels(side, find_labels(side)) for name, side in zip(names, sides, strict=True)}, wanted)
    scored: dict[str, _Scored] = {}
    for number, (name, prepared) in enumerate(sets.items()):
        scored[name] = call.score(prepared, number)
        if not scored[names[0]].results:
            break  # there is nothing to write, nor to compare the other sets with
    odd = next(iter(sets.values())).references.warnings
    evaluation = _assemble(scored, call, odd, table)
    _warn(evaluation)
    if evaluation.scores:
        write_results(out, evaluation, _page(evaluation, scored[names[0]].results))
        for each in scored.values():
            each.unfinished.remove()
    return evaluation


def _predicted(folder: Path, label_set: LabelSetLike | None) -> Side:
    return Side("prediction", folder, "--label-set", label_set, names_bind=False)


def _drawn(folder: Path, label_set: LabelSetLike | None) -> Side:
    return Side("reference", folder, "--reference-label-set", label_set, names_bind=True)


def _scorings(protocol: str, task: str | None, tolerances_mm: tuple[float, ...]) -> tuple[Scoring, ...]:
    """Return the protocols asked for; of ``all``, those that have the task."""
    if protocol != "all":
        return (Scoring(protocol, task, tolerances_mm=tolerances_mm),)
    usable = [name for name in PROTOCOLS if name not in TASKS or task is None or task in TASKS[name]]
    if task is not None and not any(name in TASKS for name in usable):
        Scoring("brats2023", task)  # refuses it by name
    return tuple(Scoring(name, task if name in TASKS else None, tolerances_mm=tolerances_mm) for name in usable)


@dataclass(frozen=True)
class _Set:
    """One set of predictions, before it is scored: its labels, those it is compared with, and what its values mean."""

    labels: Labels
    matches: Matches
    codings: Codings
    references: Codings


@dataclass(frozen=True)
class _Scored:
    """One set of predictions, scored."""

    labels: Labels
    results: dict[Pair, CaseResult]
    kept: tuple[str, ...]
    refused: dict[str, str]
    unfinished: Unfinished
    warnings: tuple[str, ...]

    def scores(self, protocol: str) -> dict[str, Mapping[str, Any]]:
        return {pair.id: result.scores[protocol] for pair, result in self.results.items()}


@dataclass(frozen=True)
class _Call:
    """What all sets of a call share."""

    scorings: tuple[Scoring, ...]
    references: Labels
    calibration: bool
    other_grid: OtherGrid
    workers: int
    force: bool
    out: Path
    progress: Progress

    def prepare(self, sets: Mapping[str, Labels], wanted: Sequence[str] | None) -> dict[str, _Set]:
        """Match the cases of all sets with the references, and settle what all labels mean, before any is scored."""
        matches = {name: match_cases(labels, self.references, wanted) for name, labels in sets.items()}
        compared = {
            case: file for case, file in self.references.files.items() if any(case in m.pairs for m in matches.values())
        }
        references = self._settled(Labels(self.references.side, compared))
        return {name: _Set(labels, matches[name], self._settled(labels), references) for name, labels in sets.items()}

    def _settled(self, labels: Labels) -> Codings:
        return settle_codings(labels.side, labels.files, workers=self.workers, progress=self.progress)

    def score(self, prepared: _Set, number: int) -> _Scored:
        """Score a set of predictions; what an earlier call that was stopped had scored is kept."""
        calibration = self.calibration and number == 0
        mine, theirs = prepared.codings, prepared.references
        refused = dict(prepared.matches.refused)
        pairs = []
        for case, own in prepared.matches.pairs.items():
            why = mine.refused.get(own) or theirs.refused.get(case)
            if why is None:
                pairs.append(Pair(case, mine.files[own], theirs.files[case], self.scorings, self.other_grid, calibration))
            else:
                refused[case] = why
        sides = {"predictions": prepared.labels.side, "references": self.references.side}
        settings = {
            **{name: str(side.folder.resolve()) for name, side in sides.items()},
            "label_sets": [None if side.asked is None else side.asked.plain for side in sides.values()],
            "scorings": [asdict(scoring) for scoring in self.scorings],
            "other_grid": self.other_grid,
            "calibration": calibration,
        }
        unfinished = Unfinished(self.out, settings, number, force=self.force)
        results, kept = score_pairs(pairs, self.workers, unfinished, self.progress)
        refused |= {pair.id: str(answer) for pair, answer in results.items() if isinstance(answer, CaseError)}
        scored = {pair: answer for pair, answer in results.items() if isinstance(answer, CaseResult)}
        ordered = dict(sorted(scored.items(), key=lambda item: item[0].id))
        found, side = {pair.id: result for pair, result in ordered.items()}, prepared.labels.side
        regions = next((pair.prediction.regions or () for pair in ordered), ())
        odd = (*untold(side, regions, found.values()), *swapped(side, found))
        warnings = (prepared.matches.warning, *mine.warnings, *odd)
        return _Scored(prepared.labels, ordered, tuple(kept), refused, unfinished, tuple(filter(None, warnings)))


def _warn(evaluation: Evaluation) -> None:
    """Say once what a reader of the scores must know."""
    if evaluation.trained_on:
        log.warning(
            "%d of the cases scored, such as %s, are of patients that the model was trained on; their scores say nothing about"
            " how it does on new patients.", len(evaluation.trained_on), ", ".join(evaluation.trained_on[:3]),
        )  # fmt: skip
    for note in (*evaluation.warnings, *evaluation.calibration_notes):
        log.warning("%s", note)


def _assemble(sets: Mapping[str, _Scored], call: _Call, warnings: Sequence[str], table: GroupTable | None) -> Evaluation:
    first = next(iter(sets.values()))
    protocol = call.scorings[0].protocol
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
    predicted = [pair.prediction for pair in first.results] if call.calibration else []
    return Evaluation(
        predictions=str(first.labels.side.folder),
        references=str(call.references.side.folder),
        out=str(call.out),
        scorings=call.scorings,
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
            *warnings,
            *(sentence for scored in sets.values() for sentence in scored.warnings),
            *unscored(first.results.values(), call.scorings),
            *unnamed(table, [pair.id for pair in first.results]),
        ),
    )


def _trained_on(sets: Mapping[str, _Scored]) -> tuple[str, ...]:
    first = next(iter(sets))
    return tuple(
        pair.id if name == first else f"{pair.id} of {name}"
        for name, scored in sets.items()
        for pair in scored.results
        if pair.prediction.trained_on
    )


def _page(evaluation: Evaluation, results: Mapping[Pair, CaseResult]) -> str:
    """Return the report; Matplotlib is loaded here and nowhere else."""
    from brats3d.evaluate.page import report_page
    from brats3d.evaluate.thumbnails import draw_thumbnails

    return report_page(evaluation, draw_thumbnails(evaluation, {pair.id: pair for pair in results}))
