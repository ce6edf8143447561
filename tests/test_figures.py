"""Figures: what is drawn where. Positions are checked on rendered pixels, against the letters that stand beside them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats3d.errors import ArrayError, OptionError, SpaceError
from brats3d.figures import PLANES, CasePicture, cohort_figure, curves_figure, overlay_figure, save, slice_centre
from brats3d.figures.canvas import REGION_COLOURS
from brats3d.figures.planes import window

SHAPE = (24, 30, 27)
CORNERS = list(itertools.product((0, 1), repeat=3))
WORDS = {0: ("R", "L"), 1: ("A", "P"), 2: ("I", "S")}
"""What the low and the high end of each stored axis (L, P, S) is called."""


def corner_block(corner: tuple[int, int, int]) -> np.ndarray:
    """Return (24, 30, 27) bool with a block in one corner."""
    block = np.zeros(SHAPE, bool)
    block[tuple(slice(1, 8) if end == 0 else slice(n - 8, n - 1) for end, n in zip(corner, SHAPE, strict=True))] = True
    return block


def masks(whole: np.ndarray) -> np.ndarray:
    """Return WT, TC, ET masks, each half of the one before along the last axis' voxels."""
    core = whole & (np.arange(SHAPE[2]) % 2 == 0)
    return np.stack([whole, core, core & (np.arange(SHAPE[0]) % 2 == 0)[:, None, None]])


def dim_brain(bright: np.ndarray | None = None) -> np.ndarray:
    image = np.full(SHAPE, 10, np.int16)
    if bright is not None:
        image[bright] = 1000
    return image


def render(figure: Any) -> np.ndarray:
    """Return the figure's pixels: (rows, columns, 3) uint8, first row at the top."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def panel_pixels(figure: Any, axes: Any) -> np.ndarray:
    pixels, box = render(figure), axes.get_window_extent()
    rows = slice(round(pixels.shape[0] - box.y1), round(pixels.shape[0] - box.y0))
    return pixels[rows, round(box.x0) : round(box.x1)]


# -- planes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plane", "index", "expected"),
    [
        # value 100 x + 10 y + z; rows from the top, columns from the left
        ("axial", 4, [[4, 104, 204], [14, 114, 214]]),  # anterior (y 0) on top, the patient's right (x 0) at the left
        ("coronal", 1, [[10 + z, 110 + z, 210 + z] for z in (4, 3, 2, 1, 0)]),  # superior (z 4) on top
        ("sagittal", 2, [[200 + z, 210 + z] for z in (4, 3, 2, 1, 0)]),  # nose (y 0) at the left
    ],
)
def test_a_slice_is_upright(plane: str, index: int, expected: list[list[int]]) -> None:
    x, y, z = np.indices((3, 2, 5))
    np.testing.assert_array_equal(PLANES[plane].picture(100 * x + 10 * y + z, index), expected)


def test_the_centre_is_in_the_tumour() -> None:
    mask = np.zeros((6, 7, 8), bool)
    mask[0:2, 1, 1] = mask[5, 6, 7] = True  # two lesions: their common centre lies outside both
    centre = slice_centre(None, np.zeros((6, 7, 8), bool), mask)
    assert centre == (1, 1, 1)
    assert slice_centre(None, ~np.ones((6, 7, 8), bool)) is None
    ball = ((np.indices((9, 9, 9)) - np.array([4, 5, 3])[:, None, None, None]) ** 2).sum(0) < 5
    assert slice_centre(ball) == (4, 5, 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 0, 0], (0.0, 1.0)), ([0, 7, 7], (0.0, 7.0)), ([-3, -3, 0], (-3.0, -2.0)), ([5, 10], (0.0, 9.975))],
)
def test_the_grey_window_ignores_background(values: list[int], expected: tuple[float, float]) -> None:
    assert window(np.array(values)) == pytest.approx(expected)


# -- the picture of a case ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corner", CORNERS)
def test_a_bright_corner_appears_beside_its_letters(corner: tuple[int, int, int]) -> None:
    """The rendered white pixels are nearer to the letter of the block's side than to the opposite one."""
    block = corner_block(corner)
    where = np.zeros((3, *SHAPE), bool)
    where[0, *np.argwhere(block)[0]] = True
    figure = overlay_figure(CasePicture("case", {"T1": dim_brain(block)}, reference=where))
    for axes, plane in zip(figure.axes, PLANES.values(), strict=True):
        pixels = panel_pixels(figure, axes)
        rows, columns = np.nonzero((pixels > 240).all(-1))
        letters = {t.get_text(): t.get_window_extent() for t in axes.texts}
        middle = axes.get_window_extent()
        # letters are white too: only the block is as large, so the median lies in it
        spot = np.array([np.median(columns) + middle.x0, middle.y1 - np.median(rows)])
        for axis in {0, 1, 2} - {plane.axis}:
            beside, opposite = WORDS[axis][corner[axis]], WORDS[axis][1 - corner[axis]]
            near, far = (np.linalg.norm(spot - np.mean(letters[word].get_points(), 0)) for word in (beside, opposite))
            assert near < far, (plane.name, beside)


def test_spacing_shapes_the_slices() -> None:
    picture = CasePicture("case", {"T1": dim_brain()}, spacing_mm=(1.0, 1.0, 5.0))
    figure = overlay_figure(picture)
    for axes, plane in zip(figure.axes, PLANES.values(), strict=True):
        for letter in axes.texts:
            letter.set_visible(False)
        rows, columns = np.nonzero((panel_pixels(figure, axes) > 100).all(-1))
        drawn = np.ptp(rows) / np.ptp(columns)
        size = np.array(SHAPE) * picture.spacing_mm
        assert drawn == pytest.approx(size[plane.rows] / size[plane.columns], rel=0.05)


def hue_shares(pixels: np.ndarray) -> dict[str, int]:
    """Return region → coloured pixels nearest to its colour in chroma."""
    from matplotlib.colors import to_rgb

    colours = pixels[np.ptp(pixels.astype(int), -1) > 40].astype(float)
    chroma = colours - colours.mean(-1, keepdims=True)
    chroma /= np.linalg.norm(chroma, axis=-1, keepdims=True)
    palette = np.array([to_rgb(c) for c in REGION_COLOURS.values()])
    palette -= palette.mean(-1, keepdims=True)
    palette /= np.linalg.norm(palette, axis=-1, keepdims=True)
    counts = np.bincount((chroma @ palette.T).argmax(-1), minlength=3)
    return dict(zip(REGION_COLOURS, counts.tolist(), strict=True))


def test_the_prediction_is_filled_with_the_innermost_region() -> None:
    whole = np.zeros((3, *SHAPE), bool)
    whole[0, 4:20, 4:26, 4:23] = True
    figure = overlay_figure(CasePicture("case", {"T1": dim_brain()}, prediction=whole))
    before = hue_shares(panel_pixels(figure, figure.axes[0]))
    assert before["WT"] > 1000
    assert before["TC"] == before["ET"] == 0
    whole[1, 4:20, 4:26, 4:23] = whole[2, 4:12, 4:26, 4:23] = True
    figure = overlay_figure(CasePicture("case", {"T1": dim_brain()}, prediction=whole))
    after = hue_shares(panel_pixels(figure, figure.axes[0]))
    assert after["WT"] < 0.02 * before["WT"]
    assert after["TC"] == pytest.approx(after["ET"], rel=0.05)
    assert after["TC"] + after["ET"] == pytest.approx(before["WT"], rel=0.05)


def test_the_reference_is_outlined() -> None:
    whole = np.zeros((3, *SHAPE), bool)
    whole[0, 4:20, 4:26, 4:23] = True
    figure = overlay_figure(CasePicture("case", {"T1": dim_brain()}, reference=whole))
    shares = hue_shares(panel_pixels(figure, figure.axes[0]))
    filled = overlay_figure(CasePicture("case", {"T1": dim_brain()}, prediction=whole))
    assert 0 < shares["WT"] < 0.2 * hue_shares(panel_pixels(filled, filled.axes[0]))["WT"]
    (outline,) = figure.axes[0].collections  # axial; the empty TC and ET draw nothing and warn of nothing
    ends = outline.get_paths()[0].get_extents()
    np.testing.assert_allclose([ends.x0, ends.x1, ends.y0, ends.y1], [4, 20, 4, 26], atol=0.51)


def test_the_heading_shows_the_scores_as_given() -> None:
    picture = CasePicture("case 7", {"T1": dim_brain()}, dice={"WT": 0.914, "TC": 1.0, "ET": float("nan")})
    assert overlay_figure(picture).get_suptitle() == "case 7    Dice WT 0.91  TC 1.00  ET nan"
    assert overlay_figure(CasePicture("case 7", {"T1": dim_brain()})).get_suptitle() == "case 7"


@pytest.mark.parametrize("name", ["reference", "prediction"])
def test_the_legend_says_what_is_drawn(name: str) -> None:
    picture = CasePicture("case", {"T1": dim_brain()}, **{name: masks(corner_block((0, 0, 0)))})
    (legend,) = overlay_figure(picture).legends
    assert [text.get_text() for text in legend.get_texts()] == [f"{region} {name}" for region in ("WT", "TC", "ET")]
    assert not overlay_figure(CasePicture("case", {"T1": dim_brain()})).legends


def test_texts_do_not_overlap_and_lie_in_the_figure() -> None:
    whole = masks(corner_block((0, 1, 0)))
    picture = CasePicture("BraTS-GLI-00000-000", {"FLAIR": dim_brain(), "T1ce": dim_brain()}, whole, whole, dice={"WT": 1.0})
    for figure in (overlay_figure(picture), cohort_figure([picture, picture])):
        render(figure)
        texts = [text for axes in figure.axes for text in (*axes.texts, axes.title, axes._left_title)]
        texts += [figure._suptitle] if figure._suptitle else []
        boxes = [text.get_window_extent() for text in texts if text.get_text()] + [figure.legends[0].get_window_extent()]
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
        for box in boxes:
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.x1
            assert box.y1 <= figure.bbox.y1
        for axes in figure.axes:
            assert not figure.legends[0].get_window_extent().overlaps(axes.get_window_extent())


def test_an_empty_image_is_drawn() -> None:
    figure = overlay_figure(CasePicture("case", {"T1": np.zeros((6, 7, 8))}))
    assert render(figure).min() == 0


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (CasePicture("c", {}), "c: there are no images"),
        (CasePicture("c", {"a": np.ones((6, 7, 8)), "b": np.ones((6, 7, 9))}), r"a \(6, 7, 8\), b \(6, 7, 9\)"),
        (CasePicture("c", {"a": np.ones((6, 7, 8))}, reference=np.ones((3, 8, 7, 6), bool)), r"reference \(8, 7, 6\)"),
        (CasePicture("c", {"a": np.ones((6, 7, 8))}, prediction=np.ones((2, 6, 7, 8), bool)), "prediction has 2 masks"),
    ],
)
def test_volumes_that_do_not_belong_together_are_refused(picture: CasePicture, message: str) -> None:
    for draw in (overlay_figure, lambda p: cohort_figure([p])):
        with pytest.raises(ArrayError, match=message):
            draw(picture)


# -- cohorts -----------------------------------------------------------------------------------------------------------


def test_a_cohort_has_a_row_a_case_and_a_column_an_image() -> None:
    pictures = [
        CasePicture(
            f"case {k}", {"FLAIR": dim_brain(corner_block((k, 0, 0))), "T1ce": dim_brain()}, masks(corner_block((k, 0, 0)))
        )
        for k in (0, 1)
    ]
    figure = cohort_figure(pictures, plane="coronal")
    assert len(figure.axes) == 4
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["case 0", "", "case 1", ""]
    assert [axes.texts[-1].get_text() for axes in figure.axes] == ["FLAIR", "T1ce"] * 2
    corners = np.array([axes.get_window_extent().get_points()[0] for axes in figure.axes])
    assert corners[0, 1] == corners[1, 1] > corners[2, 1]
    assert corners[0, 0] == corners[2, 0] < corners[1, 0]


def test_a_cohort_needs_cases_alike() -> None:
    with pytest.raises(ArrayError, match="found 0 cases"):
        cohort_figure([])
    with pytest.raises(ArrayError, match=r"b has the images \['T2'\]; expected \['T1'\]"):
        cohort_figure([CasePicture("a", {"T1": dim_brain()}), CasePicture("b", {"T2": dim_brain()})])
    with pytest.raises(OptionError, match="plane is 'saggital' \\(did you mean 'sagittal'\\?\\)"):
        cohort_figure([CasePicture("a", {"T1": dim_brain()})], plane="saggital")


# -- curves ------------------------------------------------------------------------------------------------------------


def test_curves_are_sorted_into_panels() -> None:
    nan = float("nan")
    columns = {
        "epoch": [0, 1, 2, 3],
        "loss": [2.0, 1.0, 0.5, 0.4],
        "val_loss": [nan, 1.5, nan, 0.9],
        "dice_WT": [nan, 0.3, nan, 0.6],
        "val/dice_ET": [nan, nan, nan, nan],
        "learning_rate": [1e-3, 1e-3, 1e-4, 1e-5],
        "seconds": [9, 9, 9, 9],
    }
    figure = curves_figure(columns)
    drawn = {axes.get_title(): {line.get_label(): line for line in axes.get_lines()} for axes in figure.axes}
    assert {title: list(lines) for title, lines in drawn.items()} == {
        "loss": ["loss", "val_loss"],
        "Dice": ["dice_WT", "val/dice_ET"],
        "learning rate": ["learning_rate"],
    }
    np.testing.assert_array_equal(drawn["loss"]["val_loss"].get_xydata(), [[1, 1.5], [3, 0.9]])
    assert drawn["Dice"]["dice_WT"].get_color() == REGION_COLOURS["WT"]
    assert [drawn["loss"][name].get_linestyle() for name in ("loss", "val_loss")] == ["--", "-"]
    assert figure.axes[2].get_yscale() == "log"
    render(figure)


def test_epochs_count_from_one_without_a_column_of_their_own() -> None:
    (axes,) = curves_figure({"loss": [3.0, 2.0]}).axes
    np.testing.assert_array_equal(axes.get_lines()[0].get_xdata(), [1, 2])


def test_a_learning_rate_of_zero_is_drawn() -> None:
    (axes,) = curves_figure({"lr": [1e-3, 0.0]}).axes
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"loss": [1.0], "dice": [0.1, 0.2]}, r"\{'loss': 1, 'dice': 2\}"),
        ({"glossary": [1.0], "seconds": [2.0]}, r"none of the columns \['glossary', 'seconds'\] can be drawn"),
        ({}, r"none of the columns \[\] can be drawn"),
    ],
)
def test_logs_that_cannot_be_drawn_are_refused(columns: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ArrayError, match=message):
        curves_figure(columns)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".PDF", ".svg"])
def test_a_saved_figure_is_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"curves{suffix}"
    path.write_text("an older picture")
    save(curves_figure({"loss": [3.0, 2.0]}), path)
    start = path.read_bytes()[:8]
    assert start.startswith({".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix.lower()])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"curves\.jpg is '\.jpg'.*\.png, \.pdf, \.svg"):
        save(curves_figure({"loss": [3.0, 2.0]}), tmp_path / "curves.jpg")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_older_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, figure = tmp_path / "curves.png", curves_figure({"loss": [3.0, 2.0]})
    path.write_text("an older picture")

    def full(target: Path, **_: object) -> None:
        target.write_text("half a pic")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full)
    with pytest.raises(SpaceError, match=r"curves\.png: no space left on the disk"):
        save(figure, path)
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [("curves.png", "an older picture")]


def test_drawing_leaves_no_global_state() -> None:
    script = (
        "import sys, numpy as np; from brats3d.figures import *;"
        " overlay_figure(CasePicture('c', {'T1': np.ones((6, 7, 8))})); curves_figure({'loss': [1.0]});"
        " print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
