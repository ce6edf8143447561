"""Draws the regions of one slice: the prediction filled, the reference outlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brats3d.figures.canvas import region_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILL_OPACITY = 0.45


def fill(masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the colours of a slice's filled regions; each pixel has that of its innermost region.

    Args:
        masks: region → (rows, columns) bool, inner regions after outer ones.

    Returns:
        (rows, columns, 4) float, transparent where there is no region.
    """
    from matplotlib.colors import to_rgba

    colours = np.zeros((*next(iter(masks.values())).shape, 4))
    of_regions = region_colours(masks)
    for region, mask in masks.items():
        colours[mask] = to_rgba(of_regions[region], FILL_OPACITY)
    return colours


def outline(axes: Axes, mask: np.ndarray, size_mm: Sequence[float], colour: str) -> None:
    """Draw the edge of a mask; nothing if the slice has none of it.

    Args:
        axes: where to draw; the slice spans 0 to its width and 0 to its height, rows downwards.
        mask: (rows, columns) bool.
        size_mm: width and height of the slice.
        colour: the line's colour; the line has a dark edge.
    """
    from matplotlib.patheffects import withStroke

    if not mask.any():  # Matplotlib would warn that there is no contour
        return
    padded = np.pad(mask, 1).astype(float)
    (rows, columns), (width, height) = mask.shape, size_mm
    x = (np.arange(columns + 2) - 0.5) * width / columns
    y = (np.arange(rows + 2) - 0.5) * height / rows
    lines = axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=1.3)
    lines.set(path_effects=[withStroke(linewidth=2.6, foreground="black")])
