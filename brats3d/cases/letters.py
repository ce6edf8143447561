"""Ids that differ only in letter case: two cases here, but one file on many systems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

_SHOWN = 3
"""Ids named in a message."""


def differing_in_case(names: Iterable[str]) -> dict[str, str]:
    """Return name → the message that says which others differ from it only in letter case, for names with such others.

    Args:
        names: ids of cases.
    """
    return {
        name: f"{' and '.join(alike)} differ only in letter case and would be one file on many file systems; rename one."
        for alike in _folded(dict.fromkeys(names)).values()
        if len(alike) > 1
        for name in alike
    }


def other_letter_case(first: str, second: str) -> str:
    """Return what to add to a message about two spellings of a case's id; empty if they are the same.

    Args:
        first: id of a case.
        second: the same id, perhaps in another letter case.
    """
    if first == second:
        return ""
    return f" (as {first} and {second}: ids that differ only in letter case are one file on many systems)"


def match_ids(wanted: Iterable[str], available: Iterable[str]) -> dict[str, str]:
    """Return wanted id → available id, for those that are equal, or equal except for letter case.

    No two wanted ids match the same available one: equal spellings are matched first, then the rest, if a single one is left on
    each side.

    Args:
        wanted: requested ids.
        available: ids that exist.
    """
    wanted, available = dict.fromkeys(wanted), dict.fromkeys(available)
    found = {name: name for name in wanted if name in available}
    asked, there = (_folded(name for name in names if name not in found) for names in (wanted, available))
    pairs = {key: (names, there.get(key, [])) for key, names in asked.items()}
    alike = {names[0]: others[0] for names, others in pairs.values() if len(names) == len(others) == 1}
    return {name: found.get(name) or alike[name] for name in wanted if name in found or name in alike}


def letter_case_ignored(matched: Mapping[str, str]) -> str:
    """Describe which ids of `match_ids` are spelt differently; empty if none are.

    Args:
        matched: what it returned.
    """
    differing = [f"{there} for {asked}" for asked, there in matched.items() if asked != there]
    if not differing:
        return ""
    left = len(differing) - _SHOWN
    more = f" and {left} more" if left > 0 else ""
    return f"matched without regard to letter case: {', '.join(differing[:_SHOWN])}{more}"


def _folded(names: Iterable[str]) -> dict[str, list[str]]:
    """Return folded name → the names that are equal to it except for letter case."""
    folded: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folded[name.casefold()].append(name)
    return folded
