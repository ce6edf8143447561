"""Groups of cases, so that a summary can be split by grade, site or tumour size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from brats3d.cases import match_ids
from brats3d.cases.corpus_tables import read_rows
from brats3d.errors import OptionError
from brats3d.evaluate.pair import Pair
from brats3d.evaluate.scored_case import CaseResult
from brats3d.scores import volume_group

SITE = re.compile(r"^brats1[789]_(?P<site>[a-z]+[0-9]*|2013)_", re.IGNORECASE)
"""Names of 2017 to 2019 give the site of a scan: ``Brats18_CBICA_ABM_1``, ``Brats18_TCIA01_425_1``, ``Brats18_2013_2_1``."""


def _grade(pair: Pair, result: CaseResult) -> str | None:
    del result
    return pair.reference.named.grade if pair.reference.named else None


def _site(pair: Pair, result: CaseResult) -> str | None:
    del result
    match = SITE.match(pair.id)
    return match["site"].upper() if match else None


def _volume(pair: Pair, result: CaseResult) -> str | None:
    whole = next(iter(result.scores[pair.scorings[0].protocol].values()))
    return None if whole.reference_ml is None else volume_group(whole.reference_ml)


GROUPINGS: Mapping[str, Callable[[Pair, CaseResult], str | None]] = {"grade": _grade, "site": _site, "volume": _volume}
"""name → the group from a case and its scores, or None. Volume is that of the reference's first region."""


GroupTable = Mapping[str, Mapping[str, str]]
"""Grouping → case id, as spelt in a table → group."""


def group_cases(results: Iterable[tuple[Pair, CaseResult]], table: GroupTable | None = None) -> dict[str, dict[str, str]]:
    """Return grouping → case id → group, for groupings that separate cases or are in the table.

    Args:
        results: the scored cases.
        table: from `read_groups`, or None.
    """
    results = list(results)
    found: dict[str, dict[str, str]] = {}
    for name, tell in GROUPINGS.items():
        told = {pair.id: tell(pair, result) for pair, result in results}
        known = {case: group for case, group in told.items() if group is not None}
        if len(set(known.values())) > 1:
            found[name] = known
    for name, cases in (table or {}).items():
        scored = match_ids(cases, (pair.id for pair, _ in results))
        found[name] = {scored[case]: group for case, group in cases.items() if case in scored}
    return found


def unnamed(table: GroupTable | None, scored: Sequence[str]) -> list[str]:
    """Say in a sentence if a table groups none of the scored cases.

    Args:
        table: from `read_groups`, or None.
        scored: ids of the scored cases.
    """
    listed = {case: None for cases in (table or {}).values() for case in cases}
    if table is None or not scored or match_ids(listed, scored):
        return []
    return [f"the table of --groups names none of the scored cases (it has {', '.join([*listed][:3]) or 'no case'}, scored are"
            f" {', '.join(scored[:3])}); nothing is grouped by it."]  # fmt: skip


def read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Read a table of groups: grouping → case id → group.

    Args:
        path: a CSV file with a column ``case`` and one column per grouping.

    Raises:
        OptionError: it cannot be read, or lacks the column ``case`` or any other.
    """
    try:
        rows = read_rows(path)
    except (OSError, ValueError) as problem:
        raise OptionError(f"{path}: cannot be read ({problem}); expected a CSV file with a column case.") from problem
    columns = [name for name in (rows[0] if rows else ()) if name and name != "case"]
    if not rows or "case" not in rows[0] or not columns:
        there = ", ".join(rows[0] if rows else ()) or "nothing"
        raise OptionError(f"{path}: has the columns {there}; expected case and one per grouping.")
    return {name: {row["case"]: row[name] for row in rows if row["case"] and row.get(name)} for name in columns}
