"""Which coding a case's label has, or the labels of a folder have: names and values together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from brats3d.cases.case import Case
from brats3d.cases.corpora import CORPORA
from brats3d.errors import LabelError
from brats3d.regions import LABEL_SETS, REGIONS, fitting_sets, label_set, label_sets_with


def settle_label_set(case: Case, values: Iterable[int], requested: str | None = None, *, option: str = "--label-set") -> str:
    """Return the label set of a case's label, from its names and its values together.

    The names give candidates (`Case.label_sets`); those that know all values remain. Where several remain, they must put
    each value found into the same regions; then the first is as good as any. So it is with L17 and L23, the candidates of
    plain names: 1 and 2 mean the same in both, 4 is only in the first and 3 only in the second.

    A request settles what is in doubt: plain names, values that none of the year's codings knows, several readings. It
    cannot contradict a name that says the year while the values agree with that year.

    Args:
        case: the case; only its names count.
        values: the values of its label.
        requested: label set that the user asks for, or None.
        option: the command's option for it, for messages.

    Returns:
        Name of a row of ``regions.LABEL_SETS``.

    Raises:
        LabelError: no candidate knows the values, several differ about them, or the request contradicts names or values.
        OptionError: the requested label set does not exist.
    """
    found = sorted({int(v) for v in values})
    fitting = [name for name in case.label_sets if name in _knowing(found)]
    if requested is not None:
        _check_request(case, found, requested, fitting, option)
        return requested
    if not fitting:
        way = f": say which with {option} NAME" if _knowing(found) else ""
        raise LabelError(f"the label of {case.id} holds the values {found}, but {_expected(case)}; {fitting_sets(found)}{way}.")
    if len({_meaning(name, found) for name in fitting}) > 1:
        raise LabelError(
            f"the label of {case.id} holds the values {found}, which {' and '.join(fitting)} read differently, and names"
            f" like {case.id} are used for both; say which it is with {option} {' or '.join(fitting)}."
        )
    return fitting[0]


Labels = Mapping[str, tuple[Case, Collection[int]]]
"""Case id → what its names tell, and the values of its label."""


def settle_together(
    labels: Labels, requested: str | None = None, *, option: str = "--label-set"
) -> dict[str, str | LabelError]:
    """Return the label set of every label of a folder, whose labels share one coding.

    One label seldom holds all values of its coding: 1 and 2 alone would fit any year. So the values of all labels under names
    that allow the same label sets are settled as one. Names that bind different years may differ within a folder.

    Args:
        labels: case id → the case, of which only the names count, and its label's values.
        requested: label set that the user asks for, or None.
        option: the command's option for it, for messages.

    Returns:
        Case id → name of a label set; or the error that refuses the label alone: a request that contradicts it, or values that
        no label set knows, so that they say nothing of the others.

    Raises:
        LabelError: values contradict the names, or several label sets read them differently; says how many hold what.
        OptionError: the requested label set does not exist.
    """
    groups: dict[tuple[str, ...], dict[str, tuple[Case, list[int]]]] = {}
    for name, (case, values) in labels.items():
        groups.setdefault(case.label_sets, {})[name] = case, sorted({int(value) for value in values})
    return {name: answer for group in groups.values() for name, answer in _settle_group(group, requested, option).items()}


def _settle_group(
    group: Mapping[str, tuple[Case, list[int]]], requested: str | None, option: str
) -> dict[str, str | LabelError]:
    known = {name: label for name, label in group.items() if _knowing(label[1])}
    union = sorted({value for _, values in known.values() for value in values})
    case = next(iter(group.values()))[0]
    fitting = [name for name in case.label_sets if name in _knowing(union)]
    if known and requested is None and len({_meaning(name, union) for name in fitting}) != 1:
        raise LabelError(_doubt(known, fitting, union, option))
    settled: dict[str, str | LabelError] = {}
    for name, (case, values) in group.items():
        try:
            if requested is not None:
                _check_request(case, values, requested, fitting, option)
                settled[name] = requested
            else:
                settled[name] = fitting[0] if name in known else settle_label_set(case, values, option=option)
        except LabelError as problem:
            settled[name] = problem
    return settled


def _doubt(group: Labels, fitting: Sequence[str], union: Sequence[int], option: str) -> str:
    """Return as words what the labels of a group hold, what was expected, and what settles it."""
    names, holding = list(group), Counter(tuple(values) for _, values in group.values())
    case = next(iter(group.values()))[0]
    if fitting:
        those = f"{len(group)} labels such as {names[0]} hold" if names[1:] else f"the label of {names[0]} holds"
        return (
            f"{those} the values {list(union)}, which {' and '.join(fitting)} read"
            f" differently, and names like {case.id} are used for both; say which it is with {option} {' or '.join(fitting)}."
        )
    examples = {held: next(name for name in names if tuple(group[name][1]) == held) for held in holding}
    told = ", ".join(
        f"{count} {'holds' if count == 1 else 'hold'} {list(held)} ({examples[held]}{', …' if count > 1 else ''})"
        for held, count in holding.most_common(4)
    )
    strange = [held for held, _ in holding.most_common() if not set(case.label_sets) & set(_knowing(held))]
    asked_of = (strange or [holding.most_common(1)[0][0]])[0]
    return (
        f"of {len(group)} labels {told}, but {_expected(case)}; all labels of a folder share one coding: say which with"
        f" {option} NAME (of {list(asked_of)}, {fitting_sets(asked_of)})."
    )


def _check_request(case: Case, found: Sequence[int], requested: str, fitting: Sequence[str], option: str) -> None:
    coding = label_set(requested)
    if requested not in _knowing(found):
        raise LabelError(
            f"the label of {case.id} holds the values {found}, which {option} {requested} {list(coding.values)} does not"
            f" know; {fitting_sets(found)}."
        )
    agreeing = {_meaning(name, found) for name in fitting}
    whole_tumour = len(coding.tissues) == 1 and set(found) <= {0, 1}  # a mask of one value has no coding to contradict
    if binds(case) and not whole_tumour and agreeing and _meaning(requested, found) not in agreeing:
        said_by = told_by(case)
        raise LabelError(
            f"{option} {requested} contradicts {said_by or f'the name of {case.id}'}: {_expected(case)}, and its values {found}"
            " agree with that; leave the option out, or"
            f" {f'correct {said_by}' if said_by else 'rename the case if it is not of that year'}."
        )


def binds(case: Case) -> bool:
    """Return whether the case's own word on its label set binds: by its name's year, or by its manifest."""
    row = CORPORA[case.corpus]
    return row.binding or case.label_sets != row.label_sets


def told_by(case: Case) -> str | None:
    """Return what says the label set of this very case: a manifest or a ``dataset.json``; None if names alone do."""
    row = CORPORA[case.corpus]
    if case.label_sets == row.label_sets:
        return None
    return "dataset.json" if row.stacked or row is CORPORA["nnU-Net"] else "the manifest"


def _knowing(found: Iterable[int]) -> list[str]:
    return [coding.name for coding in label_sets_with(found)]


def _expected(case: Case) -> str:
    codings = " or ".join(f"{name} {list(LABEL_SETS[name].values)}" for name in case.label_sets)
    if said_by := told_by(case):
        return f"{said_by} says {codings}"
    if binds(case):
        return f"{case.corpus} labels follow {codings}"
    return f"names like {case.id} do not tell the year; such labels are taken for {codings}"


def _meaning(name: str, values: Sequence[int]) -> tuple[tuple[bool, ...], ...]:
    regions = LABEL_SETS[name].regions
    return tuple(tuple(value in regions.get(region, ()) for region in REGIONS) for value in values)
