"""Training curves from a log's columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brats3d.errors import ArrayError
from brats3d.figures.canvas import PLAIN_COLOURS, REGION_COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class _Panel:
    """One panel: columns whose name contains ``word`` (between underscores), the axis title and the scale."""

    word: str
    title: str
    scale: str = "linear"
    limits: tuple[float, float] | None = None


PANELS = (
    _Panel("loss", "loss"),
    _Panel("dice", "Dice", limits=(0.0, 1.0)),
    _Panel("lr", "learning rate", scale="log"),
)
ALIASES = {"learning_rate": "lr"}


def curves_figure(columns: Mapping[str, Sequence[float]]) -> Figure:
    """Draw a training log: losses, Dice and learning rate over epochs, one panel each.

    Columns are assigned to panels by name: those with ``loss``, ``dice``, ``lr`` or ``learning_rate`` in their name
    (``val_loss``, ``dice_WT``); a region in the name gives the curve the region's colour; if there is both ``val_x`` and
    ``x``, ``x`` is dashed. Other columns are not drawn.

    Args:
        columns: column → one value per epoch, NaN if there is none (validation may run only now and then); ``epoch`` numbers
            the epochs, which otherwise count from 1.

    Returns:
        A new figure; ``figures.save`` writes it. Panels without a column are left out.

    Raises:
        ArrayError: no column can be drawn, or columns differ in length.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ArrayError(f"the columns differ in length: {lengths}; expected one value per epoch in each.")
    drawn = [(panel, [name for name in columns if panel.word in _words(name)]) for panel in PANELS]
    drawn = [(panel, names) for panel, names in drawn if names]
    if not drawn:
        raise ArrayError(f"none of the columns {list(columns)} can be drawn; expected names with loss, dice or learning_rate.")
    epochs = np.asarray(columns.get("epoch", np.arange(max(lengths.values())) + 1), float)
    figure = new_figure(4.2 * len(drawn), 3.4)
    for position, (panel, names) in enumerate(drawn):
        axes = figure.add_subplot(1, len(drawn), position + 1)
        for number, name in enumerate(names):
            style = "--" if f"val_{name}" in columns else "-"
            line = _Line(name, style, _region_colour(name) or PLAIN_COLOURS[number % len(PLAIN_COLOURS)])
            _curve(axes, epochs, np.asarray(columns[name], float), line)
        _finish(axes, panel)
    figure.tight_layout()
    return figure


def _words(name: str) -> list[str]:
    """Return the parts of a column's name, lower case."""
    lowered = name.lower()
    for alias, word in ALIASES.items():
        lowered = lowered.replace(alias, word)
    return lowered.replace(" ", "_").replace("/", "_").split("_")


@dataclass(frozen=True)
class _Line:
    name: str
    style: str
    colour: str


def _region_colour(name: str) -> str | None:
    words = _words(name)
    return next((colour for region, colour in REGION_COLOURS.items() if region.lower() in words), None)


def _curve(axes: Axes, epochs: np.ndarray, values: np.ndarray, line: _Line) -> None:
    from matplotlib.patheffects import Normal, Stroke

    there = np.isfinite(values)
    marker = "o" if there.sum() < 40 else None
    # a dark edge: the regions' light colours suit grey images, but this page is white
    edge = [Stroke(linewidth=2.2, foreground="#404040"), Normal()]
    axes.plot(
        epochs[there],
        values[there],
        line.style,
        color=line.colour,
        marker=marker,
        markersize=3.5,
        linewidth=1.5,
        label=line.name,
        path_effects=edge,
    )


def _finish(axes: Axes, panel: _Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    lines = [np.asarray(line.get_ydata(), float) for line in axes.get_lines()]
    if panel.scale == "log" and all((line > 0).all() for line in lines):
        axes.set_yscale("log")
    if panel.limits:
        axes.set_ylim(*panel.limits)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_title(panel.title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
