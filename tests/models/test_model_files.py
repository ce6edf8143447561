"""The card and the file a model travels in; every way in which such a file can be unusable."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cards import flat_card

from brats3d.errors import ModelError, OptionError, SpaceError
from brats3d.models import CARD_SCHEMA, Card, build_model, card_from_json, load_model, read_card, save_model
from brats3d.predict.__main__ import main as predict
from brats3d.regions import LabelSet

OPTIONS = {"base_filters": 1, "depth": 2, "segmentation_levels": 1}


def card(**fields: Any) -> Card:
    return flat_card(**{"network": "isensee2017", "network_options": OPTIONS, "stride": 2, **fields})


# --- the card --------------------------------------------------------------------------------------------------------


def test_a_card_comes_back_from_json() -> None:
    own = {"name": "mine", "used_by": "us", "tissues": {"1": "core", "3": "rim"}, "regions": {"CORE": [1], "ALL": [1, 3]},
           "paint": [["ALL", 3], ["CORE", 1]]}  # fmt: skip
    full = [
        card(
            spacing_mm=(1, 1, 5), regions=("WT", "ET"), label_set="L17", thresholds=(0.4, 0.6), temperatures=(1.5, 1),
            window="always", overlap=0.25, flips=(0, 1), training_cases=("a", "b"), postprocessing=({"step": "x", "ml": 0.5},),
            scores={"WT": 0.9}, created_with="brats3d 0.1", licence="CC0",
        ),
        card(regions=("0", "1", "2", "4"), kind="labels", label_set="L17"),
        card(regions=("ALL", "CORE"), label_set=LabelSet.from_dict(own)),
    ]  # fmt: skip
    for made in full:
        text = made.to_json()
        assert card_from_json(text, "here") == made
        content = json.loads(text)
        assert content["schema"] == CARD_SCHEMA == 2
        assert "not for clinical decisions" in content["notice"]
    assert content["label_set"] == own  # by content
    assert (full[0].spacing_mm, full[0].stride, full[0].regions) == ((1.0, 1.0, 5.0), (2, 2, 2), ("WT", "ET"))
    assert (full[1].exclusive, full[1].regions) == (True, ("WT", "TC", "ET", "NETC", "SNFH"))


def test_what_no_card_says() -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"modalities": ()}, "inputs.modalities is ()"),
        ({"modalities": ("t1", "t1")}, "('t1', 't1')"),
        ({"modalities": "t1"}, "'t1'"),
        ({"normalisation": "zscore"}, "'zscore'"),
        ({"stride": 4}, "stride is (4, 4, 4); isensee2017 with its options has (2, 2, 2)"),
        ({"network_options": {"base_filter": 1}}, "'base_filters'"),
        ({"size": (8, 8)}, "(8, 8)"),
        ({"size": (8, 8, 7)}, "(8, 8, 7); the network's stride is 2"),
        ({"spacing_mm": 0}, "spacing_mm is 0"),
        ({"label_set": "L18"}, "'L18'"),
        ({"regions": ("WT", "RC"), "label_set": "L17"}, "L17 has no value to paint RC"),
        ({"regions": ("0", "1"), "kind": "labels", "label_set": "L17"}, "0, 1, 2, 4"),
        ({"regions": ("0", "1", "2", "4"), "kind": "labels", "label_set": "L17", "thresholds": (0.5,) * 4}, "(0.5, 0.5, 0.5"),
        ({"kind": "classes"}, "'classes'"),
        ({"thresholds": (0.5,)}, "1 thresholds for the channels WT, TC, ET"),
        ({"thresholds": (0.5, 0.5, 1.0)}, "(0.5, 0.5, 1.0)"),
        ({"temperatures": (0.0, 1.0, 1.0)}, "temperatures is 0.0"),
        ({"flips": (True,)}, "(True,)"),
        ({"flips": (0, 0)}, "(0, 0)"),
        ({"overlap": 1.0}, "overlap is 1.0"),
        ({"window": "allways"}, "'always'"),
        ({"postprocessing": ({"ml": 2},)}, "{'ml': 2}"),
        ({"postprocessing": ("s",)}, "'s'"), ({"postprocessing": None}, "None"), ({"flips": ""}, "flips is ''"),
        ({"scores": 5}, "scores is 5"), ({"network_options": [1]}, "network_options is [1]"),
    ]  # fmt: skip
    wrong = []
    for fields, said in rows:
        with pytest.raises(OptionError) as refusal:
            card(**fields)
        if said not in str(refusal.value):
            wrong.append((fields, str(refusal.value), said))
    assert not wrong


def test_what_is_not_given_has_its_usual_value() -> None:
    for regions in (("WT",), ("ET", "WT"), ("WT", "TC", "ET")):
        found = card(regions=regions).inference
        assert (found.thresholds, found.temperatures) == ((0.5,) * len(regions), (1.0,) * len(regions))


def test_a_network_of_ones_own_may_have_a_card() -> None:
    assert card(network="mine", network_options={"anything": 1}, stride=8).stride == (8, 8, 8)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.update(schema=7), "here: its card has schema 7; this version of brats3d reads schemas 1 and 2"),
        (lambda c: c.pop("schema"), "here: its card has schema None"),
        (lambda c: c.pop("stride"), "it lacks 'stride'"),
        (lambda c: c.update(spacing=2), "'spacing_mm'"),
        (lambda c: c.update(spacing_mm="1"), "spacing_mm is '1'"),
        (lambda c: c["inference"].update(flips=3), "flips is 3"),
        (lambda c: c["label_set"].pop("paint"), "paint"),
        (lambda c: c.update(scores=[1]), "here: "),
    ],
)
def test_what_no_json_card_says(change: Callable[[dict[str, Any]], Any], sentence: str) -> None:
    content = json.loads(card().to_json())
    change(content)
    with pytest.raises(ModelError) as refusal:
        card_from_json(json.dumps(content), "here")
    assert sentence in str(refusal.value)
    for text in ("no JSON", "[1, 2]", "null"):
        with pytest.raises(ModelError, match="here: its card"):
            card_from_json(text, "here")


# --- the file --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("keras")
    path = tmp_path_factory.mktemp("model") / "m.keras"
    save_model(path, build_model("isensee2017", **OPTIONS), card())
    return path


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A model file to be spoilt."""
    return Path(shutil.copy(saved, tmp_path / "m.keras"))


@pytest.mark.network
def test_a_model_is_one_file_with_its_card(saved: Path) -> None:
    assert [p.name for p in saved.parent.iterdir()] == ["m.keras"]
    model = saved
    loaded = load_model(model)
    assert (loaded.card, loaded.path) == (card(), model)
    assert loaded.checksum == hashlib.sha256(model.read_bytes()).hexdigest()
    assert loaded.network.count_params() == build_model("isensee2017", **OPTIONS).count_params()
    with zipfile.ZipFile(model) as archive:
        assert archive.testzip() is None


def test_a_card_is_read_without_a_framework(model: Path) -> None:
    code = f"import sys; from brats3d.models import read_card; print(read_card({str(model)!r}).network, 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["isensee2017", "False"]


def rewrite(path: Path, *, leave_out: str, card_text: str = "") -> None:
    """Write an archive again without a member, or with another card."""
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist() if n != leave_out}
    if card_text:
        members["brats3d.json"] = card_text.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path, member: str, place: int | None = None) -> None:
    """Change a byte of a member's content as it lies in the archive: the middle one, or the one at a place."""
    with zipfile.ZipFile(path) as archive:
        found = archive.getinfo(member)
    content = bytearray(path.read_bytes())
    start = found.header_offset + 30 + len(member)
    content[start + (found.compress_size // 2 if place is None else place)] ^= 0xFF
    path.write_bytes(content)


def spoil_weights(path: Path) -> None:
    """Keep a sound archive whose weights are no HDF5 file."""
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    members["model.weights.h5"] = b"nothing" * 50
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


UNUSABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "absent": (lambda p: p.unlink(), "no such file; expected a model, a .keras file such as RUN/best.keras"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), "best.keras"),
    "empty": (lambda p: p.write_bytes(b""), "not a Keras model"),
    "text": (lambda p: p.write_text("weights"), "not a Keras model"),
    "truncated": (cut, "not a Keras model"),
    "flipped byte in the weights": (lambda p: flip(p, "model.weights.h5"), "cannot open it"),
    "no Keras archive": (lambda p: rewrite(p, leave_out="config.json"), "an archive without config.json"),
    "no card": (lambda p: rewrite(p, leave_out="brats3d.json"), "without a card (no member brats3d.json)"),
    "other schema": (
        lambda p: rewrite(p, leave_out="brats3d.json", card_text='{"schema": 3}'),
        "its card has schema 3; this version of brats3d reads schemas 1 and 2",
    ),
    "card is no JSON": (lambda p: rewrite(p, leave_out="brats3d.json", card_text="{"), "card"),
    "no weights": (lambda p: rewrite(p, leave_out="model.weights.h5"), "cannot open it"),
    "spoilt weights": (spoil_weights, "cannot open it"),
    "other channels": (
        lambda p: rewrite(p, leave_out="brats3d.json", card_text=card(modalities=("t1", "t2")).to_json()),
        "its network takes 4 channels; its card names t1, t2",
    ),
    "other regions": (
        lambda p: rewrite(p, leave_out="brats3d.json", card_text=card(regions=("WT",), thresholds=(0.5,)).to_json()),
        "its network gives 3 channels in probabilities; its card names WT",
    ),
}


@pytest.mark.network
@pytest.mark.parametrize("kind", UNUSABLE)
def test_unusable_files_are_refused(kind: str, model: Path, capsys: pytest.CaptureFixture[str], make_scans: Path) -> None:
    damage, sentence = UNUSABLE[kind]
    damage(model)
    with pytest.raises(ModelError) as refusal:
        load_model(model)
    assert str(refusal.value).startswith(f"{model}: ")
    assert sentence in str(refusal.value)
    assert str(refusal.value).count("\n") == 0
    # The command says the same, gives 2, and leaves nothing.
    out = model.parent / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["predict"])
        from brats3d.console import run

        assert run(predict, [str(model), str(make_scans), "--out", str(out)]) == 2
    assert f"error: {refusal.value}" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.network
def test_what_the_system_refuses_is_no_damage(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras unpacks a model to a temporary folder, whose disk may be full."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    with pytest.raises(OSError, match="No space left") as refused:
        load_model(model)
    assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, tempfile.gettempdir())


@pytest.mark.network
def test_any_flipped_byte_of_the_card_is_found(model: Path) -> None:
    whole = model.read_bytes()
    with zipfile.ZipFile(model) as archive:
        size = archive.getinfo("brats3d.json").compress_size
    for place in range(size - 2):  # behind the last character stands the mark of the end, which nobody needs
        flip(model, "brats3d.json", place)
        with pytest.raises(ModelError, match=r"m\.keras: not a Keras model.*\(.*\)"):
            read_card(model)
        model.write_bytes(whole)


@pytest.mark.network
def test_any_flipped_byte_of_the_cards_headers_is_found_or_harmless(model: Path) -> None:
    whole = model.read_bytes()
    with zipfile.ZipFile(model) as archive:
        start = archive.getinfo("brats3d.json").header_offset
    entry = whole.rindex(b"PK\x01\x02")  # of the directory at the end, in which the card is the last
    refused = 0
    for where in (*range(start, start + 30), *range(entry, entry + 46)):
        model.write_bytes(whole[:where] + bytes([whole[where] ^ 0x0D]) + whole[where + 1 :])
        try:
            assert read_card(model) == card()
        except ModelError:
            refused += 1
    assert refused > 20


@pytest.fixture
def make_scans(tmp_path: Path) -> Path:
    import nibabel as nib

    folder = tmp_path / "scans/BraTS2021_00001"
    folder.mkdir(parents=True)
    for modality in ("t1", "t1ce", "t2", "flair"):
        array = np.random.default_rng(0).integers(1, 99, (6, 7, 8)).astype(np.int16)
        nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1, 1, 1])), folder / f"BraTS2021_00001_{modality}.nii.gz")
    return folder.parent


@pytest.mark.network
def test_names_and_contradictions_are_refused_when_saving(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    network = build_model("isensee2017", **OPTIONS)
    with pytest.raises(ModelError, match=r"m.h5: a model's file name must end with .keras"):
        save_model(tmp_path / "m.h5", network, card())
    with pytest.raises(ModelError, match="the network to save: its network takes 4 channels; its card names t1"):
        save_model(tmp_path / "m.keras", network, card(modalities=("t1",)))
    with pytest.raises(ModelError, match="probabilities has the activation softmax; its card says sigmoid, for regions"):
        save_model(tmp_path / "m.keras", build_model("isensee2017", activation="softmax", **OPTIONS), card())
    images = keras.Input((None, None, None, 4))
    headless = keras.Model(images, keras.layers.Conv3D(3, 1, name="out")(images))
    with pytest.raises(ModelError, match=r"its last layers are .*out; expected logits, probabilities"):
        save_model(tmp_path / "m.keras", headless, card())

    class Own(keras.layers.LeakyReLU):
        pass

    odd = keras.Model(images, Own(name="mine")(images))
    with pytest.raises(ModelError, match="layers mine .*stock"):
        save_model(tmp_path / "m.keras", odd, card())
    nested = keras.Model(images, keras.Sequential([keras.layers.Conv3D(3, 1)], name="inner")(images))
    with pytest.raises(ModelError, match="layers inner .*expected a flat network"):
        save_model(tmp_path / "m.keras", nested, card())
    (tmp_path / "m.h5").write_text("x")
    with pytest.raises(ModelError, match=r"its name does not end with \.keras"):
        read_card(tmp_path / "m.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]


@pytest.mark.network
@pytest.mark.parametrize("problem", [OSError(errno.EACCES, "forbidden"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_model_that_was_there(
    problem: BaseException, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.read_bytes()
    writestr = zipfile.ZipFile.writestr

    def fail(self: zipfile.ZipFile, name: Any, *args: Any, **more: Any) -> None:
        if name == "brats3d.json":
            raise problem
        writestr(self, name, *args, **more)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(type(problem)):
        save_model(model, build_model("isensee2017", **OPTIONS, seed=9), card())
    assert model.read_bytes() == before
    assert [p.name for p in model.parent.iterdir()] == ["m.keras"]


@pytest.mark.network
@pytest.mark.parametrize("memory", ["enough", "short"])
def test_a_full_disk_leaves_the_model_that_was_there(model: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    saving = pytest.importorskip("keras.src.saving.saving_lib")
    monkeypatch.setattr(saving, "is_memory_sufficient", lambda network: memory == "enough")
    before = model.read_bytes()
    # What is written through this link meets a full disk.
    model.with_name(f".m.{socket.gethostname()}-{os.getpid()}.keras").symlink_to("/dev/full")
    with pytest.raises(SpaceError, match=r"m\.keras: no space left on the disk; \d+\.\d MB are needed"):
        save_model(model, build_model("isensee2017", **OPTIONS, seed=9), card())
    assert model.read_bytes() == before
    assert [p.name for p in model.parent.iterdir()] == ["m.keras"]


def test_a_card_of_schema_1_is_read() -> None:
    path = Path(__file__).parents[1] / "version_1" / "whole.keras"
    with zipfile.ZipFile(path) as archive:
        old = json.loads(archive.read("brats3d.json"))
    assert old["schema"] == 1
    found = load_model(path)
    assert found.card == read_card(path)
    assert found.card.inputs.modalities == tuple(old["modalities"])
    assert (found.card.stride, found.card.spacing_mm) == ((old["stride"],) * 3, (old["spacing_mm"],) * 3)
    assert found.card.inference.size == tuple(old["patch_size"])
    assert (found.card.inference.window, found.card.inference.flips) == (old["window"], tuple(old["flips"]))
    assert (found.card.regions, found.card.label_set.name) == (tuple(old["regions"]), old["label_set"])
    assert card_from_json(found.card.to_json(), "again") == found.card
    changed = {"flips": [0, 2], "thresholds": [0.4, 0.5, 0.6], "regions": ["ET", "TC", "WT"], "window": "where_needed"}
    other = card_from_json(json.dumps({**old, **changed}), "here")
    assert (other.inference.flips, other.inference.thresholds) == ((0, 2), (0.4, 0.5, 0.6))
    assert (other.regions, other.inference.window) == (("ET", "TC", "WT"), "where_needed")
    without = card_from_json(json.dumps({**old, "label_set": None, "postprocessing": {"x": {"ml": 1}}}), "here")
    assert (without.label_set.name, without.inference.postprocessing) == ("L23", ({"step": "x", "settings": {"ml": 1}},))
    for change in ({"patch_size": None}, {"colour": 1}, {"label_set": "L99"}):
        with pytest.raises(ModelError):
            card_from_json(json.dumps({**old, **change}), "here")
