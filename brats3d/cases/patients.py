"""The patient and the time point of a case, as far as its name gives them.

Two names of one patient must never be on both sides of a split. What names say: the challenges of 2017, 2018 and 2019 kept a
case's suffix, except that 2018 put the collection's two digits after ``TCIA`` (``Brats17_TCIA_623_1`` is
``Brats18_TCIA13_623_1``; no number occurs in two collections); BraTS-GLI-n of 2023 is BraTS2021_n; the last field is the time
point; BIDS names start with ``sub-PATIENT``, followed by ``_ses-VISIT`` if there are several visits. UCSF-PDGM writes a
patient's number with four digits in files and three in its table, and six cases of its first release are second scans of other
patients. What names do not say: 2020 and 2021 renumbered all cases, and the numbers of 2015 are not those of 2017
(``brats_2013_pat0006_1`` is ``Brats18_2013_20_1``), so only a table can link those (``name_mapping.csv``,
``BraTS21-17_Mapping.csv``: `same_person`). The decathlon's cases are renamed ones of 2016 and 2017, and no table says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

_Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

_UCSF_SECOND_SCANS = {315: 433, 278: 431, 175: 396, 138: 429, 181: 409, 289: 391}
"""Number in the first release → the patient's own."""


def _rule(pattern: str, patient: Callable[[re.Match[str]], str]) -> _Rule:
    return re.compile(pattern, re.IGNORECASE), patient


def _ucsf(found: re.Match[str]) -> str:
    number = int(found["number"])
    return f"UCSF-PDGM-{_UCSF_SECOND_SCANS.get(number, number):04d}"


_RULES: tuple[_Rule, ...] = (
    _rule(r"brats1[789]_(?P<name>\w+)_(?P<time>\d+)", lambda m: re.sub(r"^TCIA\d\d_", "TCIA_", m["name"].upper())),
    _rule(r"(?P<name>tcga-\w\w-\w{4})(?P<time>)", lambda m: m["name"].upper()),
    _rule(r"brats2021_(?P<number>\d+)(?P<time>)", lambda m: f"BraTS-GLI-{m['number']:0>5}"),
    _rule(r"brats-men-rt-(?P<number>\d+)-(?P<time>\d+)", lambda m: f"BraTS-MEN-RT-{m['number']}"),
    _rule(
        r"brats-(?P<task>[a-z]+)-(?P<number>\d+)-(?P<time>\d{3})",
        lambda m: f"BraTS-{m['task'].upper()}-{m['number']}",
    ),
    _rule(r"upenn-gbm-(?P<number>\d+)_(?P<time>\d+)", lambda m: f"UPENN-GBM-{m['number']}"),
    _rule(r"ucsf-pdgm-(?P<number>\d+)(?:_(?P<time>fu\d+d))?", _ucsf),
    _rule(r"brats20_(?P<part>[a-z]+)_(?P<number>\d+)(?P<time>)", lambda m: f"BraTS20_{m['part'].capitalize()}_{m['number']}"),
    _rule(r"(?P<name>sub-[a-z0-9]+)(?:_ses-(?P<time>[a-z0-9]+))?(?:_.*)?", lambda m: m["name"].lower()),
    _rule(r"brats_(?P<name>(?:2013|tcia)_pat\d+)_(?P<time>\d+)", lambda m: f"brats_{m['name'].lower()}"),
)
"""Names of known kinds."""


def patient_of(case_id: str) -> tuple[str, str | None]:
    """Return the patient and the time point of a case, as far as its name gives them.

    Args:
        case_id: name of a case, such as ``Brats18_CBICA_ABM_1`` or ``BraTS-GLI-00005-100``.

    Returns:
        Patient, equal for all known names of one person, and time point or None. A name of no known kind is a separate
        patient. Letter case is ignored in names of known kinds.
    """
    for pattern, patient in _RULES:
        found = pattern.fullmatch(case_id)
        if found:
            return patient(found), found["time"] or None
    return case_id, None


def is_known_name(text: str) -> bool:
    """Return whether a text is a case name of a known kind."""
    return any(pattern.fullmatch(text) for pattern, _ in _RULES)


def same_person(links: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return patient → the one name for a person, for patients linked by tables.

    Names are joined across tables: if one says that a is b and another that b is c, all three are one person. Their one name is
    that of BraTS 2017 to 2019 if there is one, since cases of those years have it without a table.

    Args:
        links: sequences of patients, as named by `patient_of`, who are one person.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    for names in links:
        for name in names:
            parent[root(name)] = root(names[0])
    people: dict[str, list[str]] = {}
    for name in parent:
        people.setdefault(root(name), []).append(name)
    return {name: min(names, key=_precedence) for names in people.values() for name in names}


_PATIENT_KINDS = ("TCGA-", "BraTS-", "UPENN-", "UCSF-", "BraTS20_", "sub-", "brats_")


def _precedence(patient: str) -> tuple[int, str]:
    kind = next((i for i, start in enumerate(_PATIENT_KINDS, 1) if patient.startswith(start)), 0)
    return kind, patient
