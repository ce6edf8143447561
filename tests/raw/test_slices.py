"""From the places of slices to a grid: by the standard's own formula, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from brats3d.errors import GridError
from brats3d.geometry import Grid
from brats3d.raw.itk import check_orientation
from brats3d.raw.slices import Slice, stack

COUNT = 9


def slices(turn: tuple[float, float, float] = (10, -7, 30), step_mm: float = 5.5) -> list[Slice]:
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    orientation = np.concatenate([axes[:, 0], axes[:, 1]])
    return [
        Slice(Path(f"{k}.dcm"), np.array([-80.0, -90, 12]) + k * step_mm * axes[:, 2], orientation, (0.9, 0.7), 6, 5)
        for k in range(COUNT)
    ]


@pytest.mark.parametrize("turn", [(0, 0, 0), (10, -7, 30), (90, 0, 0), (0, 90, 45), (180, 3, 0)])
def test_voxels_lie_where_the_standard_says(turn: tuple[float, float, float]) -> None:
    """DICOM PS3.3 C.7.6.2.1.1: a pixel's place is position + row cosine · column spacing · column + … ."""
    given = slices(turn)
    shuffled = [given[i] for i in np.random.default_rng(0).permutation(COUNT)]
    ordered, grid = stack("t1", shuffled)
    assert [s.path.name for s in ordered] == [f"{k}.dcm" for k in range(COUNT)]
    assert grid.shape == (5, 6, COUNT)
    for column, row, k in ((0, 0, 0), (4, 0, 2), (1, 5, 8)):
        s = given[k]
        place = s.position + s.orientation[:3] * 0.7 * column + s.orientation[3:] * 0.9 * row
        np.testing.assert_allclose((grid.affine @ [column, row, k, 1])[:3], place * [-1, -1, 1], atol=1e-9)
    np.testing.assert_allclose(grid.spacing_mm, (0.7, 0.9, 5.5))


def test_small_unevenness_is_rounding() -> None:
    given = [replace(s, position=s.position + np.array([0, 0, 0.01 * (k % 2)])) for k, s in enumerate(slices((0, 0, 0)))]
    assert stack("t1", given)[1].shape == (5, 6, COUNT)


def moved(k: int, **change: object) -> list[Slice]:
    given = slices((0, 0, 0))
    given[k] = replace(given[k], **change)
    return given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (slices()[:1], "has 1 slice"),
        ([s for k, s in enumerate(slices()) if k != 3], r"lacks 1 slices \(.*after slice 3 of 8\)"),
        ([s for k, s in enumerate(slices()) if k not in (3, 4, 6)], "lacks 3 slices"),
        (moved(3, position=np.array([-80.0, -90, 12 + 3.4 * 5.5])), "mm apart; expected equal spacing"),
        (moved(3, position=slices((0, 0, 0))[2].position), "two images .*echoes or time points"),
        ([replace(s, orientation=np.zeros(6)) for s in slices()], "is singular"),
        ([replace(s, orientation=np.array([1.0, 0, 0, 1, 0, 0])) for s in slices()], "is singular"),
        (moved(3, orientation=np.array([1.0, 0, 0, 0, 0, 1])), "different directions"),
        (moved(3, rows=7), "of 5×6 and of 5×7 voxels"),
        (moved(3, spacing_mm=(0.9, 0.9)), "different spacing"),
        ([replace(s, position=s.position + np.array([0, 2.0 * k, 0])) for k, s in enumerate(slices((0, 0, 0)))],
         "sideways by 16.0 mm"),
    ],
)  # fmt: skip
def test_what_makes_no_grid_is_refused_by_name(given: list[Slice], said: str) -> None:
    with pytest.raises(GridError, match=f"series 'ax t1'.*{said}"):
        stack("ax t1", given)


def plain(qform: np.ndarray | None, affine: np.ndarray) -> Grid:
    return Grid((3, 4, 5), affine, qform)


TURNED = np.eye(4)
TURNED[:3, :3] = Rotation.from_euler("xyz", (4, 5, 6), degrees=True).as_matrix() * [0.9, 0.7, 5.5]


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (
            plain(np.diag([1.0, 1, 2, 1]), np.diag([1.1, 1, 2, 1])),
            r"the sform says voxels of \[1.1, 1.0, 2.0\] mm, the qform of",
        ),
        (plain(None, TURNED @ [[1, 0.05, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "are sheared"),
        (plain(None, np.diag([1.0, 0, 1, 1])), "is singular"),
        (plain(None, np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])), "is singular"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(grid: Grid, said: str) -> None:
    with pytest.raises(GridError, match=f"x_t1.nii.gz: .*{said}"):
        check_orientation("x_t1.nii.gz", grid)


def test_rounding_is_no_contradiction() -> None:
    check_orientation("x", plain(TURNED * [1.005, 1, 1, 1], TURNED))
