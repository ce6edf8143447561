"""Who a case is: the patient and the time point that its name gives away.

Two names of one patient must never lie on both sides of a split. What names tell: the challenges of 2017, 2018 and 2019
kept a case's suffix, only that 2018 put the collection's two digits behind ``TCIA`` (``Brats17_TCIA_623_1`` is
``Brats18_TCIA13_623_1``; no number occurs in two collections); BraTS-GLI-n of 2023 is BraTS2021_n; the last field is the
time point; names of BIDS begin with ``sub-PATIENT`` and go on with ``_ses-VISIT`` where there are several visits. What they
do not tell: 2020 and 2021 renumbered all cases, and the numbers of 2015 are not those of 2017 (``brats_2013_pat0006_1`` is
``Brats18_2013_20_1``), so those names are never brought together.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]


def _rule(pattern: str, patient: Callable[[re.Match[str]], str]) -> _Rule:
    return re.compile(pattern, re.IGNORECASE), patient


_RULES: tuple[_Rule, ...] = (
    _rule(r"brats1[789]_(?P<name>\w+)_(?P<time>\d+)", lambda m: re.sub(r"^TCIA\d\d_", "TCIA_", m["name"].upper())),
    _rule(r"brats2021_(?P<number>\d+)(?P<time>)", lambda m: f"BraTS-GLI-{m['number']:0>5}"),
    _rule(
        r"brats-(?P<task>[a-z]+)-(?P<number>\d+)-(?P<time>\d{3})",
        lambda m: f"BraTS-{m['task'].upper()}-{m['number']}",
    ),
    _rule(r"(?P<name>sub-[a-z0-9]+)(?:_ses-(?P<time>[a-z0-9]+))?(?:_.*)?", lambda m: m["name"].lower()),
    _rule(r"brats_(?P<name>(?:2013|tcia)_pat\d+)_(?P<time>\d+)", lambda m: f"brats_{m['name'].lower()}"),
)


def patient_of(case_id: str) -> tuple[str, str | None]:
    """Return the patient and the time point of a case, as far as its name tells them.

    Args:
        case_id: name of a case, such as ``Brats18_CBICA_ABM_1`` or ``BraTS-GLI-00005-100``.

    Returns:
        Patient, equal for all known names of one person, and time point or None. A name of no known kind is its own
        patient. Case is ignored in names of known kinds.
    """
    for pattern, patient in _RULES:
        found = pattern.fullmatch(case_id)
        if found:
            return patient(found), found["time"] or None
    return case_id, None
