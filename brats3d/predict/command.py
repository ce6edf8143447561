"""From folders of scans, or a store, to a folder of masks on the scans' own grids.

`predict_cases` has three switches, more than functions have elsewhere: each is an option that the command has to have, and a
command's options are its function's parameters.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brats3d import images
from brats3d.cases import read_case_ids, select_ids
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, OutputExistsError
from brats3d.models import Model, file_checksum, load_model, read_card
from brats3d.predict.folder import ARCHIVE_NAME, PredictionFolder, check_folder, clear_folder
from brats3d.predict.predictors import Passes, Predictor
from brats3d.predict.sources import Opener, open_sources
from brats3d.predict.submission import check_server_grid, pack, packed_cases
from brats3d.predict.volumes import UNKNOWN_YEAR, check_paintable, predict_case, predictor_of
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
        assumed: ids of the cases predicted now whose source says no label set, so that L23 stands in.
        archive: the zip for the validation server, or None.
        refused: case id → why it has no mask, or is not in the zip.
    """

    out: str
    model: dict[str, str]
    predicted: tuple[str, ...]
    kept: tuple[str, ...]
    label_sets: dict[str, str]
    assumed: tuple[str, ...] = ()
    archive: str | None = None
    refused: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def predict_cases(
    model: Path | str,
    sources: Sequence[Path | str],
    *,
    out: Path | str,
    cases: str | None = None,
    label_set: str | None = None,
    probabilities: bool = False,
    submission: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> Predictions:
    """Predict the tumour masks of cases, each written on the grid of its own scan.

    A second call with the same settings goes on where the first one stopped.

    Args:
        model: a model file such as RUN/best.keras; its card decides channels, order and normalisation.
        sources: folders of scans, nested in any way, or stores.
        out: folder for the masks <case id>.nii.gz and predictions.json; made where it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test.
        label_set: coding of the masks, such as L17; by default each source's own, and L23 where it says none.
        probabilities: write the regions' probabilities too, as float32 in probabilities/<case id>.nii.gz.
        submission: pack the masks of these cases for a challenge's validation server, into submission.zip.
        force: begin anew in a folder that holds predictions already.
        progress: called as cases finish.

    Returns:
        What was predicted, kept and refused.

    Raises:
        ModelError: the model is none, has no card, or another job's card.
        NoCasesError: no case was recognised.
        OptionError: no such label set, no case of those asked for, or one case in two sources.
        OutputExistsError: the folder holds other predictions, or all of these already.
        SpaceError: the disk is full; finished cases stay.
    """
    model, out = Path(model), Path(out)
    paths = [Path(s) for s in sources]
    card = read_card(model)
    if label_set is not None:
        check_paintable(card, label_set)
    found = open_sources(paths, label_set)
    chosen = list(found) if cases is None else select_ids(read_case_ids(cases), found, " and ".join(map(str, sources)))
    identity = {"file": model.name, "checksum": file_checksum(model)}
    options = {"label_set": label_set, "probabilities": probabilities}
    folder = check_folder(out, identity, options, force=force)
    work = _Work(folder, tuple(chosen), kept=tuple(c for c in chosen if c in folder.cases), submission=submission)
    _check_unfinished(work)
    if work.todo:
        network = load_model(model)  # only now: this imports Keras
        if force:
            clear_folder(out)
        _predict_all(work, network, found, progress)
    return _report(work, _pack(work) if submission else None)


@dataclass
class _Work:
    """What there is to do, and what has been done so far."""

    folder: PredictionFolder
    chosen: tuple[str, ...]
    kept: tuple[str, ...]
    submission: bool
    assumed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    passes: list[Passes] = field(default_factory=list)
    begun: bool = False

    @property
    def todo(self) -> list[str]:
        return [c for c in self.chosen if c not in self.kept]


def _check_unfinished(work: _Work) -> None:
    out, kept = work.folder.path, len(work.kept)
    if not work.todo and not (work.submission and packed_cases(out) != set(_packable(work))):
        raise OutputExistsError(f"{out} holds the masks of all {kept} cases already; use --force to predict them again.")
    if kept:
        log.warning("%s: going on, %d of %d cases are predicted already.", out, kept, len(work.chosen))


def _report(work: _Work, archive: str | None) -> Predictions:
    done = [c for c in work.chosen if c in work.folder.cases]
    return Predictions(
        out=str(work.folder.path),
        model=dict(work.folder.model),
        predicted=tuple(c for c in done if c not in work.kept),
        kept=work.kept,
        label_sets={c: work.folder.cases[c]["label_set"] for c in done},
        assumed=tuple(work.assumed),
        archive=archive,
        refused=work.refused,
    )


def _predict_all(work: _Work, model: Model, cases: Mapping[str, Opener], progress: Progress) -> None:
    predictor = predictor_of(model.network, model.card, work.passes.append)
    for done, case in enumerate(work.todo, 1):
        try:
            _predict_one(work, model, predictor, case, cases[case])
        except CaseError as problem:
            work.refused[case] = str(problem)
        progress("predict", done, len(work.todo))
    if work.assumed:
        log.warning(
            "%d unlabelled cases of no known year, such as %s: masks are written in %s; choose another with --label-set.",
            len(work.assumed), work.assumed[0], UNKNOWN_YEAR,
        )  # fmt: skip


def _predict_one(work: _Work, model: Model, predictor: Predictor, case: str, opener: Opener) -> None:
    """Predict a case and write what belongs to it: first the files, then the list that names them."""
    options, path = work.folder.options, work.folder.path
    opened = opener()
    try:
        if work.submission:
            check_server_grid(case, opened.source)
        prediction = predict_case(model, opened, label_set=options["label_set"], predictor=predictor)
    finally:
        if isinstance(opened, StoredCase):
            opened.close()
    entry = {"file": f"{case}.nii.gz", "label_set": prediction.label_set, "passes": _note_passes(work, model, case)}
    _begin(work)
    if options["probabilities"]:
        entry["probabilities"] = f"probabilities/{case}.nii.gz"
        (path / "probabilities").mkdir(exist_ok=True)
        images.write(path / entry["probabilities"], prediction.probabilities, prediction.grid)
    images.write(path / entry["file"], prediction.label, prediction.grid)
    work.folder = work.folder.with_case(case, entry)
    work.folder.save()
    if prediction.assumed:
        work.assumed.append(case)


def _note_passes(work: _Work, model: Model, case: str) -> Passes:
    """Return, and log, how the network saw a case; masks of windows differ a little from those of one pass."""
    if model.card.window == "always":
        return "windows"
    passes = work.passes[-1]
    if passes == "windows":
        size = "×".join(map(str, model.card.patch_size))
        log.warning(
            "case %s: one pass does not fit into memory; predicted in windows of %s, which differs a little.", case, size
        )
    else:
        log.info("case %s: predicted in one pass.", case)
    return passes


def _begin(work: _Work) -> None:
    """Prepare the folder for the first mask of this call.

    The list is written first, so that what is stopped at any moment can be gone on with; a zip that lacks the masks to come
    goes.
    """
    if work.begun:
        return
    work.begun = True
    archive = work.folder.path / ARCHIVE_NAME
    if not work.folder.cases:
        work.folder.save()
    elif archive.exists():
        archive.unlink()
        if not work.submission:
            log.warning("%s lacked the masks that are added now, and is removed; --submission packs it again.", archive)


def _packable(work: _Work) -> dict[str, str]:
    """Return case id → mask of those whose grid the validation server takes; the others are refused."""
    found = {}
    for case in (c for c in work.chosen if c in work.folder.cases):
        name = work.folder.cases[case]["file"]
        try:
            check_server_grid(case, images.read(work.folder.path / name).grid)
            found[case] = name
        except CaseError as problem:
            work.refused[case] = str(problem)
    return found


def _pack(work: _Work) -> str | None:
    """Pack what the server takes of the chosen cases. None where nothing is left."""
    found = _packable(work)
    return str(pack(work.folder.path, found)) if found else None
