"""From probabilities to a label: threshold, then paint. This is the one place where that happens."""

from __future__ import annotations

import numpy as np

from brats3d.cases import CORPORA
from brats3d.errors import OptionError
from brats3d.models import Card
from brats3d.regions import LabelSet, label_set, paint_regions, paint_values, painting_steps, region_masks
from brats3d.store import CaseLike

UNKNOWN_YEAR = "L23"
"""Label set of masks of BraTS' regions if nothing decides the year."""


def masks_of(probabilities: np.ndarray, card: Card) -> np.ndarray:
    """Return the channels' masks: above each region's threshold, or where a label is the most probable.

    Args:
        probabilities: (C, X, Y, Z) numbers in [0, 1].
        card: thresholds and channels.

    Returns:
        (C, X, Y, Z) bool.
    """
    if card.exclusive:
        return np.asarray(np.argmax(probabilities, 0) == np.arange(len(probabilities))[:, None, None, None])
    return probabilities > np.array(card.inference.thresholds, np.float32)[:, None, None, None]


def paint_mask(probabilities: np.ndarray, card: Card, coding: LabelSet | None = None) -> np.ndarray:
    """Return the label painted from a model's probabilities.

    Args:
        probabilities: (C, X, Y, Z) numbers in [0, 1].
        card: thresholds, channels, and their label set.
        coding: the label set to write; by default the card's own.

    Returns:
        (X, Y, Z) uint8.

    Raises:
        OptionError: see `check_paintable`.
    """
    coding = coding or card.label_set
    check_paintable(card, coding)
    if not card.exclusive:
        return paint_regions(masks_of(probabilities, card), coding, card.channels)
    label = paint_values(probabilities, card.label_set)
    if coding == card.label_set:
        return label
    regions = _painted(card)
    return paint_regions(region_masks(label, card.label_set, regions), coding, regions)


def check_paintable(card: Card, coding: LabelSet) -> None:
    """Refuse a label set that has no value for something the model gives.

    Args:
        card: the model's card.
        coding: the label set to write.

    Raises:
        OptionError: it has no value for a region, or the model's channels are values, which mean other tissues in it.
    """
    if coding == card.label_set:
        return
    values = [channel for channel in _painted(card) if channel.isdigit()]
    if values:
        raise OptionError(
            f"the model's channels {', '.join(values)} are values of {card.label_set.title}; expected that label set, not"
            f" {coding.title}, in which values mean other tissues."
        )
    painting_steps(_painted(card), coding)


def _painted(card: Card) -> tuple[str, ...]:
    """Return the regions that a model's masks are painted from in another label set than its own."""
    return card.label_set.painted if card.exclusive else card.channels


def own_label_set(case: CaseLike) -> LabelSet | None:
    """Return the label set of a case's source: its label's, or the only one its name allows; None if neither decides.

    Args:
        case: a prepared or stored case.
    """
    if case.coding is not None:
        return case.coding
    row = CORPORA.get(case.facts.corpus)
    candidates = row.label_sets if row else ()
    return label_set(candidates[0]) if len(candidates) == 1 else None


def choose_label_set(case: CaseLike, card: Card) -> tuple[LabelSet, bool]:
    """Return the label set that a case's mask is written in, and whether that is assumed because its source does not decide.

    The source's own comes first. If there is none, or it has no value for something the model gives, the model's is used; for
    models of BraTS' own label sets `UNKNOWN_YEAR`, if that has a value for everything.

    Args:
        case: a prepared or stored case.
        card: the model's card.
    """
    usual = label_set(UNKNOWN_YEAR)
    own = own_label_set(case)
    from_table = card.label_set == _row(card.label_set.name)
    for coding, assumed in ((own, False), (usual if from_table else None, True)):
        if coding is not None and _is_paintable(card, coding):
            return coding, assumed
    return card.label_set, True


def _row(name: str) -> LabelSet | None:
    try:
        return label_set(name)
    except OptionError:
        return None


def _is_paintable(card: Card, coding: LabelSet) -> bool:
    try:
        check_paintable(card, coding)
    except OptionError:
        return False
    return True
