"""Labels of one folder that agree with their names one by one, and not together.

A label of 1 and 2 fits any year. Where others under such names hold values that no label set of these names has, one program
may have written all of them in another coding, in which 1 and 2 mean something else. What that is, values alone do not say: so
the label is stored as its name says, with a warning; and if a label set is asked for, its name is no reason to refuse it.
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
from brats3d.regions import LABEL_SETS, label_sets_with, whole_numbers
from brats3d.store import CaseHeader

SAMPLE = 20
"""Cases of other shards, not stored yet, whose labels are looked at: where names are wrong, they are so for most."""


def without_overruled_names(cases: Sequence[Case], requested: str) -> list[Case]:
    """Return cases of which a label set is asked for; where values contradict names, the request takes the names' place.

    Args:
        cases: all cases at hand. Labels are read as long as none contradicts the names.
        requested: the label set.
    """
    bound = [case for case in cases if _named(case) and requested not in case.label_sets]
    overruled = {
        names for names in {case.label_sets for case in bound}
        if any(requested in _foreign(case) for case in bound if case.label_sets == names)
    }  # fmt: skip
    changed = {case.id for case in bound if case.label_sets in overruled}
    return [replace(case, label_sets=(requested,)) if case.id in changed else case for case in cases]


def doubtful_codings(stored: Iterable[tuple[Case, CaseHeader]], unstored: Collection[Case]) -> dict[str, str]:
    """Return which stored labels may mean something else than their names say, because others beside them do.

    Args:
        stored: cases whose coding nobody asked for, and what is known of them. Those are looked at whose name says the year.
        unstored: cases beside them that are not stored, such as those refused; their labels are read if there is any doubt.

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
                    f" as that of {odd[0]}, have values that contradict theirs: if all are {' or '.join(others)}, say so with"
                    " --label-set NAME --force."
                )
    return found


def _named(case: Case) -> bool:
    """Whether the name says the year, and so the coding; a manifest speaks of each case by itself."""
    return case.label is not None and case.corpus != MANIFEST and binds(case)


def _readings(header: CaseHeader, among: Collection[str]) -> list[str]:
    """Return the label sets that know a stored label's values and read them otherwise than it was stored.

    None if it holds every value of its coding: it speaks for itself.
    """
    values = [*header.label_features]
    if not values or header.label_set is None or set(values) == set(LABEL_SETS[header.label_set].tissues):
        return []
    known = [coding.name for coding in label_sets_with(values) if coding.name in among]
    return [name for name in known if reading(name, values) != reading(header.label_set, values)]


def _foreign(case: Case) -> list[str]:
    """Return the label sets that know a label's values if none that its name allows does; none if it cannot be read."""
    values: list[int] = []
    if case.label is not None:
        with suppress(CaseError, OSError):
            volume = images.read(case.label)
            values = [int(value) for value in np.unique(whole_numbers(volume.array, volume.step))]
    known = [coding.name for coding in label_sets_with(values)] if values else []
    return [] if set(known) & set(case.label_sets) else known
