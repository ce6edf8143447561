"""Scans of one head before and after registration, as checkerboards, and the brain that was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from brats3d.errors import ArrayError, check_shapes_equal
from brats3d.figures.canvas import PLAIN_COLOURS, new_figure
from brats3d.figures.masks import outline
from brats3d.figures.planes import PLANES, Plane, window
from brats3d.geometry import Box, bounding_box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = 2.6
"""Width and height of a panel, in inches."""
SQUARE_MM = 22.0
"""Side of a checkerboard's squares."""
MARGIN_MM = 14.0
"""Margin of the head shown around the brain."""


@dataclass(frozen=True, eq=False)
class AlignmentPicture:
    """What is drawn for a study; volumes are (X, Y, Z) in the stored orientation L, P, S.

    Attributes:
        heading: the case's id.
        reference: name and image of the scan that the others were registered to.
        pairs: name → (before, after) of each other scan.
        brain: mask of the brain.
        spacing_mm: distance between voxels along the three axes.
        notes: lines of text, such as numbers and flags.
    """

    heading: str
    reference: tuple[str, np.ndarray]
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]
    brain: np.ndarray
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    notes: Sequence[str] = field(default=())

    @property
    def box(self) -> Box:
        """What is shown: the brain's box and a margin; the whole volume if there is no brain."""
        shape = np.array(self.brain.shape)
        if not self.brain.any():
            return np.stack([np.zeros(3, int), shape], 1)
        rim = np.ceil(MARGIN_MM / np.array(self.spacing_mm)).astype(int)
        found = bounding_box(self.brain)
        return np.stack([np.maximum(found[:, 0] - rim, 0), np.minimum(found[:, 1] + rim, shape)], 1)


def checkerboard(one: np.ndarray, other: np.ndarray, square: tuple[int, int]) -> np.ndarray:
    """Return two pictures in alternating squares, the first in the corner.

    Args:
        one: (rows, columns).
        other: the same shape.
        square: pixels per square along rows and columns.

    Raises:
        ArrayError: shapes differ, or a square has no pixels.
    """
    check_shapes_equal(one=one.shape, other=other.shape)
    if min(square) < 1:
        raise ArrayError(f"the squares have {square} pixels; expected at least 1 per side.")
    rows, columns = np.ogrid[: one.shape[0], : one.shape[1]]
    return np.where((rows // square[0] + columns // square[1]) % 2 == 0, one, other)


def alignment_figure(picture: AlignmentPicture) -> Figure:
    """Draw a study: one row per scan, before and after in two planes, and a row with the brain's outline and the notes.

    In well-registered scans edges continue from square to square; `before` shows the scans aligned only by their headers.

    Args:
        picture: the study.

    Returns:
        A new figure; `save` writes it.

    Raises:
        ArrayError: shapes differ.
    """
    name, reference = picture.reference
    shapes = {f"{n} {w}": a.shape for n, p in picture.pairs.items() for w, a in zip(("before", "after"), p, strict=True)}
    check_shapes_equal(brain=picture.brain.shape, **{name: reference.shape}, **shapes)
    rows, gap, top = len(picture.pairs) + 1, 0.22, 0.4
    width, height = 4 * INCHES + 0.05 * 5, rows * (INCHES + gap) + top
    figure = new_figure(width, height)

    def panel(row: int, column: int, title: str) -> Axes:
        left, below = 0.05 + column * (INCHES + 0.05), height - top - (row + 1) * (INCHES + gap)
        axes = figure.add_axes((left / width, below / height, INCHES / width, INCHES / height))
        axes.set_title(title, fontsize=8, pad=2)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_facecolor("black")
        return axes

    for row, (other, images) in enumerate(picture.pairs.items()):
        for column, plane in enumerate((PLANES["axial"], PLANES["sagittal"])):
            for step, (when, image) in enumerate(zip(("before", "after"), images, strict=True)):
                axes = panel(row, 2 * column + step, f"{name} | {other}, {plane.name}, {when}")
                _draw(axes, picture, plane, (reference, image))
    for column, plane in enumerate(PLANES.values()):
        axes = panel(rows - 1, column, f"brain on {name}, {plane.name}")
        size = _draw(axes, picture, plane, (reference,))
        outline(axes, _cut(picture, plane, picture.brain), size, PLAIN_COLOURS[1])
    _write_notes(figure, picture, (3 * (INCHES + 0.05) + 0.1) / width, INCHES / height)
    figure.suptitle(picture.heading, fontsize=11, y=1 - 0.08 / height, va="top")
    return figure


def _cut(picture: AlignmentPicture, plane: Plane, volume: np.ndarray) -> np.ndarray:
    box = picture.box
    index = int(box[plane.axis].sum() // 2) - int(box[plane.axis, 0])
    inside = volume[tuple(slice(int(a), int(b)) for a, b in box)]
    return plane.picture(inside, index)


def _draw(axes: Axes, picture: AlignmentPicture, plane: Plane, images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Draw one image, or a checkerboard of two; returns the picture's width and height in mm."""
    pixels_mm = picture.spacing_mm[plane.rows], picture.spacing_mm[plane.columns]
    slices = []
    for image in images:
        low, high = window(image)
        slices.append(np.clip((_cut(picture, plane, image) - low) / (high - low), 0, 1))
    shown = slices[0]
    if len(slices) == 2:
        across, along = (max(1, round(SQUARE_MM / mm)) for mm in pixels_mm)
        shown = checkerboard(slices[0], slices[1], (across, along))
    size = shown.shape[1] * pixels_mm[1], shown.shape[0] * pixels_mm[0]
    style: dict[str, Any] = {"extent": (0, size[0], size[1], 0), "interpolation": "nearest", "aspect": "equal"}
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, **style)
    middle, half = np.array(size) / 2, max(size) / 2
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] + half, middle[1] - half)
    return size


def _write_notes(figure: Figure, picture: AlignmentPicture, left: float, top: float) -> None:
    import textwrap

    lines = [line for note in picture.notes for line in textwrap.wrap(note, 44, subsequent_indent="  ")]
    figure.text(left, top, "\n".join(lines), fontsize=7, va="top", ha="left", linespacing=1.25)
