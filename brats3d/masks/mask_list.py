"""What ``predictions.json`` records of the masks beside it, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from brats3d.images import SourceFile
from brats3d.regions import LabelSet

Kind = Literal["regions", "labels"]
"""What the channels of a model are: overlapping regions, or the values of a label set, one per voxel."""


@dataclass(frozen=True)
class MemberFile:
    """One file of a model.

    Attributes:
        file: its name, without folders.
        checksum: its sha256, hexadecimal.
    """

    file: str
    checksum: str


@dataclass(frozen=True)
class MaskModel:
    """The model that predicted the masks of a folder, and what it gives.

    Attributes:
        file: name of the model's or the pipeline's file, without folders.
        checksum: its sha256, hexadecimal.
        members: the networks' files; several if it is an ensemble. None in lists of schema 1.
        combine: how the members are combined; empty if there is one.
        kind: what the channels are.
        channels: names of the channels of the probabilities, in order: regions, or values of the label set as text. None if
            they are not recorded.
        regions: the regions that the model gives, which are those that can be scored. None if they are not recorded.
        label_set: what channels that are values mean; None if there are none, or in lists of schema 1.
    """

    file: str
    checksum: str
    members: tuple[MemberFile, ...] | None = None
    combine: str = ""
    kind: Kind = "regions"
    channels: tuple[str, ...] | None = None
    regions: tuple[str, ...] | None = None
    label_set: LabelSet | None = None

    def channels_of(self, region: str) -> tuple[str, ...]:
        """Return the channels whose sum is a region's probability; none if the channels do not make it up.

        It is the channel of that name or, since each voxel has one value of a label set, the channels of the region's values.

        Args:
            region: name of the region.
        """
        names = self.channels or ()
        if region in names:
            return (region,)
        values = tuple(map(str, self.label_set.regions.get(region, ()))) if self.label_set else ()
        exclusive = self.kind == "labels" or len(values) == 1
        return values if exclusive and set(values) <= set(names) else ()

    def painted_in(self, coding: LabelSet) -> tuple[str, ...] | None:
        """Return the regions and values that a mask was painted from; None if they are not recorded.

        A channel that is a value is only meaningful in the model's own label set.

        Args:
            coding: the label set of the mask.
        """
        if self.regions is None:
            return None
        names = dict.fromkeys((*self.regions, *(self.channels or ())))
        return tuple(name for name in names if self.label_set == coding or not name.isdigit())


@dataclass(frozen=True)
class MaskSettings:
    """What decides the masks of a folder besides the model and the scans.

    Attributes:
        inference: name → value of everything that decides how the model is applied (windows, flips, thresholds and so on), as
            JSON holds them. None in lists of schema 1: it was always as the model's card says.
        label_set: the requested coding; None if each case's own was used.
        probabilities: whether the probabilities are written too.
    """

    inference: Mapping[str, Any] | None = None
    label_set: LabelSet | None = None
    probabilities: bool = False


@dataclass(frozen=True)
class MaskEntry:
    """One mask.

    Attributes:
        file: its file, relative to the folder.
        label_set: what its values mean.
        written: size and CRC-32 of the file as it was written; None if an earlier version wrote it.
        sources: the scans that it was predicted from; None if an earlier version wrote it.
        passes: how the network saw the brain, ``whole`` or ``windows``; None if an earlier version wrote it.
        probabilities: file of the probabilities, relative to the folder; None if they were not written.
        trained_on: whether the model was trained on the patient.
    """

    file: str
    label_set: LabelSet
    written: SourceFile | None = None
    sources: tuple[SourceFile, ...] | None = None
    passes: str | None = None
    probabilities: str | None = None
    trained_on: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The mask, and the probabilities if there are any."""
        return (self.file,) if self.probabilities is None else (self.file, self.probabilities)


@dataclass(frozen=True)
class MaskList:
    """All that is recorded of a folder of predicted masks.

    Attributes:
        model: what predicted them.
        settings: what else decided them.
        cases: case id → its mask, sorted by id.
    """

    model: MaskModel
    settings: MaskSettings = MaskSettings()
    cases: Mapping[str, MaskEntry] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Sort the cases."""
        object.__setattr__(self, "cases", MappingProxyType(dict(sorted(self.cases.items()))))

    def with_case(self, case: str, entry: MaskEntry) -> MaskList:
        """Return the list with one more mask, or with a case's mask replaced.

        Args:
            case: case id.
            entry: what is recorded of its mask.
        """
        return replace(self, cases={**self.cases, case: entry})
