"""One study of one patient, before any image is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brats3d.cases.facts import Facts, KnownFacts
from brats3d.regions import MODALITIES, LabelSet, label_set


@dataclass(frozen=True)
class Case(KnownFacts):
    """One study of one patient: where its files are, and what names, folders and tables say about it.

    Attributes:
        id: name of the case, as spelt in its files.
        facts: patient, corpus, grade and so on; also attributes of the case.
        images: modality → file, in the order of `MODALITIES`; only those that exist.
        label: file of the label, or None.
        label_sets: names of the codings that the names allow for the label, likelier ones first.
        channels: modality → index along the fourth axis of its file; empty if each modality has its own 3-D file.
        reason: how it was recognised, in words.
        coding: the label's coding if a manifest provides one that is not in the table; ``label_sets`` is then its name.
    """

    id: str
    facts: Facts
    images: Mapping[str, Path]
    label: Path | None
    label_sets: tuple[str, ...]
    channels: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    coding: LabelSet | None = None

    @property
    def codings(self) -> tuple[LabelSet, ...]:
        """The codings that ``label_sets`` names."""
        return tuple(label_set(name) for name in self.label_sets) if self.coding is None else (self.coding,)

    @property
    def missing(self) -> tuple[str, ...]:
        """Modalities without a file."""
        return tuple(m for m in MODALITIES if m not in self.images)

    @property
    def files(self) -> tuple[Path, ...]:
        """The case's files, each once, the label last."""
        return tuple(dict.fromkeys([*self.images.values(), *([self.label] if self.label else [])]))

    def describe(self) -> str:
        """Describe what was found of the case and what is missing."""
        found = ", ".join([*self.images, *(["label"] if self.label else [])]) or "nothing"
        return f"{self.id} ({self.corpus}): found {found}" + (f"; missing {', '.join(self.missing)}" if self.missing else "")
