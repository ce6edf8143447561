"""Finds cases in a folder, however nested, or in a manifest.

One walk lists all files; each file's name (or that of the folder representing it) gives corpus, case and modality; files of one
case are in one folder, or in the separate folders of its corpus for labels and images. No images are opened, except for the
first bytes of files without a suffix, which may be DICOM; tables that come with the corpora are read for grade, age, survival,
resection and site, and for names that belong to one patient.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from brats3d.cases.case import Case
from brats3d.cases.corpora import CORPORA, STACK, corpus_of
from brats3d.cases.corpus_tables import Register
from brats3d.cases.facts import Facts
from brats3d.cases.finding import Finding, nothing_found, refuse_conflicts, warn_of_unused
from brats3d.cases.gather import CaseFiles, gather
from brats3d.cases.manifest import SUFFIXES_OF_MANIFESTS, read_manifest
from brats3d.cases.names import CHANNEL
from brats3d.cases.patients import patient_of
from brats3d.cases.recognise import Recognised
from brats3d.cases.stacks import NAME, Stack, read_numbered, read_stack
from brats3d.errors import NoCasesError, OptionError
from brats3d.regions import MODALITIES

log = logging.getLogger(__name__)

_GRADES = {"hgg": "HGG", "hg": "HGG", "lgg": "LGG", "lg": "LGG"}


def find_cases(source: Path | str | Sequence[Path | str]) -> list[Case]:
    """Find the cases below one folder or several, whatever their nesting, or in manifests.

    The rows of `CORPORA` are recognised: one folder per case, flat files, one folder per file, wrapping folders, any letter
    case, BIDS, nnU-Net's numbered channels, the decathlon's 4-D files, and free names that end in a modality
    (`brats3d.spellings`). Hidden files are skipped; unused images are named in a warning. If a file exists with several
    suffixes, the first of `images.SUFFIXES` counts; if a case has a manual and an automatic label, the manual one.

    Args:
        source: a folder or a manifest (``.csv``, ``.json``: `read_manifest`), or several.

    Returns:
        All cases, sorted by id, including incomplete and unlabelled ones (`Case.missing`).

    Raises:
        NoCasesError: a source does not exist or is a file of another kind, or nothing is recognised in any of them; the message
            says what was expected and what is there.
        OptionError: a case is in two folders, two files claim to be the same modality of a case, or a manifest or a
            ``dataset.json`` is wrong or missing.
    """
    finding = look_for_cases(source)
    refuse_conflicts(finding)
    warn_of_unused(finding)
    return list(finding.cases)


def look_for_cases(source: Path | str | Sequence[Path | str]) -> Finding:
    """Find cases as `find_cases` does, and also return what was skipped and what is contradictory.

    Args:
        source: a folder or a manifest, or several.

    Raises:
        NoCasesError: as `find_cases`.
        OptionError: a manifest or a ``dataset.json`` is wrong or missing.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    manifests = [s for s in sources if os.path.isfile(s) and str(s).lower().endswith(SUFFIXES_OF_MANIFESTS)]
    folders = [s for s in sources if s not in manifests]
    for folder in folders:
        if not os.path.isdir(folder):
            what = "is a file" if os.path.exists(folder) else "does not exist"
            raise NoCasesError(f"{folder} {what}; expected a folder of scans, or a manifest (.csv, .json).")
    listed = {os.path.abspath(manifest): read_manifest(manifest) for manifest in manifests}
    gathered = gather(folders, {path: [file for case in found for file in case.files] for path, found in listed.items()})
    stacks = _stacks(gathered.cases)
    cases = [_case(files, stacks) for files in gathered.cases]
    for manifest, found in listed.items():
        cases += _named(found, cases, manifest)
    if not cases:
        raise NoCasesError(nothing_found(sources, gathered.tables, gathered.passed_over))
    descriptions = {path for home, _ in stacks if os.path.isfile(path := os.path.join(home, NAME))}
    for path in (*descriptions, *listed):
        gathered.passed_over.pop(path, None)
    _pass_over_channels(gathered.cases, stacks, gathered.passed_over)
    register = Register(gathered.tables.values())
    known = sorted((_with_facts(case, register) for case in cases), key=lambda case: case.id)
    _warn_of_programs(known)
    return Finding(tuple(known), (*gathered.tables, *sorted(descriptions)), gathered.passed_over, gathered.conflicts)


def _stacks(found: Iterable[CaseFiles]) -> dict[tuple[str, str], Stack]:
    """Return folder and corpus → what ``dataset.json`` says, for data sets with all modalities in one file or with numbers.

    Labels on their own can do without it: their names then count.
    """
    parts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for files in found:
        if _described(files.first):
            key = files.first.home, files.first.corpus.name
            parts[key] |= {"labels" if kind == "label" else "images" for kind in files.paths}
    stacks = {}
    for (home, name), there in parts.items():
        corpus = CORPORA[name]
        if corpus.stacked:
            stacks[home, name] = read_stack(home, corpus)
        elif "images" in there or os.path.isfile(os.path.join(home, NAME)):
            stacks[home, name] = read_numbered(home, corpus, there)
    return stacks


def _case(files: CaseFiles, stacks: Mapping[tuple[str, str], Stack]) -> Case:
    first, corpus = files.first, files.first.corpus
    patient, timepoint = patient_of(first.case)
    if files.place and files.place.patient:
        patient, timepoint = patient_of(files.place.patient)[0], files.place.timepoint
    paths = {kind: path for kind, (path, _) in files.paths.items()}
    stack = stacks.get((first.home, corpus.name))
    if _described(first) and stack is None:
        named = corpus_of(first.case, first.folder)
        corpus = named if named.binding else corpus
    channels, label_sets, order = stack or ({}, corpus.label_sets, "")
    if STACK in paths:
        images = {m: Path(paths[STACK]) for m in channels}
    else:
        kinds = {m: f"{CHANNEL}{channels[m]}" if m in channels else m for m in MODALITIES}
        images = {m: Path(paths[kind]) for m, kind in kinds.items() if kind in paths}
    grade, by = _grade(first)
    label = files.paths.get("label")
    reasons = [_named_like(first), by, label[1].name.note and f"label {label[1].name.note}" if label else "", order]
    return Case(
        id=first.case,
        facts=Facts(patient, timepoint, corpus.name, grade),
        images=images,
        label=Path(label[0]) if label else None,
        label_sets=label_sets,
        channels=dict(channels) if STACK in paths else {},
        reason="; ".join(reason for reason in reasons if reason),
    )


def _described(first: Recognised) -> bool:
    """Return whether a ``dataset.json`` says what the case's files are."""
    return bool(first.corpus.stacked) or first.corpus is CORPORA["nnU-Net"]


def _pass_over_channels(
    found: Iterable[CaseFiles], stacks: Mapping[tuple[str, str], Stack], passed_over: dict[str, str]
) -> None:
    """Note the numbered channels that are not in their ``dataset.json``."""
    for files in found:
        channels, _, _ = stacks.get((files.first.home, files.first.corpus.name), ({}, (), ""))
        known = {f"{CHANNEL}{index}" for index in channels.values()}
        for kind, (path, _) in files.paths.items():
            if kind.startswith(CHANNEL) and kind not in known:
                passed_over[path] = f"dataset.json has no {kind}"


def _named_like(first: Recognised) -> str:
    said = f"named like {os.path.basename(first.corpus.example or CORPORA['plain'].example)}"
    found = re.search(first.corpus.folder, first.folder, re.IGNORECASE) if first.corpus.folder else None
    return f"{said}, in a folder {os.path.basename(found[0].strip('/'))}" if found else said


def _grade(first: Recognised) -> tuple[str | None, str]:
    """Return the grade given by name, folder or corpus, and which of them gives it."""
    if first.name.grade:
        return _GRADES[first.name.grade.lower()], "grade by its name"
    parts = reversed(Path(first.folder).parts) if first.corpus.graded else ()
    for part in parts:
        if part.lower() in _GRADES:
            return _GRADES[part.lower()], f"grade by the folder {part}"
    return first.corpus.grade, "grade of the whole corpus" if first.corpus.grade else ""


def _named(named: Sequence[Case], others: Sequence[Case], manifest: Path | str) -> Sequence[Case]:
    """Return the cases of a manifest, whose names must differ from those found so far."""
    known = {case.id.lower() for case in others}
    for case in named:
        if case.id.lower() in known:
            raise OptionError(f"case {case.id} of {manifest} is also in another source; leave one of them out.")
    return named


def _with_facts(case: Case, register: Register) -> Case:
    """Return a case with what the tables say about it; names, folders and manifests take precedence."""
    facts: dict[str, Any] = {}
    sources: dict[str, list[str]] = {}
    for fact, (value, source) in register.facts(case.id).items():
        before = getattr(case, fact)
        if before is None:
            facts[fact] = value
            sources.setdefault(source, []).append(fact.replace("_", " "))
        elif before != value:
            log.warning("%s: %s is %s by its place and %s in %s; the first is used.", case.id, fact, before, value, source)
    patient = register.patient(case.patient)
    if patient != case.patient:
        sources.setdefault("tables of names", []).append(f"patient ({case.patient})")
    reasons = [case.reason, *(f"{', '.join(named)} by {source}" for source, named in sources.items())]
    return replace(case, facts=replace(case.facts, patient=patient, **facts), reason="; ".join(reasons))


def _warn_of_programs(cases: Sequence[Case]) -> None:
    counts = Counter(case.corpus for case in cases if "label made by a program" in case.reason)
    for corpus, count in counts.items():
        log.warning("%d cases of %s have a label made by a program and not corrected by hand.", count, corpus)
