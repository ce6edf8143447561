"""The corpora's own tables: grade, age, survival, resection and site of a case, and its names in other years.

A table is recognised by its columns, not by its file name, since mirrors rename files; a row counts if it contains a name that
`patient_of` knows. Cells that cannot be read are left out with a warning: a table never stops a case. Tables in ``.xlsx`` must
be saved as CSV.

Columns (headers of the releases): BraTS 2017 to 2020 ``survival_data.csv``, ``survival_info.csv``, ``name_mapping.csv``;
``BraTS21-17_Mapping.csv`` and its successor of 2023; ``UPENN-GBM_clinical_info_v2.1.csv``; ``UCSF-PDGM-metadata_v5.csv``.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brats3d.cases.patients import is_known_name, patient_of, same_person

log = logging.getLogger(__name__)

MAX_BYTES = 16_000_000
"""Larger files are not tables of cases: 10,000 cases take about one megabyte."""

_MISSING = {"", "na", "nan", "n/a", "none", "unknown", "not available", "not applicable"}
_NAMES = re.compile(r"id|brats(20)?\d\d(subject)?id|brats20\d\d|bratssubjectid|tcgatciasubjectid")
GRADE, AGE, SURVIVAL = "HGG or LGG", "years from 0 to 130", "days"
"""What is expected of a table's cell."""
_GRADES = {"hgg": "HGG", "lgg": "LGG", "4": "HGG", "2": "LGG", "3": None}
"""WHO grade 3 is clinically high but was among the LGG cases of BraTS: it is left open."""


def read_grade(text: str) -> str | None:
    """Return ``HGG`` or ``LGG`` for a grade as written in tables, None for WHO grade 3.

    Args:
        text: ``HGG``, ``LGG``, or the WHO grade.

    Raises:
        ValueError: it is none of them; the message says what is expected.
    """
    grade = re.sub(r"\.0$", "", text.strip().lower())
    if grade not in _GRADES:
        raise ValueError(GRADE)
    return _GRADES[grade]


def read_age(text: str) -> float:
    """Return an age in years.

    Args:
        text: a number.

    Raises:
        ValueError: it is not from 0 to 130; the message says what is expected.
    """
    age = _number(text, AGE)
    if not 0 <= age <= 130:
        raise ValueError(AGE)
    return age


def read_survival(text: str) -> int | None:
    """Return days to death; None if the text says that the patient is alive.

    Args:
        text: a number of days, or words such as ``ALIVE (361 days later)``.

    Raises:
        ValueError: it is neither; the message says what is expected.
    """
    if "alive" in text.lower():
        return None
    days = _number(text, SURVIVAL)
    if not 0 <= days < 50_000:
        raise ValueError(SURVIVAL)
    return round(days)


def _number(text: str, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(expected) from None
    if not math.isfinite(number):
        raise ValueError(expected)
    return number


def _site(text: str) -> str:
    return re.sub(r"\.0$", "", text)


_COLUMNS: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType({
    "grade": ("grade", read_grade),
    "whocnsgrade": ("grade", read_grade),
    "age": ("age", read_age),
    "ageatscanyears": ("age", read_age),
    "ageatmri": ("age", read_age),
    "survival": ("survival_days", read_survival),
    "survivaldays": ("survival_days", read_survival),
    "survivalfromsurgerydaysupdated": ("survival_days", read_survival),
    "os": ("survival_days", read_survival),
    "resectionstatus": ("resection", str),
    "extentofresection": ("resection", str),
    "eor": ("resection", str),
    "gtrover90percent": ("resection", lambda text: {"y": "over 90%", "n": "up to 90%"}.get(text.lower(), text)),
    "site": ("site", _site),
    "sitenorepresentstheoriginatinginstitution": ("site", _site),
})  # fmt: skip
"""Header in lower-case letters and digits → field of a `Case`, and how it is read."""

_LIVING = MappingProxyType({"survivalstatus": ("alive", "lost to follow-up"), "1dead0alive": ("0",)})
"""Header → values that say that the patient has not died after the days given."""


@dataclass(frozen=True)
class Row:
    """What a table says about one case.

    Attributes:
        names: all names the row gives it.
        facts: field of a `Case` → value.
    """

    names: tuple[str, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A file of facts about cases.

    Attributes:
        name: the file's name.
        rows: one row per case.
    """

    name: str
    rows: tuple[Row, ...]


def read_rows(path: Path | str) -> list[dict[str, str]]:
    """Return the rows of a CSV file as header → cell; cells beyond the header are joined under ''.

    Args:
        path: the file, UTF-8, Latin-1, or UTF-16 with byte order mark; separated by commas, semicolons or tabs.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not text, or not CSV.
    """
    raw = Path(path).read_bytes()
    try:
        text = raw.decode("utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restkey="beyond", restval="")
        return [_cells(row) for row in reader]
    except csv.Error as problem:
        raise ValueError(str(problem)) from problem


def _cells(row: Mapping[str, str | list[str]]) -> dict[str, str]:
    """Return header → cell, without columns that have no header; non-empty cells beyond the header are under ''."""
    beyond = [cell.strip() for cells in row.values() if isinstance(cells, list) for cell in cells]
    cells = {name.strip(): cell.strip() for name, cell in row.items() if isinstance(cell, str) and name.strip()}
    return {**cells, "": ", ".join(filter(None, beyond))} if any(beyond) else cells


def read_table(path: Path | str) -> Table | None:
    """Read a table of a corpus.

    Args:
        path: a CSV file.

    Returns:
        The table, or None if the file is not one: it has no column of names, or no known name.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        rows = read_rows(path)
    except (OSError, ValueError):
        return None
    if not rows or not any(_NAMES.fullmatch(_plain(header)) for header in rows[0]):
        return None
    problems: list[str] = []
    found = [_row(row, problems, f"line {number}") for number, row in enumerate(rows, 2)]
    known = tuple(row for row in found if row.names)
    if not known:
        return None
    if problems:
        log.warning("%s: %s; left out%s.", path, problems[0], f", as {len(problems) - 1} more" if len(problems) > 1 else "")
    return Table(path.name, known)


def _row(cells: Mapping[str, str], problems: list[str], where: str) -> Row:
    plain = {_plain(header): text for header, text in cells.items() if text.lower() not in _MISSING}
    names = tuple(text for header, text in plain.items() if _NAMES.fullmatch(header) and is_known_name(text))
    facts: dict[str, Any] = {}
    for header, (fact, read) in _COLUMNS.items():
        if names and header in plain:
            try:
                facts[fact] = read(plain[header])
            except ValueError as expected:
                problems.append(f"{where}, column {header} is {plain[header]!r}; expected {expected}")
    if any(plain.get(header, "").lower() in living for header, living in _LIVING.items()):
        facts.pop("survival_days", None)
    return Row(names, {fact: value for fact, value in facts.items() if value is not None})


def _plain(header: str) -> str:
    return re.sub(r"[^a-z0-9]", "", header.lower())


class Register:
    """What all tables together say: about each case, and which names belong to one person.

    Args:
        tables: in the order in which they were found; if two contradict each other, the first counts, with a warning.
    """

    def __init__(self, tables: Iterable[Table]) -> None:
        self._facts: dict[tuple[str, str | None], dict[str, tuple[Any, str]]] = {}
        links: list[list[str]] = []
        for table in tables:
            for row in table.rows:
                links.append([patient_of(name)[0] for name in row.names])
                for name in row.names:
                    self._add(name, row.facts, table.name)
        self._people = same_person(links)

    def _add(self, name: str, facts: Mapping[str, Any], source: str) -> None:
        known = self._facts.setdefault(_study(name), {})
        for fact, value in facts.items():
            before, where = known.setdefault(fact, (value, source))
            if before != value:
                log.warning("%s: %s is %s in %s and %s in %s; the first is used.", name, fact, before, where, value, source)

    def patient(self, patient: str) -> str:
        """Return the one name for all names of a person; unchanged if no table has it."""
        return self._people.get(patient, patient)

    def facts(self, case_id: str) -> dict[str, tuple[Any, str]]:
        """Return field of a `Case` → (value, name of the table that says so)."""
        return self._facts.get(_study(case_id), {})


def _study(name: str) -> tuple[str, str | None]:
    """Return patient and time point, so that ``BraTS2021_00005`` and ``BraTS-GLI-00005-000`` are the same study."""
    patient, timepoint = patient_of(name)
    return patient.lower(), None if timepoint == "000" else timepoint
