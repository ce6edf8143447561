"""From a case to the probabilities of a pipeline on the case's stored grid.

How much the network sees at once matters if it normalises by instance. Measured on four real cases it had not seen, a network
trained on 64×64×48 windows of 2 mm reached mean Dice WT 0.86, TC 0.72, ET 0.71 in windows of that size over the tight brain
box; 0.70, 0.61, 0.69 if the box had a margin of zeros up to whole strides; 0.67, 0.57, 0.58 on the whole brain at once. So
the box is widened to whole blocks only, and a card may always require windows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from brats3d import geometry
from brats3d.errors import ArrayError, CaseError, ModelError
from brats3d.geometry import Box
from brats3d.models import Card, Pipeline, cards_as_run, fits_in_memory
from brats3d.predict.painted_masks import masks_of
from brats3d.predict.predictors import Note, Passes, Predictor, cooled, flips, from_network, where_it_fits, window
from brats3d.store import CaseLike

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

CHAIN_MARGIN_MM = 16.0
"""In a chain the last member sees this margin around what the first one found."""


@dataclass(frozen=True, eq=False)
class Runner:
    """A pipeline ready to run on cases; made once, used for many.

    Attributes:
        card: what the pipeline as a whole expects and gives.
        probabilities: case → (C, X, Y, Z) float32 on its stored grid, zero outside the brain box.
    """

    card: Card
    probabilities: Callable[[CaseLike], np.ndarray]


def runner_of(pipeline: Pipeline, note: Note | None = None) -> Runner:
    """Return a pipeline ready to run.

    Args:
        pipeline: from `brats3d.models.load_model`.
        note: called with how each volume was run (in one pass, or in windows), if memory decides; by default the first volume
            that does not fit is logged as a warning.

    Raises:
        ModelError: a card requires post-processing that this version does not know, or gives nothing to paint.
    """
    cards = cards_as_run([member.card for member in pipeline.members], pipeline.combine, pipeline.inference)
    members = [(predictor_of(member.network, card, note), card) for member, card in zip(pipeline.members, cards, strict=True)]
    combine = _COMBINE[pipeline.combine] if len(members) > 1 else _single
    return Runner(pipeline.card, lambda case: combine(members, case))


Members = Sequence[tuple[Predictor, Card]]


def _single(members: Members, case: CaseLike) -> np.ndarray:
    predictor, card = members[0]
    return predict_probabilities(predictor, case, card)


def _mean(members: Members, case: CaseLike) -> np.ndarray:
    total = sum(predict_probabilities(predictor, case, card) for predictor, card in members)
    return np.asarray(total / np.float32(len(members)), np.float32)


def _majority(members: Members, case: CaseLike) -> np.ndarray:
    votes = sum(masks_of(predict_probabilities(predictor, case, card), card).astype(np.float32) for predictor, card in members)
    return np.asarray(votes / np.float32(len(members)), np.float32)


def _chain(members: Members, case: CaseLike) -> np.ndarray:
    """Give the last member the box around what the first one found; the whole brain if it found nothing."""
    (first, coarse), (last, fine) = members
    masks = masks_of(predict_probabilities(first, case, coarse), coarse)
    found = np.any(masks[1:] if coarse.exclusive else masks, axis=0)
    if not found.any():
        return predict_probabilities(last, case, fine)
    margin = np.ceil(CHAIN_MARGIN_MM / np.asarray(case.grid.spacing_mm)).astype(int)[:, None] * [-1, 1]
    around = geometry.bounding_box(found) + margin
    box = np.stack([np.maximum(around[:, 0], case.brain_box[:, 0]), np.minimum(around[:, 1], case.brain_box[:, 1])], 1)
    return predict_probabilities(last, case, fine, box)


_COMBINE: Mapping[str, Callable[[Members, CaseLike], np.ndarray]] = MappingProxyType(
    {"mean": _mean, "majority": _majority, "chain": _chain}
)


def predictor_of(network: keras.Model, card: Card, note: Note | None = None) -> Predictor:
    """Return a network's predictor as its card specifies: windows, mirrored copies, temperatures.

    Args:
        network: one output per head of the card; its weights may change later, they are not copied.
        card: what it expects and gives.
        note: called with how each volume was run, if memory decides; by default the first volume that does not fit is logged
            as a warning.

    Raises:
        ModelError: the card requires post-processing that this version does not know, or gives nothing to paint.
    """
    way = card.inference
    if way.postprocessing:
        steps = ", ".join(str(step["step"]) for step in way.postprocessing)
        raise ModelError(
            f"the model's card requires the post-processing {steps}, which this version of brats3d does not know; use the"
            f" version that made the model ({card.created_with or 'not recorded'})."
        )
    run = cooled(from_network(network, card.stride, card.outputs.index(card.head)), way.temperatures, exclusive=card.exclusive)
    windows = flips(window(run, way.size, way.overlap), way.flips)
    if way.window == "always":
        return windows
    return where_it_fits(flips(run, way.flips), windows, fits_in_memory(network, card.stride), note or _warn_once(card))


def _warn_once(card: Card) -> Note:
    warned = False

    def note(passes: Passes) -> None:
        nonlocal warned
        if passes == "windows" and not warned:
            warned = True
            size = "×".join(map(str, card.inference.size))
            log.warning("one pass does not fit into memory; predicted in windows of %s, which differs slightly.", size)

    return note


def predict_probabilities(predictor: Predictor, case: CaseLike, card: Card, box: Box | None = None) -> np.ndarray:
    """Return the probabilities of one network on a case's stored grid.

    The predictor sees the brain box, normalised, averaged to the model's grid.

    Args:
        predictor: (M, x, y, z) float32 → (C, x, y, z) probabilities.
        case: a prepared or stored case; its label is not used.
        card: which channels the predictor expects, normalised how, on which grid.
        box: (3, 2) half-open box within the brain box that it is shown; by default all of the brain box.

    Returns:
        (C, X, Y, Z) float32 in the stored orientation, zero outside the box (of exclusive labels, background there).

    Raises:
        CaseError: the case lacks a modality that the model needs.
        GridError: the case's voxels do not make whole blocks of the model's grid.
        ImageError: a modality cannot be normalised; case and modality are named.
        StoreError: the case's file is damaged.
        ArrayError: the predictor gives another number of channels than the card names.
    """
    missing = [m for m in card.modalities if m not in case.modalities and m not in card.inputs.may_be_absent]
    if missing:
        raise CaseError(
            f"case {case.id} lacks {', '.join(missing)} (it has {', '.join(case.modalities)});"
            f" the model expects {', '.join(card.modalities)}: add the scans, or use a model without them."
        )
    shown = case.brain_box if box is None else box
    factor = case.block_factor(card.spacing_mm)
    wide = geometry.widen_box(shown, factor)
    raw = case.patch(wide[:, 0].tolist(), (wide[:, 1] - wide[:, 0]).tolist())
    nothing = np.zeros(raw.shape[1:], np.float32)  # stands for an absent modality
    scaled = [
        case.scaling(m, card.inputs.normalisation).apply(raw[case.modalities.index(m)]) if m in case.modalities else nothing
        for m in card.modalities
    ]
    images = geometry.block_average(np.stack(scaled), factor)
    inside = predictor(images)
    if inside.shape != (len(card.channels), *images.shape[1:]):
        expected = (len(card.channels), *images.shape[1:])
        raise ArrayError(f"the predictor gives shape {inside.shape}; expected {expected} for {', '.join(card.channels)}.")
    fine = geometry.block_expand(inside, factor)
    probabilities = np.zeros((len(fine), *case.grid.shape), np.float32)
    if card.exclusive:
        probabilities[0] = 1.0
    brain = (slice(None), *geometry.box_slices(shown))
    probabilities[brain] = fine[(slice(None), *geometry.box_slices(shown - wide[:, :1]))]
    return probabilities
