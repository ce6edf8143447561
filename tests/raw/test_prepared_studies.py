"""A whole study, scans in, case out: a head made by hand, scanned from poses that are known, on small grids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from heads_made import GRID, MIDDLE, Head, make_head, rigid, scan_grid, scanned

from brats3d.errors import CaseError, ImageError, OptionError, OutputExistsError
from brats3d.images import Volume
from brats3d.parallel import Sharing
from brats3d.preprocess import RawSettings
from brats3d.preprocess.prepared_study import prepared_study, study_sources, whole_where_enough
from brats3d.preprocess.raw_building import build_raw_store
from brats3d.raw import RawStudy, choose_series, find_studies, make_atlas, prepare_study, study_figure
from brats3d.raw.series import FEWEST_SLICES
from brats3d.store import StoredCase, open_store, verify_file, write_case
from brats3d.transforms import back_to_scan, resample

pytest.importorskip("SimpleITK")

WORLDS = {
    "t1": rigid((12, 3, -5), (20, -30, 12), MIDDLE),
    "t2": rigid((18, 1, 2), (26, -22, 18), MIDDLE),
    "flair": rigid((12, 3, -5), (20, -30, 12), MIDDLE),
}
"""Where the head's world lies in each scan's: between T1 and T2 the patient moved, by some 10 mm."""


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head(3)


@pytest.fixture(scope="module")
def folder(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("source") / "pat1"
    place.mkdir()
    for modality, world in WORLDS.items():
        grid = scan_grid((2.0, 2.0, 5.5) if modality != "flair" else (2.5, 2.5, 4.0), world)
        array = np.rint(scanned(head.images[modality], grid, world)).astype(np.int16)
        nib.save(nib.Nifti1Image(array, grid.affine), place / f"x_{modality}.nii.gz")
    return place.parent


@pytest.fixture(scope="module")
def prepared(folder: Path) -> RawStudy:
    atlas = make_atlas("phantom", Volume(make_head(5).stripped["t1"], GRID), GRID)
    return prepare_study(find_studies(folder)[0], atlas=atlas, brain="atlas", grid=GRID)


def placed(matrix: np.ndarray, head: Head) -> np.ndarray:
    points = np.argwhere(head.brain)[::50]
    world = np.c_[points @ GRID.affine[:3, :3].T + GRID.affine[:3, 3], np.ones(len(points))]
    return (world @ matrix.T)[:, :3]


@pytest.mark.slow
def test_scans_of_a_head_that_moved_lie_on_one_another(prepared: RawStudy, head: Head) -> None:
    assert list(prepared.images) == ["t1", "t2", "flair"]
    assert prepared.transforms.reference == "t1"
    places = {m: placed(matrix @ WORLDS[m], head) for m, matrix in prepared.transforms.to_stored.items()}
    for modality in ("t2", "flair"):
        assert np.linalg.norm(places[modality] - places["t1"], axis=1).mean() < 1.5
    upright = placed(np.eye(4), head)
    assert np.linalg.norm(places["t1"] - upright, axis=1).mean() < 20, "as near to the atlas as two phantoms are alike"
    quality = prepared.quality
    assert quality.information_after["t1-t2"] > quality.information_before["t1-t2"] + 0.05
    assert quality.moved_mm["t2"] > 5 > quality.moved_mm["flair"]
    assert prepared.scan_grid.shape == nib.load(prepared.series["t1"].files[0]).shape


@pytest.mark.slow
def test_one_interpolation_and_the_brain(prepared: RawStudy, head: Head) -> None:
    known = prepared.transforms.to_stored["t1"] @ WORLDS["t1"]
    truth = resample(head.brain.astype(np.float32), GRID, GRID, known) > 0.5
    assert 2 * (prepared.brain & truth).sum() / (prepared.brain.sum() + truth.sum()) > 0.9
    ideal = resample(head.images["t1"], GRID, GRID, known)
    assert np.corrcoef(prepared.images["t1"][truth], ideal[truth])[0, 1] > 0.85
    assert len(study_figure(prepared).axes) == 4 * 2 + 3


@pytest.mark.slow
def test_a_mask_gets_back_to_the_scan_and_forth_again(prepared: RawStudy) -> None:
    i, j, k = np.indices(GRID.shape)
    mask = ((i - 48) / 9) ** 2 + ((j - 38) / 7) ** 2 + ((k - 30) / 6) ** 2 < 1
    there = back_to_scan(mask, GRID, prepared.transforms)
    scan = nib.load(prepared.series["t1"].files[0])
    assert there.shape == scan.shape
    again = resample(there, prepared.scan_grid, GRID, prepared.transforms.to_stored["t1"], order=0)
    assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) > 0.85


@pytest.mark.slow
def test_what_is_doubtful_about_a_scans_header_goes_with_the_case(prepared: RawStudy, folder: Path) -> None:
    scans = {m: replace(grid, doubts=("is odd",) if m == "flair" else ()) for m, grid in prepared.transforms.scans.items()}
    odd = replace(prepared, transforms=replace(prepared.transforms, scans=scans))
    sources = study_sources(find_studies(folder)[0], None, "atlas")
    before = prepared_study(prepared, sources).header.warnings
    assert prepared_study(odd, sources).header.warnings == (*before, "the header of flair is odd.")


@pytest.mark.slow
def test_what_is_stored_is_what_was_prepared(prepared: RawStudy, folder: Path, tmp_path: Path) -> None:
    study = find_studies(folder)[0]
    sources = study_sources(study, None, "atlas")
    path = write_case(tmp_path, prepared_study(prepared, sources))
    verify_file(path)
    with StoredCase(path) as case:
        assert (case.id, case.corpus, case.modalities) == ("pat1", "raw", ("t1", "t2", "flair"))
        assert case.images.dtype == np.int16
        images = case.images[:]
        np.testing.assert_array_equal(images.any(0), prepared.brain & np.any([v > 0 for v in prepared.images.values()], 0))
        inside = images[0] > 0
        np.testing.assert_allclose(images[0][inside], np.maximum(prepared.images["t1"][inside], 1), atol=0.51)
        assert case.transforms is not None
        assert case.transforms.reference == "t1"
        for modality, matrix in prepared.transforms.to_stored.items():
            np.testing.assert_array_equal(case.transforms.to_stored[modality], matrix)
            assert not case.transforms.scans[modality].differences(prepared.transforms.scans[modality])
        assert not case.source.differences(prepared.scan_grid)
        names = [s["name"] for s in case.header.sources]
    assert names == [*(f"{m}: NIfTI file" for m in WORLDS), "atlas: MNI152 (nilearn)", "brain: atlas"]


def test_whole_numbers_only_where_they_are_fine_enough() -> None:
    brain = np.zeros((4, 5, 6), bool)
    brain[1:3] = True
    image = np.random.default_rng(0).uniform(0.1, 900, brain.shape).astype(np.float32)
    image[1, 0, 0], image[2, 0, 0] = 0.2, 0
    found = whole_where_enough(image, brain)
    assert (found.dtype, found[1, 0, 0], found[2, 0, 0]) == (np.int16, 1, 0)
    assert not found[~brain].any()
    coarse = whole_where_enough(image / 9, brain)
    assert coarse.dtype == np.float32
    np.testing.assert_array_equal(coarse, np.where(brain, image / 9, 0))


@pytest.mark.slow
def test_a_folder_of_studies_becomes_a_store(folder: Path, tmp_path: Path) -> None:
    """The command's function: what is kept, refused and reported, with the atlas given as a file; one scan, for speed."""
    source = tmp_path / "source"
    (source / "pat1").mkdir(parents=True)
    (source / "pat1" / "x_t1.nii.gz").symlink_to(folder / "pat1" / "x_t1.nii.gz")
    other = source / "nothing"
    other.mkdir()
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4)), other / "a_t1.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4)), other / "b_t1.nii.gz")
    atlas = tmp_path / "atlas.nii.gz"
    nib.save(nib.Nifti1Image(make_head(5).stripped["t1"], GRID.affine), atlas)
    given, store = RawSettings(atlas=atlas, brain="atlas"), tmp_path / "STORE"
    report = build_raw_store(source, out=store, settings=replace(given, pictures=tmp_path / "pictures"))
    assert (report.written, report.kept) == (("pat1",), ())
    assert "two series for t1, 'a_t1.nii.gz' (nothing) and 'b_t1.nii.gz'" in report.refused["nothing"]
    assert report.missing == {"pat1": ("t1ce", "t2", "flair")}
    assert report.choices["pat1"].startswith("t1 is 'x_t1.nii.gz' by 't1'")
    assert report.quality["pat1"]["brain_method"] == "atlas"
    assert (tmp_path / "pictures" / "pat1.png").stat().st_size > 10_000
    with open_store(tmp_path / "STORE")["pat1"] as case:
        assert case.grid.shape == (240, 240, 155)
        np.testing.assert_array_equal(case.grid.affine, [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
    with pytest.raises(OutputExistsError, match="all 1 cases"):
        build_raw_store(source, out=store, cases=["pat1"], settings=given)
    with pytest.raises(OutputExistsError, match=r"pat1\.h5 was .*\(codec was 'zstd', now 'gzip'\)"):
        build_raw_store(source, out=store, settings=replace(given, codec="gzip"))


def test_a_study_is_refused_by_name_where_a_program_gives_up(tmp_path: Path) -> None:
    """A scan of one slab of noise, 8 voxels wide: nothing that can be registered."""
    rng = np.random.default_rng(0)
    nib.save(nib.Nifti1Image(rng.integers(0, 99, (8, 9, 10)).astype(np.int16), np.eye(4)), tmp_path / "a_t1.nii.gz")
    thin = rng.integers(0, 99, (40, 40, FEWEST_SLICES - 1)).astype(np.int16)
    (tmp_path / "thin").mkdir()
    nib.save(nib.Nifti1Image(thin, np.eye(4)), tmp_path / "thin" / "b_t1.nii.gz")
    atlas = make_atlas("phantom", Volume(make_head(5).stripped["t1"], GRID), GRID)
    small, thin_study = find_studies(tmp_path)
    with pytest.raises(CaseError, match=f"case {small.id}: "):
        prepare_study(small, atlas=atlas, brain="atlas", grid=GRID)
    with pytest.raises(ImageError, match=r"b_t1\.nii\.gz: the image has shape \(40, 40, 7\); expected at least 8 slices"):
        prepare_study(thin_study, atlas=atlas, brain="atlas", grid=GRID)


def test_a_file_where_pictures_should_be(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9), np.int16), np.eye(4)), tmp_path / "a_t1.nii.gz")
    (tmp_path / "pictures").write_text("mine")
    settings = RawSettings(brain="atlas", pictures=tmp_path / "pictures")
    with pytest.raises(OutputExistsError, match="pictures is a file; expected .* --pictures"):
        build_raw_store(tmp_path, out=tmp_path / "STORE", settings=settings)
    assert not (tmp_path / "STORE").exists()


def test_each_job_of_an_array_takes_its_studies(tmp_path: Path) -> None:
    """None of these can be prepared, so that what is refused says who was asked."""
    for name in ("p1", "p2", "p3"):
        (tmp_path / "source" / name).mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.ones((5, 6, 7), np.int16), np.eye(4)), tmp_path / "source" / name / "x_t1.nii.gz")
    for shard, asked in (("1/2", ["p1", "p3"]), ("2/2", ["p2"])):
        settings, sharing = RawSettings(brain="atlas"), Sharing(shard=shard)
        report = build_raw_store(tmp_path / "source", out=tmp_path / "STORE", settings=settings, sharing=sharing)
        assert list(report.refused) == asked
    with pytest.raises(OptionError, match="accept is 'skul'"):
        RawSettings(accept=["skul"])


def test_two_series_alike_end_the_case(tmp_path: Path) -> None:
    for name in ("a_t1", "b_t1"):
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.eye(4)), tmp_path / f"{name}.nii.gz")
    with pytest.raises(CaseError, match="two series for t1"):
        choose_series(find_studies(tmp_path)[0])
