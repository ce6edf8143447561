"""From folders of scans, or a store, to a folder of masks on the scans' own grids."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brats3d import images
from brats3d.cases import read_case_ids, select_ids
from brats3d.cases.selection import CaseIds
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, check_list
from brats3d.files import check_name
from brats3d.masks import ARCHIVE_NAME, MaskEntry, MaskFolder, MaskList, MaskSettings, open_mask_folder
from brats3d.models import Pipeline
from brats3d.predict.chosen_model import choose_model
from brats3d.predict.kept import check_kept
from brats3d.predict.painting import check_paintable
from brats3d.predict.prediction_settings import PredictionSettings
from brats3d.predict.predictors import Passes
from brats3d.predict.runner import Runner, runner_of
from brats3d.predict.sources import CaseSource, open_sources, scans_of, trained_on
from brats3d.predict.submission import check_server_grid, pack, packed_checksums, packed_mask, server_of
from brats3d.predict.volumes import predict_case
from brats3d.store import StoredCase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """What became of each case.

    Attributes:
        out: folder of the masks.
        model: ``file`` and ``checksum`` of the model.
        predicted: ids of the cases predicted by this call.
        kept: ids of the cases that were predicted before.
        label_sets: case id → what the values of its mask mean.
        assumed: ids of the cases predicted now whose source says no label set, so that L23 is assumed.
        trained_on: ids of the cases, predicted or kept, of patients that the model was trained on.
        archive: the zip for the validation server, or None.
        refused: case id → why it has no mask, or one of other scans, or is not in the zip.
    """

    out: str
    model: dict[str, str]
    predicted: tuple[str, ...]
    kept: tuple[str, ...]
    label_sets: dict[str, str]
    assumed: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    archive: str | None = None
    refused: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def predict_cases(
    model: Path | str | Pipeline,
    sources: Sequence[Path | str],
    *,
    out: Path | str,
    cases: CaseIds | None = None,
    settings: PredictionSettings = PredictionSettings(),
    force: bool = False,
    progress: Progress = silent,
) -> Predictions:
    """Predict the tumour masks of cases, each written on the grid of its own scan.

    A second call with the same model and settings continues where the first one stopped. A mask is kept if it can be read and
    its case still has the scans that it was predicted from; the case is refused if it has others.

    Args:
        model: a model file such as RUN/best.keras, a pipeline's .json, or a folder of folds; from Python a `Pipeline` too. Its
            card says what it expects and how it is run.
        sources: folders of scans, nested in any way, or stores.
        out: folder for the masks <case id>.nii.gz and predictions.json; made if it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test; from Python a list of ids too.
        settings: what is written, and how the model is run if not as its card says.
        force: start over in a folder that holds predictions; all masks in its list are removed.
        progress: called as cases finish.

    Returns:
        What was predicted, kept and refused.

    Raises:
        ModelError: there is no such model, or it has no card or one that cannot be used.
        NoCasesError: no case was recognised.
        OptionError: the label set cannot hold what the model gives, a setting does not fit the model, a case asked for is not
            there, or one case is in two sources.
        OutputExistsError: the folder holds something else, masks of another model or with other settings, or all of these
            already.
        SpaceError: the disk is full; finished cases stay.
    """
    out = Path(out)
    check_list("sources", sources)
    chosen, coding = choose_model(model, settings.changes), settings.coding
    if coding is not None:
        check_paintable(chosen.card, coding)
    found = open_sources([Path(source) for source in sources], read_labels=coding is None)
    wanted = list(found) if cases is None else select_ids(read_case_ids(cases), found, " and ".join(map(str, sources)))
    decided = MaskList(chosen.record(), MaskSettings(chosen.inference, coding, settings.probabilities))
    folder = open_mask_folder(out, decided, chosen.own_inference, force=force)
    work = _Work(folder, {case: found[case] for case in wanted}, settings.submission)
    _look_at_kept(work, progress)
    _note_training_cases(work, chosen.card.training_cases)
    if work.todo:
        runner = runner_of(chosen.open(), work.passes.append)  # only now: this imports Keras
        if force:
            folder.clear()
        _predict_all(work, runner, progress)
    return _report(work, _pack(work) if settings.submission else None)


@dataclass
class _Work:
    """What there is to do, and what has been done so far."""

    folder: MaskFolder
    sources: Mapping[str, CaseSource]
    submission: bool
    kept: list[str] = field(default_factory=list)
    predicted: list[str] = field(default_factory=list)
    trained_on: set[str] = field(default_factory=set)
    assumed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    passes: list[Passes] = field(default_factory=list)
    begun: bool = False

    @property
    def todo(self) -> list[str]:
        return [case for case in self.sources if case not in {*self.kept, *self.predicted, *self.refused}]

    @property
    def done(self) -> list[str]:
        return [case for case in self.sources if case in {*self.kept, *self.predicted}]


def _look_at_kept(work: _Work, progress: Progress) -> None:
    """Settle which masks are kept, and refuse to begin where there is nothing to do."""
    found = check_kept(work.folder, work.sources, lambda done, total: progress("check", done, total))
    work.kept, work.refused = found.kept, found.refused
    output, kept, cases = work.folder.output, len(work.kept), len(work.sources)
    if kept == cases and work.submission and packed_checksums(output.path) != _checksums(_packable(work)):
        output.note_kept(kept, cases)
    else:
        output.check_unfinished(kept, cases)


def _note_training_cases(work: _Work, training_cases: Sequence[str]) -> None:
    """Mark the cases of patients that the model was trained on, and say so."""
    work.trained_on = trained_on(work.sources, training_cases)
    work.folder = work.folder.marked(work.trained_on)
    if work.trained_on:
        log.warning(
            "%d of the %d cases, such as %s, are of patients that the model was trained on; their masks say nothing about how"
            " it does on new patients (predictions.json marks them).",
            len(work.trained_on), len(work.sources), ", ".join(sorted(work.trained_on)[:3]),
        )  # fmt: skip


def _report(work: _Work, archive: str | None) -> Predictions:
    model, cases = work.folder.masks.model, work.folder.masks.cases
    return Predictions(
        out=str(work.folder.path),
        model={"file": model.file, "checksum": model.checksum},
        predicted=tuple(work.predicted),
        kept=tuple(work.kept),
        label_sets={case: cases[case].label_set.name for case in work.done},
        assumed=tuple(work.assumed),
        trained_on=tuple(case for case in work.done if case in work.trained_on),
        archive=archive,
        refused=work.refused,
    )


def _predict_all(work: _Work, runner: Runner, progress: Progress) -> None:
    todo = work.todo
    for done, case in enumerate(todo, 1):
        try:
            _predict_one(work, runner, case)
        except CaseError as problem:
            work.refused[case] = str(problem)
        progress("predict", done, len(todo))
    if work.assumed:
        names = sorted({work.folder.masks.cases[case].label_set.name for case in work.assumed})
        log.warning(
            "the sources of %d cases, such as %s, name no label set with values for all that the model gives; their masks are"
            " written in %s: choose another with --label-set.", len(work.assumed), work.assumed[0], " or ".join(names),
        )  # fmt: skip


def _predict_one(work: _Work, runner: Runner, case: str) -> None:
    """Predict a case and write what belongs to it: first the files, then the list that names them."""
    settings, path = work.folder.masks.settings, work.folder.path
    check_name(path / f"{case}.nii.gz")
    work.passes.clear()
    opened = work.sources[case].open()
    try:
        if work.submission:
            check_server_grid(case, opened.facts.corpus, opened.source, server_of(opened.facts.corpus))
        scans = scans_of(opened)
        prediction = predict_case(runner, opened, label_set=settings.label_set)
    finally:
        if isinstance(opened, StoredCase):
            opened.close()
    passes = _note_passes(work, runner, case)
    _begin(work)
    mask, probabilities = f"{case}.nii.gz", f"probabilities/{case}.nii.gz"
    if settings.probabilities:
        (path / "probabilities").mkdir(exist_ok=True)
        images.write(path / probabilities, prediction.probabilities, prediction.grid)
    images.write(path / mask, prediction.label, prediction.grid)
    entry = MaskEntry(
        mask, prediction.coding, images.fingerprint(path / mask), scans, passes,
        probabilities if settings.probabilities else None, case in work.trained_on,
    )  # fmt: skip
    work.folder = work.folder.with_case(case, entry)
    work.predicted.append(case)
    if prediction.assumed:
        work.assumed.append(case)


def _note_passes(work: _Work, runner: Runner, case: str) -> Passes:
    """Return, and log, how the networks saw a case; masks of windows differ a little from those of one pass."""
    if not work.passes:  # memory does not decide it
        return "windows"
    if "windows" not in work.passes:
        log.info("case %s: predicted in one pass.", case)
        return "whole"
    size = "×".join(map(str, runner.card.inference.size))
    log.warning("case %s: one pass does not fit into memory; predicted in windows of %s, which differs a little.", case, size)
    return "windows"


def _begin(work: _Work) -> None:
    """Prepare the folder for the first mask of this call.

    The list is written first, so that what is stopped at any moment can be continued; a zip that lacks the masks to come is
    removed.
    """
    if work.begun:
        return
    work.begun = True
    archive = work.folder.path / ARCHIVE_NAME
    if not work.folder.masks.cases:
        work.folder.save()
    elif archive.exists():
        archive.unlink()
        if not work.submission:
            log.warning("%s lacked the masks that are added now, and is removed; --submission packs it again.", archive)


def _packable(work: _Work) -> dict[str, bytes]:
    """Return case id → file to be packed of the masks that the validation server takes; the others are refused."""
    found = {}
    for case in work.done:
        try:
            corpus = work.sources[case].corpus
            found[case] = packed_mask(case, corpus, work.folder.path / work.folder.masks.cases[case].file, server_of(corpus))
        except CaseError as problem:
            work.refused[case] = str(problem)
    return found


def _checksums(masks: Mapping[str, bytes]) -> dict[str, int]:
    return {case: zlib.crc32(content) for case, content in masks.items()}


def _pack(work: _Work) -> str | None:
    """Pack what the server takes of the cases asked for. None if nothing is left."""
    found = _packable(work)
    unknown = [case for case in found if server_of(work.sources[case].corpus) is None]
    if unknown:
        log.warning(
            "%d of the %d masks packed, such as that of %s, are of no challenge whose server is known by the case's name: their"
            " grids are not compared with what it takes.",
            len(unknown), len(found), unknown[0],
        )  # fmt: skip
    return str(pack(work.folder.path, found)) if found else None
