"""Your own cases, named one by one: a CSV or JSON file that assigns files to the modalities of cases.

CSV has one line per case, JSON a list of objects (or one under the key ``cases``); the keys are `KEYS`, of which only ``case``
and one modality are required. A relative path starts at the manifest's own folder, so that it can be moved with its scans. A
label set is the name of a known one, or the path of a file with your own (`regions.find_label_set`). Chosen over patterns of
file names, since names are never entirely regular, and a table can be made and checked with any tool.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brats3d.cases.case import Case
from brats3d.cases.corpora import CORPORA, MANIFEST
from brats3d.cases.corpus_tables import read_age, read_grade, read_rows, read_survival
from brats3d.cases.facts import Facts
from brats3d.cases.letters import other_letter_case
from brats3d.cases.patients import patient_of
from brats3d.errors import OptionError, check_keys, check_option
from brats3d.images import SUFFIXES, strip_suffix
from brats3d.regions import LABEL_SET_FILES, MODALITIES, LabelSet, find_label_set, two_meanings

KEYS = (
    "case", *MODALITIES, "label", "label_set", "corpus", "patient", "timepoint", "grade", "age", "survival_days", "resection",
    "site",
)  # fmt: skip
"""What a manifest may record of a case."""

SUFFIXES_OF_MANIFESTS = (".csv", ".json")
_READ = {"grade": read_grade, "age": read_age, "survival_days": read_survival}


def read_manifest(path: Path | str) -> list[Case]:
    """Read the cases that a manifest names.

    Args:
        path: a ``.csv`` or ``.json`` file.

    Returns:
        The cases in the file's order. Labels without a ``label_set`` are decided like those of plain names: by values and
        images, most likely L17 or L23.

    Raises:
        OptionError: the file cannot be read, has an unknown column or lacks a required one, names a case twice or by
            something that cannot be a file name, names no image of a case, a file that does not exist, is not an image or is
            named twice, or an invalid label set, corpus, grade, age or survival, or two label sets with the same name.
    """
    path = Path(path).absolute()
    entries = _entries_of_csv(path) if path.suffix.lower() == ".csv" else _entries_of_json(path)
    if not entries:
        raise OptionError(f"{path}: names no case; expected one per line, under a header such as case,t1,t1ce,t2,flair,label.")
    cases: dict[str, Case] = {}
    owners: dict[Path, str] = {}
    for where, entry in entries:
        case = _case(path, where, entry)
        if case.id.lower() in cases:
            letters = other_letter_case(cases[case.id.lower()].id, case.id)
            raise OptionError(f"{where}: case {case.id!r} occurs twice; expected each case once{letters}.")
        cases[case.id.lower()] = case
        _own(where, case, owners)
    both = two_meanings(case.coding for case in cases.values() if case.coding is not None)
    if both:
        raise OptionError(f"{path}: {both}; give one of them another name.")
    return list(cases.values())


def _entries_of_csv(path: Path) -> Sequence[tuple[str, Mapping[str, str]]]:
    try:
        rows = read_rows(path)
    except (OSError, ValueError) as problem:
        raise OptionError(f"{path}: cannot be read ({problem}); expected a CSV file with one line per case.") from problem
    entries = []
    for number, row in enumerate(rows, 2):
        where, beyond = f"{path}: line {number}", row.pop("", "")
        if beyond:
            raise OptionError(
                f"{where}: has more cells than the header ({beyond!r} is beyond it); expected as many: quote a cell that holds"
                " the separator, such as a decimal comma."
            )
        if any(row.values()):
            entries.append((where, {header.lower(): cell for header, cell in row.items()}))
    if entries:
        _check_header(str(path), list(entries[0][1]))
    return entries


def _entries_of_json(path: Path) -> Sequence[tuple[str, Mapping[str, str]]]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as problem:
        raise OptionError(f"{path}: cannot be read as JSON ({problem}); expected a list of cases.") from problem
    if isinstance(content, dict) and list(content) == ["cases"]:
        content = content["cases"]
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise OptionError(f'{path}: holds no list of cases; expected [{{"case": "p1", "t1": "p1/t1.nii.gz", …}}, …].')
    entries = []
    for number, entry in enumerate(content, 1):
        where = f"{path}: entry {number}"
        check_keys(where, entry, KEYS)
        bad = next((k for k, v in entry.items() if isinstance(v, bool) or not isinstance(v, str | int | float | None)), None)
        if bad:
            raise OptionError(f"{where}: {bad} is {entry[bad]!r}; expected a text or a number.")
        entries.append((where, {key: "" if value is None else str(value).strip() for key, value in entry.items()}))
    return entries


def _check_header(where: str, header: Sequence[str]) -> None:
    check_keys(where, header, KEYS)
    if "case" not in header or not set(MODALITIES) & set(header):
        raise OptionError(
            f"{where}: has the columns {', '.join(header)}; expected case and at least one of {', '.join(MODALITIES)}."
        )


def _case(path: Path, where: str, entry: Mapping[str, str]) -> Case:
    name = entry.get("case", "")
    if not name or name.startswith(".") or any(sign in name for sign in '/\\\0\n\r\t:*?"<>|'):
        raise OptionError(f"{where}: case is {name!r}; expected a valid file name, such as patient_012.")
    files = {key: _file(path, where, key, entry[key]) for key in (*MODALITIES, "label") if entry.get(key)}
    images = {m: files[m] for m in MODALITIES if m in files}
    if not images:
        raise OptionError(
            f"{where}: names no image of case {name}; expected a file for at least one of {', '.join(MODALITIES)}."
        )
    if entry.get("corpus"):
        check_option(f"{where}: corpus", entry["corpus"], CORPORA)
    coding = _label_set(path, where, entry["label_set"]) if entry.get("label_set") else None
    corpus = CORPORA[entry.get("corpus") or MANIFEST]
    patient, timepoint = patient_of(name)
    read = {key: _read(where, key, entry[key]) for key in _READ if entry.get(key)}
    return Case(
        id=name,
        facts=Facts(
            patient=entry.get("patient") or patient,
            timepoint=entry.get("timepoint") or timepoint,
            corpus=corpus.name,
            grade=read.get("grade"),
            age=read.get("age"),
            survival_days=read.get("survival_days"),
            resection=entry.get("resection") or None,
            site=entry.get("site") or None,
        ),
        images=images,
        label=files.get("label"),
        label_sets=corpus.label_sets if coding is None else (coding.name,),
        reason=f"named in {path.name}",
        coding=coding if coding is not None and coding.own else None,
    )


def _label_set(path: Path, where: str, text: str) -> LabelSet:
    """Return the label set that a cell names: a row of the table, or a file whose path starts at the manifest's folder."""
    try:
        return find_label_set(path.parent / text if Path(text).suffix.lower() in LABEL_SET_FILES else text)
    except OptionError as problem:
        raise OptionError(f"{where}: {problem}") from problem


def _file(path: Path, where: str, key: str, text: str) -> Path:
    file = path.parent / text
    if strip_suffix(file.name) == file.name:
        raise OptionError(
            f"{where}: {key} is {text!r}; expected an image file ({', '.join(SUFFIXES[:3])}) or one in"
            f" {', '.join(SUFFIXES[3:])}."
        )
    if not file.is_file():
        beside = "" if Path(text).is_absolute() else " (relative paths start at the manifest's folder)"
        raise OptionError(f"{where}: {key} is {file}, which does not exist; correct the path{beside}.")
    return file


def _own(where: str, case: Case, owners: dict[Path, str]) -> None:
    """Refuse a file that is named twice: one scan in two cases leaks across folds, and in two modalities it is a mistake."""
    for key, file in (*case.images.items(), *([("label", case.label)] if case.label else [])):
        owner = owners.setdefault(file, f"{key} of {case.id}")
        if owner != f"{key} of {case.id}":
            raise OptionError(f"{where}: {file} is {key} of {case.id} and also {owner}; expected different files.")


def _read(where: str, key: str, text: str) -> Any:
    try:
        return _READ[key](text)
    except ValueError as expected:
        raise OptionError(f"{where}: {key} is {text!r}; expected {expected}.") from expected
