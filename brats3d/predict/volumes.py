"""From a case to probabilities on its stored grid, and to a mask on its source's grid.

What the network sees at once matters where it normalises by instance. Measured on four real cases it had not seen, a network
trained on 64×64×48 windows of 2 mm reached mean Dice WT 0.86, TC 0.72, ET 0.71 in windows of that size over the tight brain
box; 0.70, 0.61, 0.69 where the box had a margin of zeros up to whole strides; 0.67, 0.57, 0.58 on the whole brain at once. So
the box is widened to whole blocks only, and a card may ask for windows always.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from brats3d import geometry, regions
from brats3d.cases import CORPORA
from brats3d.errors import ArrayError, CaseError, LabelError, ModelError, OptionError
from brats3d.geometry import Grid
from brats3d.models import Card, Model
from brats3d.models.memory import fits_in_memory
from brats3d.predict.predictors import Note, Passes, Predictor, flips, from_network, where_it_fits, window
from brats3d.store import CaseLike
from brats3d.transforms import back_to_scan

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

UNKNOWN_YEAR = "L23"
"""Label set of masks whose source says none."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about a case, on the grid of the case's source.

    Attributes:
        id: case id.
        label: (X, Y, Z) uint8 in the label set.
        label_set: what its values mean.
        assumed: whether the source says no label set, so that `UNKNOWN_YEAR` stands in.
        probabilities: (R, X, Y, Z) float32, zero outside the brain box.
        regions: names of the R channels.
        grid: the source's grid.
    """

    id: str
    label: np.ndarray
    label_set: str
    assumed: bool
    probabilities: np.ndarray = field(repr=False)
    regions: tuple[str, ...]
    grid: Grid


def predictor_of(network: keras.Model, card: Card, note: Note | None = None) -> Predictor:
    """Return a network's predictor as its card wants it: the whole volume where memory allows, mirrored as the card says.

    Args:
        network: ends with ``probabilities``; its weights may change later, they are not copied.
        card: what it expects and gives.
        note: called with the way each volume went, where memory decides it; by default the first volume that does not fit
            is logged as a warning.

    Raises:
        ModelError: the card asks for post-processing, which this version cannot do.
    """
    if card.postprocessing:
        raise ModelError(
            f"the model's card asks for the post-processing {', '.join(card.postprocessing)}, which this version of brats3d"
            f" does not know; use the version that made the model ({card.created_with or 'not recorded'})."
        )
    run = from_network(network, card.stride)
    windows = flips(window(run, card.patch_size), card.flips)
    if card.window == "always":
        return windows
    return where_it_fits(flips(run, card.flips), windows, fits_in_memory(network, card.stride), note or _warn_once(card))


def _warn_once(card: Card) -> Note:
    said: list[Passes] = []

    def note(passes: Passes) -> None:
        if passes == "windows" and not said:
            said.append(passes)
            log.warning(
                "a whole brain does not fit into memory at once; predicted in windows of %s, whose masks differ a little.",
                "×".join(map(str, card.patch_size)),
            )

    return note


def predict_probabilities(predictor: Predictor, case: CaseLike, card: Card) -> np.ndarray:
    """Return a case's region probabilities on its stored grid.

    The brain box, widened to whole blocks and no further, is read, normalised as the card says, averaged to the model's grid
    and predicted; the result comes back to the stored grid by linear interpolation between block centres.

    Args:
        predictor: (M, X, Y, Z) → (R, X, Y, Z) on the model's grid.
        case: a prepared or stored case; its label is not looked at.
        card: which channels the predictor expects, normalised how, on which grid.

    Returns:
        (R, X, Y, Z) float32 in the stored orientation, zero outside the brain box.

    Raises:
        CaseError: the case lacks a modality that the card names.
        GridError: the case's voxels do not make whole blocks of the model's grid.
        ImageError: a modality cannot be normalised; case and modality are named.
        StoreError: the case's file is damaged.
        ArrayError: the predictor gives another number of regions than the card names.
    """
    missing = [m for m in card.modalities if m not in case.modalities]
    if missing:
        raise CaseError(
            f"case {case.id} lacks {', '.join(missing)} (it has {', '.join(case.modalities)});"
            f" the model expects {', '.join(card.modalities)}: add the scans, or use a model without them."
        )
    factor = case.block_factor(card.spacing_mm)
    box = geometry.widen_box(case.brain_box, factor)
    raw = case.patch(box[:, 0].tolist(), (box[:, 1] - box[:, 0]).tolist())
    scaled = [case.scaling(m, card.normalisation).apply(raw[case.modalities.index(m)]) for m in card.modalities]
    images = geometry.block_average(np.stack(scaled), factor)
    inside = predictor(images)
    if inside.shape != (len(card.regions), *images.shape[1:]):
        expected = (len(card.regions), *images.shape[1:])
        raise ArrayError(f"the predictor gives shape {inside.shape}; expected {expected} for {', '.join(card.regions)}.")
    fine = geometry.block_expand(inside, factor)
    probabilities = np.zeros((len(fine), *case.grid.shape), np.float32)
    brain = (slice(None), *geometry.box_slices(case.brain_box))
    within = (slice(None), *geometry.box_slices(case.brain_box - box[:, :1]))
    probabilities[brain] = fine[within]
    return probabilities


def predict_case(
    model: Model, case: CaseLike, *, label_set: str | None = None, predictor: Predictor | None = None
) -> Prediction:
    """Predict a case and paint its regions into a label, on the grid of the case's source.

    Args:
        model: from `brats3d.models.load_model`.
        case: a prepared or stored case.
        label_set: coding of the label; by default the source's own, and L23 where it says none.
        predictor: `predictor_of(model.network, model.card)`, where it was made before for other cases.

    Returns:
        The label, its label set, and the probabilities.

    Raises:
        CaseError: the case lacks a modality, or cannot be read or normalised; see `predict_probabilities`.
        LabelError: the source's own label set has no value for a region of the model.
        OptionError: no such label set, or it has no value for a region of the model.
        ModelError: the card asks for post-processing, which this version cannot do.
    """
    known = label_set or own_label_set(case)
    coding = regions.label_set(known or UNKNOWN_YEAR)
    try:
        check_paintable(model.card, coding.name)
    except OptionError as problem:
        if label_set:
            raise
        raise LabelError(f"case {case.id}: {problem} Choose another label set with --label-set.") from None
    stored = predict_probabilities(predictor or predictor_of(model.network, model.card), case, model.card)
    probabilities = on_source(stored, case)
    label = regions.paint_regions(above_thresholds(probabilities, model.card), coding, model.card.regions)
    return Prediction(case.id, label, coding.name, known is None, probabilities, model.card.regions, case.source)


def on_source(stored: np.ndarray, case: CaseLike) -> np.ndarray:
    """Return probabilities of the stored grid on the grid of the case's source.

    Axes are turned back; only where the case was made of raw clinical scans, which lie on grids of their own, are probabilities
    interpolated linearly through its transforms, before they are cut at their thresholds: masks get smoother edges so than by
    moving a label.

    Args:
        stored: (R, X, Y, Z) float32 in the stored orientation. Not modified.
        case: a prepared or stored case.

    Returns:
        (R, X, Y, Z) of the source's shape and type, zero outside the brain box.

    Raises:
        ArrayError: the probabilities do not lie on the case's grid.
        StoreError: the case's file is damaged.
    """
    if case.transforms is None:
        return np.ascontiguousarray(geometry.from_stored(stored, case.source))
    return back_to_scan(stored, case.grid, case.transforms)


def above_thresholds(probabilities: np.ndarray, card: Card) -> np.ndarray:
    """Return the region masks (R, X, Y, Z) bool of probabilities: where each is above its region's threshold."""
    return probabilities > np.array(card.thresholds, np.float32)[:, None, None, None]


def check_paintable(card: Card, label_set: str) -> None:
    """Refuse a label set that has no value for one of a model's regions.

    Args:
        card: the model's card.
        label_set: name of the label set.

    Raises:
        OptionError: no such label set, or it has no value for a region.
    """
    regions.paint_regions(np.zeros((len(card.regions), 0, 0, 0), bool), regions.label_set(label_set), card.regions)


def own_label_set(case: CaseLike) -> str | None:
    """Return the label set of a case's source: its label's, or the only one its name allows; None where neither says.

    Args:
        case: a prepared or stored case.
    """
    if case.coding:
        return case.coding.name
    row = CORPORA.get(case.facts.corpus)
    candidates = row.label_sets if row else ()
    return candidates[0] if len(candidates) == 1 else None
