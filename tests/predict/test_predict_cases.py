"""From folders of scans to masks on their own grids: the whole command, with models whose answer is known."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hand_made import LPS, expected_label, expected_probabilities

from brats3d.cases import find_cases
from brats3d.errors import NoCasesError, OptionError, OutputExistsError
from brats3d.predict import PredictionSettings, predict_cases
from brats3d.predict.__main__ import main
from brats3d.preprocess import prepare_case
from brats3d.store import write_case

pytest.importorskip("keras")
pytestmark = pytest.mark.network

TURNED = np.array([[-0.96, 0, 0.28], [0.28, 0, 0.96], [0, 1, 0]])
OBLIQUE = np.block([[TURNED, np.array([[30.0], [12], [7]])], [np.zeros((1, 3)), np.ones((1, 1))]])
"""A coronal scan, turned by 16 degrees."""
GRIDS: dict[str, dict[str, Any]] = {
    "as BraTS": {"codes": (1, 1)},
    "qform alone": {"codes": (1, 0)},
    "sform alone": {"codes": (0, 2)},
    "no form": {"affine": np.diag([1.0, 1, 1, 1]), "codes": (0, 0)},
    "RAS": {"affine": np.diag([1.0, 1, 1, 1]), "codes": (2, 1)},
    "A2": {"affine": np.array([[1.0, 0, 0, 0], [0, 1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]), "codes": (1, 1)},
    "permuted": {"affine": np.array([[0.0, 0, 1, -3], [1, 0, 0, 5], [0, -1, 0, 90], [0, 0, 0, 1]]), "codes": (1, 1)},
    "oblique": {"affine": OBLIQUE, "codes": (0, 1)},
}


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", GRIDS)
def test_the_mask_lies_on_the_scans_grid(kind: str, tmp_path: Path, make_case: Any, make_model: Any) -> None:
    scans = make_case(tmp_path / "scans", "BraTS2021_00001", **GRIDS[kind])
    report = predict_cases(make_model(spacing_mm=1.0), [tmp_path / "scans"], out=tmp_path / "out")
    assert report.predicted == ("BraTS2021_00001",)
    mask = nib.load(tmp_path / "out/BraTS2021_00001.nii.gz")
    source = nib.load(tmp_path / "scans/BraTS2021_00001/BraTS2021_00001_t1.nii.gz")
    assert mask.shape == source.shape
    np.testing.assert_allclose(mask.affine, source.affine, atol=1e-6)
    for form in ("qform", "sform"):
        found, wanted = (getattr(i.header, f"get_{form}")(coded=True) for i in (mask, source))
        assert found[1] == wanted[1]
        if wanted[0] is not None:
            np.testing.assert_allclose(found[0], wanted[0], atol=1e-6)
    assert mask.header["xyzt_units"] == source.header["xyzt_units"]
    assert mask.get_data_dtype() == np.uint8
    # Voxel by voxel: a mask that was flipped or turned on its way would not be this one.
    np.testing.assert_array_equal(np.asarray(mask.dataobj), expected_label(scans))
    assert set(np.unique(np.asarray(mask.dataobj))) == {0, 1, 2, 4}


def test_what_stands_beside_the_masks(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    scans = make_case(tmp_path / "scans", "BraTS2021_00001")
    model = make_model()
    report = predict_cases(
        model, [tmp_path / "scans"], out=tmp_path / "out/deep", settings=PredictionSettings(probabilities=True)
    )
    out = tmp_path / "out/deep"
    mask = (out / "BraTS2021_00001.nii.gz").read_bytes()
    assert files(out) == {"BraTS2021_00001.nii.gz", "probabilities/BraTS2021_00001.nii.gz", "predictions.json"}
    checksum = hashlib.sha256(model.read_bytes()).hexdigest()
    assert json.loads((out / "predictions.json").read_text(encoding="utf-8")) == {
        "schema": 2,
        "model": {
            "file": "model.keras", "checksum": checksum, "members": [{"file": "model.keras", "checksum": checksum}],
            "combine": "", "label_set": "L23",
        },
        "kind": "regions",
        "channels": ["WT", "TC", "ET"],
        "regions": ["WT", "TC", "ET"],
        "inference": {
            "size": [8, 8, 8], "window": "where_needed", "overlap": 0.5, "flips": [], "thresholds": [0.5, 0.5, 0.5],
            "temperatures": [1, 1, 1], "postprocessing": [],
        },
        "options": {"label_set": None, "probabilities": True},
        "label_sets": {
            "L23": {
                "name": "L23",
                "used_by": "BraTS 2023; SSA and MET 2024",
                "tissues": {"1": "NCR", "2": "ED", "3": "ET"},
                "regions": {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3], "NETC": [1], "SNFH": [2]},
                "paint": [["WT", 2], ["TC", 1], ["ET", 3]],
            },
            "L17": {
                "name": "L17",
                "used_by": "BraTS 2017 to 2022, TCIA",
                "tissues": {"1": "NCR+NET", "2": "ED", "4": "ET"},
                "regions": {"WT": [1, 2, 4], "TC": [1, 4], "ET": [4], "NETC": [1], "SNFH": [2]},
                "paint": [["WT", 2], ["TC", 1], ["ET", 4]],
            },
        },
        "cases": {
            "BraTS2021_00001": {
                "file": "BraTS2021_00001.nii.gz",
                "bytes": len(mask),
                "crc32": zlib.crc32(mask),
                "label_set": "L17",
                "passes": "whole",
                "sources": [
                    {"name": path.name, "bytes": path.stat().st_size, "crc32": zlib.crc32(path.read_bytes())}
                    for path in (tmp_path / f"scans/BraTS2021_00001/BraTS2021_00001_{m}.nii.gz" for m in scans)
                ],
                "probabilities": "probabilities/BraTS2021_00001.nii.gz",
            }
        },
    }  # fmt: skip
    assert report.model == {"file": "model.keras", "checksum": checksum}
    image = nib.load(out / "probabilities/BraTS2021_00001.nii.gz")
    assert image.get_data_dtype() == np.float32
    np.testing.assert_allclose(np.moveaxis(np.asarray(image.dataobj), -1, 0), expected_probabilities(scans), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "label", "asked", "written", "values"),
    [
        ("BraTS2021_00001", None, None, "L17", (2, 1, 4)),
        ("BraTS2021_00001", None, "L23", "L23", (2, 1, 3)),
        ("BraTS20_Training_001", None, "LMSD", "LMSD", (1, 2, 3)),
        ("someone", None, None, "L23", (2, 1, 3)),
        ("someone", 4, None, "L17", (2, 1, 4)),
        ("someone", 3, None, "L23", (2, 1, 3)),
        ("someone", 9, "L17", "L17", (2, 1, 4)),  # the label is damaged, and nobody needs it
    ],
)
def test_label_sets(
    name: str,
    label: int | None,
    asked: str | None,
    written: str,
    values: tuple[int, int, int],
    tmp_path: Path,
    make_case: Any,
    make_model: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shape = (11, 14, 9)
    array = None if label is None else np.full(shape, label, np.uint8)
    scans = make_case(tmp_path / "scans", name, shape, label=array)
    with caplog.at_level(logging.WARNING):
        report = predict_cases(
            make_model(), [tmp_path / "scans"], out=tmp_path / "out", settings=PredictionSettings(label_set=asked)
        )
    assert report.label_sets == {name: written}
    mask = np.asarray(nib.load(tmp_path / f"out/{name}.nii.gz").dataobj)
    np.testing.assert_array_equal(mask, expected_label(scans, values))
    assumed = (name,) if (name, label, asked) == ("someone", None, None) else ()
    assert report.assumed == assumed
    assert ("masks are written in L23: choose another with --label-set" in caplog.text) == bool(assumed)


@pytest.mark.parametrize(
    ("window", "free", "passes", "said"),
    [("where_needed", 1e12, "whole", False), ("where_needed", 1000.0, "windows", True), ("always", 1e12, "windows", False)],
)
def test_how_the_network_saw_each_case_is_recorded(
    window: str,
    free: float,
    passes: str,
    said: bool,
    tmp_path: Path,
    make_case: Any,
    make_model: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("brats3d.models.memory.available_bytes", lambda: free)
    for i, name in enumerate(("BraTS2021_00000", "BraTS2021_00001")):
        make_case(tmp_path / "scans", name, seed=i)
    with caplog.at_level(logging.WARNING):
        predict_cases(make_model(window=window), [tmp_path / "scans"], out=tmp_path / "out")
    listed = json.loads((tmp_path / "out/predictions.json").read_text(encoding="utf-8"))["cases"]
    assert {case: entry["passes"] for case, entry in listed.items()} == dict.fromkeys(listed, passes)
    sentence = "case {}: one pass does not fit into memory; predicted in windows of 8×8×8, which differs slightly."
    assert caplog.messages == [sentence.format(case) for case in listed if said]


def test_stopped_in_its_first_case_it_goes_on(
    tmp_path: Path, make_case: Any, make_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_case(tmp_path / "scans", "BraTS2021_00000")
    model, out = make_model(), tmp_path / "out"

    def stop(path: Path, *values: object) -> None:
        path.with_name("left.nii.gz").write_text("half a mask")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("brats3d.images.write", stop)
        with pytest.raises(KeyboardInterrupt):
            predict_cases(model, [tmp_path / "scans"], out=out)
    assert files(out) == {"predictions.json", "left.nii.gz"}
    assert json.loads((out / "predictions.json").read_text(encoding="utf-8"))["cases"] == {}
    with pytest.raises(OutputExistsError, match="label_set was None, now 'L23'"):
        predict_cases(model, [tmp_path / "scans"], out=out, settings=PredictionSettings(label_set="L23"))
    assert predict_cases(model, [tmp_path / "scans"], out=out).predicted == ("BraTS2021_00000",)


def test_interrupted_it_goes_on_where_it_stopped(
    tmp_path: Path, make_case: Any, make_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"BraTS2021_0000{i}" for i in range(3)]
    for i, name in enumerate(names):
        make_case(tmp_path / "scans", name, seed=10 * i)
    model, out = make_model(), tmp_path / "out"

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_cases(model, [tmp_path / "scans"], out=out, progress=stop)
    assert files(out) == {"BraTS2021_00000.nii.gz", "predictions.json"}
    first = (out / "BraTS2021_00000.nii.gz").stat().st_mtime_ns
    with pytest.raises(OutputExistsError, match=r"made with other settings \(label_set was None, now 'L23'\)"):
        predict_cases(model, [tmp_path / "scans"], out=out, settings=PredictionSettings(label_set="L23"))
    with pytest.raises(OutputExistsError, match=r"\(model was '[0-9a-f]{12}', now '[0-9a-f]{12}', flips was \[\], now \[0\]\)"):
        predict_cases(make_model("other", flips=(0,)), [tmp_path / "scans"], out=out)
    steps: list[tuple[str, int, int]] = []
    with caplog.at_level(logging.WARNING):
        report = predict_cases(model, [tmp_path / "scans"], out=out, progress=lambda *step: steps.append(step))
    assert (report.kept, report.predicted) == ((names[0],), tuple(names[1:]))
    assert "1 of 3 cases are predicted already" in caplog.text
    assert steps == [("check", 1, 1), ("predict", 1, 2), ("predict", 2, 2)]
    assert (out / "BraTS2021_00000.nii.gz").stat().st_mtime_ns == first
    with pytest.raises(OutputExistsError, match="all 3 cases .*--force"):
        predict_cases(model, [tmp_path / "scans"], out=out)


def test_force_begins_anew(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    for i, name in enumerate(("BraTS2021_00000", "BraTS2021_00001")):
        make_case(tmp_path / "scans", name, seed=i)
    model, out = make_model(), tmp_path / "out"
    predict_cases(model, [tmp_path / "scans"], out=out, settings=PredictionSettings(probabilities=True))
    (out / "notes.txt").write_text("mine")
    ids = tmp_path / "ids.txt"
    ids.write_text("BraTS2021_00001\n")
    report = predict_cases(model, [tmp_path / "scans"], out=out, cases=str(ids), force=True)
    assert report.predicted == ("BraTS2021_00001",)
    # The first prediction's files are gone: nobody would know of what they are.
    assert files(out) == {"BraTS2021_00001.nii.gz", "predictions.json", "notes.txt"}


def test_hidden_files_do_not_count(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    make_case(tmp_path / "scans", "BraTS2021_00000")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".BraTS2021_00000.nii.host-1.gz").touch()  # as a killed run leaves it
    assert predict_cases(make_model(), [tmp_path / "scans"], out=out).predicted == ("BraTS2021_00000",)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    make_case(tmp_path / "scans", "BraTS2021_00000")
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    odd = '{"schema": 1, "model": {}, "options": {}, "cases": {"BraTS2021_00000": {"file": 5}}}'
    for listing, said in (
        (None, "holds notes.txt"), ("{}", "schema"), ('{"schema": 2}', "'model'"), ('{"schema": 9}', "schema 9"),
        ("no JSON", "JSONDecodeError"), (odd, "found 5"),
    ):  # fmt: skip
        if listing is not None:
            (out / "predictions.json").write_text(listing)
        with pytest.raises(OutputExistsError, match=f"{out}.*{said}"):
            predict_cases(make_model(), [tmp_path / "scans"], out=out)
    with pytest.raises(OutputExistsError, match="is a file; expected a folder"):
        predict_cases(make_model(), [tmp_path / "scans"], out=out / "notes.txt")
    assert files(out) == {"notes.txt", "predictions.json"}


def test_a_store_gives_the_same_masks(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for name, grid in (("BraTS2021_00001", "permuted"), ("BraTS2021_00002", "oblique")):
        make_case(tmp_path / "scans", name, **GRIDS[grid])
    for case in find_cases(tmp_path / "scans"):
        write_case(store, prepare_case(case))
    model = make_model()
    reports = [predict_cases(model, [tmp_path / s], out=tmp_path / f"from {s}") for s in ("scans", "store")]
    assert reports[0].predicted == reports[1].predicted == ("BraTS2021_00001", "BraTS2021_00002")
    for name in reports[0].predicted:
        first, second = (nib.load(tmp_path / f"from {s}/{name}.nii.gz") for s in ("scans", "store"))
        np.testing.assert_array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))
        np.testing.assert_array_equal(first.affine, second.affine)
        assert [int(first.header[c]) for c in ("qform_code", "sform_code")] == [
            int(second.header[c]) for c in ("qform_code", "sform_code")
        ]
    with pytest.raises(OptionError, match="case BraTS2021_00001 is in two of"):
        predict_cases(model, [tmp_path / "scans", store], out=tmp_path / "both")


def test_the_card_decides_channels_and_their_order(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    scans = make_case(tmp_path / "scans", "BraTS2021_00001")
    turned = make_model("turned", rows=(3, 1, 0))
    predict_cases(turned, [tmp_path / "scans"], out=tmp_path / "out")
    mask = np.asarray(nib.load(tmp_path / "out/BraTS2021_00001.nii.gz").dataobj)
    np.testing.assert_array_equal(mask, expected_label(scans))
    other = make_model("other", modalities=("t1", "t1ce", "t2", "adc"))
    report = predict_cases(other, [tmp_path / "scans"], out=tmp_path / "none")
    assert "lacks adc (it has t1, t1ce, t2, flair); the model expects t1, t1ce, t2, adc" in report.refused["BraTS2021_00001"]
    assert not (tmp_path / "none").exists()


Damage = Callable[[Path], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "a modality is missing": (lambda t2: t2.unlink(), "lacks t2"),
    "empty": (lambda t2: t2.write_bytes(b""), "the file is empty"),
    "truncated": (lambda t2: t2.write_bytes(t2.read_bytes()[:200]), "cannot be read as NIfTI"),
    "text": (lambda t2: t2.write_text("no image"), "cannot be read as NIfTI"),
    "NaN": (lambda t2: nib.save(nib.Nifti1Image(np.full((11, 14, 9), np.nan), LPS), t2), "voxels are NaN"),
    "other shape": (lambda t2: nib.save(nib.Nifti1Image(np.ones((11, 14, 8)), LPS), t2), "are not on one grid"),
    "constant": (lambda t2: nib.save(nib.Nifti1Image(np.ones((11, 14, 9), np.int16), LPS), t2), "intensities do not vary"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_case_is_refused_and_the_others_are_done(
    damage: str, tmp_path: Path, make_case: Any, make_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("BraTS2021_00000", "BraTS2021_00001"):
        make_case(tmp_path / "scans", name)
    hurt, sentence = DAMAGES[damage]
    hurt(tmp_path / "scans/BraTS2021_00000/BraTS2021_00000_t2.nii.gz")
    arguments = [str(make_model()), str(tmp_path / "scans"), "--out", str(tmp_path / "out"), "--json", "--quiet"]
    assert main(arguments) == 3
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["predicted"] == ["BraTS2021_00001"]
    assert list(report["refused"]) == ["BraTS2021_00000"]
    assert sentence in report["refused"]["BraTS2021_00000"]
    assert f"refused BraTS2021_00000: {report['refused']['BraTS2021_00000']}" in printed.err
    assert files(tmp_path / "out") == {"BraTS2021_00001.nii.gz", "predictions.json"}


def test_a_damaged_label_harms_no_mask(tmp_path: Path, make_case: Any, make_model: Any, caplog: Any) -> None:
    make_case(tmp_path / "scans", "BraTS2021_00000")
    label = tmp_path / "scans/BraTS2021_00000/BraTS2021_00000_seg.nii.gz"
    label.write_bytes(b"no image")
    report = predict_cases(make_model(), [tmp_path / "scans"], out=tmp_path / "out")
    assert (report.predicted, report.refused) == (("BraTS2021_00000",), {})
    assert "BraTS2021_00000: the mask is written in no label set of its own, though" in caplog.text


def test_a_grid_that_makes_no_whole_blocks_is_refused(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    make_case(tmp_path / "scans", "BraTS2021_00000", affine=np.diag([-1.5, -1.5, 1.5, 1]))
    report = predict_cases(make_model(spacing_mm=2.0), [tmp_path / "scans"], out=tmp_path / "out")
    said = report.refused["BraTS2021_00000"]
    assert all(words in said for words in ("BraTS2021_00000", "a model grid of 2 mm", "1.5 × 1.5 × 1.5 mm"))
    assert not (tmp_path / "out").exists()


def test_a_source_whose_label_set_lacks_a_region_gets_a_mask_in_the_models(
    tmp_path: Path, make_case: Any, make_model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    scans = make_case(tmp_path / "scans", "BraTS2021_00000")
    odd = make_model("odd", regions=("WT", "TC", "RC"), label_set="L24")
    report = predict_cases(odd, [tmp_path / "scans"], out=tmp_path / "out")
    assert (report.label_sets, report.assumed) == ({"BraTS2021_00000": "L24"}, ("BraTS2021_00000",))
    assert "masks are written in L24" in caplog.text
    mask = np.asarray(nib.load(tmp_path / "out/BraTS2021_00000.nii.gz").dataobj)
    np.testing.assert_array_equal(mask, expected_label(scans, (2, 1, 4)))
    with pytest.raises(OptionError, match="L23 has no value to paint RC with"):
        predict_cases(odd, [tmp_path / "scans"], out=tmp_path / "out23", settings=PredictionSettings(label_set="L23"))


def test_options_are_refused_before_anything_is_written(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    make_case(tmp_path / "scans", "BraTS2021_00000")
    ids = tmp_path / "ids.txt"
    ids.write_text("BraTS2021_00009\n")
    model, out = make_model(), tmp_path / "out"
    with pytest.raises(OptionError, match=r"label set is 'L18' \(did you mean 'L17'"):
        predict_cases(model, [tmp_path / "scans"], out=out, settings=PredictionSettings(label_set="L18"))
    with pytest.raises(OptionError, match=r"1 of the 1 .*cases .* the 1 of .*BraTS2021_00009"):
        predict_cases(model, [tmp_path / "scans"], out=out, cases=str(ids))
    with pytest.raises(OptionError, match=r"sources is \[\]"):
        predict_cases(model, [], out=out)
    with pytest.raises(OptionError, match=r"sources is 'scans'; expected a list, such as \['scans'\]"):
        predict_cases(model, "scans", out=out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoCasesError, match="no case found in"):
        predict_cases(model, [tmp_path / "empty"], out=out)
    assert not out.exists()


def test_the_command_prints_what_it_did(
    tmp_path: Path, make_case: Any, make_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    make_case(tmp_path / "scans", "BraTS2021_00000")
    arguments = [str(make_model()), str(tmp_path / "scans"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "1 masks written, 0 kept, 0 cases refused" in printed.out
    assert "label set: L17" in printed.out
    assert "predict: 1 of 1" in printed.err


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["BraTS2021_01657", "Brats18_2013_2_1", "BraTS-GLI-00000-000"])
def test_a_real_cases_mask_has_its_header(name: str, real_data: Path, tmp_path: Path, make_model: Any) -> None:
    if not (real_data / "brats" / name).is_dir():
        pytest.skip(f"{real_data}/brats has no case {name}; add it to have its header compared")
    model = make_model(spacing_mm=2.0, flips=(0,))
    report = predict_cases(model, [real_data / "brats" / name], out=tmp_path / "out")
    assert report.predicted == (name,)
    mask = nib.load(tmp_path / f"out/{name}.nii.gz")
    case = find_cases(real_data / "brats" / name)[0]
    source = nib.load(case.images["t1"])
    assert mask.shape == source.shape == (240, 240, 155)
    np.testing.assert_allclose(mask.affine, source.affine, atol=1e-6)
    for field in ("qform_code", "sform_code", "xyzt_units"):
        assert mask.header[field] == source.header[field]
    label = np.asarray(mask.dataobj)
    assert label.any()
    brain = np.any([np.asarray(nib.load(p).dataobj) != 0 for p in case.images.values()], 0)
    assert (label[~brain] > 0).mean() < 0.01


def test_a_mask_whose_name_would_be_too_long_is_refused_and_others_are_predicted(
    tmp_path: Path, make_case: Any, make_model: Any
) -> None:
    """A store's case of 250 letters has a file (.h5), but no mask (.nii.gz) of that name can be written."""
    (tmp_path / "store").mkdir()
    make_case(tmp_path / "scans", "one")
    prepared = prepare_case(find_cases(tmp_path / "scans")[0])
    for name in ("x" * 250, "y" * 248):
        write_case(tmp_path / "store", replace(prepared, header=replace(prepared.header, id=name)))
    report = predict_cases(make_model(), [tmp_path / "store"], out=tmp_path / "out")
    assert report.predicted == ("y" * 248,)
    assert list(report.refused) == ["x" * 250]
    assert "257 bytes" in report.refused["x" * 250]
    assert files(tmp_path / "out") == {"y" * 248 + ".nii.gz", "predictions.json"}
