"""Are a run's cases still what they were when it began? ``cases.json`` keeps their checksums.

A run that continues on other voxels under the same ids would be neither the old run nor a new one, and that would go unnoticed:
ids, splits and shapes are the same. How a store keeps its cases (codec, packed or not, another folder) does not count.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brats3d.errors import OptionError, TrainingError, first_line
from brats3d.files import write_file
from brats3d.store import Store, case_checksums, file_stamp
from brats3d.train.run_folder import RunFolder

log = logging.getLogger(__name__)

SCHEMA = 1
NAMED = 5
"""Changed cases that a refusal names; it counts the others."""

Known = dict[str, dict[str, Any]]
"""Case id → ``checksums`` as `case_checksums` gives them, and the ``stamp`` of the file that they were taken from."""


def unchanged_cases(folder: RunFolder, store: Store, cases: Sequence[str]) -> tuple[Known | None, Known]:
    """Return the recorded and the present checksums of a run's cases; refuse those that have changed.

    Args:
        folder: the run's.
        store: the open store that it is to continue on.
        cases: ids of the fold's cases.

    Returns:
        The recorded checksums, None for a run of an older version, which kept none; and the present ones.

    Raises:
        TrainingError: names the cases that have changed, says what differs in each, and what to do.
        OptionError: ``cases.json`` cannot be read.
        StoreError: a case file is damaged.
    """
    before = _read_known(folder.cases)
    now = known_cases(store, cases, before)
    if before is not None:
        _check_same(folder.path, store.path, before, now)
    return before, now


def known_cases(store: Store, cases: Sequence[str], before: Known | None = None) -> Known:
    """Return the checksums of cases; voxels are not read again if the file is unchanged.

    Args:
        store: the open store.
        cases: their ids.
        before: what was known of them, or None.

    Raises:
        StoreError: a case file is damaged.
    """
    known: Known = {}
    for name in cases:
        with store[name] as case:
            stamp, old = file_stamp(case), (before or {}).get(name, {})
            sums = old["checksums"] if old.get("stamp") == stamp else case_checksums(case)
            known[name] = {"checksums": sums, "stamp": stamp}
    return known


def _check_same(run: Path, store: Path, before: Known, now: Known) -> None:
    changed = {name: difference(before.get(name), now[name]) for name in now}
    changed = {name: parts for name, parts in changed.items() if parts}
    if changed:
        listed = [f"{name} ({', '.join(parts)})" for name, parts in changed.items()]
        more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
        raise TrainingError(
            f"{len(changed)} of the {len(now)} cases of {run} have changed in {store} since the run began:"
            f" {', '.join(listed[:NAMED])}{more}; give the store that it began with, or start a new run with another --out."
        )


def difference(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Return the parts of a case that differ, such as ``t1`` and ``label``; empty if none do.

    Args:
        before: what was known of it, or None.
        now: what is known of it now.
    """
    if before is None:
        return ["not among the run's cases"]
    old, new = before["checksums"], now["checksums"]
    return [part.replace("_", " ") for part in {**old, **new} if old.get(part) != new.get(part)]


def _read_known(path: Path) -> Known | None:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}, expected {SCHEMA}")
        return {str(n): {"checksums": dict(c["checksums"]), "stamp": list(c["stamp"])} for n, c in content["cases"].items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise OptionError(
            f"{path}: the checksums of the run's cases cannot be read ({first_line(problem)}); restore the file, or"
            " delete it to continue without comparing the cases."
        ) from problem


def keep_known(folder: RunFolder, before: Known | None, now: Known) -> None:
    """Write ``cases.json``; one warning if the run comes from a version that kept none.

    Args:
        folder: the run's.
        before: what the run knew of its cases, or None.
        now: what is known of them now.

    Raises:
        SpaceError: the disk is full.
    """
    if before is None and folder.has_state:
        log.warning(
            "%s holds no checksums of its cases, so changes since the run began cannot be detected; the checksums of"
            " the %d cases as they are now are kept in %s from here on.",
            folder.path,
            len(now),
            folder.cases.name,
        )
    if now != before:
        write_file(folder.cases, json.dumps({"schema": SCHEMA, "cases": now}, indent=1) + "\n")
