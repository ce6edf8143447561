"""Distribution of a score over cases: a box and one point per case, one column per region, side by side for several sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brats3d.errors import ArrayError, check_option
from brats3d.figures.canvas import PLAIN_COLOURS, REGION_COLOURS, new_figure, set_margins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Mapping[str, Sequence[float | None]]
"""region → one value per case; None and NaN are left out."""

SCALES = ("linear", "symlog")
GOLDEN = 0.6180339887498949
"""Points are offset by multiples of it: evenly, never twice the same, and the same in every figure."""


def strip_figure(
    sets: Mapping[str, Values],
    *,
    score: str,
    limits: tuple[float, float] | None = None,
    scale: str = "linear",
) -> Figure:
    """Draw the distribution of a score: a box (quartiles, median) and one point per case, one column per region.

    Whiskers reach the farthest value within 1.5 box lengths; values beyond show only as points. A single set of predictions
    has the regions' colours; of several, each has its own colour and its name in a legend.

    Args:
        sets: name of a set of predictions → region → values.
        score: axis title: what the values are, with their unit.
        limits: ends of the axis; by default chosen from the values.
        scale: ``linear``, or ``symlog`` (linear up to 1, logarithmic above) for distances and their penalties.

    Returns:
        A new figure.

    Raises:
        ArrayError: there are no sets, or no regions.
        OptionError: the scale is neither of the two.
    """
    check_option("scale", scale, SCALES)
    regions = list(dict.fromkeys(region for values in sets.values() for region in values))
    if not regions:
        raise ArrayError(f"the sets {list(sets)} have no region to draw; expected values for at least one.")
    figure = new_figure(max(3.4, 0.9 + 0.85 * len(regions) * max(1.0, 0.6 * len(sets))), 3.3)
    axes = figure.add_subplot()
    width = 0.8 / len(sets)
    for number, (name, values) in enumerate(sets.items()):
        for column, region in enumerate(regions):
            known = _known(values.get(region, ()))
            colour = PLAIN_COLOURS[number % len(PLAIN_COLOURS)] if len(sets) > 1 else _region_colour(region, column)
            _column(axes, known, column + (number - (len(sets) - 1) / 2) * width, (width, colour, name))
    axes.set_xticks(range(len(regions)), [_with_count(sets, region) for region in regions])
    axes.set_xlim(-0.6, len(regions) - 0.4)
    axes.set_ylabel(score)
    _scale(axes, scale, limits)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    if len(sets) > 1:
        _legend(figure, list(sets))
    set_margins(figure, left=0.65, right=0.08, bottom=0.48, top=0.2 * len(sets) + 0.1 if len(sets) > 1 else 0.1)
    return figure


def _known(values: Sequence[float | None]) -> np.ndarray:
    numbers = np.array([np.nan if value is None else value for value in values], float)
    return numbers[np.isfinite(numbers)]


def _region_colour(region: str, column: int) -> str:
    return REGION_COLOURS.get(region, PLAIN_COLOURS[column % len(PLAIN_COLOURS)])


def _with_count(sets: Mapping[str, Values], region: str) -> str:
    """Return a column's name: the region, and the number of cases if it is the same in all sets."""
    counts = {len(_known(values.get(region, ()))) for values in sets.values()}
    return f"{region}\nn = {counts.pop()}" if len(counts) == 1 else region


def _column(axes: Axes, values: np.ndarray, middle: float, look: tuple[float, str, str]) -> None:
    width, colour, name = look
    if len(values) == 0:
        return
    axes.boxplot(
        values,
        positions=[middle],
        widths=0.7 * width,
        showfliers=False,
        manage_ticks=False,
        medianprops={"color": "black", "linewidth": 1.6},
        boxprops={"color": "#404040"},
        whiskerprops={"color": "#404040"},
        capprops={"color": "#404040"},
        zorder=3,
    )
    aside = (np.arange(1, len(values) + 1) * GOLDEN % 1 - 0.5) * 0.55 * width
    size = 22 if len(values) <= 60 else 9
    axes.scatter(
        middle + aside, values, s=size, color=colour, edgecolors="#404040", linewidths=0.5, alpha=0.85, zorder=2, label=name
    )


def _scale(axes: Axes, scale: str, limits: tuple[float, float] | None) -> None:
    from matplotlib.ticker import FuncFormatter

    if scale == "symlog":
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if limits:
        axes.set_ylim(*limits)
    elif scale == "symlog":
        axes.set_ylim(-0.1, max(2.0, 1.4 * axes.dataLim.y1))


def _legend(figure: Figure, names: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=PLAIN_COLOURS[i % len(PLAIN_COLOURS)], label=name)
        for i, name in enumerate(names)
    ]
    figure.legend(handles=handles, loc="upper center", fontsize=8, frameon=False, handletextpad=0.2)
