"""A case given as modality → file, and models of exclusive labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cards import flat_card

from brats3d.errors import CaseError, OptionError
from brats3d.models import save_model
from brats3d.predict import check_paintable, predict_case
from brats3d.regions import LABEL_SETS, LabelSet

pytestmark = pytest.mark.network
MODALITIES = ("t1", "t1ce", "t2", "flair")


def test_modality_to_file(make_model: Callable[..., Path], make_case: Any, tmp_path: Path) -> None:
    model = make_model()
    make_case(tmp_path, "BraTS2021_00007")
    folder = next(tmp_path.rglob("BraTS2021_00007"))
    files = {m: folder / f"BraTS2021_00007_{m}.nii.gz" for m in MODALITIES}
    found = predict_case(model, files)
    assert (found.id, found.label_set) == ("BraTS2021_00007", "L17")
    again = predict_case(str(model), {m: str(path) for m, path in reversed(files.items())})
    np.testing.assert_array_equal(again.label, found.label)
    for given, error, said in (
        ({}, OptionError, "t1ce"), ({"t1c": files["t1"]}, OptionError, "t1c"),
        ({**files, "t2": folder / "no.nii.gz"}, OptionError, "no.nii.gz"), ({"t1": files["t1"]}, CaseError, "t1ce"),
    ):  # fmt: skip
        with pytest.raises(error) as refusal:
            predict_case(model, given)
        assert said in str(refusal.value)


def test_of_exclusive_labels_the_likeliest_is_painted(make_case: Any, tmp_path: Path) -> None:
    import keras

    images = keras.Input((None, None, None, 4), name="images")
    layer = keras.layers.Conv3D(4, 1, name="logits")
    network = keras.Model(images, keras.layers.Activation("softmax", name="probabilities")(layer(images)))
    weights = np.array([[0, 3, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [0, 0, 0, 4.0]])
    layer.set_weights([weights[None, None, None], np.array([1.0, 0, 0.5, -1])])
    card = flat_card(regions=("0", "1", "2", "4"), kind="labels", label_set="L17")
    save_model(tmp_path / "labels.keras", network, card)
    make_case(tmp_path, "plain1")
    folder = next(path for path in tmp_path.rglob("plain1") if path.is_dir())
    files = {m: folder / f"plain1_{m}.nii.gz" for m in MODALITIES}
    found = predict_case(tmp_path / "labels.keras", files, label_set="L17")
    assert found.channels == ("0", "1", "2", "4")
    np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=1e-5)
    by_hand = np.array([0, 1, 2, 4])[np.argmax(found.probabilities, 0)]
    np.testing.assert_array_equal(found.label, by_hand)
    assert len(np.unique(by_hand)) == 4
    other = predict_case(tmp_path / "labels.keras", files)  # nobody says the year
    assert (other.label_set, other.assumed) == ("L23", True)
    np.testing.assert_array_equal(other.label, np.where(by_hand == 4, 3, by_hand))
    with pytest.raises(OptionError, match="TC, ET"):
        check_paintable(card, LABEL_SETS["GTV"])


def test_a_users_label_set_is_what_its_masks_are_written_in(make_case: Any, make_model: Any, tmp_path: Path) -> None:
    own = LabelSet.from_dict({
        "name": "mine", "used_by": "us", "tissues": {"1": "core", "3": "rim"},
        "regions": {"CORE": [1], "ALL": [1, 3], "IN": [1]},
        "paint": [["ALL", 3], ["CORE", 1]],
    })  # fmt: skip
    with pytest.raises(OptionError, match="IN"):
        make_model("no", regions=("ALL", "CORE", "IN"), label_set=own)
    scans = make_case(tmp_path, "BraTS2021_00001")
    folder = next(tmp_path.rglob("BraTS2021_00001"))
    import keras

    images = keras.Input((None, None, None, 1), name="images")
    layer = keras.layers.Conv3D(2, 1, name="logits")
    network = keras.Model(images, keras.layers.Activation("sigmoid", name="probabilities")(layer(images)))
    layer.set_weights([np.array([[[[[9.0, 9.0]]]]]), np.array([1.0, -4.0])])
    save_model(tmp_path / "own.keras", network, flat_card(modalities=("t1",), regions=("ALL", "CORE"), label_set=own))
    found = predict_case(tmp_path / "own.keras", {"t1": folder / "BraTS2021_00001_t1.nii.gz"})
    assert (found.coding, found.assumed) == (own, True)  # the source's L17 has no value for them
    expected = np.where(found.probabilities[1] > 0.5, 1, np.where(found.probabilities[0] > 0.5, 3, 0))
    np.testing.assert_array_equal(found.label, expected)
    assert set(np.unique(expected)) == {0, 1, 3}
    assert scans["t1"].shape == found.label.shape
