"""Agreement of predictions with the reference: volumes (Bland and Altman) and probabilities (reliability)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brats3d.errors import ArrayError
from brats3d.figures.canvas import PLAIN_COLOURS, REGION_COLOURS, new_figure, set_margins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIMITS = 1.96
"""Standard deviations on either side of the bias that contain 95 % of normally distributed differences."""
LABEL_GAP = 0.15
"""Least distance between the labels of two lines, as a share of the axis."""


def bland_altman_figure(reference_ml: Sequence[float], predicted_ml: Sequence[float], *, region: str) -> Figure:
    """Draw predicted minus reference volume over the mean of both, with the bias and the limits of agreement.

    The bias is the mean difference; the limits are 1.96 standard deviations (n − 1) on either side of it, given two cases or
    more.

    Args:
        reference_ml: one volume per case.
        predicted_ml: one volume per case, in the same order.
        region: whose volumes; sets the title and the colour.

    Returns:
        A new figure.

    Raises:
        ArrayError: there are no cases, or the two have different lengths.

    References:
        Bland and Altman 1986, "Statistical methods for assessing agreement between two methods of clinical measurement".
    """
    reference, predicted = np.asarray(reference_ml, float), np.asarray(predicted_ml, float)
    if reference.shape != predicted.shape or reference.ndim != 1 or len(reference) == 0:
        raise ArrayError(
            f"{region}: found {reference.size} volumes of references and {predicted.size} of predictions; expected equal"
            " numbers, at least one."
        )
    means, differences = (reference + predicted) / 2, predicted - reference
    figure = new_figure(3.6, 3.0)
    axes = figure.add_subplot()
    colour = REGION_COLOURS.get(region, PLAIN_COLOURS[0])
    axes.scatter(means, differences, s=22 if len(means) <= 60 else 9, color=colour, edgecolors="#404040", linewidths=0.5)
    axes.axhline(0, color="#404040", linewidth=0.8)
    bias = float(differences.mean())
    reach = LIMITS * float(differences.std(ddof=1)) if len(differences) > 1 else None
    _lines(axes, bias, reach)
    axes.set_title(region, fontsize=10)
    axes.set_xlabel("mean of prediction and reference (ml)")
    axes.set_ylabel("prediction − reference (ml)")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    set_margins(figure, left=0.72, right=0.66, bottom=0.5, top=0.28)
    return figure


def _lines(axes: Axes, bias: float, reach: float | None) -> None:
    """Draw the bias and the limits of agreement, with their values at the right edge."""
    lines = [("bias", bias, 0, "-")]
    if reach is not None:
        lines += [("+1.96 sd", bias + reach, 1, "--"), ("−1.96 sd", bias - reach, -1, "--")]
    for _, height, _, style in lines:
        axes.axhline(height, color=PLAIN_COLOURS[0], linewidth=1.2, linestyle=style)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    # one outlier flattens all others: keep labels as far apart as two lines of text need
    apart = max(LABEL_GAP, (reach or 0.0) / (high - low))
    middle = min(max((bias - low) / (high - low), LABEL_GAP), 1 - LABEL_GAP)
    for name, height, side, _ in lines:
        words = f"{name}\n{height:+.1f}".replace("-", "−")
        axes.text(1.02, middle + side * apart, words, transform=axes.transAxes, fontsize=8, va="center", color=PLAIN_COLOURS[0])


def reliability_figure(
    curves: Mapping[str, tuple[Sequence[float | None], Sequence[float | None], Sequence[int]]],
) -> Figure:
    """Draw observed frequency over predicted probability, with the number of voxels below.

    Args:
        curves: name → (mean probability, observed frequency, number of voxels), one value per bin each; empty bins have
            None. A name that starts with a region gets its colour (``WT, ECE 0.012``).

    Returns:
        A new figure.

    Raises:
        ArrayError: there are no curves, or the columns of one differ in length.
    """
    if not curves:
        raise ArrayError(f"found {len(curves)} reliability curves; expected at least one.")
    figure = new_figure(4.4, 4.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], linestyle=":", color="#404040", linewidth=1)
    for number, (name, columns) in enumerate(curves.items()):
        if len({len(column) for column in columns}) != 1:
            raise ArrayError(f"{name}: found columns of {[len(column) for column in columns]} bins; expected equal lengths.")
        _curve(upper, lower, (name, _colour(name, number)), columns)
    upper.set_xlim(-0.02, 1.02)
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel("share that is tumour")
    upper.legend(fontsize=8, loc="upper left", frameon=False)
    lower.set_yscale("log")
    lower.set_ylabel("voxels")
    lower.set_xlabel("probability predicted")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    set_margins(figure, left=0.75, right=0.1, bottom=0.52, top=0.1)
    return figure


def _colour(name: str, number: int) -> str:
    region = next((r for r in REGION_COLOURS if name.startswith(r)), None)
    return PLAIN_COLOURS[number % len(PLAIN_COLOURS)] if region is None else REGION_COLOURS[region]


def _curve(
    upper: Axes,
    lower: Axes,
    look: tuple[str, str],
    columns: tuple[Sequence[float | None], Sequence[float | None], Sequence[int]],
) -> None:
    from matplotlib.patheffects import Normal, Stroke

    name, colour = look
    means, shares, counts = (np.array([np.nan if value is None else value for value in column], float) for column in columns)
    filled = np.isfinite(means) & np.isfinite(shares)
    edge = [Stroke(linewidth=2.4, foreground="#404040"), Normal()]
    for axes, heights in ((upper, shares), (lower, counts)):
        axes.plot(
            means[filled], heights[filled], marker="o", markersize=4, linewidth=1.6, color=colour, label=name, path_effects=edge
        )
