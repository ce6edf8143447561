"""Which coding a case's label has, or the labels of a folder: decided by names and values together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

from brats3d.cases.case import Case
from brats3d.cases.corpora import CORPORA
from brats3d.errors import LabelError
from brats3d.regions import REGIONS, LabelSet, LabelSetLike, find_label_set, fitting_sets, label_sets_with, two_meanings


def settle_label_set(
    case: Case, values: Iterable[int], requested: LabelSetLike | None = None, *, option: str = "--label-set"
) -> LabelSet:
    """Return the label set of a case's label, from its names and its values together.

    The names give candidates (`Case.label_sets`); those that know all values remain. If several remain, they must put
    each value found into the same regions; then the first is as good as any. That holds for L17 and L23, the candidates of
    plain names: 1 and 2 mean the same in both, 4 is only in the first and 3 only in the second.

    A request settles doubts: plain names, values that none of the year's codings knows, several readings. It cannot
    contradict a name that contains the year while the values agree with that year. A label set of the user's own can, since it
    is never named by mistake; but it cannot contradict a manifest.

    Args:
        case: the case; only its names count.
        values: the values of its label.
        requested: label set that the user gives, or None.
        option: the command's option for it, for messages.

    Returns:
        The label set: a row of ``regions.LABEL_SETS`` or the user's own.

    Raises:
        LabelError: no candidate knows the values, several differ about them, or the request contradicts names or values.
        OptionError: the requested label set does not exist.
    """
    found = sorted({int(v) for v in values})
    fitting = _knowing(case.codings, found)
    if requested is not None:
        asked = find_label_set(requested)
        _check_request(case, found, asked, fitting, option)
        return asked
    if not fitting:
        way = f": choose one with {option} NAME" if label_sets_with(found) else ""
        raise LabelError(f"the label of {case.id} holds the values {found}, but {_expected(case)}; {fitting_sets(found)}{way}.")
    if len({_meaning(coding, found) for coding in fitting}) > 1:
        raise LabelError(
            f"the label of {case.id} holds the values {found}, which {_names(fitting, ' and ')} read differently, and names"
            f" like {case.id} are used for both; choose one with {option} {_names(fitting, ' or ')}."
        )
    return fitting[0]


Labels = Mapping[str, tuple[Case, Collection[int]]]
"""Case id → the case, with what its names say, and the values of its label."""


def settle_together(
    labels: Labels, requested: LabelSetLike | None = None, *, option: str = "--label-set"
) -> dict[str, LabelSet | LabelError]:
    """Return the label set of every label of a folder, whose labels share one coding.

    One label seldom holds all values of its coding: 1 and 2 alone would fit any year. So the values of all labels under names
    that allow the same label sets are settled as one. Names that bind different years may differ within a folder.

    Args:
        labels: case id → the case, of which only the names count, and its label's values.
        requested: label set that the user gives, or None.
        option: the command's option for it, for messages.

    Returns:
        Case id → label set; or the error that refuses only this label: a request that contradicts it, or values that
        no label set knows, so that they reveal nothing about the others.

    Raises:
        LabelError: values contradict the names, or several label sets read them differently; counts which labels hold what.
        OptionError: the requested label set does not exist.
    """
    groups: dict[tuple[LabelSet, ...], dict[str, tuple[Case, list[int]]]] = {}
    for name, (case, values) in labels.items():
        groups.setdefault(case.codings, {})[name] = case, sorted({int(value) for value in values})
    asked = None if requested is None else find_label_set(requested)
    return {name: answer for group in groups.values() for name, answer in _settle_group(group, asked, option).items()}


def _settle_group(
    group: Mapping[str, tuple[Case, list[int]]], requested: LabelSet | None, option: str
) -> dict[str, LabelSet | LabelError]:
    case = next(iter(group.values()))[0]
    known = {name: label for name, label in group.items() if label_sets_with(label[1]) or _knowing(case.codings, label[1])}
    union = sorted({value for _, values in known.values() for value in values})
    fitting = _knowing(case.codings, union)
    if known and requested is None and len({_meaning(coding, union) for coding in fitting}) != 1:
        raise LabelError(_doubt(known, fitting, union, option))
    settled: dict[str, LabelSet | LabelError] = {}
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


def _doubt(group: Labels, fitting: Sequence[LabelSet], union: Sequence[int], option: str) -> str:
    """Return in words what the labels of a group hold, what was expected, and what settles it."""
    names, holding = list(group), Counter(tuple(values) for _, values in group.values())
    case = next(iter(group.values()))[0]
    if fitting:
        those = f"{len(group)} labels such as {names[0]} hold" if names[1:] else f"the label of {names[0]} holds"
        return (
            f"{those} the values {list(union)}, which {_names(fitting, ' and ')} read differently, and names like {case.id} are"
            f" used for both; choose one with {option} {_names(fitting, ' or ')}."
        )
    examples = {held: next(name for name in names if tuple(group[name][1]) == held) for held in holding}
    told = ", ".join(
        f"{count} {'holds' if count == 1 else 'hold'} {list(held)} ({examples[held]}{', …' if count > 1 else ''})"
        for held, count in holding.most_common(4)
    )
    strange = [held for held, _ in holding.most_common() if not _knowing(case.codings, held)]
    asked_of = (strange or [holding.most_common(1)[0][0]])[0]
    return (
        f"of {len(group)} labels {told}, but {_expected(case)}; all labels of a folder share one coding: choose one with"
        f" {option} NAME (of {list(asked_of)}, {fitting_sets(asked_of)})."
    )


def _check_request(case: Case, found: Sequence[int], requested: LabelSet, fitting: Sequence[LabelSet], option: str) -> None:
    if not _knowing([requested], found):
        raise LabelError(
            f"the label of {case.id} holds the values {found}, which {option} {requested.name} {list(requested.values)} does"
            f" not know; {fitting_sets(found)}."
        )
    said_by = told_by(case)
    if requested.own and not said_by:
        return
    agreeing = {_meaning(coding, found) for coding in fitting}
    # a mask with one value has no coding to contradict
    whole_tumour = not requested.own and len(requested.tissues) == 1 and set(found) <= {0, 1}
    if binds(case) and not whole_tumour and agreeing and _meaning(requested, found) not in agreeing:
        both = two_meanings([*fitting, requested])
        raise LabelError(
            f"{option} {requested.name} contradicts {said_by or f'the name of {case.id}'}: {_expected(case)}, and its values"
            f" {found} agree with that{f' ({both})' if both else ''}; leave the option out, or"
            f" {f'correct {said_by}' if said_by else 'rename the case if it is not of that year'}."
        )


def binds(case: Case) -> bool:
    """Return whether what the case says about its label set is binding: by its name's year, or by its manifest."""
    row = CORPORA[case.corpus]
    return row.binding or case.coding is not None or case.label_sets != row.label_sets


def told_by(case: Case) -> str | None:
    """Return what names the label set of this case: a manifest or a ``dataset.json``; None if only names do."""
    row = CORPORA[case.corpus]
    if case.coding is not None:
        return "the manifest"
    if case.label_sets == row.label_sets:
        return None
    return "dataset.json" if row.stacked or row is CORPORA["nnU-Net"] else "the manifest"


def _knowing(codings: Iterable[LabelSet], found: Iterable[int]) -> list[LabelSet]:
    values = set(found)
    return [coding for coding in codings if values <= set(coding.values)]


def _names(codings: Iterable[LabelSet], between: str) -> str:
    return between.join(coding.name for coding in codings)


def _expected(case: Case) -> str:
    codings = " or ".join(f"{coding.name} {list(coding.values)}" for coding in case.codings)
    if said_by := told_by(case):
        return f"{said_by} says {codings}"
    if binds(case):
        return f"{case.corpus} labels follow {codings}"
    return f"names like {case.id} do not contain the year; such labels are taken as {codings}"


def _meaning(coding: LabelSet, values: Sequence[int]) -> Hashable:
    """Return how a coding reads values; codings of the table agree if they put them into the same of WT, TC and ET."""
    if coding.own:
        return coding
    regions = coding.regions
    return tuple(tuple(value in regions.get(region, ()) for region in REGIONS) for value in values)
