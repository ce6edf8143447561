"""One call of `predict_cases`: which masks are kept, made and packed."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from brats3d import images
from brats3d.console import Progress
from brats3d.errors import CaseError
from brats3d.files import check_name
from brats3d.masks import ARCHIVE_NAME, MaskEntry, MaskFolder
from brats3d.predict.kept import check_kept
from brats3d.predict.predictors import Passes
from brats3d.predict.runner import Runner
from brats3d.predict.sources import CaseSource, scans_of, trained_on
from brats3d.predict.submission import check_server_grid, pack, packed_checksums, packed_mask, server_of
from brats3d.predict.volumes import predict_case
from brats3d.store import StoredCase

log = logging.getLogger(__name__)


@dataclass
class PredictionCall:
    """The work of a call, and how far it is.

    Attributes:
        folder: where the masks are written, with those it has.
        sources: case id → where it comes from, for the requested cases.
        submission: whether the masks are packed for a server.
        kept: ids of the cases whose masks are kept.
        predicted: ids of the cases predicted so far.
        trained_on: ids of the cases of patients that the model was trained on.
        assumed: ids of the cases whose source does not decide the label set of its mask.
        refused: case id → why.
        passes: how the networks saw the case that is being predicted.
        begun: whether the folder is ready to be written to.
    """

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
        """Ids of the cases that are to be predicted."""
        return [case for case in self.sources if case not in {*self.kept, *self.predicted, *self.refused}]

    @property
    def done(self) -> list[str]:
        """Ids of the cases that have a mask."""
        return [case for case in self.sources if case in {*self.kept, *self.predicted}]


def look_at_kept(call: PredictionCall, progress: Progress) -> None:
    """Decide which masks are kept, and refuse to start if there is nothing to do.

    Args:
        call: with its folder and sources, nothing done yet.
        progress: called as masks are checked.

    Raises:
        OutputExistsError: all masks exist already.
    """
    found = check_kept(call.folder, call.sources, lambda done, total: progress("check", done, total))
    call.kept, call.refused = found.kept, found.refused
    output, kept, cases = call.folder.output, len(call.kept), len(call.sources)
    if kept == cases and call.submission and packed_checksums(output.path) != _checksums(_packable(call)):
        output.note_kept(kept, cases)
    else:
        output.check_unfinished(kept, cases)


def note_training_cases(call: PredictionCall, training_cases: Sequence[str]) -> None:
    """Mark the cases of patients that the model was trained on, and say so.

    Args:
        call: its cases.
        training_cases: ids of the cases that the model was trained on.
    """
    call.trained_on = trained_on(call.sources, training_cases)
    call.folder = call.folder.marked(call.trained_on)
    if call.trained_on:
        log.warning(
            "%d of the %d cases, such as %s, are of patients that the model was trained on; their masks do not show how"
            " it performs on new patients (predictions.json marks them).",
            len(call.trained_on), len(call.sources), ", ".join(sorted(call.trained_on)[:3]),
        )  # fmt: skip


def predict_all(call: PredictionCall, runner: Runner, progress: Progress) -> None:
    """Predict the cases that have no mask yet, and note those that are refused.

    Args:
        call: its cases and folder.
        runner: a pipeline ready to run, which notes how volumes went in ``call.passes``.
        progress: called as cases finish.

    Raises:
        SpaceError: the disk is full; finished cases stay.
    """
    todo = call.todo
    for done, case in enumerate(todo, 1):
        try:
            _predict_one(call, runner, case)
        except CaseError as problem:
            call.refused[case] = str(problem)
        progress("predict", done, len(todo))
    if call.assumed:
        names = sorted({call.folder.masks.cases[case].label_set.name for case in call.assumed})
        log.warning(
            "the sources of %d cases, such as %s, name no label set with values for all that the model gives; their masks are"
            " written in %s: choose another with --label-set.", len(call.assumed), call.assumed[0], " or ".join(names),
        )  # fmt: skip


def _predict_one(call: PredictionCall, runner: Runner, case: str) -> None:
    """Predict a case and write its files, then the list that names them."""
    settings, path = call.folder.masks.settings, call.folder.path
    check_name(path / f"{case}.nii.gz")
    call.passes.clear()
    opened = call.sources[case].open()
    try:
        if call.submission:
            check_server_grid(case, opened.facts.corpus, opened.source, server_of(opened.facts.corpus))
        scans = scans_of(opened)
        prediction = predict_case(runner, opened, label_set=settings.label_set)
    finally:
        if isinstance(opened, StoredCase):
            opened.close()
    passes = _note_passes(call, runner, case)
    _begin(call)
    mask, probabilities = f"{case}.nii.gz", f"probabilities/{case}.nii.gz"
    if settings.probabilities:
        (path / "probabilities").mkdir(exist_ok=True)
        images.write(path / probabilities, prediction.probabilities, prediction.grid)
    images.write(path / mask, prediction.label, prediction.grid)
    entry = MaskEntry(
        mask, prediction.coding, images.fingerprint(path / mask), scans, passes,
        probabilities if settings.probabilities else None, case in call.trained_on,
    )  # fmt: skip
    call.folder = call.folder.with_case(case, entry)
    call.predicted.append(case)
    if prediction.assumed:
        call.assumed.append(case)


def _note_passes(call: PredictionCall, runner: Runner, case: str) -> Passes:
    """Return, and log, how the networks saw a case; masks predicted in windows differ slightly from those of one pass."""
    if not call.passes:  # memory does not decide it
        return "windows"
    if "windows" not in call.passes:
        log.info("case %s: predicted in one pass.", case)
        return "whole"
    size = "×".join(map(str, runner.card.inference.size))
    log.warning("case %s: one pass does not fit into memory; predicted in windows of %s, which differs slightly.", case, size)
    return "windows"


def _begin(call: PredictionCall) -> None:
    """Prepare the folder for the first mask of this call.

    The list is written first, so that a call stopped at any moment can be continued; a zip that will lack new masks is
    removed.
    """
    if call.begun:
        return
    call.begun = True
    archive = call.folder.path / ARCHIVE_NAME
    if not call.folder.masks.cases:
        call.folder.save()
    elif archive.exists():
        archive.unlink()
        if not call.submission:
            log.warning("%s lacks the masks that are added now and is removed; --submission packs it again.", archive)


def _packable(call: PredictionCall) -> dict[str, bytes]:
    """Return case id → file to be packed of the masks that the validation server takes; the others are refused."""
    found = {}
    for case in call.done:
        try:
            corpus = call.sources[case].corpus
            found[case] = packed_mask(case, corpus, call.folder.path / call.folder.masks.cases[case].file, server_of(corpus))
        except CaseError as problem:
            call.refused[case] = str(problem)
    return found


def _checksums(masks: Mapping[str, bytes]) -> dict[str, int]:
    return {case: zlib.crc32(content) for case, content in masks.items()}


def pack_masks(call: PredictionCall) -> str | None:
    """Pack the masks of the requested cases that the server takes.

    Args:
        call: with all its masks.

    Returns:
        The zip's path; None if nothing is left to pack.

    Raises:
        SpaceError: the disk is full.
    """
    found = _packable(call)
    unknown = [case for case in found if server_of(call.sources[case].corpus) is None]
    if unknown:
        log.warning(
            "no validation server is known for %d of the %d masks packed, such as that of %s: their"
            " grids are not checked.",
            len(unknown), len(found), unknown[0],
        )  # fmt: skip
    return str(pack(call.folder.path, found)) if found else None
