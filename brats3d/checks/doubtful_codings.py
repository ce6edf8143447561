"""Labels of one folder that each agree with their names, but not together.

A label of 1 and 2 fits any year. If others under such names have values that no label set of these names has, one program may
have written all of them in another coding, in which 1 and 2 mean something else. Values alone do not say what, so the label is
stored as its name says, with a warning; and if a label set is requested, the name is not a reason to refuse it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from brats3d import images
from brats3d.cases import MANIFEST, Case, binds
from brats3d.checks.detective import reading
from brats3d.errors import CaseError
from brats3d.regions import LABEL_SETS, LabelSetLike, find_label_set, label_sets_with, whole_numbers
from brats3d.store import CaseHeader

SAMPLE = 20
"""How many labels of cases in other shards, not yet stored, are examined: wrong names are usually wrong for most cases."""


def without_overruled_names(cases: Sequence[Case], requested: LabelSetLike) -> list[Case]:
    """Return the cases for a requested label set; if values contradict names, the request overrules the names.

    Args:
        cases: all cases. Labels are read until one contradicts the names.
        requested: the label set; one of the user's own overrules every name.
    """
    coding = find_label_set(requested)
    if coding.own:
        return list(cases)
    bound = [case for case in cases if _named(case) and coding.name not in case.label_sets]
    overruled = {
        names for names in {case.label_sets for case in bound}
        if any(coding.name in _foreign(case) for case in bound if case.label_sets == names)
    }  # fmt: skip
    changed = {case.id for case in bound if case.label_sets in overruled}
    return [replace(case, label_sets=(coding.name,)) if case.id in changed else case for case in cases]


def doubtful_codings(stored: Iterable[tuple[Case, CaseHeader]], unstored: Collection[Case]) -> dict[str, str]:
    """Return which stored labels may mean something other than their names say, because others beside them do.

    Args:
        stored: cases without a requested coding, with their headers. Only those whose name gives the year are examined.
        unstored: cases beside them that are not stored, such as refused ones; their labels are read if there is any doubt.

    Returns:
        Case id → sentence.
    """
    groups: dict[tuple[str, ...], list[tuple[Case, CaseHeader]]] = {}
    for case, header in stored:
        if _named(case) and _readings(header, LABEL_SETS):
            groups.setdefault(case.label_sets, []).append((case, header))
    found = {}
    for names, members in groups.items():
        foreign = {case.id: _foreign(case) for case in unstored if case.label_sets == names}
        odd = [case for case, codings in foreign.items() if codings]
        for case, header in members:
            others = _readings(header, {name for each in odd for name in foreign[each]})
            if others:
                found[case.id] = (
                    f"the label is read as {header.label_set}, as its name says, but {len(odd)} labels under such names, such"
                    f" as that of {odd[0]}, have values that contradict theirs: if all are {' or '.join(others)}, use"
                    " --label-set NAME --force."
                )
    return found


def _named(case: Case) -> bool:
    """Return whether the name gives the year, and so the coding; a manifest describes each case by itself."""
    return case.label is not None and case.corpus != MANIFEST and case.coding is None and binds(case)


def _readings(header: CaseHeader, among: Collection[str]) -> list[str]:
    """Return the label sets that have a stored label's values and read them differently from how it was stored.

    Empty if it has every value of its coding, which is then certain.
    """
    values = [*header.label_features]
    if not values or header.coding is None or header.coding.own or set(values) == set(header.coding.tissues):
        return []
    known = [coding.name for coding in label_sets_with(values) if coding.name in among]
    return [name for name in known if reading(name, values) != reading(header.coding.name, values)]


def _foreign(case: Case) -> list[str]:
    """Return the label sets that have a label's values if none that its name allows does; empty if it cannot be read."""
    values: list[int] = []
    if case.label is not None:
        with suppress(CaseError, OSError):
            volume = images.read(case.label)
            values = [int(value) for value in np.unique(whole_numbers(volume.array, volume.step))]
    known = [coding.name for coding in label_sets_with(values)] if values else []
    return [] if set(known) & set(case.label_sets) else known
