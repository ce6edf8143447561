"""Where the cases to predict come from: folders of scans, read when their turn comes, and stores."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from brats3d import images
from brats3d.cases import Case, find_cases, settle_label_set
from brats3d.errors import CaseError, OptionError
from brats3d.preprocess import ABOUT_HEADER, prepare_case
from brats3d.regions import whole_numbers
from brats3d.store import PreparedCase, StoredCase, is_store, open_store

log = logging.getLogger(__name__)

Opener = Callable[[], PreparedCase | StoredCase]


def open_sources(sources: Sequence[Path], label_set: str | None) -> dict[str, Opener]:
    """Return case id → what opens it, of all sources together, sorted by id.

    Args:
        sources: folders of scans, nested in any way, or stores (a folder, or a packed file ``.h5``).
        label_set: coding asked for; where there is one, the labels of scans are not read.

    Raises:
        OptionError: there is no source, or one case is in two of them.
        NoCasesError: a folder does not exist, or nothing in it is recognised.
    """
    if not sources:
        raise OptionError("no source was given; expected folders of scans, or a store.")
    stores = [s for s in sources if is_store(s)]
    scans = [s for s in sources if s not in stores]
    found: dict[str, Opener] = {}
    pairs: list[tuple[str, Opener]] = []
    for path in stores:
        store = open_store(path)
        pairs += [(case, partial(store.__getitem__, case)) for case in store]
    if scans:
        pairs += [(case.id, partial(_prepare, case, label_set)) for case in find_cases(scans)]
    for case, opener in pairs:
        if case in found:
            raise OptionError(f"case {case} is in two of {', '.join(map(str, sources))}; leave one of them out.")
        found[case] = opener
    return dict(sorted(found.items()))


def _prepare(case: Case, label_set: str | None) -> PreparedCase:
    """Read a case's scans, and say what is doubtful about where they lie: so do their masks."""
    prepared = _read(case, label_set)
    for warning in prepared.facts.warnings:
        if warning.startswith(ABOUT_HEADER):
            log.warning("case %s: %s", case.id, warning)
    return prepared


def _read(case: Case, label_set: str | None) -> PreparedCase:
    """Read a case's scans. Its label only tells the label set of the mask, so it is left alone where one is asked for.

    A label that training must not take, damaged or of doubtful coding, harms no mask; where it can, it still tells by its
    values how the source writes masks.
    """
    scans = dataclasses.replace(case, label=None)
    if label_set is not None or case.label is None:
        return prepare_case(scans)
    try:
        return prepare_case(case)
    except CaseError as doubt:
        prepared = prepare_case(scans)  # where the scans are at fault, this says so again
        likely = _by_values(case, case.label)
        log.warning("%s: the mask is written in %s, though %s", case.id, likely or "no label set of its own", doubt)
        return dataclasses.replace(prepared, facts=dataclasses.replace(prepared.facts, label_set=likely))


def _by_values(case: Case, label: Path) -> str | None:
    """Return the label set that a label's name and values speak for, or None."""
    try:
        volume = images.read(label)
        values = np.unique(whole_numbers(volume.array, volume.step))
        return settle_label_set(case, [int(value) for value in values])
    except CaseError:
        return None
