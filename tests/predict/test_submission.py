"""Masks packed for a validation server."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conftest import LPS

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
