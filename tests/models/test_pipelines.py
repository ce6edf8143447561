"""Pipelines: their file, what `load_model` takes, and how members' answers are combined, worked out by hand."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cards import flat_card

from brats3d.cases import Facts
from brats3d.errors import ModelError, OptionError
from brats3d.geometry import Grid
from brats3d.models import Inference, load_model, read_pipeline, save_model, save_pipeline
from brats3d.predict import predict_case, runner_of
from brats3d.store import CaseHeader, PreparedCase, summarise

pytestmark = pytest.mark.network
SHAPE = (12, 10, 8)


@pytest.fixture
def case() -> PreparedCase:
    """One modality with values everywhere, lowest at the front left."""
    images = (1 + np.arange(np.prod(SHAPE)).reshape(1, *SHAPE)).astype(np.int16)
    grid = Grid(SHAPE, np.diag([-1.0, -1.0, 1.0, 1.0]))
    return summarise(CaseHeader("case", Facts("patient"), ("t1",)), images, None, grid, grid)


@pytest.fixture
def member(tmp_path: Path) -> Callable[..., Path]:
    """Save a network of one channel whose region is where the normalised image, times a weight, plus a bias is above 0."""

    def save(name: str, weight: float, bias: float, **fields: Any) -> Path:
        import keras

        images = keras.Input((None, None, None, 1), name="images")
        layer = keras.layers.Conv3D(1, 1, name="logits")
        network = keras.Model(images, keras.layers.Activation("sigmoid", name="probabilities")(layer(images)))
        layer.set_weights([np.full((1, 1, 1, 1, 1), weight), np.array([bias])])
        path = tmp_path / f"{name}.keras"
        save_model(path, network, flat_card(**{"modalities": ("t1",), "regions": ("WT",), "stride": 1, **fields}))
        return path

    return save


def alone(path: Path, case: PreparedCase) -> np.ndarray:
    return predict_case(path, case).probabilities


def test_one_file_is_a_pipeline_of_one(member: Callable[..., Path], case: PreparedCase) -> None:
    path = member("one", 3, 0.5)
    found = load_model(path)
    assert (len(found.members), found.path, found.card, found.card.regions) == (1, path, found.members[0].card, ("WT",))
    assert found.network.count_params() == 2
    assert read_pipeline(path).checksum == found.checksum == found.members[0].checksum


def test_members_are_combined(member: Callable[..., Path], case: PreparedCase, tmp_path: Path) -> None:
    files = [member("a", 3, 0.0), member("b", -3, 0.0, spacing_mm=2.0), member("c", 1, 1.0, thresholds=(0.8,))]
    each = [alone(file, case) for file in files]
    cuts = (0.5, 0.5, 0.8)
    save_pipeline(tmp_path / "mean.json", files)
    np.testing.assert_allclose(alone(tmp_path / "mean.json", case), np.mean(each, 0), atol=1e-6)
    save_pipeline(tmp_path / "vote.json", files, combine="majority")
    votes = np.mean([p > cut for p, cut in zip(each, cuts, strict=True)], 0)
    voted = predict_case(tmp_path / "vote.json", case)
    np.testing.assert_allclose(voted.probabilities, votes, atol=1e-6)
    np.testing.assert_array_equal(voted.label > 0, votes[0] > 0.5)
    assert 0 < (voted.label > 0).mean() < 1
    for order in (files, files[::-1]):  # members' thresholds are averaged as their probabilities are
        save_pipeline(tmp_path / "mean.json", order)
        averaged = predict_case(tmp_path / "mean.json", case)
        np.testing.assert_array_equal(averaged.label > 0, np.mean(each, 0)[0] > np.mean(cuts))
    assert ((np.mean(each, 0)[0] > np.mean(cuts)) != (np.mean(each, 0)[0] > 0.5)).any()


def test_a_chain_looks_again_where_the_first_found_something(
    member: Callable[..., Path], case: PreparedCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brats3d.predict.runner.CHAIN_MARGIN_MM", 1.0)
    first, last = member("first", -8, -8.0), member("last", 1, 0.2)
    save_pipeline(tmp_path / "chain.json", [first, last], combine="chain")
    where = np.argwhere(alone(first, case)[0] > 0.5)
    box = tuple(slice(max(0, low - 1), high + 2) for low, high in zip(where.min(0), where.max(0), strict=True))
    assert 0 < np.prod([len(range(*part.indices(n))) for part, n in zip(box, SHAPE, strict=True)]) < np.prod(SHAPE)
    expected = np.zeros((1, *SHAPE))
    expected[0][box] = alone(last, case)[0][box]
    np.testing.assert_allclose(alone(tmp_path / "chain.json", case), expected, atol=1e-6)
    narrow = Inference((4, 4, 4), window="always", thresholds=(0.9,))  # the last one's: the first still finds what it found
    save_pipeline(tmp_path / "narrow.json", [first, last], combine="chain", inference=narrow)
    np.testing.assert_allclose(alone(tmp_path / "narrow.json", case), expected, atol=1e-5)
    nothing = member("nothing", 0, -9.0)
    save_pipeline(tmp_path / "all.json", [nothing, last], combine="chain")
    np.testing.assert_allclose(alone(tmp_path / "all.json", case), alone(last, case), atol=1e-6)


def test_inference_and_tables_live_in_the_pipeline(member: Callable[..., Path], case: PreparedCase, tmp_path: Path) -> None:
    path = member("one", 2, -0.3)
    way = Inference((4, 4, 4), window="always", thresholds=(0.7,), temperatures=(2.0,))
    save_pipeline(tmp_path / "p.json", [path], inference=way, calibration={"WT": [0.1]}, tables={"dice": {"WT": 0.8}})
    found = load_model(tmp_path / "p.json")
    assert (found.card.inference, found.calibration, found.tables) == (way, {"WT": [0.1]}, {"dice": {"WT": 0.8}})
    plain = alone(path, case).astype(float)
    cooler = 1 / (1 + np.exp(-np.log(plain / (1 - plain)) / 2))
    predicted = predict_case(found, case)
    np.testing.assert_allclose(predicted.probabilities, cooler, atol=1e-5)
    np.testing.assert_array_equal(predicted.label > 0, predicted.probabilities[0] > 0.7)
    again = runner_of(found.changed(overlap=0.25, flips=(0,), window=None)).card.inference
    assert (again.overlap, again.flips, again.window, again.thresholds) == (0.25, (0,), "always", (0.7,))


def test_folders_of_runs_are_averaged(member: Callable[..., Path], case: PreparedCase, tmp_path: Path) -> None:
    files = [member("a", 3, 0.0), member("b", -3, 0.4)]
    for number, file in enumerate(files):
        (tmp_path / "folds" / str(number)).mkdir(parents=True)
        shutil.copy(file, tmp_path / "folds" / str(number) / "best.keras")
    expected = np.mean([alone(file, case) for file in files], 0)
    np.testing.assert_allclose(alone(tmp_path / "folds", case), expected, atol=1e-6)
    np.testing.assert_allclose(alone(tmp_path / "folds" / "1", case), alone(files[1], case), atol=1e-6)


def test_numbers_of_numpy_are_written_as_json_holds_them(member: Callable[..., Path], tmp_path: Path) -> None:
    way = Inference(8, overlap=np.float32(0.25), thresholds=np.array([0.5]), postprocessing=({"step": "s", "ml": np.int64(3)},))
    path = member("one", 1, 0.0, scores={"dice": np.float32(0.5), "each": np.array([0.5, 0.25])})
    assert read_pipeline(path).card.scores == {"dice": 0.5, "each": [0.5, 0.25]}
    save_pipeline(tmp_path / "p.json", [path], inference=way, calibration={"WT": np.ones(2)}, tables={"n": np.int8(3)})
    found = read_pipeline(tmp_path / "p.json")
    assert (found.calibration, found.tables, found.inference) == ({"WT": [1.0, 1.0]}, {"n": 3}, way)
    assert pickle.loads(pickle.dumps((found.card, way))) == (found.card, way)
    with pytest.raises(OptionError, match="object"):
        save_pipeline(tmp_path / "p.json", [path], tables={"n": object()})
    with pytest.raises(OptionError, match="expected a list"):
        save_pipeline(tmp_path / "p.json", path)  # type: ignore[arg-type]  # what users do


def test_pipelines_that_cannot_be(member: Callable[..., Path], tmp_path: Path) -> None:
    one, other = member("one", 1, 0.0), member("other", 1, 0.0, regions=("TC",))
    path = tmp_path / "p.json"
    for members, options, said in (
        ([], {}, "0 members"), ([one, other], {}, "TC"), ([one], {"combine": "chain"}, "chain of 1"),
        ([one], {"combine": "meen"}, "'mean'"), ([tmp_path / "no.keras"], {}, "no.keras"),
        ([one], {"inference": Inference(8, thresholds=(0.5, 0.4))}, "2 thresholds"),
        ([one], {"inference": {"size": 8}}, "'size'"),
    ):  # fmt: skip
        with pytest.raises(ModelError) as refusal:
            save_pipeline(path, members, **options)
        assert said in str(refusal.value)
        assert not path.exists()
    save_pipeline(path, [one])
    content = json.loads(path.read_text())
    for change, said in (
        ({"format": "other"}, "brats3d pipeline"), ({"schema": 9}, "9"), ({"combin": "mean"}, "'combine'"),
        ({"inference": {"windows": "always"}}, "'window'"), ({"members": 3}, "3"),
        ({"members": ["one.keras"]}, "sha256"), ({"inference": {"temperatures": [1, 1]}}, "2 temperatures"),
        ({"calibration": "x"}, "'x'"), ({"tables": [1]}, "[1]"),
    ):  # fmt: skip
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(ModelError) as refusal:
            load_model(path)
        assert said in str(refusal.value)
        assert str(path) in str(refusal.value)
    path.write_text(json.dumps(content))
    shutil.copy(other, one)
    with pytest.raises(ModelError, match=r"one\.keras has the checksum"):
        load_model(path)
    one.unlink()
    with pytest.raises(ModelError, match=r"one\.keras is missing"):
        load_model(path)
    for nothing, said in ((tmp_path / "none.json", "no such file"), (tmp_path / "empty", "best.keras")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ModelError) as refusal:
            load_model(nothing)
        assert said in str(refusal.value)
