"""From the positions of DICOM slices to one grid, or an error that says why there is none. No files are opened here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from brats3d.errors import GridError
from brats3d.geometry import Grid
from brats3d.raw.itk import FLIP

SPACING_TOLERANCE = 0.02
"""Slices are equally spaced if no step differs from the median step by more than this share of it."""
SIDEWAYS_MM = 1.0
"""Largest total shift of slices away from the stack's normal; more is a tilted gantry."""
ONE_PLACE_MM = 1e-3
"""Slices no further apart than this are at the same position."""
TURN_TOLERANCE = 1e-3
"""Slices whose direction cosines differ by more than this are not parallel."""


@dataclass(frozen=True, eq=False)
class Slice:
    """The position of one DICOM image, in DICOM's own terms (LPS world, mm).

    Attributes:
        path: its file.
        position: (3,) centre of the first voxel.
        orientation: (6,) direction cosines along a row, then along a column.
        spacing_mm: distance between rows, then between columns.
        rows: voxels along a column.
        columns: voxels along a row.
        instance: SOP instance UID of the image, or empty.
    """

    path: Path
    position: np.ndarray
    orientation: np.ndarray
    spacing_mm: tuple[float, float]
    rows: int
    columns: int
    instance: str = ""

    @property
    def normal(self) -> np.ndarray:
        """The unit vector normal to the slice; zeros if the orientation is singular."""
        across = np.cross(self.orientation[:3], self.orientation[3:])
        length = float(np.linalg.norm(across))
        return across / length if length > 0.5 else np.zeros(3)


def stack(name: str, slices: Sequence[Slice]) -> tuple[list[Slice], Grid]:
    """Return slices in order along their normal, and the grid they form.

    Args:
        name: the series, for messages.
        slices: in any order.

    Returns:
        The slices from the first to the last, and the grid of the array (columns, rows, slices): affine in mm, RAS+.

    Raises:
        GridError: there are fewer than two slices, their orientation is singular, sizes or directions differ, two are at the
            same position, some are missing, or their spacing is unequal.
    """
    if len(slices) < 2:
        raise GridError(f"series {name!r} has {len(slices)} slice; expected a stack of at least two: copy the series again.")
    first = slices[0]
    if not first.normal.any():
        raise GridError(
            f"series {name!r}: the orientation {first.orientation.tolist()} is singular; convert it again from its source."
        )
    for other in slices[1:]:
        if (other.rows, other.columns) != (first.rows, first.columns) or other.spacing_mm != first.spacing_mm:
            raise GridError(
                f"series {name!r} has slices of {first.columns}×{first.rows} and of {other.columns}×{other.rows} voxels, or of"
                f" different spacing ({first.spacing_mm} and {other.spacing_mm} mm); expected one size: split the series."
            )
        if np.abs(other.orientation - first.orientation).max() > TURN_TOLERANCE:
            raise GridError(f"series {name!r} has slices in different directions (a localiser?); expected parallel slices.")
    ordered = sorted(slices, key=lambda s: float(s.position @ first.normal))
    _check_twins(name, ordered)
    _check_steps(name, np.array([s.position @ first.normal for s in ordered]))
    span = ordered[-1].position - ordered[0].position
    sideways = float(np.linalg.norm(span - (span @ first.normal) * first.normal))
    if sideways > SIDEWAYS_MM:
        raise GridError(
            f"series {name!r}: its slices are shifted sideways by {sideways:.1f} mm over the stack (a tilted gantry); expected"
            " a straight stack: resample it first."
        )
    return ordered, _grid(ordered, span)


def _check_twins(name: str, ordered: Sequence[Slice]) -> None:
    """Refuse a stack with two images at the same position."""
    normal = ordered[0].normal
    twins = [(a, b) for a, b in pairwise(ordered) if (b.position - a.position) @ normal <= ONE_PLACE_MM]
    if not twins:
        return
    one, other = next(((a, b) for a, b in twins if a.instance and a.instance == b.instance), twins[0])
    if one.instance and one.instance == other.instance:
        raise GridError(
            f"series {name!r} has two images with the same SOP instance UID and position ({len(twins)} times) but different"
            f" voxels (in {one.path.parent.name} and {other.path.parent.name}); expected one: leave out the wrong export."
        )
    raise GridError(
        f"series {name!r} has two images at the same position ({len(twins)} times: echoes or time points); expected one per"
        " slice: split the series."
    )


def _check_steps(name: str, heights: np.ndarray) -> None:
    """Refuse a stack with a gap, or unequal steps."""
    steps = np.diff(heights)
    usual = float(np.median(steps))
    gaps = np.flatnonzero(np.abs(steps - usual) > SPACING_TOLERANCE * usual)
    if len(gaps) == 0:
        return
    counts = steps[gaps] / usual
    if np.abs(counts - np.rint(counts)).max() < 0.1 and counts.min() > 1.5:
        missing = int(np.rint(counts).sum()) - len(gaps)
        raise GridError(
            f"series {name!r} lacks {missing} slices (first gap after slice {gaps[0] + 1} of {len(heights)}); copy the"
            " series again from its source."
        )
    raise GridError(
        f"series {name!r}: its slices are {steps.min():.2f} to {steps.max():.2f} mm apart; expected equal spacing: copy the"
        " series again, or resample it to equal spacing."
    )


def _grid(ordered: Sequence[Slice], span: np.ndarray) -> Grid:
    first = ordered[0]
    row_mm, column_mm = first.spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * column_mm
    affine[:3, 1] = first.orientation[3:] * row_mm
    affine[:3, 2] = span / (len(ordered) - 1)
    affine[:3, 3] = first.position
    return Grid((first.columns, first.rows, len(ordered)), FLIP @ affine)
