"""Sets of predictions, each matched with the references and scored: all are checked before any is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brats3d.console import Progress
from brats3d.errors import CaseError
from brats3d.evaluate.doubts import swapped, untold
from brats3d.evaluate.evaluation_settings import EvaluationSettings
from brats3d.evaluate.pair import Pair
from brats3d.evaluate.pairing import Labels, Matches, match_cases
from brats3d.evaluate.score_pairs import score_pairs
from brats3d.evaluate.scored_case import CaseResult
from brats3d.evaluate.shared_coding import Codings, settle_codings
from brats3d.evaluate.unfinished import Unfinished
from brats3d.scores import Scoring


@dataclass(frozen=True)
class PreparedSet:
    """One set of predictions, before it is scored: its labels, the references, and what its values mean."""

    labels: Labels
    matches: Matches
    codings: Codings
    references: Codings


@dataclass(frozen=True)
class ScoredSet:
    """One set of predictions, scored.

    Attributes:
        labels: its labels.
        results: the labels of each case → its result, sorted by case.
        kept: ids of the cases that an earlier call scored.
        refused: case id → why it has no scores.
        unfinished: where the scores are kept until they are written.
        warnings: what is odd about the predictions.
        reference_warnings: what is odd about the references.
    """

    labels: Labels
    results: dict[Pair, CaseResult]
    kept: tuple[str, ...]
    refused: dict[str, str]
    unfinished: Unfinished
    warnings: tuple[str, ...]
    reference_warnings: tuple[str, ...]

    def scores(self, protocol: str) -> dict[str, Mapping[str, Any]]:
        """Return case id → region → scores by a protocol."""
        return {pair.id: result.scores[protocol] for pair, result in self.results.items()}


@dataclass(frozen=True)
class SharedWork:
    """What all sets of predictions share.

    Attributes:
        settings: what is compared, and how.
        scorings: the rules, one per protocol.
        references: what the predictions are compared with.
        out: folder for the results.
        workers: processes.
        force: ignore what an earlier evaluation left.
        progress: called as cases finish.
    """

    settings: EvaluationSettings
    scorings: tuple[Scoring, ...]
    references: Labels
    out: Path
    workers: int
    force: bool
    progress: Progress

    def score(self, sets: Mapping[str, Labels], wanted: Sequence[str] | None) -> dict[str, ScoredSet]:
        """Return name → the result of a set of predictions; only the first if none of its cases could be scored.

        Args:
            sets: name → its labels.
            wanted: ids of the requested cases, or None for all.

        Raises:
            NoCasesError: a set and the references have no case in common.
            OptionError: labels of one folder contradict their names or one another.
            OutputExistsError: the folder holds an unfinished evaluation with other settings.
            SpaceError: the disk is full.
            WorkerError: a worker process was killed.
        """
        scored: dict[str, ScoredSet] = {}
        for number, (name, prepared) in enumerate(self._prepared(sets, wanted).items()):
            scored[name] = self._score(prepared, number)
            if not next(iter(scored.values())).results:
                break  # there is nothing to write or to compare the other sets with
        return scored

    def _prepared(self, sets: Mapping[str, Labels], wanted: Sequence[str] | None) -> dict[str, PreparedSet]:
        """Match the cases of all sets with the references, and decide what all labels mean, before any is scored."""
        matches = {name: match_cases(labels, self.references, wanted) for name, labels in sets.items()}
        compared = {
            case: file for case, file in self.references.files.items() if any(case in m.pairs for m in matches.values())
        }
        references = self._settled(Labels(self.references.side, compared))
        return {name: PreparedSet(labels, matches[name], self._settled(labels), references) for name, labels in sets.items()}

    def _settled(self, labels: Labels) -> Codings:
        return settle_codings(labels.side, labels.files, workers=self.workers, progress=self.progress)

    def _score(self, prepared: PreparedSet, number: int) -> ScoredSet:
        """Score a set of predictions; cases scored by an earlier, stopped call are kept."""
        calibration = self.settings.calibration and number == 0
        mine, theirs = prepared.codings, prepared.references
        refused = dict(prepared.matches.refused)
        pairs, other_grid = [], self.settings.other_grid
        for case, own in prepared.matches.pairs.items():
            why = mine.refused.get(own) or theirs.refused.get(case)
            if why is None:
                pairs.append(Pair(case, mine.files[own], theirs.files[case], self.scorings, other_grid, calibration))
            else:
                refused[case] = why
        sides = {"predictions": prepared.labels.side, "references": self.references.side}
        settings = {
            **{name: str(side.folder.resolve()) for name, side in sides.items()},
            "label_sets": [None if side.asked is None else side.asked.plain for side in sides.values()],
            "scorings": [asdict(scoring) for scoring in self.scorings],
            "other_grid": other_grid,
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
        warnings = tuple(filter(None, (prepared.matches.warning, *mine.warnings, *odd)))
        return ScoredSet(prepared.labels, ordered, tuple(kept), refused, unfinished, warnings, theirs.warnings)
