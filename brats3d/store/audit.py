"""Checks a split against the volumes themselves: names may be wrong, and a patient seen in training is not a test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from brats3d.cases import Fold, Split, load_split
from brats3d.cases.splits import PARTS
from brats3d.console import Progress, silent
from brats3d.errors import CaseError
from brats3d.store.duplicates import Duplicate, find_duplicates
from brats3d.store.store_folder import Store, open_store


@dataclass(frozen=True)
class Leak:
    """One patient in two parts of a fold.

    Attributes:
        case_a: id of one case.
        case_b: id of the other.
        part_a: ``test``, ``validation`` or ``train``: the part of the one.
        part_b: the part of the other.
        folds: numbers of the folds in which they are in two parts, the run's own first; the parts are those of the first.
        why: what makes them one patient.
    """

    case_a: str
    case_b: str
    part_a: str
    part_b: str
    folds: tuple[int, ...]
    why: str

    def sentence(self) -> str:
        """Return the leak as one sentence."""
        folds = f"fold {self.folds[0]}" if len(self.folds) == 1 else f"folds {', '.join(map(str, self.folds))}"
        return (
            f"{self.case_a} ({self.part_a}) and {self.case_b} ({self.part_b}) are the same patient in two parts of {folds}:"
            f" {self.why}; leave one out, or put both into one part."
        )


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        store: the store with the volumes.
        split: file of the split.
        cases: how many cases were examined.
        leaks: pairs of cases of one patient in two parts of a fold.
        duplicates: pairs of the same scans that are always in the same part, where they count twice.
        damaged: case id → why its volumes could not be read.
    """

    store: str
    split: str
    cases: int
    leaks: tuple[Leak, ...]
    duplicates: tuple[Duplicate, ...]
    damaged: dict[str, str]

    @property
    def refused(self) -> dict[str, str]:
        """What makes the command exit with code 3: each leak, and each case that cannot be read."""
        return {f"{leak.case_a} and {leak.case_b}": leak.sentence() for leak in self.leaks} | self.damaged

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def audit_split(
    store: Store | Path | str, split: Split | Path | str, *, workers: int | None = 1, progress: Progress = silent
) -> AuditReport:
    """Check a split against the volumes of its cases.

    Two cases are one patient if their names say so, or if their volumes are the same scans: renamed, shifted, rescaled in
    intensity, cropped or mirrored (`find_duplicates` with ``thorough``). A patient in two parts of a fold is a leak. Resampled
    or rotated copies, and other scans of the same patient, are not detected: identify patients by name.

    Args:
        store: the store with the cases: its folder, or the file of a packed store; from Python an open store too.
        split: the split's file, such as RUN/split.json; all folds are checked; from Python a `Split` too.
        workers: processes that read volumes; by default one per core; from Python 1, and None is one per core.
        progress: called as volumes are read.

    Returns:
        Leaks, duplicates within a part, and cases that could not be read.

    Raises:
        NoCasesError: there are no case files.
        OptionError: the split cannot be read or names a case that is not in the store, or there is fewer than one worker.
    """
    opened = store if isinstance(store, Store) else open_store(store)
    told = split if isinstance(split, Split) else load_split(split)
    names = sorted({case for fold in told.folds for part in PARTS for case in getattr(fold, part)})
    found = find_duplicates(opened, cases=names, thorough=True, workers=workers, progress=progress)
    damaged = dict(found.refused)
    by_name = _same_by_name(opened, names, damaged)
    by_volume = {(pair.case_a, pair.case_b): pair for pair in found.pairs}
    leaks = []
    for pair in sorted({*by_name, *by_volume}):
        reasons = [by_name[pair]] if pair in by_name else []
        reasons += [by_volume[pair].why] if pair in by_volume else []
        folds, parts = _parted(told, *pair)
        if folds:
            leaks.append(Leak(*pair, *parts, folds, ", and ".join(reasons)))
    leaking = {(leak.case_a, leak.case_b) for leak in leaks}
    duplicates = tuple(pair for key, pair in by_volume.items() if key not in leaking)
    where = "" if isinstance(split, Split) else str(split)
    return AuditReport(str(opened.path), where, len(names), tuple(leaks), duplicates, dict(sorted(damaged.items())))


def _same_by_name(store: Store, names: list[str], damaged: dict[str, str]) -> dict[tuple[str, str], str]:
    """Return the pairs of cases that are one patient by name → how their names say so."""
    patients: dict[str, list[str]] = {}
    for name in names:
        if name not in damaged:
            try:
                with store[name] as case:
                    patients.setdefault(case.patient, []).append(name)
            except CaseError as problem:
                damaged[name] = str(problem)
    return {
        pair: f"both are patient {patient} by name" for patient, cases in patients.items() for pair in combinations(cases, 2)
    }


def _parted(split: Split, case_a: str, case_b: str) -> tuple[tuple[int, ...], tuple[str, str]]:
    """Return the folds in which two cases are in different parts, and those parts in the run's own fold or else the first."""
    folds: dict[int, tuple[str, str]] = {}
    for number, fold in enumerate(split.folds):
        part_a, part_b = _part(fold, case_a), _part(fold, case_b)
        if part_a and part_b and part_a != part_b:
            folds[number] = part_a, part_b
    order = sorted(folds, key=lambda number: (number != split.fold, number))
    return tuple(order), folds[order[0]] if order else ("", "")


def _part(fold: Fold, case: str) -> str:
    return next((part for part in PARTS if case in getattr(fold, part)), "")
