"""What preprocessing finds in a source, and why, without reading an image or writing a file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brats3d.cases import Case, Finding, binds, look_for_cases
from brats3d.console import text_table

_SHOWN = 20
"""Skipped files that the text names one by one; ``as_dict`` holds them all."""

_HEADER = ("case", "corpus", "patient", "grade", "modalities", "missing", "label", "label set", "recognised by")


@dataclass(frozen=True)
class CaseListing:
    """The cases of a source.

    Attributes:
        cases: case id → what is known about it: corpus, patient, time point, grade, age, survival, resection, site, the files'
            names by modality, what is missing, label, candidates for its label set and whether its name or the images decide,
            and how it was recognised.
        read: tables and other files that were read for facts about cases.
        passed_over: file → why it belongs to no case.
        refused: case → why its files contradict each other; `build_store` does not start while there is one.
    """

    cases: dict[str, dict[str, Any]]
    read: tuple[str, ...]
    passed_over: dict[str, str]
    refused: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the listing as plain values."""
        return asdict(self)

    def as_text(self) -> str:
        """Return the listing as a table, with counts and the skipped files below it."""
        rows = [
            [name, r["corpus"], r["patient"], r["grade"], " ".join(r["images"]), " ".join(r["missing"]) or None,
             "yes" if r["label"] else "no", _told(r["label_sets"], r["label_set_by"]), r["reason"]]
            for name, r in self.cases.items()
        ]  # fmt: skip
        return "\n".join([text_table(_HEADER, rows), "", *self._counts(), *self._passed_over()])

    def _counts(self) -> list[str]:
        counts = Counter(r["corpus"] for r in self.cases.values())
        corpora = ", ".join(f"{count} of {corpus}" for corpus, count in sorted(counts.items()))
        people = len({r["patient"] for r in self.cases.values()})
        lacking = sum(bool(r["missing"]) for r in self.cases.values())
        bare = sum(not r["label"] for r in self.cases.values())
        lines = [
            f"{len(self.cases)} cases of {people} patients: {corpora}",
            f"{lacking} without all four modalities, {bare} without a label, {len(self.refused)} that contradict themselves",
        ]
        return lines + [f"read: {', '.join(self.read)}"] * bool(self.read)

    def _passed_over(self) -> list[str]:
        shown = list(self.passed_over.items())[:_SHOWN]
        lines = [f"skipped: {file} ({why})" for file, why in shown]
        left = len(self.passed_over) - len(shown)
        return lines + [f"skipped: {left} more files, listed with --json"] * (left > 0)


def list_cases(source: Sequence[Path | str] | Path | str) -> CaseListing:
    """List the cases that preprocessing would find, and why; nothing is written.

    Args:
        source: folders that hold cases of any BraTS year, nested in any way, or manifests (.csv, .json).

    Returns:
        The listing; cases whose files contradict each other are also in its ``refused``.

    Raises:
        NoCasesError: a source does not exist, or nothing in any of them is recognised.
        OptionError: a manifest or a ``dataset.json`` is wrong.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    finding = look_for_cases(sources)
    roots = [os.path.abspath(s) for s in sources if os.path.isdir(s)]
    return CaseListing(
        {case.id: _row(case) for case in finding.cases},
        tuple(_short(file, roots) for file in finding.read),
        _passed_over(finding, roots),
        dict(finding.conflicts),
    )


def _row(case: Case) -> dict[str, Any]:
    return {
        "corpus": case.corpus,
        "patient": case.patient,
        "timepoint": case.timepoint,
        "grade": case.grade,
        "age": case.age,
        "survival_days": case.survival_days,
        "resection": case.resection,
        "site": case.site,
        "images": {m: _part(file.name, case.channels.get(m)) for m, file in case.images.items()},
        "missing": list(case.missing),
        "label": case.label.name if case.label else None,
        "label_sets": list(case.label_sets) if case.label else [],
        "label_set_by": ("name" if binds(case) else "images") if case.label else None,
        "reason": case.reason,
    }


def _told(label_sets: Sequence[str], by: str | None) -> str:
    """Return what a label may follow: names without a year only suggest it."""
    return " or ".join(label_sets) + (", or as the images say" if by == "images" else "")


def _part(name: str, channel: int | None) -> str:
    return name if channel is None else f"{name}, channel {channel}"


def _passed_over(finding: Finding, roots: Sequence[str]) -> dict[str, str]:
    return {_short(file, roots): why for file, why in finding.passed_over.items()}


def _short(file: str, roots: Sequence[str]) -> str:
    """Return a file's path from the source that holds it; the whole path if several sources could be meant."""
    return os.path.relpath(file, roots[0]) if len(roots) == 1 else file
