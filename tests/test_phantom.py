"""Phantoms: pure functions of generator and shape, plausible per tissue and contrast, whole on disk."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import ndimage

from brats3d import geometry, images
from brats3d.errors import ArrayError, ImageError, OptionError, OutputExistsError
from brats3d.phantom import BRATS_SHAPE, Phantom, fields, make_phantom, phantom_grid, write_cohort
from brats3d.phantom.drawn_lesions import confine, draw_lesions, tumour
from brats3d.phantom.head import anatomy, brain_depth, draw_head
from brats3d.phantom.scanner import layers

SMALL = (40, 40, 26)
ODD = (37, 52, 29)
T1, T1CE, T2, FLAIR = range(4)
TISSUES = ("background", "white", "grey", "nuclei", "hyperintensity", "fluid", "vessel", "choroid")


@dataclass(frozen=True, eq=False)
class Mapped(Phantom):
    """A phantom with its tissues, (X, Y, Z), index into `TISSUES`: what covers most of a voxel, or would without a tumour."""

    tissues: np.ndarray


def mapped(seed: list[int], shape: tuple[int, int, int]) -> Mapped:
    phantom = make_phantom(np.random.default_rng(seed), shape)
    rng = np.random.default_rng(seed)
    head = draw_head(rng)
    lesions = draw_lesions(rng, head)
    lattice = fields.Lattice.of_shape(shape)
    depth = brain_depth(head, lattice)
    tissue, healthy = confine(tumour(lesions, lattice), anatomy(head, lattice, depth), depth)
    tissues = np.full(shape, TISSUES.index("white"), np.uint8)
    for name, share in layers(healthy, tissue, lattice):
        if name in TISSUES:
            tissues[share > 0.5] = TISSUES.index(name)
    return Mapped(phantom.images, phantom.label, tissues * (depth > 0))


@pytest.fixture(scope="module")
def cohort() -> list[Mapped]:
    """A dozen small phantoms; the fourth shape is odd and unequal."""
    return [mapped([0, k], ODD if k == 3 else (64, 64, 41)) for k in range(12)]


@pytest.fixture(scope="module")
def fine() -> list[Mapped]:
    """Phantoms in which a voxel of cortex is mostly cortex."""
    return [mapped([0, k], (96, 96, 62)) for k in range(3)]


def median(phantom: Mapped, modality: int, tissue: str) -> float:
    """The median intensity of a healthy tissue away from its edges and the tumour."""
    mask = (phantom.tissues == TISSUES.index(tissue)) & (phantom.label == 0)
    return float(np.median(phantom.images[modality][mask]))


def tumour_median(phantom: Phantom, modality: int, value: int) -> float:
    return float(np.median(phantom.images[modality][phantom.label == value]))


# -- the function ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [SMALL, ODD])
def test_equal_generators_give_equal_phantoms(shape: tuple[int, int, int]) -> None:
    first, second, other = (make_phantom(np.random.default_rng(seed), shape) for seed in (5, 5, 6))
    assert first.images.shape == (4, *shape)
    assert (first.images.dtype, first.label.dtype) == (np.int16, np.uint8)
    for name in ("images", "label"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert (getattr(first, name) != getattr(other, name)).any()


def test_the_global_generator_has_no_say() -> None:
    np.random.seed(1)  # noqa: NPY002 - this is what must not matter
    first = make_phantom(np.random.default_rng(5), SMALL)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first.images, make_phantom(np.random.default_rng(5), SMALL).images)


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_fewer_voxels_are_the_same_head(seed: int) -> None:
    coarse, fine = (make_phantom(np.random.default_rng([9, seed]), shape) for shape in ((48, 48, 31), (96, 96, 62)))
    for few, many in ((coarse.images[0] > 0, fine.images[0] > 0), (coarse.label > 0, fine.label > 0)):
        halved = many.reshape(48, 2, 48, 2, 31, 2).mean((1, 3, 5)) > 0.5
        assert 2 * (few & halved).sum() / (few.sum() + halved.sum()) > 0.9


@pytest.mark.parametrize("shape", [(15, 40, 40), (40, 40), (40, 40, 40, 4), (40.5, 40, 40)])
def test_a_shape_without_room_for_a_head_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArrayError, match=r"shape is \(.*\).* 16 voxels"):
        make_phantom(np.random.default_rng(0), shape)  # type: ignore[arg-type]


# -- anatomy and label -------------------------------------------------------------------------------------------------


def test_background_is_zero_and_the_brain_is_not(cohort: list[Mapped]) -> None:
    for phantom in cohort:
        for image in phantom.images:
            np.testing.assert_array_equal(image > 0, phantom.tissues > 0)
        assert phantom.images.min() == 0
        pieces, _ = ndimage.label(phantom.tissues > 0)
        assert np.bincount(pieces.ravel())[1:].max() > 0.999 * (phantom.tissues > 0).sum(), "the brain is one piece"
        for axis in range(3):
            ends = [0, -1] if axis < 2 else [-1]  # the brain stem leaves through the floor, as in real cases
            assert not phantom.tissues.take(ends, axis).any(), "the brain lies free in the volume"


def test_brain_has_a_human_size(cohort: list[Mapped]) -> None:
    for phantom in cohort:
        voxel_ml = phantom_grid(phantom.label.shape).voxel_ml  # type: ignore[arg-type]
        assert 1000 < (phantom.tissues > 0).sum() * voxel_ml < 1800
        assert 8 < (phantom.label > 0).sum() * voxel_ml < 350


def test_label_values_are_those_of_l17_and_inside_the_brain(cohort: list[Mapped]) -> None:
    for phantom in cohort:
        assert set(np.unique(phantom.label)) <= {0, 1, 2, 4}
        assert not phantom.label[phantom.tissues == 0].any()
        assert (phantom.label == 2).any()
        assert (phantom.label == 1).any()


def test_a_cohort_has_tumours_with_and_without_enhancement_and_with_several_lesions(cohort: list[Mapped]) -> None:
    enhancing = [bool((phantom.label == 4).any()) for phantom in cohort]
    assert {True, False} == set(enhancing)
    assert np.mean(enhancing) > 0.5
    cores = [ndimage.label(np.isin(phantom.label, (1, 4)))[1] for phantom in cohort]
    assert min(cores) == 1
    assert 1 < max(cores) <= 3


def test_rims_are_two_voxels_thick(cohort: list[Mapped]) -> None:
    """Most enhancing voxels belong to whole cubes of 2 × 2 × 2 of them, which a rim one voxel thick does not have."""
    shares = []
    for phantom in cohort:
        enhancing = phantom.label == 4
        if enhancing.any():
            assert enhancing.sum() > 100
            shares.append(ndimage.binary_opening(enhancing, np.ones((2, 2, 2))).sum() / enhancing.sum())
    assert np.mean(shares) > 0.7


# -- contrast ----------------------------------------------------------------------------------------------------------

ORDERS = {
    T1: ("white", "grey", "fluid"),
    T1CE: ("vessel", "white", "grey", "fluid"),
    T2: ("fluid", "grey", "white"),
    FLAIR: ("grey", "white", "fluid"),
}


@pytest.mark.parametrize("modality", ORDERS)
def test_tissues_have_the_order_of_brightness_of_the_modality(modality: int, fine: list[Mapped]) -> None:
    """Compared with its surroundings, where the bias field is the same."""
    for phantom in fine:
        for brighter, darker in itertools.pairwise(ORDERS[modality]):
            here, there = (local_mean(phantom, modality, tissue) for tissue in (brighter, darker))
            assert np.nanmedian(here / there) > 1.05, (brighter, darker)


def local_mean(phantom: Mapped, modality: int, tissue: str) -> np.ndarray:
    """The mean of a healthy tissue within 7 voxels' cubes; NaN where a cube holds less than 5 of its voxels."""
    mask = ((phantom.tissues == TISSUES.index(tissue)) & (phantom.label == 0)).astype(float)
    total, count = (ndimage.uniform_filter(a, 7) for a in (mask * phantom.images[modality], mask))
    return np.where(count * 343 > 5, total / np.maximum(count, 1e-9), np.nan)


def test_tumour_contrasts(cohort: list[Mapped]) -> None:
    for phantom in cohort:
        assert tumour_median(phantom, FLAIR, 2) > 1.1 * median(phantom, FLAIR, "white")
        assert tumour_median(phantom, T1, 1) < median(phantom, T1, "white")
        assert tumour_median(phantom, T2, 2) > 1.2 * median(phantom, T2, "white")
        if (phantom.label == 4).any():
            assert tumour_median(phantom, T1CE, 4) > 1.1 * median(phantom, T1CE, "white")
            assert tumour_median(phantom, T1CE, 4) > 1.5 * tumour_median(phantom, T1CE, 1)


def test_what_is_bright_is_not_always_tumour(cohort: list[Mapped]) -> None:
    fluid, spots, vessels = [], [], []
    for phantom in cohort:
        fluid.append(median(phantom, T2, "fluid") / tumour_median(phantom, T2, 2))
        spots.append(median(phantom, FLAIR, "hyperintensity") / tumour_median(phantom, FLAIR, 2))
        if (phantom.label == 4).any():
            vessels.append(median(phantom, T1CE, "vessel") / tumour_median(phantom, T1CE, 4))
    for ratios in (fluid, spots, vessels):
        assert 0.75 < np.median(ratios) < 1.3


def test_scans_differ_in_gain_and_bias(cohort: list[Mapped]) -> None:
    white = np.array([[median(phantom, m, "white") for m in range(4)] for phantom in cohort])
    assert (white.max(0) > 3 * white.min(0)).all()
    uneven = []
    for phantom in cohort:
        values = phantom.images[T1][(phantom.tissues == 1) & (phantom.label == 0)]
        halves = np.array_split(values, 2)  # C order: towards the patient's right, towards the left
        uneven.append(abs(np.median(halves[0]) / np.median(halves[1]) - 1))
    assert max(uneven) > 0.1


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [fields.draw_blobs, fields.draw_folds])
def test_waves_equal_the_plain_sum_of_cosines(draw: Callable[..., fields.Waves]) -> None:
    waves = draw(np.random.default_rng(0), 20.0, 7)
    lattice = fields.Lattice.of_shape((6, 7, 8)).crop(np.array([[1, 6], [0, 7], [2, 5]]))
    grid = np.stack(np.meshgrid(*lattice.axes_mm, indexing="ij"), -1).astype(float)
    expected = sum(np.cos(grid @ k + p) for k, p in zip(waves.vectors, waves.phases, strict=True)) * np.sqrt(2 / 7)
    np.testing.assert_allclose(waves.on(lattice), expected, atol=1e-4)
    assert lattice.shape == (5, 7, 3)


def test_blobs_have_unit_spread_and_the_promised_reach() -> None:
    lattice = fields.Lattice.of_shape((24, 24, 16))  # 10 mm apart
    samples = np.stack([fields.draw_blobs(np.random.default_rng(k), 20.0).on(lattice) for k in range(60)])
    assert abs(samples.std() - 1) < 0.05
    along = (samples[:, :-2] * samples[:, 2:]).mean()  # 20 mm apart
    assert abs(along - np.exp(-0.5)) < 0.05


def test_rotations_are_rotations() -> None:
    turn = fields.draw_rotation(np.random.default_rng(0), 30.0)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_brats_shape_has_the_brats_affine() -> None:
    grid = phantom_grid()
    assert grid.shape == BRATS_SHAPE
    np.testing.assert_allclose(grid.affine, [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("shape", [SMALL, ODD, (120, 120, 77)])
def test_every_shape_fills_the_same_box(shape: tuple[int, int, int]) -> None:
    grid = phantom_grid(shape)
    assert grid.axes == "LPS"
    first = grid.affine @ [-0.5, -0.5, -0.5, 1]
    last = grid.affine @ [*(np.array(shape) - 0.5), 1]
    np.testing.assert_allclose(first, [0.5, 239.5, -0.5, 1])
    np.testing.assert_allclose(last, [-239.5, -0.5, 154.5, 1])


def test_cohort_files_read_back_on_their_grid(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    folders = write_cohort(tmp_path / "new", cases=2, shape=ODD, seed=3, progress=lambda *step: told.append(step))
    assert [folder.name for folder in folders] == ["Phantom_000", "Phantom_001"]
    assert told == [("phantoms", 1, 2), ("phantoms", 2, 2)]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["Phantom_000", "Phantom_001"]
    for number, folder in enumerate(folders):
        phantom = make_phantom(np.random.default_rng([3, number]), ODD)
        names = [f"{folder.name}_{part}.nii.gz" for part in ("t1", "t1ce", "t2", "flair", "seg")]
        assert sorted(p.name for p in folder.iterdir()) == sorted(names)
        for name, expected in zip(names, [*phantom.images, phantom.label], strict=True):
            volume = images.read(folder / name)
            np.testing.assert_array_equal(volume.array, expected)
            assert volume.array.dtype == expected.dtype
            assert not volume.grid.differences(phantom_grid(ODD))
            assert (volume.grid.qform_code, volume.grid.sform_code) == (1, 1)
            stored, _ = geometry.to_stored(volume.array, volume.grid)
            np.testing.assert_array_equal(stored, expected)


def test_the_size_of_a_cohort_does_not_change_a_case(tmp_path: Path) -> None:
    one = write_cohort(tmp_path / "one", cases=1, shape=SMALL)[0]
    two = write_cohort(tmp_path / "two", cases=2, shape=SMALL)[0]
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()


@pytest.mark.parametrize(
    ("cases", "shape", "problem", "says"),
    [
        (0, SMALL, OptionError, "cases is 0; expected a whole number of at least 1"),
        (2.5, SMALL, OptionError, "cases is 2.5; expected a whole number"),
        (1, (8, 40, 40), ArrayError, r"the phantom's shape is \(8, 40, 40\)"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    tmp_path: Path, cases: int, shape: tuple[int, int, int], problem: type[Exception], says: str
) -> None:
    with pytest.raises(problem, match=says):
        write_cohort(tmp_path / "new", cases=cases, shape=shape)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Phantom_001").mkdir()
    with pytest.raises(OutputExistsError, match=r"Phantom_001 already exists"):
        write_cohort(tmp_path, cases=2, shape=SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["Phantom_001"]


def test_a_failure_leaves_whole_cases_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = images.write

    def failing(path: Path, array: np.ndarray, grid: geometry.Grid) -> None:
        if path.name == "Phantom_001_t2.nii.gz":
            raise ImageError("the disk fails")
        write(path, array, grid)

    monkeypatch.setattr(images, "write", failing)
    with pytest.raises(ImageError, match="the disk fails"):
        write_cohort(tmp_path, cases=2, shape=SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["Phantom_000"]
    assert len(list((tmp_path / "Phantom_000").iterdir())) == 5


# -- difficulty --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thresholds() -> ModuleType:
    """The benchmark, which is no package."""
    path = Path(__file__).parents[1] / "benchmarks" / "phantom_thresholds.py"
    spec = importlib.util.spec_from_file_location("phantom_thresholds", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_threshold_search_equals_trying_each(thresholds: ModuleType) -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 50, (6, 7, 8)), rng.random((6, 7, 8)) < 0.3
    curves = thresholds.dice_curves(image, mask)
    values = (image - image[image > 0].mean()) / image[image > 0].std()
    for k in (500, 760, 801, 1100):
        for direction, chosen in enumerate((values >= thresholds.LEVELS[k], values < thresholds.LEVELS[k])):
            chosen = chosen & (image > 0)
            assert curves[direction, k] == pytest.approx(2 * (chosen & mask).sum() / (chosen.sum() + mask.sum()))


@pytest.mark.slow
def test_no_threshold_solves_the_phantoms(thresholds: ModuleType, cohort: list[Mapped]) -> None:
    """Neither one threshold for all cases nor, chosen with the reference at hand, the best of each."""
    rows = thresholds.best_thresholds(cohort)
    assert len(rows) == 12
    for modality, region, _, _, one_for_all, one_a_case in rows:
        assert one_for_all < {"WT": 0.6, "TC": 0.55, "ET": 0.6}[region], modality
        assert one_a_case < 0.75, modality
        assert one_for_all <= one_a_case + 1e-9
