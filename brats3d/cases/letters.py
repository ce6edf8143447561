"""Ids that differ in letter case alone: two cases here, and one file on many systems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

LETTER_CASE = "{} differ in letter case alone, and many file systems keep one file of the two; rename one."
"""What is said of such ids."""


def alike_but_for_case(names: Iterable[str]) -> dict[str, list[str]]:
    """Return name → all names that differ from it in letter case alone, with itself; only names that have such others.

    Args:
        names: ids of cases.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        alike[name.lower()].append(name)
    return {name: found for found in alike.values() if len(found) > 1 for name in found}
