"""A small picture of a prediction's worst slice: prediction filled, reference outlined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from brats3d.errors import ArrayError, check_option, check_shapes_equal
from brats3d.figures.canvas import new_figure, region_colours
from brats3d.figures.masks import fill, outline
from brats3d.figures.planes import PLANES, Plane, slice_centre, window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = 2.4
"""Width and height of the figure."""
SMALLEST_MM = 70.0
"""Least extent of the head that is shown, so that the location of a small lesion is visible."""
MARGIN_MM = 12.0
"""Room around what is drawn."""
NO_SCAN = "#303030"
"""Background where there is no scan."""


def thumbnail_figure(
    prediction: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    image: np.ndarray | None = None,
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    region: str | None = None,
    plane: str = "axial",
) -> Figure:
    """Draw the slice with the largest error: prediction filled, reference outlined, over a scan if there is one.

    Args:
        prediction: region → (X, Y, Z) bool mask, orientation L, P, S. Not modified.
        reference: masks of the same regions and shape, inner regions after outer ones.
        image: scan of the same shape, or None for a dark background.
        spacing_mm: distance between voxels along the three axes.
        region: the region whose error picks the slice; by default all count. Without errors, the tumour's middle is shown.
        plane: axial, coronal or sagittal.

    Returns:
        A new square figure, `INCHES` wide, without title.

    Raises:
        ArrayError: there are no regions, the two sides have different ones, or shapes differ.
        OptionError: the plane is none of the three, or the region is not one of those given.
    """
    check_option("plane", plane, PLANES)
    regions = list(reference)
    if not regions or set(prediction) != set(reference):
        raise ArrayError(f"found masks of {list(prediction)} and {list(reference)}; expected the same regions on both sides.")
    if region is not None:
        check_option("region", region, regions)
    shapes = {f"{side} {name}": masks[name].shape for side, masks in _sides(prediction, reference) for name in regions}
    check_shapes_equal(**shapes, **({} if image is None else {"image": image.shape}))
    cut = PLANES[plane]
    index = _worst_slice(prediction, reference, [region] if region else regions, cut.axis)
    slices = {
        side: {name: cut.picture(masks[name], index) for name in regions} for side, masks in _sides(prediction, reference)
    }
    pixels_mm = (float(spacing_mm[cut.columns]), float(spacing_mm[cut.rows]))
    figure = new_figure(INCHES, INCHES)
    axes = figure.add_axes((0, 0, 1, 1))
    _draw(axes, slices, None if image is None else cut.picture(image, index), pixels_mm)
    _letters(axes, cut)
    return figure


def _sides(*masks: Mapping[str, np.ndarray]) -> list[tuple[str, Mapping[str, np.ndarray]]]:
    return list(zip(("prediction", "reference"), masks, strict=True))


def _worst_slice(
    prediction: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], regions: list[str], axis: int
) -> int:
    """Return the slice with the most error voxels; if there are none, the tumour's middle, otherwise the volume's."""
    others = tuple(a for a in range(3) if a != axis)
    errors = sum(np.count_nonzero(prediction[name] ^ reference[name], axis=others) for name in regions)
    if np.any(errors):
        return int(np.argmax(errors))
    centre = slice_centre(*reference.values())
    return reference[regions[0]].shape[axis] // 2 if centre is None else centre[axis]


def _draw(
    axes: Axes, slices: Mapping[str, Mapping[str, np.ndarray]], image: np.ndarray | None, pixels_mm: tuple[float, float]
) -> None:
    """Draw a slice, cropped to a square around prediction and reference."""
    whole = np.logical_or.reduce([mask for masks in slices.values() for mask in masks.values()])
    rows, columns = whole.shape
    size = columns * pixels_mm[0], rows * pixels_mm[1]
    style: dict[str, Any] = {"extent": (0, size[0], size[1], 0), "interpolation": "nearest", "aspect": "equal"}
    axes.set_facecolor(NO_SCAN if image is None else "black")
    if image is not None:
        low, high = window(image)
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, **style)
    axes.imshow(fill(slices["prediction"]), **style)
    colours = region_colours(slices["reference"])
    for name, mask in slices["reference"].items():
        outline(axes, mask, size, colours[name])
    axes.set_xticks([])
    axes.set_yticks([])
    middle, half = _square(whole, pixels_mm)
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] + half, middle[1] - half)


def _square(whole: np.ndarray, pixels_mm: tuple[float, float]) -> tuple[tuple[float, float], float]:
    """Return the centre (across, down) and half the side, in mm, of a square around the set pixels, or the slice if none."""
    places = np.nonzero(whole)
    if len(places[0]) == 0:
        places = tuple(np.array([0, n - 1]) for n in whole.shape)
    ends = [(axis.min() * mm, (axis.max() + 1) * mm) for axis, mm in zip(places, pixels_mm[::-1], strict=True)]
    (top, bottom), (left, right) = ends
    half = max(bottom - top + 2 * MARGIN_MM, right - left + 2 * MARGIN_MM, SMALLEST_MM) / 2
    return ((left + right) / 2, (top + bottom) / 2), half


def _letters(axes: Axes, plane: Plane) -> None:
    """Mark the sides: the letters at the left and at the top determine the others."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2, foreground="black")]
    style: dict[str, Any] = {"color": "white", "fontsize": 8, "transform": axes.transAxes, "path_effects": halo}
    left, _, top, _ = plane.letters
    axes.text(0.02, 0.5, left, ha="left", va="center", **style)
    axes.text(0.5, 0.98, top, ha="center", va="top", **style)
