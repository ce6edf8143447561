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
from hand_made import LPS, own_messages

from brats3d.errors import GridError, OutputExistsError
from brats3d.geometry import Grid
from brats3d.predict import predict_cases
from brats3d.predict.submission import check_server_grid

SERVER = (240, 240, 155)


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        (Grid((182, 218, 182), LPS, LPS), r"grid has shape \(182, 218, 182\); the validation server takes \(240, 240, 155\)"),
        (Grid(SERVER, np.diag([1.0, 1, 1, 1]), np.diag([1.0, 1, 1, 1])), r"qform is \[\[1.0, 0.0, .*takes \[\[-1.0, 0.0"),
        (Grid(SERVER, LPS, np.diag([1.0, 1, 1, 1]), LPS), "qform is"),  # the server looks at the qform, whatever the sform
    ],
)
def test_grids_the_server_refuses(grid: Grid, sentence: str) -> None:
    with pytest.raises(GridError, match=f"case c: its {sentence}.*leave out --submission"):
        check_server_grid("c", grid)


def test_grids_the_server_takes() -> None:
    check_server_grid("c", Grid(SERVER, LPS, LPS, LPS))
    check_server_grid("c", Grid(SERVER, LPS + 1e-5, LPS + 1e-5, np.eye(4)))
    check_server_grid("c", Grid(SERVER, LPS))


@pytest.mark.network
def test_a_zip_that_lacks_a_mask_does_not_stay(
    tmp_path: Path, make_case: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("brats3d.predict.submission.SERVER_SHAPE", (11, 14, 9))
    names = ["BraTS2021_00000", "BraTS2021_00001", "BraTS2021_00002"]
    for i, name in enumerate(names):
        make_case(tmp_path / "scans", name, seed=i)
        (tmp_path / f"{i}.txt").write_text("\n".join(names[: i + 1]))
    model, out = make_model(), tmp_path / "out"

    def predict(chosen: int, **options: bool) -> list[str] | None:
        """Predict the first cases; returns what is in the zip."""
        ids = tmp_path / f"{chosen - 1}.txt"
        report = predict_cases(model, [tmp_path / "scans"], out=out, cases=str(ids), **options)
        assert report.archive == (str(out / "submission.zip") if options else None)
        if not (out / "submission.zip").exists():
            return None
        with zipfile.ZipFile(out / "submission.zip") as archive:
            return [name.removesuffix(".nii.gz") for name in archive.namelist()]

    assert predict(1, submission=True) == names[:1]
    assert own_messages(caplog) == []
    with caplog.at_level(logging.WARNING):
        assert predict(2) is None
    assert f"{out}/submission.zip lacked the masks that are added now, and is removed; --submission packs it again." in (
        own_messages(caplog)
    )
    assert predict(2, submission=True) == names[:2]
    assert predict(3, submission=True) == names
    assert predict(1, submission=True) == names[:1], "the zip holds the cases chosen, and no other"
    with pytest.raises(OutputExistsError, match="holds the masks of all 1 cases already"):
        predict(1, submission=True)
    (out / "submission.zip").write_text("no zip")
    assert predict(1, submission=True) == names[:1]


@pytest.mark.network
@pytest.mark.slow
def test_the_zip(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    good, small = "BraTS-GLI-00001-000", "BraTS-GLI-00002-000"
    for name, shape in ((good, SERVER), (small, (11, 14, 9))):
        make_case(tmp_path / "raw", name, (11, 14, 9))
        folder = tmp_path / "scans" / name
        folder.mkdir(parents=True)
        for old, new in {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}.items():
            array = np.asarray(nib.load(tmp_path / f"raw/{name}/{name}_{old}.nii.gz").dataobj)
            whole = np.pad(array, [(0, n - m) for n, m in zip(shape, array.shape, strict=True)])
            nib.save(nib.Nifti1Image(whole, LPS), folder / f"{name}-{new}.nii.gz")
            header = nib.load(folder / f"{name}-{new}.nii.gz")
            header.set_qform(LPS, 1)
            nib.save(header, folder / f"{name}-{new}.nii.gz")
    model, out = make_model(), tmp_path / "out"
    report = predict_cases(model, [tmp_path / "scans"], out=out, submission=True)
    assert report.predicted == (good,)
    assert "shape (11, 14, 9); the validation server takes" in report.refused[small]
    assert report.archive == str(out / "submission.zip")
    with zipfile.ZipFile(report.archive) as archive:
        assert archive.namelist() == [f"{good}.nii.gz"]
        assert archive.read(f"{good}.nii.gz") == (out / f"{good}.nii.gz").read_bytes()
    assert sorted(p.name for p in out.iterdir()) == [f"{good}.nii.gz", "predictions.json", "submission.zip"]
    # Masks that are there already are packed without predicting them again.
    plain = tmp_path / "plain"
    assert predict_cases(model, [tmp_path / "scans"], out=plain).archive is None
    again = predict_cases(model, [tmp_path / "scans"], out=plain, submission=True)
    assert (again.predicted, again.kept) == ((), (good, small))
    assert list(again.refused) == [small]
    with zipfile.ZipFile(plain / "submission.zip") as archive:
        assert archive.namelist() == [f"{good}.nii.gz"]
    assert set(json.loads((plain / "predictions.json").read_text())["cases"]) == {good, small}
    with pytest.raises(OutputExistsError, match="holds the masks of all 2 cases already"):
        predict_cases(model, [tmp_path / "scans"], out=plain, submission=True)
