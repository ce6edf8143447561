"""Which coding a case's label has: names and values together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from brats3d.cases.case import Case
from brats3d.cases.corpora import CORPORA, MANIFEST
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
        what = "manifest" if case.corpus == MANIFEST else f"name of {case.id}"
        raise LabelError(
            f"{option} {requested} contradicts the {what}: {_expected(case)}, and its values {found} agree with"
            " that; leave the option out, or rename the case if it is not of that year."
        )


def binds(case: Case) -> bool:
    """Return whether the case's own word on its label set binds: by its name's year, or by its manifest."""
    row = CORPORA[case.corpus]
    return row.binding or case.label_sets != row.label_sets


def _knowing(found: Sequence[int]) -> list[str]:
    return [coding.name for coding in label_sets_with(found)]


def _expected(case: Case) -> str:
    codings = " or ".join(f"{name} {list(LABEL_SETS[name].values)}" for name in case.label_sets)
    if case.corpus == MANIFEST and binds(case):
        return f"the manifest says {codings}"
    if binds(case):
        return f"{case.corpus} labels follow {codings}"
    return f"names like {case.id} do not tell the year; such labels are taken for {codings}"


def _meaning(name: str, values: Sequence[int]) -> tuple[tuple[bool, ...], ...]:
    regions = LABEL_SETS[name].regions
    return tuple(tuple(value in regions.get(region, ()) for region in REGIONS) for value in values)
