"""A prepared case in memory: the result of preprocessing, before it is written to a store or used by `predict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from brats3d.cases import Facts, KnownFacts
from brats3d.errors import GridError, ImageError
from brats3d.geometry import Box, Grid, block_factor, bounding_box, box_at, box_slices, crop_padded, united_box
from brats3d.intensity import NORMALISATIONS, Histogram, Scaling, histogram_of, scaling_of
from brats3d.regions import LabelSet
from brats3d.transforms import Transforms

MAX_COORDINATES = 10_000
"""Coordinates kept per label value, so that a balanced patch can be placed without decompressing the label."""


@dataclass(frozen=True, eq=False)
class TumourSample:
    """How many voxels have a label value, and where some of them are.

    Attributes:
        count: voxels with the value.
        coordinates: (N, 3) int16, N ≤ 10,000, in the stored orientation; a seeded sample without replacement.
    """

    count: int
    coordinates: np.ndarray


@dataclass(frozen=True)
class CaseHeader:
    """What is known about a prepared or stored case besides its voxels. No personal data: no paths, DICOM names or dates.

    Attributes:
        id: case id.
        facts: patient, corpus, grade and so on.
        modalities: names of the image channels, in order.
        coding: what the label's values mean; None without a label.
        sources: for each source file its ``name`` (no folders), ``bytes`` and ``crc32``.
        warnings: what is odd about this case alone, one sentence each.
        label_features: label value → how it looks on the images, as plain numbers for comparing cohorts; may be empty.
    """

    id: str
    facts: Facts
    modalities: tuple[str, ...]
    coding: LabelSet | None = None
    sources: Sequence[Mapping[str, Any]] = field(default=())
    warnings: tuple[str, ...] = ()
    label_features: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def label_set(self) -> str | None:
        """The name of the coding; None without a label."""
        return self.coding.name if self.coding else None


class CaseLike(Protocol):
    """What prepared and stored cases share: functions that take one take the other."""

    @property
    def id(self) -> str:
        """Case id."""

    @property
    def facts(self) -> Facts:
        """Patient, corpus, grade and so on."""

    @property
    def header(self) -> CaseHeader:
        """All that is known about it besides its voxels."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the image channels, in order."""

    @property
    def coding(self) -> LabelSet | None:
        """What the label's values mean; None without a label."""

    @property
    def labelled(self) -> bool:
        """Whether there is a label."""

    @property
    def histograms(self) -> Mapping[str, Histogram]:
        """Modality → histogram of its non-zero voxels."""

    @property
    def brain_box(self) -> Box:
        """The half-open box of all voxels that are non-zero in any modality, (3, 2)."""

    @property
    def tumour(self) -> Mapping[int, TumourSample]:
        """Label value → where it is; empty without a label."""

    @property
    def grid(self) -> Grid:
        """The stored grid."""

    @property
    def source(self) -> Grid:
        """The source file's grid, to write a mask on."""

    @property
    def transforms(self) -> Transforms | None:
        """How to return masks to ``source`` if the scans are not on the stored grid (raw clinical scans); else None."""

    def patch(self, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """Return raw intensities (M, x, y, z) of a box that may extend beyond the volume, with zeros outside it."""

    def scaling(self, modality: str, normalisation: str) -> Scaling:
        """Return how a modality's intensities are normalised."""

    def block_factor(self, spacing_mm: float | Sequence[float]) -> tuple[int, int, int]:
        """Return how many stored voxels along each axis make up a voxel of a model's grid."""


class HeadedCase(KnownFacts):
    """What prepared and stored cases have in common: the header as attributes, and the scaling of intensities."""

    header: CaseHeader

    @property
    def id(self) -> str:
        """Case id."""
        return self.header.id

    @property
    def facts(self) -> Facts:  # type: ignore[override]
        """Patient, corpus, grade and so on."""
        return self.header.facts

    @property
    def coding(self) -> LabelSet | None:
        """What the label's values mean; None without a label."""
        return self.header.coding

    @property
    def label_set(self) -> str | None:
        """The name of the coding; None without a label."""
        return self.header.label_set

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the image channels, in order."""
        return self.header.modalities

    def scaling(self, modality: str, normalisation: str) -> Scaling:
        """Return how a modality's intensities are normalised.

        Args:
            modality: one of `modalities`.
            normalisation: key of `intensity.NORMALISATIONS`.

        Raises:
            OptionError: there is no normalisation of that name.
            ImageError: the modality cannot be normalised; the message names case and modality.
            StoreError: the case's file is damaged.
        """
        try:
            return scaling_of(self.histograms[modality], normalisation)  # type: ignore[attr-defined]
        except ImageError as problem:
            raise ImageError(f"case {self.id}, {modality}: {problem}") from problem

    def block_factor(self, spacing_mm: float | Sequence[float]) -> tuple[int, int, int]:
        """Return how many stored voxels along each axis make up a voxel of a model's grid.

        Args:
            spacing_mm: the model's spacing along X, Y, Z, or one number for all three.

        Raises:
            OptionError: the spacing is neither one number nor three, or one is out of range.
            GridError: they do not make up whole blocks; the message names the case.
        """
        try:
            return block_factor(self.grid.spacing_mm, spacing_mm)  # type: ignore[attr-defined]
        except GridError as problem:
            raise GridError(f"case {self.id}: {problem}") from problem


@dataclass(frozen=True, eq=False)
class PreparedCase(HeadedCase):
    """A case ready for the network or the store; `StoredCase` has the same attributes.

    Attributes:
        header: what is known about it; its fields are attributes here too.
        images: (M, X, Y, Z), stored orientation L, P, S, original intensities.
        label: (X, Y, Z) uint8, the source's own values, or None.
        histograms: modality → histogram of its non-zero voxels.
        brain_box: (3, 2) half-open box of the union of non-zero voxels over the modalities.
        tumour: label value → where it is; empty without a label.
        grid: the stored grid.
        source: the source file's grid, to write a mask on.
        transforms: how to return masks to ``source`` if the scans are not on the stored grid (raw clinical scans); else None.
    """

    header: CaseHeader
    images: np.ndarray
    label: np.ndarray | None
    histograms: Mapping[str, Histogram]
    brain_box: Box
    tumour: Mapping[int, TumourSample]
    grid: Grid
    source: Grid
    transforms: Transforms | None = None

    @property
    def labelled(self) -> bool:
        """Whether there is a label."""
        return self.label is not None

    def patch(self, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """Return raw intensities of a box that may extend beyond the volume.

        Args:
            corner: first voxel along each axis; may be negative.
            size: voxels along each axis.

        Returns:
            (M, x, y, z); zeros outside the volume.

        Raises:
            ArrayError: corner or size is not three whole numbers, or a size is below 1.
        """
        return crop_padded(self.images, box_at(corner, size))


def summarise(header: CaseHeader, images: np.ndarray, label: np.ndarray | None, grid: Grid, source: Grid) -> PreparedCase:
    """Return the prepared case for stacked images, with box, histograms and tumour sample.

    The box and the histograms depend only on the images, never on the label.

    Args:
        header: what is known about the case.
        images: (M, X, Y, Z) in the stored orientation.
        label: (X, Y, Z) uint8 or None.
        grid: the stored grid.
        source: the source's grid.

    Raises:
        ImageError: a modality is all zero, or its intensities do not vary, so that it cannot be normalised; the message names
            it.
    """
    box = united_box(bounding_box(channel) for channel in images)
    inside = images[(slice(None), *box_slices(box))]
    histograms: dict[str, Histogram] = {}
    for modality, channel in zip(header.modalities, inside, strict=True):
        try:
            histograms[modality] = histogram_of(channel)
            _check_normalisable(histograms[modality])
        except ImageError as problem:
            raise ImageError(f"case {header.id}, {modality}: {problem}") from problem
    return PreparedCase(header, images, label, histograms, box, sample_tumour(label), grid, source)


def _check_normalisable(histogram: Histogram) -> None:
    """Refuse a histogram that some normalisation cannot handle: whatever is stored can be used with every rule."""
    problems = []
    for normalisation in NORMALISATIONS.values():
        try:
            normalisation(histogram)
        except ImageError as problem:
            problems.append(problem)
    if len(problems) == len(NORMALISATIONS):
        raise problems[0]


def sample_tumour(label: np.ndarray | None) -> dict[int, TumourSample]:
    """Return the voxel count and up to 10,000 coordinates of each value of a label, except 0.

    Args:
        label: (X, Y, Z) uint8; None gives an empty mapping.
    """
    if label is None:
        return {}
    box = bounding_box(label)
    tumour = np.ascontiguousarray(label[box_slices(box)])
    where = np.flatnonzero(tumour)
    values = tumour.ravel()[where]
    rng = np.random.default_rng(0)  # one seed for all: the same label gives the same sample on every machine
    samples = {}
    for value in np.unique(values):
        own = where[values == value]
        kept = np.sort(rng.choice(own, MAX_COORDINATES, replace=False)) if len(own) > MAX_COORDINATES else own
        coordinates = np.stack(np.unravel_index(kept, tumour.shape), 1) + box[:, 0]
        samples[int(value)] = TumourSample(len(own), coordinates.astype(np.int16))
    return samples
