"""Which cases a command is meant for: ``--cases ids.txt`` or ``--cases RUN/split.json:test``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from brats3d.cases.splits import PARTS, load_split
from brats3d.errors import OptionError, check_option, check_whole, nearest
from brats3d.files import read_text

log = logging.getLogger(__name__)


def read_case_ids(text: str, fold: int | None = None) -> list[str]:
    """Return the case ids that a ``--cases`` option means.

    Args:
        text: a text file (UTF-8 or UTF-16) with one id per line (empty lines and those after ``#`` are passed over), or a
            split file and one of its parts, ``RUN/split.json:test``.
        fold: fold of the split file; by default the one that the file records as its run's own.

    Returns:
        The ids in the file's order, each once.

    Raises:
        OptionError: no such file, no such part or fold, or no id in it.
    """
    name, _, part = text.rpartition(":")
    if name and Path(name).is_file():
        check_option(f"the part of {name}", part, PARTS)
        return _from_split(name, part, fold)
    path = Path(text)
    if path.suffix.lower() == ".json":
        raise OptionError(f"{text} is a split without a part; say which, such as {text}:test ({', '.join(PARTS)}).")
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeError) as problem:
        raise OptionError(
            f"{text}: cannot be read ({problem}); expected a text file with one case id per line, or RUN/split.json:test."
        ) from problem
    ids = list(dict.fromkeys(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")))
    if not ids:
        raise OptionError(f"{text}: holds no case id; expected one per line.")
    return ids


def _from_split(name: str, part: str, fold: int | None) -> list[str]:
    split = load_split(name)
    number = split.fold if fold is None else fold
    if number is None:
        raise OptionError(f"{name} does not record which of its {len(split.folds)} folds is meant; use a run's split.json.")
    check_whole("fold", number, 0, len(split.folds) - 1)
    ids: tuple[str, ...] = getattr(split.folds[number], part)
    if not ids:
        raise OptionError(f"{name}: the {part} part of fold {number} holds no case id.")
    return list(ids)


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


def _folded(names: Iterable[str]) -> dict[str, list[str]]:
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(name.casefold(), []).append(name)
    return folded


def letter_case_ignored(matched: Mapping[str, str]) -> str:
    """Return as words which ids of `match_ids` are spelt otherwise; empty if none is.

    Args:
        matched: what it returned.
    """
    differing = [f"{there} for {asked}" for asked, there in matched.items() if asked != there]
    if not differing:
        return ""
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    return f"matched without regard to the case of letters: {', '.join(differing[:3])}{more}"


def select_ids(wanted: Iterable[str], available: Iterable[str], where: str) -> list[str]:
    """Return the wanted ids as they are spelt where they exist, refusing those that are not there.

    The case of letters is ignored, with a warning, if that leaves no doubt (`match_ids`).

    Args:
        wanted: ids asked for.
        available: ids that exist.
        where: where they exist, as the user knows it.

    Returns:
        The ids in the order asked for.

    Raises:
        OptionError: an id is not there; says how many are not, and offers the nearest to the first.
    """
    wanted, known = list(wanted), set(available)
    matched = match_ids(wanted, known)
    absent = [i for i in wanted if i not in matched]
    if absent:
        raise OptionError(
            f"{len(absent)} of the {len(wanted)} cases asked for are not among the {len(known)} of {where}:"
            f" {', '.join(absent[:5])}{nearest(absent[0], sorted(known))}."
        )
    ignored = letter_case_ignored(matched)
    if ignored:
        log.warning("ids of %s %s.", where, ignored)
    return [matched[i] for i in wanted]
