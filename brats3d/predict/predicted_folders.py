"""From folders of scans, or a store, to a folder of masks on the scans' own grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brats3d.cases import CaseIds, read_case_ids, select_ids
from brats3d.console import Progress, silent
from brats3d.errors import check_kind, check_list
from brats3d.masks import MaskList, MaskSettings, open_mask_folder
from brats3d.models import Pipeline
from brats3d.predict.chosen_model import choose_model
from brats3d.predict.painted_masks import check_paintable
from brats3d.predict.prediction_call import PredictionCall, look_at_kept, note_training_cases, pack_masks, predict_all
from brats3d.predict.prediction_settings import PredictionSettings
from brats3d.predict.runner import runner_of
from brats3d.predict.sources import open_sources


@dataclass(frozen=True)
class Predictions:
    """The outcome of each case.

    Attributes:
        out: folder of the masks.
        model: ``file`` and ``checksum`` of the model.
        predicted: ids of the cases predicted by this call.
        kept: ids of the cases that were predicted before.
        label_sets: case id → name of the label set of its mask.
        assumed: ids of the cases predicted now whose source names no label set with values for all that the model gives; their
            masks are written in another one.
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
        model: a model file such as RUN/best.keras, a pipeline's .json, or a folder of .keras files, such as folds, which are
            averaged; its card says what it expects and how it is run; from Python an open `Pipeline` too.
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
        OptionError: the label set cannot hold what the model gives, a setting does not fit the model, a requested case does not
            exist, or one case is in two sources.
        OutputExistsError: the folder holds something else, masks of another model or with other settings, or has all of these
            already.
        SpaceError: the disk is full; finished cases stay.
    """
    check_kind("settings", settings, PredictionSettings)
    out = Path(out)
    check_list("sources", sources)
    chosen, coding = choose_model(model, settings.changes), settings.coding
    if coding is not None:
        check_paintable(chosen.card, coding)
    found = open_sources([Path(source) for source in sources], read_labels=coding is None)
    wanted = list(found) if cases is None else select_ids(read_case_ids(cases), found, " and ".join(map(str, sources)))
    decided = MaskList(chosen.record(), MaskSettings(chosen.inference, coding, settings.probabilities))
    folder = open_mask_folder(out, decided, chosen.own_inference, force=force)
    call = PredictionCall(folder, {case: found[case] for case in wanted}, settings.submission)
    look_at_kept(call, progress)
    note_training_cases(call, chosen.card.training_cases)
    if call.todo:
        runner = runner_of(chosen.open(), call.passes.append)  # only now: this imports Keras
        if force:
            folder.clear()
        predict_all(call, runner, progress)
    return _report(call, pack_masks(call) if settings.submission else None)


def _report(call: PredictionCall, archive: str | None) -> Predictions:
    model, cases = call.folder.masks.model, call.folder.masks.cases
    return Predictions(
        out=str(call.folder.path),
        model={"file": model.file, "checksum": model.checksum},
        predicted=tuple(call.predicted),
        kept=tuple(call.kept),
        label_sets={case: cases[case].label_set.name for case in call.done},
        assumed=tuple(call.assumed),
        trained_on=tuple(case for case in call.done if case in call.trained_on),
        archive=archive,
        refused=call.refused,
    )
