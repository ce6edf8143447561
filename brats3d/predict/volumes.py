"""From a case to a mask on its source's grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from brats3d import geometry
from brats3d.geometry import Grid
from brats3d.models import Pipeline, load_model
from brats3d.predict.given_case import Given, case_of
from brats3d.predict.painted_masks import check_paintable, choose_label_set, paint_mask
from brats3d.predict.runner import Runner, runner_of
from brats3d.regions import LabelSet, find_label_set
from brats3d.store import CaseLike
from brats3d.transforms import back_to_scan


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about a case, on the grid of the case's source.

    Attributes:
        id: case id.
        label: (X, Y, Z) uint8 in the label set.
        coding: what its values mean.
        assumed: whether the label set is the model's or the usual one because the source does not name it.
        probabilities: (C, X, Y, Z) float32, zero outside the brain box (exclusive labels: background there).
        channels: names of the C channels: regions, or values of the model's label set as text.
        grid: the source's grid.
    """

    id: str
    label: np.ndarray
    coding: LabelSet
    assumed: bool
    probabilities: np.ndarray = field(repr=False)
    channels: tuple[str, ...]
    grid: Grid

    @property
    def label_set(self) -> str:
        """The name of the coding."""
        return self.coding.name


def predict_case(
    model: Pipeline | Runner | Path | str,
    case: Given,
    *,
    label_set: LabelSet | Path | str | None = None,
) -> Prediction:
    """Predict a case and paint its mask, on the grid of the case's source.

    Args:
        model: what `brats3d.models.load_model` takes or returns, or `runner_of` a pipeline: for many cases, make that once.
        case: a prepared or stored case, a case that `brats3d.find_cases` found, or modality → file, such as
            ``{"t1": "p1/t1.nii.gz", "t1ce": …, "t2": …, "flair": …}``.
        label_set: coding of the mask: a name such as ``L17``, a file, or a `LabelSet`; by default the source's own, or the
            model's if it has none.

    Returns:
        The label, its label set, and the probabilities.

    Raises:
        CaseError: a scan cannot be read or normalised, or the case lacks a modality that the model needs.
        OptionError: no such modality or label set, or it has no value for something the model gives.
        ModelError: no such model, or its card requires something this version cannot do.

    Example:
        >>> scans = {m: f"patient/{m}.nii.gz" for m in ("t1", "t1ce", "t2", "flair")}
        >>> found = predict_case("RUN/best.keras", scans)  # doctest: +SKIP
        >>> images.write("patient/mask.nii.gz", found.label, found.grid)  # doctest: +SKIP
    """
    runner = model if isinstance(model, Runner) else runner_of(model if isinstance(model, Pipeline) else load_model(model))
    card = runner.card
    wanted = None if label_set is None else find_label_set(label_set)
    if wanted is not None:
        check_paintable(card, wanted)
    opened = case_of(case, read_label=wanted is None)
    coding, assumed = (wanted, False) if wanted is not None else choose_label_set(opened, card)
    probabilities = on_source(runner.probabilities(opened), opened)
    label = paint_mask(probabilities, card, coding)
    return Prediction(opened.id, label, coding, assumed, probabilities, card.channels, opened.source)


def on_source(stored: np.ndarray, case: CaseLike) -> np.ndarray:
    """Return probabilities of the stored grid on the grid of the case's source.

    Axes are turned back. Probabilities are interpolated (linearly, through the case's transforms, before thresholds are
    applied) only if the case was made from raw clinical scans, which have grids of their own: masks get smoother edges than by
    resampling a label.

    Args:
        stored: (C, X, Y, Z) float32 in the stored orientation. Not modified.
        case: a prepared or stored case.

    Returns:
        (C, X, Y, Z) of the source's shape and type, zero where nothing was predicted.

    Raises:
        ArrayError: the probabilities are not on the case's grid.
        StoreError: the case's file is damaged.
    """
    if case.transforms is None:
        return np.ascontiguousarray(geometry.from_stored(stored, case.source))
    return back_to_scan(stored, case.grid, case.transforms)
