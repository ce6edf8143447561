"""The picture of an error: the right slice, the right way round, the right masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from brats3d.errors import ArrayError, OptionError
from brats3d.figures import thumbnail_figure
from brats3d.figures.canvas import REGION_COLOURS

SHAPE = (90, 110, 31)


def block(*ranges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*r) for r in ranges)] = True
    return mask


WHOLE = block((20, 40), (30, 60), (5, 25))
CORE = block((25, 35), (40, 50), (8, 20))
EMPTY = np.zeros(SHAPE, bool)
REFERENCE = {"WT": WHOLE, "TC": CORE, "ET": EMPTY}


def render(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def near(pixels: np.ndarray, colour: tuple[float, ...], tolerance: int = 30) -> np.ndarray:
    return (np.abs(pixels - np.array(colour) * 255).max(-1) <= tolerance).astype(bool)


def rgb(name: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(name)


def marked(index: int, axis: int) -> np.ndarray:
    """A scan whose slices have grey values of their own: slice k of an axis is bright where k is the index."""
    image = np.full(SHAPE, 100.0)
    image[(slice(None),) * axis + (index,)] = 900.0
    return image


@pytest.mark.parametrize(("plane", "axis"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_the_slice_with_the_most_errors_is_shown(plane: str, axis: int) -> None:
    """The image of the chosen slice is brightest: its grey window ends there, so other slices would be as bright all over."""
    wrong = WHOLE.copy()
    place = 17 if axis == 2 else 34
    cut = (slice(None),) * axis + (place,)
    wrong[cut] = False
    image = np.where(marked(place, axis) > 500, np.indices(SHAPE)[(axis + 1) % 3] + 1.0, 50.0)
    figure = thumbnail_figure({**REFERENCE, "WT": wrong}, REFERENCE, image, plane=plane)
    (shown,) = [found for found in figure.axes[0].images if found.get_array().ndim == 2]
    expected = np.take(image, place, axis).T
    np.testing.assert_array_equal(shown.get_array(), expected if plane == "axial" else expected[::-1])


def test_the_region_asked_for_picks_the_slice() -> None:
    prediction = {
        "WT": WHOLE & ~block((0, 90), (0, 110), (6, 7)),
        "TC": CORE & ~block((0, 90), (0, 110), (12, 13)),
        "ET": EMPTY,
    }
    image = np.indices(SHAPE)[2] + 1.0
    for region, place in ((None, 6), ("WT", 6), ("TC", 12), ("ET", 16)):  # ET has no error: the middle of the tumour (5 to 24)
        figure = thumbnail_figure(prediction, REFERENCE, image, region=region)
        found = figure.axes[0].images[0].get_array()[0, 0] - 1
        assert found == (place if region != "ET" else pytest.approx(14.5, abs=1)), region


def test_prediction_is_filled_and_reference_outlined() -> None:
    shifted = np.roll(WHOLE, 14, 0)
    figure = thumbnail_figure({"WT": shifted, "TC": EMPTY, "ET": EMPTY}, {"WT": WHOLE, "TC": EMPTY, "ET": EMPTY})
    (axes,) = figure.axes
    (line,) = axes.collections
    ends = line.get_paths()[0].get_extents()
    np.testing.assert_allclose([ends.x0, ends.x1, ends.y0, ends.y1], [20, 40, 30, 60], atol=0.51)
    (fill,) = axes.images
    rows, columns = np.nonzero(fill.get_array()[..., 3])
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (34, 53, 30, 59)
    pixels = render(figure)
    mixed = 0.45 * np.array(rgb(REGION_COLOURS["WT"])) + 0.55 * np.array(rgb("#303030"))
    assert near(pixels, tuple(mixed), 6).sum() > 1000


def test_left_and_front_are_where_the_letters_say() -> None:
    """A block at the low end of the first two axes (right, front) lies at the left and the top, where R and A stand."""
    corner = block((2, 8), (3, 9), (10, 20))
    masks = {"WT": WHOLE | corner, "TC": EMPTY, "ET": EMPTY}
    figure = thumbnail_figure({**masks, "WT": EMPTY}, masks)
    (axes,) = figure.axes
    extents = [path.get_extents() for path in axes.collections[0].get_paths()]
    assert not axes.xaxis_inverted()
    assert axes.yaxis_inverted()
    assert min(e.x0 for e in extents) == pytest.approx(2, abs=0.51)
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert places["R"][0] < 0.5
    assert places["A"][1] > 0.5


def test_spacing_shapes_the_slice_and_small_tumours_keep_their_surroundings() -> None:
    small = {"WT": block((40, 44), (50, 53), (15, 16)), "TC": EMPTY, "ET": EMPTY}
    figure = thumbnail_figure({**small, "WT": EMPTY}, small, spacing_mm=(1.0, 2.5, 3.0))
    (axes,) = figure.axes
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert right - left == bottom - top == 70
    assert (right + left) / 2 == 42
    assert (bottom + top) / 2 == 51.5 * 2.5
    np.testing.assert_allclose(axes.collections[0].get_paths()[0].get_extents().y1, 53 * 2.5, atol=1.3)


def test_nothing_at_all_is_drawn() -> None:
    nothing = {"WT": EMPTY}
    assert render(thumbnail_figure(nothing, nothing)).std() < 20
    assert render(thumbnail_figure(nothing, nothing, np.zeros(SHAPE))).mean() < 5


@pytest.mark.parametrize(
    ("prediction", "reference", "options", "error", "message"),
    [
        ({"WT": EMPTY}, {"WT": EMPTY[1:]}, {}, ArrayError, r"reference WT \(89, 110, 31\)"),
        ({"WT": EMPTY}, {"WT": EMPTY}, {"image": EMPTY[0]}, ArrayError, r"image \(110, 31\)"),
        ({"WT": EMPTY}, REFERENCE, {}, ArrayError, r"found masks of \['WT'\] and \['WT', 'TC', 'ET'\]"),
        ({}, {}, {}, ArrayError, r"\[\] and \[\]; expected the same regions"),
        ({"WT": EMPTY}, {"WT": EMPTY}, {"region": "ET"}, OptionError, "region is 'ET'"),
        ({"WT": EMPTY}, {"WT": EMPTY}, {"plane": "axail"}, OptionError, "did you mean 'axial'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    prediction: dict[str, np.ndarray], reference: dict[str, np.ndarray], options: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        thumbnail_figure(prediction, reference, **options)
