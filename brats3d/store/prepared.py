"""A prepared case in memory: what preprocessing makes before it is written, and `predict` of scans that are in no store."""

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
"""Coordinates kept a label value, so that a balanced patch can be placed without inflating the label."""


@dataclass(frozen=True, eq=False)
class TumourSample:
    """How many voxels carry a label value, and where some of them lie.

    Attributes:
        count: voxels with the value.
        coordinates: (N, 3) int16, N ≤ 10,000, in the stored orientation; a seeded sample without repetition.
    """

    count: int
    coordinates: np.ndarray


@dataclass(frozen=True)
class CaseHeader:
    """What is known of a prepared or stored case besides its voxels. No personal data: no paths, no DICOM names, no dates.

    Attributes:
        id: case id.
        facts: patient, corpus, grade and so on.
        modalities: names of the image channels, in order.
        coding: what the label's values mean; None without a label.
        sources: for each source file its ``name`` (no folders), ``bytes`` and ``crc32``.
        warnings: what was odd about it by itself, one sentence each.
        label_features: label value → how it looks on the images, as plain numbers that cohorts are compared by; or empty.
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
    """What prepared and stored cases share: whatever takes the one takes the other."""

    @property
    def id(self) -> str:
        """Case id."""

    @property
    def facts(self) -> Facts:
        """Patient, corpus, grade and so on."""

    @property
    def header(self) -> CaseHeader:
        """All that is known of it besides its voxels."""

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
        """The box of the union of non-zero voxels over the modalities: (3, 2), half-open."""

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
        """How masks get back to ``source`` if the scans are not on the stored grid (raw clinical scans); else None."""

    def patch(self, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """Return raw intensities (M, x, y, z) of a box that may overhang the volume, with zeros outside it."""

    def scaling(self, modality: str, normalisation: str) -> Scaling:
        """Return how a modality's intensities are normalised."""

    def block_factor(self, spacing_mm: float | Sequence[float]) -> tuple[int, int, int]:
        """Return how many stored voxels along each axis make a voxel of a model's grid."""


class HeadedCase(KnownFacts):
    """What prepared and stored cases have in common: the header as attributes, and how intensities are scaled."""

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
            OptionError: no normalisation has the name.
            ImageError: the modality cannot be normalised; case and modality are named.
            StoreError: the case's file is damaged.
        """
        try:
            return scaling_of(self.histograms[modality], normalisation)  # type: ignore[attr-defined]
        except ImageError as problem:
            raise ImageError(f"case {self.id}, {modality}: {problem}") from problem

    def block_factor(self, spacing_mm: float | Sequence[float]) -> tuple[int, int, int]:
        """Return how many stored voxels along each axis make a voxel of a model's grid.

        Args:
            spacing_mm: the model's spacing.

        Raises:
            GridError: they do not make whole blocks; the case is named.
        """
        try:
            return block_factor(self.grid.spacing_mm, spacing_mm)  # type: ignore[attr-defined]
        except GridError as problem:
            raise GridError(f"case {self.id}: {problem}") from problem


@dataclass(frozen=True, eq=False)
class PreparedCase(HeadedCase):
    """A case ready for the network or the store; `StoredCase` has the same attributes.

    Attributes:
        header: what is known of it; its fields are attributes here too.
        images: (M, X, Y, Z), stored orientation L, P, S, intensities as they came.
        label: (X, Y, Z) uint8, the source's own values, or None.
        histograms: modality → histogram of its non-zero voxels.
        brain_box: (3, 2) half-open box of the union of non-zero voxels over the modalities.
        tumour: label value → where it lies; empty without a label.
        grid: the stored grid.
        source: the source file's grid, to write a mask on.
        transforms: raw clinical scans only, which do not lie on the stored grid: how masks get back to ``source``; else None.
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
        """Return raw intensities of a box that may overhang the volume.

        Args:
            corner: first voxel along each axis, may be negative.
            size: voxels along each axis.

        Returns:
            (M, x, y, z); zeros outside the volume.

        Raises:
            ArrayError: corner or size are no three whole numbers, or a size is below 1.
        """
        return crop_padded(self.images, box_at(corner, size))


def summarise(header: CaseHeader, images: np.ndarray, label: np.ndarray | None, grid: Grid, source: Grid) -> PreparedCase:
    """Return the prepared case of stacked images: box, histograms and tumour sample are computed here.

    The box and the histograms come from the images alone; the label never influences them.

    Args:
        header: what is known of the case.
        images: (M, X, Y, Z) in the stored orientation.
        label: (X, Y, Z) uint8 or None.
        grid: the stored grid.
        source: the source's grid.

    Raises:
        ImageError: a modality has no voxel besides zeros, or its intensities do not vary, so that no normalisation takes it;
            the message names it.
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
    """Refuse a histogram that no normalisation takes: the store keeps what can be used, by whatever rule."""
    problems = []
    for normalisation in NORMALISATIONS.values():
        try:
            normalisation(histogram)
        except ImageError as problem:
            problems.append(problem)
    if len(problems) == len(NORMALISATIONS):
        raise problems[0]


def sample_tumour(label: np.ndarray | None) -> dict[int, TumourSample]:
    """Return, for each value of a label but 0, its voxel count and up to 10,000 of its coordinates.

    Args:
        label: (X, Y, Z) uint8 or None, which gives an empty mapping.
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
