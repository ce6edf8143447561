"""Finding cases in a folder, however it is nested, or in a manifest.

One walk lists all files; each file's name (or that of the folder that stands for it) says corpus, case and modality; files
of one case lie in one folder, or in the folders where its corpus keeps labels and images apart. No image is opened; tables
that come with the corpora are read for grade, age, survival, resection, site, and for names that are one patient's.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brats3d.cases.case import Case
from brats3d.cases.corpora import CORPORA, STACK, Corpus
from brats3d.cases.manifest import SUFFIXES_OF_MANIFESTS, read_manifest
from brats3d.cases.patients import patient_of
from brats3d.cases.recognise import Recognised, recognise
from brats3d.cases.stacks import Stack, read_stack
from brats3d.cases.tables import Register, Table, read_table
from brats3d.errors import NoCasesError, OptionError
from brats3d.files import files_below
from brats3d.images import SUFFIXES, strip_suffix
from brats3d.regions import MODALITIES

log = logging.getLogger(__name__)

_GRADES = {"hgg": "HGG", "hg": "HGG", "lgg": "LGG", "lg": "LGG"}


@dataclass(frozen=True)
class Finding:
    """What a look through folders and manifests found.

    Attributes:
        cases: sorted by id.
        read: tables and other files that were read for what they say of cases.
        passed_over: file → why no case has it.
        conflicts: case → why its files contradict each other; such a case has the files that were found first.
    """

    cases: tuple[Case, ...]
    read: tuple[str, ...]
    passed_over: Mapping[str, str]
    conflicts: Mapping[str, str]


@dataclass
class _Files:
    """What was found so far of one case."""

    first: Recognised
    paths: dict[str, tuple[str, Recognised]] = field(default_factory=dict)


@dataclass
class _Search:
    """What one walk collects."""

    found: dict[str, _Files] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)


def find_cases(source: Path | str | Sequence[Path | str]) -> list[Case]:
    """Find the cases below one folder or several, whatever their nesting, or in manifests.

    Recognised are the rows of `CORPORA`: a folder a case, files lying flat, a folder a file, wrapping folders, any case
    of letters, ``.nii``, ``.nii.gz`` and ``.mha``, and the decathlon's 4-D files. Hidden files and files of no known name are
    passed over. Where a file is there twice with different suffixes, ``.nii.gz`` comes before ``.nii``, and that before
    ``.mha``; where a case has a label by hand and one by a program, the first counts.

    Args:
        source: a folder or a manifest (``.csv``, ``.json``: `read_manifest`), or several.

    Returns:
        All cases, sorted by id, incomplete and unlabelled ones too (`Case.missing`).

    Raises:
        NoCasesError: a source does not exist or is a file of another kind, or nothing in all of them is recognised; says
            what was looked for and what is there.
        OptionError: one case lies in two folders, two files say they are the same modality of a case, or a manifest or a
            ``dataset.json`` is wrong.
    """
    finding = look_for_cases(source)
    if finding.conflicts:
        first, *others = finding.conflicts.values()
        more = f"; so it is with {len(others)} more, which --list shows" if others else ""
        raise OptionError(f"{first.removesuffix('.')}{more}.")
    return list(finding.cases)


def look_for_cases(source: Path | str | Sequence[Path | str]) -> Finding:
    """Find cases as `find_cases` does, and tell what was passed over and what contradicts itself.

    Args:
        source: a folder or a manifest, or several.

    Raises:
        NoCasesError: as `find_cases`.
        OptionError: a manifest or a ``dataset.json`` is wrong.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    manifests = [s for s in sources if os.path.isfile(s) and str(s).lower().endswith(SUFFIXES_OF_MANIFESTS)]
    folders = [s for s in sources if s not in manifests]
    for folder in folders:
        if not os.path.isdir(folder):
            what = "is a file" if os.path.exists(folder) else "does not exist"
            raise NoCasesError(f"{folder} {what}; expected a folder of scans, or a manifest (.csv, .json).")
    search = _Search()
    for path in files_below(folders):
        _sort_in(search, path)
    stacks = {home: read_stack(home, corpus) for home, corpus in _stacked(search.found.values()).items()}
    cases = [_case(files, stacks) for files in search.found.values()]
    for manifest in manifests:
        cases += _named(read_manifest(manifest), cases, manifest)
    if not cases:
        raise NoCasesError(_nothing(sources, [*search.tables, *search.passed_over]))
    descriptions = {path for home in stacks if os.path.isfile(path := os.path.join(home, "dataset.json"))}
    for path in descriptions:
        search.passed_over.pop(path, None)
    register = Register(search.tables.values())
    known = sorted((_with_facts(case, register) for case in cases), key=lambda case: case.id)
    _warn_of_programs(known)
    return Finding(tuple(known), (*search.tables, *sorted(descriptions)), search.passed_over, search.conflicts)


def _sort_in(search: _Search, path: str) -> None:
    recognised = recognise(path)
    if recognised:
        _add(search, recognised, path)
        return
    table = read_table(path) if path.lower().endswith(".csv") else None
    if table:
        search.tables[path] = table
    else:
        image = strip_suffix(path) != path
        search.passed_over[path] = "no corpus names an image so" if image else "no image, and no table of a corpus"


def _add(search: _Search, recognised: Recognised, path: str) -> None:
    case, kind, rank = recognised.case, recognised.name.kind, _rank(path, recognised)
    files = search.found.setdefault(case.lower(), _Files(recognised))
    if files.first.home != recognised.home:
        search.passed_over[path] = "the case lies in another folder too"
        search.conflicts.setdefault(
            case,
            f"case {case} lies in two folders, {files.first.folder} and {recognised.folder}; leave one of them out.",
        )
        return
    known, other = files.paths.get(kind, (None, recognised))
    if known is not None and rank == _rank(known, other):
        search.passed_over[path] = f"the case has another {kind}"
        search.conflicts.setdefault(
            case, f"case {case} has two files for its {kind}, {known} and {path}; leave one of them out."
        )
    elif known is not None and rank > _rank(known, other):
        search.passed_over[path] = f"{os.path.basename(known)} is taken"
    else:
        if known is not None:
            search.passed_over[known] = f"{os.path.basename(path)} is taken"
        files.paths[kind] = path, recognised


def _rank(path: str, recognised: Recognised) -> tuple[int, int]:
    suffix = next(i for i, suffix in enumerate(SUFFIXES) if path.lower().endswith(suffix))
    return recognised.name.rank, suffix


def _stacked(found: Iterable[_Files]) -> dict[str, Corpus]:
    """Return the folder of each task that keeps a case's modalities in one file, and its row."""
    return {files.first.home: files.first.corpus for files in found if files.first.corpus.stacked}


def _case(files: _Files, stacks: Mapping[str, Stack]) -> Case:
    first, corpus = files.first, files.first.corpus
    patient, timepoint = patient_of(first.case)
    paths = {kind: path for kind, (path, _) in files.paths.items()}
    channels, label_sets, order = stacks[first.home] if corpus.stacked else ({}, corpus.label_sets, "")
    if STACK in paths:
        images = {m: Path(paths[STACK]) for m in channels}
    else:
        images = {m: Path(paths[m]) for m in MODALITIES if m in paths}
    grade, by = _grade(first)
    label = files.paths.get("label")
    reasons = [_named_like(first), by, label[1].name.note and f"label {label[1].name.note}" if label else "", order]
    return Case(
        id=first.case,
        patient=patient,
        timepoint=timepoint,
        corpus=corpus.name,
        grade=grade,
        images=images,
        label=Path(label[0]) if label else None,
        label_sets=label_sets,
        channels=dict(channels) if STACK in paths else {},
        reason="; ".join(reason for reason in reasons if reason),
    )


def _named_like(first: Recognised) -> str:
    said = f"named like {os.path.basename(first.corpus.example)}"
    found = re.search(first.corpus.folder, first.folder, re.IGNORECASE) if first.corpus.folder else None
    return f"{said}, in a folder {os.path.basename(found[0].strip('/'))}" if found else said


def _grade(first: Recognised) -> tuple[str | None, str]:
    """Return the grade that name, folder or corpus tell, and which of them does."""
    if first.name.grade:
        return _GRADES[first.name.grade.lower()], "grade by its name"
    parts = reversed(Path(first.folder).parts) if first.corpus.graded else ()
    for part in parts:
        if part.lower() in _GRADES:
            return _GRADES[part.lower()], f"grade by the folder {part}"
    return first.corpus.grade, "grade of the whole corpus" if first.corpus.grade else ""


def _named(named: Sequence[Case], others: Sequence[Case], manifest: Path | str) -> Sequence[Case]:
    """Return the cases of a manifest, which must have other names than those found so far."""
    known = {case.id.lower() for case in others}
    for case in named:
        if case.id.lower() in known:
            raise OptionError(f"case {case.id} of {manifest} is in another source too; leave one of them out.")
    return named


def _with_facts(case: Case, register: Register) -> Case:
    """Return a case with what the tables say of it; what names, folders and manifests say stays."""
    facts: dict[str, Any] = {}
    sources: dict[str, list[str]] = {}
    for fact, (value, source) in register.facts(case.id).items():
        before = getattr(case, fact)
        if before is None:
            facts[fact] = value
            sources.setdefault(source, []).append(fact.replace("_", " "))
        elif before != value:
            log.warning("%s: %s is %s by its place and %s in %s; the first is taken.", case.id, fact, before, value, source)
    patient = register.patient(case.patient)
    if patient != case.patient:
        sources.setdefault("tables of names", []).append(f"patient ({case.patient})")
    reasons = [case.reason, *(f"{', '.join(named)} by {source}" for source, named in sources.items())]
    return replace(case, patient=patient, reason="; ".join(reasons), **facts)


def _warn_of_programs(cases: Sequence[Case]) -> None:
    counts = Counter(case.corpus for case in cases if "label made by a program" in case.reason)
    for corpus, count in counts.items():
        log.warning("%d cases of %s have a label that a program made and nobody corrected.", count, corpus)


def _nothing(sources: Sequence[Path | str], strangers: Sequence[str]) -> str:
    where = ", ".join(str(s) for s in sources)
    examples = ", ".join(dict.fromkeys(row.example for row in CORPORA.values() if row.example))
    names = ", ".join(os.path.basename(path) for path in strangers[:3])
    there = f"{len(strangers)} files, such as {names}" if strangers else "no files"
    return (
        f"no case found in {where}, where there are {there}; expected names like {examples}"
        f" (or {', '.join(SUFFIXES[1:])}): rename the files, name them in a manifest (.csv, .json), or name another folder."
    )
