"""Which cases are meant: their ids, a file of them, or a part of a split."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from brats3d.cases.letters import letter_case_ignored, match_ids
from brats3d.cases.splits import PARTS, load_split
from brats3d.errors import OptionError, check_option, check_whole, nearest
from brats3d.files import read_text

log = logging.getLogger(__name__)

CaseIds = str | Path | Sequence[str]
"""What ``cases=`` takes: ``["id", …]``, ``"ids.txt"`` or ``"RUN/split.json:test"``; ``--cases`` takes the last two."""


def read_case_ids(cases: CaseIds, fold: int | None = None) -> list[str]:
    """Return the case ids that ``cases`` means.

    Args:
        cases: case ids; or a text file (UTF-8 or UTF-16) with one id per line (empty lines and comments after ``#`` are
            ignored); or a split file and one of its parts, ``RUN/split.json:test``.
        fold: fold of the split file; by default the one that the file records for its run.

    Returns:
        The ids in the order given, each once.

    Raises:
        OptionError: there is no such file, part or fold, or no ids, or something other than ids.
    """
    if not isinstance(cases, str | Path):
        return _given(cases)
    text = str(cases)
    name, _, part = text.rpartition(":")
    if name and Path(name).is_file():
        check_option(f"the part of {name}", part, PARTS)
        return _from_split(name, part, fold)
    path = Path(text)
    if path.suffix.lower() == ".json":
        raise OptionError(f"{text} is a split without a part; name one, such as {text}:test ({', '.join(PARTS)}).")
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeError) as problem:
        raise OptionError(
            f"{text}: cannot be read ({problem}); expected a text file with one case id per line, or RUN/split.json:test."
            f" From Python, ids go into a list: cases=[{text!r}]."
        ) from problem
    ids = list(dict.fromkeys(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")))
    if not ids:
        raise OptionError(f"{text}: holds no case id; expected one per line.")
    return ids


def _given(cases: Iterable[str]) -> list[str]:
    ids = list(cases) if isinstance(cases, Iterable) else []
    if not ids or not all(isinstance(case, str) for case in ids):
        raise OptionError(
            f"cases is {cases!r}; expected case ids such as ['BraTS2021_00000'], a text file with one per line, or"
            " RUN/split.json:test."
        )
    return list(dict.fromkeys(ids))


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


def select_ids(wanted: Iterable[str], available: Iterable[str], where: str) -> list[str]:
    """Return the wanted ids in their existing spelling; refuse those that do not exist.

    Letter case is ignored, with a warning, if that is unambiguous (`match_ids`).

    Args:
        wanted: requested ids.
        available: ids that exist.
        where: where they exist, in the user's terms.

    Returns:
        The ids in the requested order.

    Raises:
        OptionError: an id does not exist; counts those that do not, and suggests the nearest to the first.
    """
    wanted, known = list(wanted), set(available)
    matched = match_ids(wanted, known)
    absent = [i for i in wanted if i not in matched]
    if absent:
        raise OptionError(
            f"{len(absent)} of the {len(wanted)} requested cases are not among the {len(known)} of {where}:"
            f" {', '.join(absent[:5])}{nearest(absent[0], sorted(known))}."
        )
    ignored = letter_case_ignored(matched)
    if ignored:
        log.warning("ids of %s %s.", where, ignored)
    return [matched[i] for i in wanted]
