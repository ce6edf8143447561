"""Series and studies, and picking one series for each modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brats3d import images
from brats3d.errors import CaseError, GridError, ImageError
from brats3d.geometry import Grid
from brats3d.images import Volume
from brats3d.raw.dicom import DicomFile, read_series, slices_of
from brats3d.raw.itk import check_orientation
from brats3d.raw.slices import stack
from brats3d.regions import MODALITIES

_PLANES = {"S": 0, "I": 0, "L": 1, "R": 1, "P": 2, "A": 2}
"""Among equally thick slices, axial series come before sagittal ones, and those before coronal ones."""

FEWEST_SLICES = 8
WHOLE_HEAD_MM = 100
"""Series that cover less than this along an axis come after those that cover a whole head."""


@dataclass(frozen=True, eq=False)
class Series:
    """One scan of a study, before its voxels are read.

    Attributes:
        name: its description or file name; shown, never stored.
        modality: its modality.
        why: the words or the timing that say so.
        files: its files.
        dicom: the same with their tags; empty for NIfTI.
    """

    name: str
    modality: str
    why: str
    files: tuple[Path, ...]
    dicom: tuple[DicomFile, ...] = ()

    def grid(self) -> Grid:
        """Return the grid of its voxels.

        Raises:
            GridError: the slices do not form a grid.
            ImageError: the file cannot be read.
        """
        return stack(self.name, slices_of(self.name, self.dicom))[1] if self.dicom else images.read(self.files[0]).grid

    def read(self) -> Volume:
        """Return its voxels and their grid.

        Raises:
            GridError: the slices do not form a grid, or its axes are singular or sheared.
            ImageError: a file is damaged, contains NaN, or is not a 3-D image.
        """
        volume = read_series(self.name, self.dicom) if self.dicom else images.read(self.files[0])
        if volume.array.ndim != 3:
            raise ImageError(f"{self.files[0]}: the image has shape {volume.array.shape}; expected one 3-D volume.")
        if min(volume.array.shape) < FEWEST_SLICES:
            raise ImageError(
                f"{self.files[0]}: the image has shape {volume.array.shape}; expected at least {FEWEST_SLICES} slices."
            )
        images.check_finite(self.name, volume.array)
        check_orientation(self.name, volume.grid)
        return volume


@dataclass(frozen=True, eq=False)
class Study:
    """The scans of one head at one time.

    Attributes:
        id: name of the case.
        series: the scans recognised, perhaps several of one modality; `choose_series` picks.
        left_out: (name, why) of the scans that are not used.
        problem: why the study cannot be used at all, or empty.
    """

    id: str
    series: tuple[Series, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    def describe(self) -> str:
        """Describe what was recognised and what was left out."""
        found = "; ".join(f"{s.modality}: {s.name!r} by {s.why}" for s in self.series) or "no series"
        left = "; ".join(f"{name!r} is {why}" for name, why in self.left_out)
        return f"{self.id}: {found}" + (f"; left out: {left}" if left else "")


def choose_series(study: Study) -> tuple[dict[str, Series], list[tuple[str, str]]]:
    """Pick one series for each modality: the one with the thinnest slices, axial before sagittal before coronal.

    Args:
        study: from `find_studies`, or built by the caller.

    Returns:
        Modality → series, in the order of `MODALITIES`, only those present; and (name, why) of all that were left out.

    Raises:
        CaseError: the study cannot be used, no series is recognised, or two series fit one modality equally well.
        GridError: the only series of a modality do not form a grid.
        ImageError: the only files of a modality cannot be read.
    """
    if study.problem:
        raise CaseError(f"case {study.id}: {study.problem}")
    left_out = list(study.left_out)
    if not study.series:
        there = "; ".join(f"{name!r} is {why}" for name, why in left_out) or "nothing"
        raise CaseError(
            f"case {study.id}: no series recognised as {', '.join(MODALITIES)} (found: {there}); rename the series, or leave"
            " out the study."
        )
    chosen = {}
    for modality in MODALITIES:
        rivals = [s for s in study.series if s.modality == modality]
        if rivals:
            chosen[modality] = rivals[0] if len(rivals) == 1 else _best(study.id, modality, rivals, left_out)
    return chosen, left_out


def _best(case: str, modality: str, rivals: Sequence[Series], left_out: list[tuple[str, str]]) -> Series:
    ranked: list[tuple[tuple[bool, bool, float, int], Series]] = []
    problems: list[CaseError] = []
    for series in rivals:
        try:
            ranked.append((_rank(series), series))
        except (GridError, ImageError) as problem:
            problems.append(problem)
            left_out.append((series.name, str(problem)))
    if not ranked:
        raise problems[0]
    ranked.sort(key=lambda pair: pair[0])
    (rank, best), *others = ranked
    for other_rank, other in others:
        if other_rank == rank and _same_scan(best, other):
            left_out.append((other.name, f"a copy of {best.name!r} (in {other.files[0].parent.name})"))
            continue
        if other_rank == rank:
            raise CaseError(
                f"case {case} has two series for {modality}, {best.name!r} ({best.files[0].parent.name}) and {other.name!r}"
                f" ({other.files[0].parent.name}), with equal slices ({rank[2]:g} mm) and direction; leave one of them out."
            )
        slices = f"with slices of {other_rank[2]:g} mm ({best.name!r}: {rank[2]:g} mm)"
        left_out.append((other.name, f"{modality} as well, {slices}"))
    return best


def _same_scan(one: Series, other: Series) -> bool:
    """Return whether two series are the same scan exported twice: the same voxels at the same position."""
    try:
        first, second = one.read(), other.read()
    except CaseError:  # reading the chosen series will report it
        return False
    return not first.grid.differences(second.grid) and np.array_equal(first.array, second.array)


def _rank(series: Series) -> tuple[bool, bool, float, int]:
    """Return a series' rank, smaller is better.

    Whether only its timing identifies it, whether it covers only part of a head, its thickest axis in mm, and the direction
    of its slices.
    """
    grid = series.grid()
    spacing = grid.spacing_mm
    thick = max(range(3), key=lambda axis: spacing[axis])
    isotropic = max(spacing) < 1.1 * min(spacing)
    part = min(mm * count for mm, count in zip(spacing, grid.shape, strict=True)) < WHOLE_HEAD_MM
    plane = 0 if isotropic else _PLANES[grid.axes[thick]]
    return series.why.startswith("TE "), part, round(spacing[thick], 1), plane
