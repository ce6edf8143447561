"""Where the cases to predict come from: folders of scans, read when their turn comes, and stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from brats3d.cases import Case, find_cases
from brats3d.errors import OptionError
from brats3d.preprocess import prepare_case
from brats3d.store import PreparedCase, StoredCase, open_store

Opener = Callable[[], PreparedCase | StoredCase]


def open_sources(sources: Sequence[Path], label_set: str | None) -> dict[str, Opener]:
    """Return case id → what opens it, of all sources together, sorted by id.

    Args:
        sources: folders of scans, nested in any way, or stores.
        label_set: coding asked for; where there is one, the labels of scans are not read.

    Raises:
        OptionError: there is no source, or one case is in two of them.
        NoCasesError: a folder does not exist, or nothing in it is recognised.
    """
    if not sources:
        raise OptionError("no source was given; expected folders of scans, or a store.")
    stores = [s for s in sources if s.is_dir() and any(s.glob("*.h5"))]
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
    """Read a case's scans. Its label only tells the label set, so it is left alone where another one was asked for."""
    return prepare_case(case if label_set is None else dataclasses.replace(case, label=None))
