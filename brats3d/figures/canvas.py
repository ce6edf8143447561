"""Makes and writes figures without pyplot."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from brats3d.errors import check_option
from brats3d.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REGION_COLOURS: Mapping[str, str] = MappingProxyType({"WT": "#56B4E9", "TC": "#F0E442", "ET": "#D55E00"})
"""From a palette that people with any colour vision can distinguish; the three also differ in lightness.

References:
    Okabe and Ito, Color universal design, 2002.
"""
PLAIN_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000")
"""For what belongs to no region; from the same palette."""
OTHER_REGIONS = ("#009E73", "#CC79A7", "#E69F00", "#0072B2")
"""For regions besides those three, in the order in which they are drawn: green, purple, orange, dark blue."""
SUFFIXES = (".png", ".pdf", ".svg")


def region_colours(regions: Iterable[str]) -> dict[str, str]:
    """Return region → its colour: the usual one, or one of `OTHER_REGIONS` in turn.

    Args:
        regions: names of regions, in the order in which they are drawn.
    """
    regions = list(regions)
    others = [region for region in regions if region not in REGION_COLOURS]
    turns = {region: OTHER_REGIONS[number % len(OTHER_REGIONS)] for number, region in enumerate(others)}
    return {region: REGION_COLOURS.get(region) or turns[region] for region in regions}


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Return an empty white figure with its own Agg canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def set_margins(figure: Figure, *, left: float, right: float, bottom: float, top: float) -> None:
    """Leave room around the axes, in inches. (Measuring how much the text needs takes as long as drawing the figure.)

    Args:
        figure: a figure with axes made by ``add_subplot`` or ``subplots``.
        left: for the numbers and the title of the vertical axis.
        right: for what is beside the axes.
        bottom: for the numbers and the title of the horizontal axis.
        top: for a title or a legend.
    """
    width, height = figure.get_size_inches()
    figure.subplots_adjust(left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - top / height)


def png_bytes(figure: Figure, *, dots_per_inch: int = 110) -> bytes:
    """Return a figure as the content of a PNG file; equal figures give equal bytes.

    Args:
        figure: any Matplotlib figure.
        dots_per_inch: resolution.
    """
    target = io.BytesIO()
    figure.savefig(target, dpi=dots_per_inch, format="png", metadata={"Software": None})
    return target.getvalue()


def save(figure: Figure, path: Path | str, *, dots_per_inch: int = 110) -> None:
    """Write a figure to a file; a file of that name is always complete.

    Args:
        figure: any Matplotlib figure.
        path: target, ``.png``, ``.pdf`` or ``.svg``; an existing file is replaced.
        dots_per_inch: resolution of pixel formats.

    Raises:
        OptionError: the name has another suffix.
        SpaceError: the disk is full.
    """
    path = Path(path)
    check_option(f"the suffix of {path.name}", path.suffix.lower(), SUFFIXES)
    with whole_file(path, megabytes=1) as temporary:
        figure.savefig(temporary, dpi=dots_per_inch, format=path.suffix.lower()[1:])
