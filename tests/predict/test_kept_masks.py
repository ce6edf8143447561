"""Which masks of an earlier call stay: those of the same scans, and whole. What the model was trained on is marked."""

from __future__ import annotations

import json
import logging
import os
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hand_made import expected_label, own_messages, scan, write_nifti

from brats3d.cases import Facts, find_cases
from brats3d.errors import OutputExistsError
from brats3d.predict import predict_cases
from brats3d.predict.__main__ import main
from brats3d.preprocess import prepare_case
from brats3d.store import CaseHeader, summarise, write_case

pytest.importorskip("keras")
pytestmark = pytest.mark.network

SAME, PATIENT, REISSUED, ADDED, CUT, CUT_PROBABILITIES, EDITED = (f"BraTS2021_0000{i}" for i in range(7))
NAMES = (SAME, PATIENT, REISSUED, ADDED, CUT, CUT_PROBABILITIES, EDITED)


def uncompressed(folder: Path, name: str, seed: int) -> dict[str, np.ndarray]:
    """Write four scans whose sizes and times are those of every other case."""
    scans = {m: scan((11, 14, 9), seed + i) for i, m in enumerate(("t1", "t1ce", "t2", "flair"))}
    for modality, array in scans.items():
        path = folder / name / f"{name}_{modality}.nii"
        write_nifti(path, array)
        os.utime(path, ns=(10**18, 10**18))
    return scans


def test_a_mask_stays_only_if_it_is_whole_and_of_the_same_scans(
    tmp_path: Path, make_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "scans", tmp_path / "out"
    scans = {name: uncompressed(folder, name, 10 * i) for i, name in enumerate(NAMES)}
    (folder / ADDED / f"{ADDED}_t2.nii").rename(tmp_path / "t2.nii")
    model = make_model(rows=(0, 1, 3))
    arguments = [str(model), str(folder), "--out", str(out), "--probabilities", "--json"]
    assert main(arguments) == 0
    listed = json.loads((out / "predictions.json").read_text(encoding="utf-8"))["cases"]
    source = folder / SAME / f"{SAME}_t1.nii"
    first = {"name": source.name, "bytes": source.stat().st_size, "crc32": zlib.crc32(source.read_bytes())}
    assert listed[SAME]["sources"][0] == first
    assert [s["name"].split("_")[-1] for s in listed[SAME]["sources"]] == ["t1.nii", "t1ce.nii", "t2.nii", "flair.nii"]

    before = {name: (out / f"{name}.nii.gz").read_bytes() for name in NAMES}
    uncompressed(folder, PATIENT, 900)
    reissued = folder / REISSUED / f"{REISSUED}_t1ce.nii"
    write_nifti(reissued, scan((11, 14, 9), 901))
    os.utime(reissued, ns=(10**18, 10**18))
    (tmp_path / "t2.nii").rename(folder / ADDED / f"{ADDED}_t2.nii")
    (out / f"{CUT}.nii.gz").write_bytes(before[CUT][:100])
    kept_probabilities = out / f"probabilities/{CUT_PROBABILITIES}.nii.gz"
    kept_probabilities.write_bytes(kept_probabilities.read_bytes()[:100])
    write_nifti(out / f"{EDITED}.nii.gz", np.ones((11, 14, 9), np.uint8))
    edited = (out / f"{EDITED}.nii.gz").read_bytes()
    capsys.readouterr()

    assert main(arguments) == 3
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert (report["kept"], report["predicted"]) == ([SAME, EDITED], [CUT, CUT_PROBABILITIES])
    assert list(report["refused"]) == [PATIENT, REISSUED, ADDED]
    for name, words in (
        (PATIENT, ("4 of 4", f"{PATIENT}_t1.nii")),
        (REISSUED, ("1 of 4", reissued.name)),
        (ADDED, ("2 of 4",)),
    ):
        assert all(word in report["refused"][name] for word in (*words, f"{name}.nii.gz", "--out", "--force")), name
        assert (out / f"{name}.nii.gz").read_bytes() == before[name], "nothing is overwritten"
    for name in (CUT, CUT_PROBABILITIES):
        mask = np.asarray(nib.load(out / f"{name}.nii.gz").dataobj)
        np.testing.assert_array_equal(mask, expected_label(scans[name]))
        assert nib.load(out / f"probabilities/{name}.nii.gz").shape == (11, 14, 9, 3)
        assert sum("predicted again" in line and f"{name}.nii.gz" in line for line in printed.err.splitlines()) == 1
    assert (out / f"{EDITED}.nii.gz").read_bytes() == edited
    assert sum(f"{EDITED}.nii.gz" in line and "WARNING" in line for line in printed.err.splitlines()) == 1
    assert SAME not in printed.err.replace("continuing", "")


def test_masks_of_an_earlier_version_are_kept_with_one_warning(
    tmp_path: Path, make_case: Any, make_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    names = (SAME, PATIENT, CUT)
    for i, name in enumerate(names):
        make_case(tmp_path / "scans", name, seed=10 * i)
    model, out = make_model(), tmp_path / "out"
    predict_cases(model, [tmp_path / "scans"], out=out)
    listed = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    first = {"schema": 1, "model": listed["model"], "options": listed["options"]}
    cases = {name: {key: entry[key] for key in ("file", "label_set")} for name, entry in listed["cases"].items()}
    (out / "predictions.json").write_text(json.dumps({**first, "cases": cases}))
    (out / f"{CUT}.nii.gz").write_bytes(b"")
    report = predict_cases(model, [tmp_path / "scans"], out=out)
    assert (report.kept, report.predicted, report.refused) == (names[:2], names[2:], {})
    (said,) = (message for message in own_messages(caplog) if "earlier version" in message)
    assert f"2 of the kept masks, such as that of {SAME}," in said
    again = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    assert (again["schema"], again["channels"], again["regions"]) == (2, ["WT", "TC", "ET"], ["WT", "TC", "ET"])
    assert [name for name, entry in again["cases"].items() if "sources" in entry] == [CUT]


def test_a_store_names_the_scans_it_was_made_of(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    """The label is none of them; a store of somebody's own making without sources is known by what it holds."""
    store, scans, out = tmp_path / "store", tmp_path / "scans", tmp_path / "out"
    store.mkdir()
    make_case(scans, SAME, label=np.full((11, 14, 9), 4, np.uint8))
    make_case(scans, PATIENT)
    for case in find_cases(scans):
        write_case(store, prepare_case(case))

    def own_case(seed: int) -> None:
        images = np.stack([scan((11, 14, 9), seed + i) for i in range(4)])
        grid = prepare_case(find_cases(scans)[0]).grid
        header = CaseHeader("own", Facts("own"), ("t1", "t1ce", "t2", "flair"))
        write_case(store, summarise(header, images, None, grid, grid))

    own_case(7)
    model = make_model()
    assert predict_cases(model, [store], out=out).predicted == (SAME, PATIENT, "own")
    with pytest.raises(OutputExistsError, match="all 2 cases"):
        predict_cases(model, [scans], out=out)  # the same scans, whoever read them
    with pytest.raises(OutputExistsError, match="all 3 cases"):
        predict_cases(model, [store], out=out)
    make_case(tmp_path / "other", PATIENT, seed=50)
    (store / f"{PATIENT}.h5").unlink()
    write_case(store, prepare_case(find_cases(tmp_path / "other")[0]))
    (store / "own.h5").unlink()
    own_case(60)
    report = predict_cases(model, [store], out=out)
    assert (report.kept, report.predicted) == ((SAME,), ())
    assert f"{PATIENT}_t1.nii.gz" in report.refused[PATIENT]
    assert "1 of 1" in report.refused["own"]


def test_cases_of_training_patients_are_marked_and_said_once(
    tmp_path: Path, make_case: Any, make_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    trained = {"BraTS2021_00001": "BraTS-GLI-00001-000", "UPENN-GBM-00007_21": "UPENN-GBM-00007_11", "mine": "mine"}
    new = ("BraTS2021_00002", "other")
    for i, name in enumerate((*trained, *new)):
        make_case(tmp_path / "scans", name, seed=10 * i)
    model = make_model(training_cases=(*trained.values(), "BraTS-GLI-00999-000"))
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(new))
    with caplog.at_level(logging.WARNING):
        predict_cases(model, [tmp_path / "scans"], out=tmp_path / "new", cases=str(ids))
    assert not any("trained on" in message for message in own_messages(caplog))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        report = predict_cases(model, [tmp_path / "scans"], out=tmp_path / "out")
    assert set(report.trained_on) == set(trained)
    (said,) = (message for message in own_messages(caplog) if "trained on" in message)
    assert said.startswith("3 of the 5 cases, such as BraTS2021_00001, ")
    listed = json.loads((tmp_path / "out/predictions.json").read_text(encoding="utf-8"))["cases"]
    assert {name for name, entry in listed.items() if entry.get("trained_on") is True} == set(trained)
    assert all("trained_on" not in listed[name] for name in new)


def test_a_mask_is_not_replaced_by_that_of_another_letter_case(tmp_path: Path, make_model: Any) -> None:
    """On many file systems the two masks are one file."""
    uncompressed(tmp_path / "one", "p01", 0)
    uncompressed(tmp_path / "two", "P01", 50)
    model = make_model(rows=(0, 1, 3))
    predict_cases(model, [tmp_path / "one"], out=tmp_path / "out")
    report = predict_cases(model, [tmp_path / "two"], out=tmp_path / "out")
    assert (report.predicted, report.kept) == ((), ())
    assert "p01 and P01 differ only in letter case" in report.refused["P01"]
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["p01.nii.gz"]
