"""The checkerboard picture: what stands where, counted on arrays and on the drawn panels."""

from __future__ import annotations

import numpy as np
import pytest

from brats3d.errors import ArrayError
from brats3d.figures import AlignmentPicture, alignment_figure, checkerboard

SHAPE = (21, 24, 17)


def test_squares_alternate() -> None:
    board = checkerboard(np.zeros((5, 7)), np.ones((5, 7)), (2, 3))
    expected = np.array([[(i // 2 + j // 3) % 2 for j in range(7)] for i in range(5)])
    np.testing.assert_array_equal(board, expected)
    with pytest.raises(ArrayError, match="shapes differ"):
        checkerboard(np.zeros((5, 7)), np.ones((5, 6)), (2, 3))
    with pytest.raises(ArrayError, match="at least 1"):
        checkerboard(np.zeros((5, 7)), np.ones((5, 7)), (0, 3))


def picture(**change: object) -> AlignmentPicture:
    rng = np.random.default_rng(0)
    brain = np.zeros(SHAPE, bool)
    brain[4:17, 5:20, 3:14] = True
    images = [np.where(brain, rng.uniform(1, 9, SHAPE), 0) for _ in range(3)]
    given = {
        "heading": "case 7", "reference": ("t1ce", images[0]), "pairs": {"t2": (images[1], images[2])}, "brain": brain,
        "spacing_mm": (8.0, 8.0, 8.0), "notes": ("a note",), **change,
    }  # fmt: skip
    return AlignmentPicture(**given)  # type: ignore[arg-type]


def test_a_row_a_scan_and_a_row_for_the_brain() -> None:
    figure = alignment_figure(picture())
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:4] == [f"t1ce | t2, {plane}, {when}" for plane in ("axial", "sagittal") for when in ("before", "after")]
    assert titles[4:] == [f"brain on t1ce, {plane}" for plane in ("axial", "coronal", "sagittal")]
    before, after = (axes.images[0].get_array() for axes in figure.axes[:2])
    assert (before != after).any()
    assert (before == after).any(), "the reference's squares are the same in both"
    # 14 mm of margin are two voxels: the axial panel shows 17 columns and 19 rows
    assert before.shape == (19, 17)
    assert [t.get_text() for t in figure.texts] == ["a note", "case 7"]


def test_without_a_brain_or_another_scan() -> None:
    figure = alignment_figure(picture(brain=np.zeros(SHAPE, bool), pairs={}))
    assert len(figure.axes) == 3
    assert figure.axes[0].images[0].get_array().shape == (24, 21)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ArrayError, match="t2 before"):
        alignment_figure(picture(pairs={"t2": (np.zeros((3, 3, 3)), np.zeros(SHAPE))}))
