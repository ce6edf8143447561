"""Figures of scores: what is drawn is what was given, and every text can be read."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from brats3d.errors import ArrayError, OptionError
from brats3d.figures import bland_altman_figure, png_bytes, reliability_figure, strip_figure
from brats3d.figures.canvas import PLAIN_COLOURS, REGION_COLOURS

RNG = np.random.default_rng(5)
DICE = {"WT": list(RNG.uniform(0.6, 1, 13)), "TC": [*RNG.uniform(0.2, 1, 12), None], "ET": [0.0, 1.0, float("nan"), 0.5]}
HD95 = {"WT": [0.0, 1.0, 2.4, 14.0, 373.1287], "ET": [373.1287, 3.0]}


def points(axes: Any) -> list[np.ndarray]:
    """Return the (N, 2) points of each scatter."""
    return [np.asarray(found.get_offsets()) for found in axes.collections]


def tick_labels(axes: Any) -> list[Any]:
    """Return the labels of the ticks within the axes' limits; Matplotlib draws no others."""
    return [
        tick.label1
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if min(axis.get_view_interval()) - 1e-9 <= tick.get_loc() <= max(axis.get_view_interval()) + 1e-9
    ]


def check_texts(figure: Any) -> None:
    """Refuse texts that overlap, leave the figure or are smaller than 8 points."""
    figure.canvas.draw()
    texts = [
        text
        for axes in figure.axes
        for text in (*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label, *tick_labels(axes))
        if text.get_visible() and text.get_text()
    ]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    boxes += [("legend", legend.get_window_extent()) for legend in figure.legends]
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        assert not first.overlaps(second), (one, other)
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    assert min(text.get_fontsize() for text in texts) >= 8


# -- strips ------------------------------------------------------------------------------------------------------------


def test_a_strip_shows_every_case() -> None:
    figure = strip_figure({"": DICE}, score="Dice", limits=(-0.03, 1.03))
    (axes,) = figure.axes
    known = {region: [v for v in values if v is not None and np.isfinite(v)] for region, values in DICE.items()}
    for column, (found, (region, values)) in enumerate(zip(points(axes), known.items(), strict=True)):
        np.testing.assert_array_equal(found[:, 1], values)
        assert (np.abs(found[:, 0] - column) < 0.5).all()
        assert len(np.unique(found[:, 0])) == len(values)  # no point hides another of the same score
        box = next(line for line in axes.lines if np.allclose(line.get_ydata(), np.median(values)))
        assert np.mean(box.get_xdata()) == pytest.approx(column)
        np.testing.assert_allclose(axes.collections[column].get_facecolor()[0][:3], rgb(REGION_COLOURS[region]))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["WT\nn = 13", "TC\nn = 12", "ET\nn = 3"]
    assert axes.get_ylabel() == "Dice"
    assert axes.get_ylim() == (-0.03, 1.03)
    check_texts(figure)


def rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def test_sets_stand_side_by_side() -> None:
    names = ["ours", "theirs, trained for three times as long"]
    figure = strip_figure({names[0]: DICE, names[1]: {**DICE, "ET": [0.4]}}, score="Dice")
    (axes,) = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    assert [text.get_text() for text in axes.get_xticklabels()] == ["WT\nn = 13", "TC\nn = 12", "ET"]
    offsets = [found[:, 0].mean() - column for found, column in zip(points(axes), (0, 1, 2, 0, 1, 2), strict=True)]
    assert max(offsets[:3]) < 0 < min(offsets[3:])
    colours = [tuple(found.get_facecolor()[0][:3]) for found in axes.collections]
    assert colours == [rgb(PLAIN_COLOURS[0])] * 3 + [rgb(PLAIN_COLOURS[1])] * 3
    check_texts(figure)


def test_distances_and_their_penalties_are_both_seen() -> None:
    figure = strip_figure({"": HD95}, score="HD95 (mm)", scale="symlog")
    (axes,) = figure.axes
    heights = axes.transData.transform(np.column_stack([np.zeros(5), HD95["WT"]]))[:, 1] / axes.bbox.height
    assert np.diff(heights).min() > 0.03
    assert heights[-1] < heights[0] + 0.97  # the penalty is not cut off
    assert {"0", "1", "10", "100"} <= {text.get_text() for text in axes.get_yticklabels()}
    check_texts(figure)


def test_a_region_without_a_value_has_an_empty_column() -> None:
    figure = strip_figure({"": {"WT": [0.5], "ET": [None]}}, score="Dice")
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["WT\nn = 1", "ET\nn = 0"]
    check_texts(figure)


def test_strips_without_a_region_or_scale_are_refused() -> None:
    with pytest.raises(ArrayError, match=r"the sets \['a'\] have no region"):
        strip_figure({"a": {}}, score="Dice")
    with pytest.raises(OptionError, match="scale is 'log'"):
        strip_figure({"": DICE}, score="Dice", scale="log")


# -- Bland-Altman ------------------------------------------------------------------------------------------------------


def test_bias_and_limits_of_agreement_are_those_of_the_paper() -> None:
    reference = np.array([10.0, 20.0, 31.0, 44.0])
    predicted = np.array([12.0, 19.0, 34.0, 40.0])
    figure = bland_altman_figure(reference, predicted, region="TC")
    (axes,) = figure.axes
    (found,) = points(axes)
    np.testing.assert_allclose(found, [[11, 2], [19.5, -1], [32.5, 3], [42, -4]])
    sd = np.sqrt((2**2 + 1 + 3**2 + 4**2) / 3)  # the mean difference is 0
    heights = sorted({round(float(line.get_ydata()[0]), 6) for line in axes.lines})
    np.testing.assert_allclose(heights, [-1.96 * sd, 0, 1.96 * sd], atol=1e-5)
    assert [text.get_text() for text in axes.texts] == ["bias\n+0.0", "+1.96 sd\n+6.2", "−1.96 sd\n−6.2"]
    check_texts(figure)


@pytest.mark.parametrize(
    ("reference", "predicted"),
    [
        ([10.0], [12.0]),
        ([10.0, 12.0], [10.0, 12.0]),
        (list(RNG.uniform(1, 99, 80)), list(RNG.uniform(1, 99, 80))),
        ([*RNG.uniform(1, 9, 80), 5.0], [*RNG.uniform(1, 9, 80), 900.0]),
        ([*RNG.uniform(1, 9, 400), 900.0], [*RNG.uniform(1, 9, 400), 5.0]),
    ],
)
def test_labels_never_lie_on_one_another(reference: list[float], predicted: list[float]) -> None:
    figure = bland_altman_figure(reference, predicted, region="WT")
    assert len(figure.axes[0].texts) == (1 if len(reference) == 1 else 3)
    check_texts(figure)


def test_volumes_that_are_no_pairs_are_refused() -> None:
    for sides in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(ArrayError, match=f"ET: .* {len(sides[0])} .* {len(sides[1])} "):
            bland_altman_figure(*sides, region="ET")


# -- reliability -------------------------------------------------------------------------------------------------------


def test_a_reliability_curve_skips_empty_bins() -> None:
    columns = ([0.05, None, 0.85], [0.02, None, 0.7], [90_000, 0, 40])
    figure = reliability_figure({"WT, ECE 0.031": columns, "RC": ([0.5], [0.5], [7])})
    upper, lower = figure.axes
    drawn = {line.get_label(): line for line in upper.lines}
    np.testing.assert_array_equal(drawn["WT, ECE 0.031"].get_xydata(), [[0.05, 0.02], [0.85, 0.7]])
    assert drawn["WT, ECE 0.031"].get_color() == REGION_COLOURS["WT"]
    assert drawn["RC"].get_color() in PLAIN_COLOURS
    np.testing.assert_array_equal(lower.lines[0].get_xydata(), [[0.05, 90_000], [0.85, 40]])
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["WT, ECE 0.031", "RC"]
    check_texts(figure)


def test_reliability_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ArrayError, match="found 0 reliability curves"):
        reliability_figure({})
    with pytest.raises(ArrayError, match=r"WT: found columns of \[2, 1, 2\] bins"):
        reliability_figure({"WT": ([0.1, 0.2], [0.1], [3, 4])})


def test_a_figure_is_a_png_the_same_every_time() -> None:
    first, second = (png_bytes(strip_figure({"": DICE}, score="Dice"), dots_per_inch=50) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
