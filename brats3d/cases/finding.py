"""The result of a search for cases, and messages about files that belong to no case."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brats3d.cases.case import Case
from brats3d.cases.corpora import CORPORA
from brats3d.errors import OptionError
from brats3d.images import AS_DICOM, SUFFIXES, is_dicom

log = logging.getLogger(__name__)

NO_IMAGE = "no image, and no table of a corpus"
"""Why a file that does not look like an image belongs to no case."""
_SHOWN = 5
"""Files that a warning names per reason."""
_LOOKED_INTO = 200
"""Files that are examined for DICOM if no case was found."""


@dataclass(frozen=True)
class Finding:
    """The result of a search through folders and manifests.

    Attributes:
        cases: sorted by id.
        read: tables and other files that were read for what they say about cases.
        passed_over: file → why it belongs to no case.
        conflicts: case → why its files contradict each other; such a case has the files that were found first.
    """

    cases: tuple[Case, ...]
    read: tuple[str, ...]
    passed_over: Mapping[str, str]
    conflicts: Mapping[str, str]


def refuse_conflicts(finding: Finding) -> None:
    """Refuse cases whose files contradict each other.

    Args:
        finding: from `look_for_cases`.

    Raises:
        OptionError: there are such cases; the message gives the first, and how many more there are.
    """
    if finding.conflicts:
        first, *others = finding.conflicts.values()
        more = f"; {len(others)} more like it (see --list)" if others else ""
        raise OptionError(f"{first.removesuffix('.')}{more}.")


def warn_of_unused(finding: Finding, used: Collection[str] = ()) -> None:
    """Warn of files that look like images but belong to no case; those beside incomplete cases are named first.

    Args:
        finding: from `look_for_cases`.
        used: absolute paths of files that are used anyway.
    """
    lacking = {str(file.parent.absolute()) for case in finding.cases if case.missing for file in case.files}
    reasons: dict[str, list[str]] = defaultdict(list)
    for path, why in finding.passed_over.items():
        if path not in used and why != NO_IMAGE:
            reasons[why].append(path)
    if reasons:
        said = [
            f"{_some(sorted(paths, key=lambda path: os.path.dirname(path) not in lacking))} ({why})"
            for why, paths in reasons.items()
        ]
        log.warning(
            "%d image files are not used: %s; python -m brats3d.preprocess FOLDER --list shows all.",
            sum(map(len, reasons.values())), "; ".join(said),
        )  # fmt: skip


def _some(paths: Sequence[str]) -> str:
    left = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {left} more" if left > 0 else "")


def nothing_found(sources: Sequence[Path | str], tables: Iterable[str], passed_over: Mapping[str, str]) -> str:
    """Return the message that no case was found: what is there, what was expected, and what to do.

    Args:
        sources: the places searched.
        tables: absolute paths of the tables found.
        passed_over: absolute paths of the other files → why they belong to no case.
    """
    strangers = [*tables, *passed_over]
    where = ", ".join(str(s) for s in sources)
    examples = ", ".join(dict.fromkeys(row.example for row in CORPORA.values() if row.example))
    names = ", ".join(os.path.basename(path) for path in strangers[:3])
    there = f"{len(strangers)} files, such as {names}" if strangers else "no files"
    reasons = Counter(why for why in passed_over.values() if why not in (NO_IMAGE, AS_DICOM))
    if reasons:
        why, count = reasons.most_common(1)[0]
        there += f"; {count} images are skipped: {why}"
    if any(_may_be_dicom(path) for path in strangers[:_LOOKED_INTO]):
        there += (
            "; DICOM is read by python -m brats3d.preprocess FOLDER --raw --out STORE, and masks are predicted on that store"
        )
    return (
        f"no case found in {where}, which has {there}; expected names like {examples}"
        f" (or {', '.join(SUFFIXES[1:])}): rename the files, name them in a manifest (.csv, .json), or name another folder."
    )


def _may_be_dicom(path: str) -> bool:
    return path.lower().endswith((".dcm", ".ima", "dicomdir")) or is_dicom(path)
