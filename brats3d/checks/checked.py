"""What may be wrong with one case: one table of checks.

A *refusal* is for faults that are certain, from values, counts and positions of voxels, and that would do harm. What only the
look of the images suggests is a *warning*, never a refusal: it says what is suspicious or unusual, and the case is accepted.
Each refusal can be accepted by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from brats3d.checks import faults
from brats3d.checks.evidence import Evidence
from brats3d.errors import CaseError, check_list, check_option
from brats3d.store import PreparedCase


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: its name in `CHECKS`.
        severity: ``refuse``, or ``warn``; an accepted refusal becomes ``warn``.
        sentence: what was found, where, and what was expected.
    """

    check: str
    severity: Literal["refuse", "warn"]
    sentence: str


@dataclass(frozen=True)
class Check:
    """A row of the table.

    Attributes:
        severity: ``refuse`` or ``warn``.
        meaning: what it finds, in words.
        find: evidence → what was found, in words, or None.
        unless: checks whose findings imply this one; it is skipped after them.
        spared: words in the names of corpora that are like that by design, and only get a warning.
    """

    severity: Literal["refuse", "warn"]
    meaning: str
    find: Callable[[Evidence], str | None]
    unless: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()


_MISTAKEN = ("background", "copied", "unregistered", "mirrored")
"""If a modality is not what or where its name says, nothing can be said about swaps."""
CHECKS: Mapping[str, Check] = MappingProxyType({
    "background": Check("refuse", "the background is a constant other than 0", faults.find_background),
    "copied": Check("refuse", "one modality is a copy of another", faults.find_copied),
    "skull": Check("refuse", "the scans are not skull-stripped", faults.find_skull, ("background",), spared=("MEN-RT", "PED")),
    "label_outside": Check("refuse", "most of the label is outside the brain", faults.find_label_outside),
    "label_beyond": Check("warn", "part of the label is outside the brain", faults.find_label_beyond),
    "unregistered": Check("warn", "a modality may not be aligned with the others", faults.find_unregistered, ("copied",)),
    "mirrored": Check("warn", "a modality may be mirrored", faults.find_mirrored, ("copied", "unregistered")),
    "bright_rim": Check("warn", "skull may be left", faults.find_bright_rim, ("background", "skull")),
    "swapped": Check("warn", "two modalities may be swapped", faults.find_swapped, _MISTAKEN),
    "misplaced": Check("warn", "the label marks what looks like normal brain; it may be mirrored", faults.find_misplaced,
                       ("background", "label_outside")),
    "partial": Check("warn", "a modality covers only part of the brain", faults.find_partial, ("unregistered",)),
    "spacing": Check("warn", "the voxels are not 1 mm", faults.find_spacing),
    "cropped": Check("warn", "the brain was cut off", faults.find_cropped, ("background", "skull", "bright_rim")),
    "normalised": Check("warn", "the intensities were already normalised", faults.find_normalised, ("background",)),
    "year": Check("warn", "a label value contradicts the year in the name", faults.find_year),
})  # fmt: skip
"""Name, as ``--accept`` takes it → check."""


def check_names(accept: Sequence[str]) -> tuple[str, ...]:
    """Return the names of checks in options that each name one or, as ``NAME,NAME``, several.

    Args:
        accept: the options.

    Raises:
        OptionError: there is no check of a name.
    """
    check_list("accept", accept)
    names = tuple(name.strip() for text in accept for name in text.split(","))
    for name in names:
        check_option("accept", name, CHECKS)
    return names


def check_case(prepared: PreparedCase, accept: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Check a prepared case.

    Args:
        prepared: the case; it may lack a label, and have fewer than four modalities.
        accept: names of checks whose refusals become warnings.

    Returns:
        The warnings, in the order of `CHECKS`; empty for a typical BraTS case.

    Raises:
        CaseError: a refusal that is not accepted; the message says what was found and how to accept the case anyway.
        OptionError: there is no check of a name in ``accept``.
    """
    accept = check_names(accept)
    seen = Evidence(prepared)
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        before = {finding.check for finding in findings}
        said = None if before.intersection(check.unless) else check.find(seen)
        if said is not None:
            mild = name in accept or any(word in prepared.corpus for word in check.spared)
            findings.append(Finding(name, "warn" if mild else check.severity, f"case {prepared.id}: {said}."))
    refused = [finding for finding in findings if finding.severity == "refuse"]
    if refused:
        said = " ".join(finding.sentence for finding in refused)
        names = ",".join(finding.check for finding in refused)
        raise CaseError(f"{said[:-1]}; if that is intended, use --accept {names}.")
    return tuple(findings)


def checked(prepared: PreparedCase, accept: Sequence[str] = ()) -> PreparedCase:
    """Return a prepared case with the warnings of `check_case` in its header.

    Args:
        prepared: the case.
        accept: as for `check_case`.

    Raises:
        CaseError: a refusal that is not accepted.
        OptionError: there is no check of a name in ``accept``.
    """
    found = tuple(finding.sentence for finding in check_case(prepared, accept))
    return replace(prepared, header=replace(prepared.header, warnings=(*prepared.header.warnings, *found)))
