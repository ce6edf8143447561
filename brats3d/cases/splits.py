"""Splits by patient: seeded folds of test, validation and training cases, and their file."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brats3d.cases.case import Case
from brats3d.errors import OptionError, check_keys, check_whole
from brats3d.files import write_file

log = logging.getLogger(__name__)

SCHEMA = 1
PARTS = ("test", "validation", "train")
VALIDATION_SHARE = 8
"""One in this many of the patients that are not in the test part is for validation."""


@dataclass(frozen=True)
class Fold:
    """The case ids of one fold, each part sorted.

    Attributes:
        test: scored once, after training.
        validation: used to choose epochs and thresholds.
        train: used for training.
    """

    test: tuple[str, ...]
    validation: tuple[str, ...]
    train: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """All folds of a cohort.

    Attributes:
        seed: seed for shuffling the patients.
        folds: one `Fold` per test part; the test parts together are all cases.
        fold: number of the fold used by a run, or None.
    """

    seed: int
    folds: tuple[Fold, ...]
    fold: int | None = None

    def save(self, path: Path | str) -> None:
        """Write the split as JSON, completely or not at all.

        Args:
            path: file to write; an existing one is replaced.

        Raises:
            SpaceError: the disk is full.
        """
        folds = [{part: list(getattr(fold, part)) for part in PARTS} for fold in self.folds]
        content = {"schema": SCHEMA, "seed": self.seed, "fold": self.fold, "folds": folds}
        write_file(path, json.dumps(content, indent=1) + "\n")


def make_split(cases: Iterable[Case | tuple[str, str, str | None]], *, folds: int = 5, seed: int = 0) -> Split:
    """Split cases by patient into folds of test, validation and training cases.

    Patients are shuffled within their grade and dealt out in turn, so that the test parts have the same share of each grade
    and their sizes differ by at most one patient. One in eight of a fold's remaining patients (at least one), spread over the
    grades, is for validation.

    Args:
        cases: `Case` objects, or (id, patient, grade) of each case; their order does not matter.
        folds: number of test parts.
        seed: seed of the shuffle.

    Returns:
        The split; the same for the same ids, patients, grades, folds and seed.

    Raises:
        OptionError: there are fewer patients than folds, or too few for a training case in every fold, an id occurs twice, or
            the number of folds or the seed is not a whole number in range.
    """
    check_whole("folds", folds, 2, 1000)
    check_whole("seed", seed, 0)
    rows = [(c.id, c.patient, c.grade) if isinstance(c, Case) else c for c in cases]
    patients = _patients(rows)
    alone = sum(case == patient for case, patient, _ in rows)
    if alone:
        log.info("%d of %d cases have no patient id in their names; each is treated as a separate patient.", alone, len(rows))
    _check_enough(len(patients), folds)
    order = _dealt(patients, rows, seed)
    return Split(seed, tuple(_fold(order, patients, k, folds) for k in range(folds)))


def _patients(rows: Sequence[tuple[str, str, str | None]]) -> dict[str, list[str]]:
    """Return patient → case ids."""
    patients: dict[str, list[str]] = {}
    for case, patient, _ in rows:
        patients.setdefault(patient, []).append(case)
    counts = Counter(case for case, _, _ in rows)
    twice = [case for case, count in counts.items() if count > 1]
    if twice:
        raise OptionError(f"case {min(twice)} occurs {counts[min(twice)]} times; expected each case once.")
    return patients


def _check_enough(patients: int, folds: int) -> None:
    if patients < 3:
        raise OptionError(f"found {patients} patients; a split needs at least 3, one each for test, validation and training.")
    if patients < folds:
        raise OptionError(f"found {patients} patients for {folds} folds; use at most {patients} folds.")
    tested = -(-patients // folds)
    if patients - tested < 2:
        raise OptionError(f"{folds} folds of {patients} patients leave none for training; use {patients} folds.")


def _dealt(patients: Iterable[str], rows: Sequence[tuple[str, str, str | None]], seed: int) -> list[str]:
    """Return the patients, shuffled within their grade, grade by grade; with two grades the first by name counts."""
    grades: dict[str, set[str]] = {patient: set() for patient in patients}
    for _, patient, grade in rows:
        grades[patient] |= {grade} if grade else set()
    known = {patient: min(found, default="") for patient, found in grades.items()}
    rng = np.random.default_rng(seed)
    order: list[str] = []
    for grade in sorted(set(known.values())):
        same = sorted(p for p in known if known[p] == grade)
        order += [same[i] for i in rng.permutation(len(same))]
    return order


def _fold(order: Sequence[str], patients: Mapping[str, list[str]], k: int, folds: int) -> Fold:
    test = order[k::folds]
    rest = [p for i, p in enumerate(order) if i % folds != k]
    count = max(1, len(rest) // VALIDATION_SHARE)
    # evenly spaced over the rest, which is ordered by grade; each fold starts at a different place
    validation = {rest[(i * folds + k) * len(rest) // (count * folds)] for i in range(count)}
    train = [p for p in rest if p not in validation]

    def ids(chosen: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(case for p in chosen for case in patients[p]))

    return Fold(ids(test), ids(validation), ids(train))


def load_split(path: Path | str) -> Split:
    """Read a split file.

    Args:
        path: file written by `Split.save`.

    Raises:
        OptionError: the file is missing, is not a split, or has another schema.
    """
    path = Path(path)
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise OptionError(f"{path}: no such file; expected a split (split.json of a run folder).") from missing
    except (OSError, ValueError) as problem:
        raise OptionError(f"{path}: cannot be read as JSON ({problem}); expected a split (split.json of a run).") from problem
    return _parsed(path, content)


def _parsed(path: Path, content: Any) -> Split:
    if not isinstance(content, dict) or "folds" not in content or "schema" not in content:
        raise OptionError(f"{path}: is not a split; expected the keys schema, seed, fold and folds.")
    if content["schema"] != SCHEMA:
        raise OptionError(f"{path}: the split has schema {content['schema']!r}; this version reads schema {SCHEMA}.")
    check_keys(str(path), content, ("schema", "seed", "fold", "folds"))
    try:
        folds = tuple(Fold(*(tuple(str(i) for i in fold[part]) for part in PARTS)) for fold in content["folds"])
        number = content.get("fold")
        split = Split(int(content["seed"]), folds, None if number is None else int(number))
    except (KeyError, TypeError, ValueError) as problem:
        raise OptionError(
            f"{path}: the split is incomplete ({problem!r}); expected {', '.join(PARTS)} in every fold."
        ) from problem
    if split.fold is not None:
        check_whole(f"{path}: fold", split.fold, 0, len(folds) - 1)
    return split
