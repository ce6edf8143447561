"""How the model is run if not as its card says, and which models and cases may be given from Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from cards import flat_card
from hand_made import expected_label

from brats3d.errors import OptionError, OutputExistsError
from brats3d.models import load_model, save_model, save_pipeline
from brats3d.predict import PredictionSettings, predict_cases
from brats3d.predict.__main__ import main

pytest.importorskip("keras")
pytestmark = pytest.mark.network

VERSION_1 = Path(__file__).parents[1] / "version_1"
CASE, OTHER = "BraTS2021_00001", "BraTS2021_00002"


def listed(out: Path) -> dict[str, Any]:
    return json.loads((out / "predictions.json").read_text(encoding="utf-8"))


def neighbour_model(path: Path, **card: Any) -> Path:
    """Save a model whose probability of WT is the sigmoid of its neighbour's T1 along the first axis: mirroring tells."""
    import keras

    images = keras.Input((None, None, None, 1))
    layer = keras.layers.Conv3D(1, (3, 1, 1), padding="same", name="logits")
    network = keras.Model(images, keras.layers.Activation("sigmoid", name="probabilities")(layer(images)))
    kernel = np.zeros((3, 1, 1, 1, 1), np.float32)
    kernel[0] = 2
    layer.set_weights([kernel, np.zeros(1, np.float32)])
    save_model(path, network, flat_card(modalities=("t1",), regions=("WT",), **card))
    return path


def neighbours(scan: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[slice, ...]]:
    """Return by NumPy alone the sigmoid of twice the value before and of that behind, in the brain box, and the box."""
    inside = scan[scan != 0].astype(float)
    clamped = np.clip(inside, *np.percentile(inside, [2, 98]))
    where = np.argwhere(scan != 0)
    box = tuple(slice(a, b + 1) for a, b in zip(where.min(0), where.max(0), strict=True))
    values = np.where(scan == 0, 0, np.clip((scan - clamped.mean()) / clamped.std(), -5, 5))[box]
    padded = np.pad(values, [(1, 1), (0, 0), (0, 0)])
    before, behind = padded[:-2], padded[2:]
    return 1 / (1 + np.exp(-2 * before)), 1 / (1 + np.exp(-2 * behind)), box


@pytest.mark.parametrize(
    ("card", "arguments", "flips"),
    [
        ((), ["--flips", "0"], [0]),
        ((), ["--flips", "0", "2"], [0, 2]),
        ((0,), ["--flips"], []),
        ((0,), ["--window", "always", "--overlap", "0.25"], [0]),
    ],
)
def test_the_command_line_overrides_the_card(
    card: tuple[int, ...], arguments: list[str], flips: list[int], tmp_path: Path, make_case: Any
) -> None:
    scan = make_case(tmp_path / "scans", CASE)["t1"]
    model = neighbour_model(tmp_path / "n.keras", flips=card, size=(12, 16, 12))  # a window holds all of it
    out = tmp_path / "out"
    assert main([str(model), str(tmp_path / "scans"), "--out", str(out), "--probabilities", *arguments]) == 0
    before, behind, box = neighbours(scan)
    # both grids have X from right to left: what comes before in the file comes before for the network too
    wanted = (before + behind) / 2 if 0 in flips else before
    found = np.asarray(nib.load(out / f"probabilities/{CASE}.nii.gz").dataobj)[box]
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-5)
    window = "always" if "--window" in arguments else "where_needed"
    inference = {"flips": flips, "window": window, "overlap": 0.25 if "--overlap" in arguments else 0.5}
    assert listed(out)["inference"].items() >= inference.items()
    assert listed(out)["cases"][CASE]["passes"] == ("windows" if window == "always" else "whole")


def test_a_folder_keeps_the_inference_it_was_begun_with(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    for i, name in enumerate((CASE, OTHER)):
        make_case(tmp_path / "scans", name, seed=i)
    model, out, scans = make_model(), tmp_path / "out", [tmp_path / "scans"]
    begun = PredictionSettings(flips=np.array([1]), overlap=np.float32(0.25))  # type: ignore[arg-type]  # NumPy's numbers
    predict_cases(model, scans, out=out, cases=[CASE], settings=begun)
    for other, words in (
        (PredictionSettings(), ("flips was [1], now []", "overlap was 0.25, now 0.5")),
        (PredictionSettings(flips=(1,), overlap=0.25, window="always"), ("window was 'where_needed', now 'always'",)),
    ):
        with pytest.raises(OutputExistsError) as refused:
            predict_cases(model, scans, out=out, settings=other)
        assert all(word in str(refused.value) for word in words)
    assert predict_cases(model, scans, out=out, settings=begun).predicted == (OTHER,)
    # what is set to what the model does anyway changes nothing
    predict_cases(model, scans, out=tmp_path / "plain", cases=[CASE])
    again = predict_cases(model, scans, out=tmp_path / "plain", settings=PredictionSettings(flips=(), overlap=0.5))
    assert (again.kept, again.predicted) == ((CASE,), (OTHER,))


def test_version_1_ran_models_as_their_cards_say(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    shutil.copytree(VERSION_1 / "masks", masks)
    other = PredictionSettings(probabilities=True, flips=(0, 1))
    model = load_model(VERSION_1 / "whole.keras")
    for given in (VERSION_1 / "whole.keras", model, model.changed(flips=(0, 1))):
        with pytest.raises(OutputExistsError, match=r"flips was \[\], now \[0, 1\]"):
            predict_cases(given, [VERSION_1 / "scans"], out=masks, settings=other)
    assert listed(masks)["schema"] == 1, "nothing was written"


def test_settings_that_cannot_be_are_refused_by_name() -> None:
    for settings, words in (
        ({"flips": (0, 3)}, ("flips", "3")),
        ({"flips": (1, 1)}, ("flips", "(1, 1)")),
        ({"window": "sometimes"}, ("window", "'sometimes'", "always")),
        ({"overlap": 1.0}, ("overlap", "1.0", "0.95")),
        ({"label_set": "L18"}, ("'L18'", "'L17'")),
        ({"probabilities": "no"}, ("probabilities", "'no'")),
        ({"submission": None}, ("submission", "None")),
    ):
        with pytest.raises(OptionError) as refused:
            PredictionSettings(**settings)  # type: ignore[arg-type]
        assert all(word in str(refused.value) for word in words), settings


def test_models_and_cases_may_be_values(tmp_path: Path, make_case: Any, make_model: Any) -> None:
    scans = {name: make_case(tmp_path / "scans", name, seed=i) for i, name in enumerate((CASE, OTHER))}
    first, second = make_model("first"), make_model("second", flips=(0,))
    save_pipeline(tmp_path / "both.json", [first, second])
    opened = load_model(first)
    unsaved = load_model(first)
    unsaved = type(unsaved)(tuple(type(m)(m.network, m.card, "", m.path) for m in unsaved.members))
    for given, files, combine in (
        (str(first), ["first.keras"], ""),
        (opened, ["first.keras"], ""),
        (unsaved, ["first.keras"], ""),
        (tmp_path / "both.json", ["first.keras", "second.keras"], "mean"),
        (load_model(tmp_path / "both.json"), ["first.keras", "second.keras"], "mean"),
    ):
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        report = predict_cases(given, [tmp_path / "scans"], out=out, cases=[OTHER])
        assert report.predicted == (OTHER,)
        np.testing.assert_array_equal(np.asarray(nib.load(out / f"{OTHER}.nii.gz").dataobj), expected_label(scans[OTHER]))
        model = listed(out)["model"]
        assert ([member["file"] for member in model["members"]], model["combine"]) == (files, combine)
        assert all(len(member["checksum"]) == 64 for member in (model, *model["members"]))
        assert predict_cases(given, [tmp_path / "scans"], out=out).kept == (OTHER,)
    with pytest.raises(OptionError, match="BraTS2021_00009"):
        predict_cases(opened, [tmp_path / "scans"], out=tmp_path / "none", cases=["BraTS2021_00009"])
