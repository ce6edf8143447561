"""Masks packed for a validation server."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hand_made import LPS, own_messages, write_nifti

from brats3d import images
from brats3d.cases import CORPORA
from brats3d.errors import GridError, OutputExistsError
from brats3d.geometry import Grid
from brats3d.predict import PredictionSettings, predict_cases
from brats3d.predict.submission import check_server_grid, packed_mask, server_of

SERVER, POST_TREATMENT = (240, 240, 155), (182, 218, 182)
MNI = np.array([[-1.0, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]])
RAS = np.diag([1.0, 1, 1, 1])
A2 = np.array([[1.0, 0, 0, 0], [0, 1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("corpus", "grid", "words"),
    [
        ("BraTS 2023 GLI", Grid(POST_TREATMENT, LPS), ("(182, 218, 182)", "(240, 240, 155)", "BraTS 2023 GLI")),
        ("BraTS 2023 GLI", Grid(SERVER, RAS), ("[1.0, 0.0", "[-1.0, 0.0", "BraTS 2023 GLI")),
        ("BraTS 2024-2025 GLI", Grid(SERVER, LPS), ("(240, 240, 155)", "(182, 218, 182)", "BraTS 2024-2025 GLI")),
        ("BraTS 2018", Grid((160, 216, 176), LPS), ("(160, 216, 176)", "(240, 240, 155)", "BraTS 2018")),
    ],
)
def test_grids_the_server_refuses(corpus: str, grid: Grid, words: tuple[str, ...]) -> None:
    with pytest.raises(GridError) as refused:
        check_server_grid("c7", corpus, grid, server_of(corpus))
    assert all(word in str(refused.value) for word in (*words, "c7", "--submission"))


@pytest.mark.parametrize(
    ("corpus", "grid"),
    [
        ("BraTS 2023 GLI", Grid(SERVER, LPS, LPS, LPS)),
        ("BraTS 2023 GLI", Grid(SERVER, LPS + 1e-5, LPS + 1e-5, np.eye(4))),
        ("BraTS 2023 GLI", Grid(SERVER, LPS, RAS, LPS)),  # the affine is right; the packed mask gets the qform
        ("BraTS 2023 GLI", Grid(SERVER, RAS, LPS, RAS)),  # the server looks at the qform alone
        ("BraTS 2024-2025 GLI", Grid(POST_TREATMENT, RAS)),
        ("BraTS-Africa", Grid(SERVER, A2)),
        ("BraTS 2024 MEN-RT", Grid((256, 256, 112), RAS)),
        ("BraTS 2025 MET", Grid((256, 256, 112), RAS)),
        ("plain", Grid((11, 14, 9), RAS)),
        ("raw", Grid((11, 14, 9), RAS)),
    ],
)
def test_grids_the_server_takes(corpus: str, grid: Grid) -> None:
    check_server_grid("c7", corpus, grid, server_of(corpus))


def test_every_challenge_since_2017_says_what_its_server_takes() -> None:
    challenges = [row for name, row in CORPORA.items() if name.startswith("BraTS") and name > "BraTS 2014"]
    assert len(challenges) > 15
    assert [row.name for row in challenges if row.server is None] == []
    assert CORPORA["UPENN-GBM"].server is CORPORA["plain"].server is None


SCANS = {
    "official": ("BraTS 2023 GLI", SERVER, LPS, (1, 1), LPS),
    "array and affine": ("BraTS 2023 GLI", SERVER, LPS, (0, 2), LPS),
    "origin off": ("BraTS 2023 GLI", SERVER, LPS + 0.0005 * np.eye(4, k=3), (1, 1), LPS),
    "origin off, no qform": ("BraTS 2021", SERVER, LPS - 0.0005 * np.eye(4, k=3), (0, 1), LPS),
    "post-treatment": ("BraTS 2024-2025 GLI", POST_TREATMENT, MNI, (0, 2), MNI),
    "own grid": ("BraTS 2025 MET", (64, 64, 24), np.diag([-0.86, -0.86, 1.5, 1]), (0, 2), np.diag([-0.86, -0.86, 1.5, 1])),
    "unknown": ("plain", (64, 64, 24), RAS + 0.0005 * np.eye(4, k=3), (0, 2), RAS + 0.0005 * np.eye(4, k=3)),
}


@pytest.mark.parametrize("kind", SCANS)
def test_the_packed_bytes_have_the_qform_that_the_server_compares(kind: str, tmp_path: Path) -> None:
    """As the server does it: nibabel's ``header.get_qform()``, compared number by number."""
    corpus, shape, affine, codes, qform = SCANS[kind]
    write_nifti(tmp_path / "scan.nii", np.zeros(shape, np.uint8), affine, codes)
    if codes == (0, 2):
        nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), affine), tmp_path / "scan.nii")
    grid = images.read(tmp_path / "scan.nii").grid
    label = np.zeros(shape, np.uint8)
    label[3:9, 4:6, 5] = 4
    images.write(tmp_path / "mask.nii.gz", label, grid)
    before = (tmp_path / "mask.nii.gz").read_bytes()
    content = packed_mask("c", corpus, tmp_path / "mask.nii.gz", server_of(corpus))
    (tmp_path / "packed.nii.gz").write_bytes(content)
    packed = nib.load(tmp_path / "packed.nii.gz")
    assert packed.header.get_data_shape() == shape
    assert (packed.header.get_qform() == np.asarray(qform, np.float32)).all()
    np.testing.assert_array_equal(np.asarray(packed.dataobj), label)
    assert packed.get_data_dtype() == np.uint8
    assert ((tmp_path / "mask.nii.gz").read_bytes(), images.read(tmp_path / "mask.nii.gz").grid.qform_code) == (
        before,
        codes[0],
    )
    if kind == "official":
        assert content == before


@pytest.mark.network
def test_a_zip_that_lacks_a_mask_does_not_stay(
    tmp_path: Path, make_case: Any, make_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["mine_0", "mine_1", "mine_2"]
    for i, name in enumerate(names):
        make_case(tmp_path / "scans", name, seed=i)
        (tmp_path / f"{i}.txt").write_text("\n".join(names[: i + 1]))
    model, out = make_model(), tmp_path / "out"

    def predict(chosen: int, **options: bool) -> list[str] | None:
        """Predict the first cases; returns what is in the zip."""
        ids = tmp_path / f"{chosen - 1}.txt"
        report = predict_cases(model, [tmp_path / "scans"], out=out, cases=str(ids), settings=PredictionSettings(**options))
        assert report.archive == (str(out / "submission.zip") if options else None)
        if not (out / "submission.zip").exists():
            return None
        with zipfile.ZipFile(out / "submission.zip") as archive:
            return [name.removesuffix(".nii.gz") for name in archive.namelist()]

    assert predict(1, submission=True) == names[:1]
    assert "1 of the 1 masks packed, such as that of mine_0" in own_messages(caplog)[-1]
    with caplog.at_level(logging.WARNING):
        assert predict(2) is None
    assert f"{out}/submission.zip lacks the masks that are added now and is removed; --submission packs it again." in (
        own_messages(caplog)
    )
    assert predict(2, submission=True) == names[:2]
    assert predict(3, submission=True) == names
    assert predict(1, submission=True) == names[:1], "the zip holds the cases chosen, and no other"
    with pytest.raises(OutputExistsError, match="all 1 cases"):
        predict(1, submission=True)
    (out / "submission.zip").write_text("no zip")
    assert predict(1, submission=True) == names[:1]
    edited = np.ones((11, 14, 9), np.uint8)
    write_nifti(out / f"{names[0]}.nii.gz", edited)
    assert predict(1, submission=True) == names[:1], "the zip held another mask of that name"
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.read(f"{names[0]}.nii.gz") == (out / f"{names[0]}.nii.gz").read_bytes()


@pytest.mark.network
@pytest.mark.slow
def test_the_zip(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    good, after, small = "BraTS-GLI-00001-000", "BraTS-GLI-00001-100", "BraTS-GLI-00002-000"
    shifted = MNI + 0.0005 * np.eye(4, k=3)
    for name, shape, affine in ((good, SERVER, LPS), (after, POST_TREATMENT, shifted), (small, (11, 14, 9), LPS)):
        make_case(tmp_path / "raw", name, (11, 14, 9))
        folder = tmp_path / "scans" / name
        folder.mkdir(parents=True)
        for old, new in {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}.items():
            array = np.asarray(nib.load(tmp_path / f"raw/{name}/{name}_{old}.nii.gz").dataobj)
            whole = np.pad(array, [(0, n - m) for n, m in zip(shape, array.shape, strict=True)])
            nib.save(nib.Nifti1Image(whole, affine), folder / f"{name}-{new}.nii.gz")  # its qform has the code 0
    model, out = make_model(), tmp_path / "out"
    report = predict_cases(model, [tmp_path / "scans"], out=out, settings=PredictionSettings(submission=True))
    assert report.predicted == (good, after)
    assert all(word in report.refused[small] for word in ("(11, 14, 9)", "(240, 240, 155)", "--submission"))
    assert report.archive == str(out / "submission.zip")
    with zipfile.ZipFile(report.archive) as archive:
        assert archive.namelist() == [f"{good}.nii.gz", f"{after}.nii.gz"]
        assert archive.read(f"{good}.nii.gz") == (out / f"{good}.nii.gz").read_bytes()
        archive.extractall(tmp_path / "server")
    for name, shape, qform in ((good, SERVER, LPS), (after, POST_TREATMENT, MNI)):
        packed = nib.load(tmp_path / f"server/{name}.nii.gz")
        assert packed.header.get_data_shape() == shape
        assert (packed.header.get_qform() == qform).all()
        np.testing.assert_array_equal(np.asarray(packed.dataobj), np.asarray(nib.load(out / f"{name}.nii.gz").dataobj))
    np.testing.assert_allclose(nib.load(out / f"{after}.nii.gz").affine, shifted, atol=1e-5)
    assert sorted(p.name for p in out.iterdir()) == [f"{good}.nii.gz", f"{after}.nii.gz", "predictions.json", "submission.zip"]
    # Masks that are there already are packed without predicting them again.
    plain = tmp_path / "plain"
    assert predict_cases(model, [tmp_path / "scans"], out=plain).archive is None
    again = predict_cases(model, [tmp_path / "scans"], out=plain, settings=PredictionSettings(submission=True))
    assert (again.predicted, again.kept) == ((), (good, after, small))
    assert list(again.refused) == [small]
    with zipfile.ZipFile(plain / "submission.zip") as archive:
        assert archive.namelist() == [f"{good}.nii.gz", f"{after}.nii.gz"]
    assert set(json.loads((plain / "predictions.json").read_text(encoding="utf-8"))["cases"]) == {good, after, small}
    with pytest.raises(OutputExistsError, match="all 3 cases"):
        predict_cases(model, [tmp_path / "scans"], out=plain, settings=PredictionSettings(submission=True))
