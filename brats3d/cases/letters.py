"""Ids that differ in letter case alone: two cases here, and one file on many systems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

_SHOWN = 3
"""Ids that a sentence names."""


def differing_in_case(names: Iterable[str]) -> dict[str, str]:
    """Return name → the sentence that says which others differ from it in letter case alone; only names that have such others.

    Args:
        names: ids of cases.
    """
    return {
        name: f"{' and '.join(alike)} differ in letter case alone, and many file systems keep one file of the two; rename one."
        for alike in _folded(dict.fromkeys(names)).values()
        if len(alike) > 1
        for name in alike
    }


def other_letter_case(first: str, second: str) -> str:
    """Return what to add to a sentence about two spellings of a case's id; empty if they are the same.

    Args:
        first: id of a case.
        second: the same id, perhaps in other letters.
    """
    if first == second:
        return ""
    return f" (as {first} and {second}: ids that differ in letter case alone are one file on many systems)"


def match_ids(wanted: Iterable[str], available: Iterable[str]) -> dict[str, str]:
    """Return wanted id → available id, of those that are equal, or equal but for the case of their letters.

    No two wanted ids meet the same available one: what is spelt alike is matched first, then what is left, as long as a single
    one is left on each side.

    Args:
        wanted: ids asked for.
        available: ids that exist.
    """
    wanted, available = dict.fromkeys(wanted), dict.fromkeys(available)
    found = {name: name for name in wanted if name in available}
    asked, there = (_folded(name for name in names if name not in found) for names in (wanted, available))
    pairs = {key: (names, there.get(key, [])) for key, names in asked.items()}
    alike = {names[0]: others[0] for names, others in pairs.values() if len(names) == len(others) == 1}
    return {name: found.get(name) or alike[name] for name in wanted if name in found or name in alike}


def letter_case_ignored(matched: Mapping[str, str]) -> str:
    """Return as words which ids of `match_ids` are spelt differently; empty if none are.

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
    """Return folded name → the names that are spelt so but for letter case."""
    folded: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folded[name.casefold()].append(name)
    return folded
