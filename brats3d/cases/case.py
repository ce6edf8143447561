"""One study of one patient, before any image is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brats3d.regions import MODALITIES


@dataclass(frozen=True)
class Case:
    """One study of one patient: where its files are, and what names, folders and tables tell.

    Attributes:
        id: name of the case, as its files spell it.
        patient: the person; equal for all known names and time points of one patient.
        timepoint: last field of the name where it counts studies, or None.
        corpus: name of a row of `CORPORA`.
        grade: ``HGG``, ``LGG``, or None where neither name, folders nor tables say.
        images: modality → file, in the order of `MODALITIES`; only those at hand.
        label: file of the label, or None.
        label_sets: codings that the names allow for the label, the likelier first.
        channels: modality → index along the fourth axis of its file; empty where each modality has a 3-D file of its own.
        age: years, as the corpus' tables say, or None.
        survival_days: days from diagnosis or surgery to death, as the tables say; None for those who live, too.
        resection: how much was resected, in the tables' own words, or None.
        site: where it was scanned, as the tables number or name it, or None.
        reason: how it was recognised, as words.
    """

    id: str
    patient: str
    timepoint: str | None
    corpus: str
    grade: str | None
    images: Mapping[str, Path]
    label: Path | None
    label_sets: tuple[str, ...]
    channels: Mapping[str, int] = field(default_factory=dict)
    age: float | None = None
    survival_days: int | None = None
    resection: str | None = None
    site: str | None = None
    reason: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Modalities without a file."""
        return tuple(m for m in MODALITIES if m not in self.images)

    @property
    def files(self) -> tuple[Path, ...]:
        """The case's files, each once, the label last."""
        return tuple(dict.fromkeys([*self.images.values(), *([self.label] if self.label else [])]))

    def describe(self) -> str:
        """Return what was found of the case and what is missing, as words."""
        found = ", ".join([*self.images, *(["label"] if self.label else [])]) or "nothing"
        return f"{self.id} ({self.corpus}): found {found}" + (f"; missing {', '.join(self.missing)}" if self.missing else "")
