"""A label set of a user's own goes the whole way: manifest, store, merged and packed stores, evaluation."""

from __future__ import annotations

import csv
import json
import pickle
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import brats3d
from brats3d.evaluate import evaluate_case
from brats3d.evaluate.__main__ import main as evaluate
from brats3d.preprocess.__main__ import main as preprocess
from brats3d.regions import LabelSet
from brats3d.store import describe_store, merge_stores, open_store, pack_store, unpack_store

OWN: dict[str, Any] = {
    "name": "CLINIC",
    "used_by": "our clinic",
    "tissues": {"1": "core", "2": "rim"},
    "regions": {"CORE": [1], "ALL": [1, 2]},
    "paint": [["ALL", 2], ["CORE", 1]],
}
OTHER = {
    **OWN,
    "tissues": {"1": "rim", "2": "core"},
    "regions": {"CORE": [2], "ALL": [1, 2]},
    "paint": [["ALL", 1], ["CORE", 2]],
}
README = Path(brats3d.__file__).parents[1] / "data_prep/README.md"
OWN_TOML = re.findall(r"^```toml\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)[0]
SHAPE = (13, 11, 9)
LPS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
DICE = {"CORE": 2 * 4 / (8 + 8), "ALL": 2 * 48 / (64 + 48)}
"""A core of 2×2×2 voxels that is predicted a voxel aside, in a tumour of 4×4×4 of which 3×4×4 are predicted."""


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, LPS), path)


def reference() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[3:7, 3:7, 2:6] = 2
    label[4:6, 4:6, 3:5] = 1
    return label


def predicted() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[4:7, 3:7, 2:6] = 2
    label[5:7, 4:6, 3:5] = 1
    return label


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest of two cases, its label set, and a folder of predicted masks."""
    for seed, case in enumerate(("one", "two")):
        scan = np.zeros(SHAPE, np.int16)
        scan[1:11, 1:9, 1:7] = np.random.default_rng(seed).integers(1, 200, (10, 8, 6))
        save(tmp_path / f"scans/{case}_flair.nii.gz", scan)
        save(tmp_path / f"scans/{case}_seg.nii.gz", reference())
        save(tmp_path / f"masks/{case}.nii.gz", predicted())
    (tmp_path / "scans/sets").mkdir()
    (tmp_path / "scans/sets/clinic.toml").write_text(OWN_TOML)
    write_manifest(tmp_path)
    (tmp_path / "other.json").write_text(json.dumps(OTHER))
    return tmp_path


def write_manifest(folder: Path, label_set: str = "sets/clinic.toml", cases: tuple[str, ...] = ("one", "two")) -> Path:
    rows = [f"{case},{case}_flair.nii.gz,{case}_seg.nii.gz,{label_set}" for case in cases]
    (folder / "scans/m.csv").write_text("\n".join(["case,flair,label,label_set", *rows, ""]))
    return folder / "scans/m.csv"


def call(main: Any, *words: Any) -> int:
    from brats3d.console import run

    return run(main, [str(word) for word in words])


def test_from_a_manifest_to_scores(folder: Path, tmp_path: Path) -> None:
    own, out = LabelSet.from_dict(OWN), folder / "scores"
    assert call(preprocess, folder / "scans/m.csv", "--out", folder / "store", "--workers", "2") == 0
    merge_from = folder / "merged"
    unpack_store(pack_store(folder / "store", folder / "packed.h5").out, merge_from)
    for store in (folder / "store", folder / "packed.h5", merge_from):
        assert {row["label_set"] for row in describe_store(store, verify=True).cases.values()} == {"CLINIC"}
        with open_store(store)["one"] as case:
            assert (case.coding, pickle.loads(pickle.dumps(case.header)).coding) == (own, own)
            np.testing.assert_array_equal(case.label_patch((0, 0, 0), SHAPE), reference())
    assert merge_stores(merge_from, [folder / "store"]).kept == ("one", "two")

    asked = [folder / "scans", "--out", folder / "asked", "--label-set"]
    assert call(preprocess, *asked, folder / "scans/sets/clinic.toml") == 0
    with open_store(folder / "asked")["two"] as case:
        assert case.coding == own
    assert call(preprocess, *asked, folder / "other.json") == call(preprocess, *asked, "L12") == 2
    words = [folder / "masks", folder / "store", "--out", out, "--label-set", folder / "scans/sets/clinic.toml"]
    assert call(evaluate, *words) == 0
    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert {(row["case"], row["region"]) for row in rows} == {(case, region) for case in ("one", "two") for region in DICE}
    for row in rows:
        assert float(row["dice"]) == pytest.approx(DICE[row["region"]], abs=1e-4)
    assert json.loads((out / "summary.json").read_text())["label_sets"] == {"predictions": ["CLINIC"], "references": ["CLINIC"]}
    assert (out / "report.html").read_text().count("<img") + (out / "report.html").read_text().count("<svg") > 0
    scores = evaluate_case(predicted(), reference(), label_set=own)
    assert {region: row.dice for region, row in scores.items()} == pytest.approx(DICE)


def test_what_does_not_belong_together_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that the label set lacks; one name for two label sets: in a manifest, a store, a merge, an evaluation."""
    save(folder / "scans/two_seg.nii.gz", reference() + np.uint8(1) * (reference() == 2))
    store = folder / "store"

    def says(code: int, main: Any, *words: Any) -> str:
        assert call(main, *words) == code
        return " ".join("".join(capsys.readouterr()).split())

    said = says(3, preprocess, folder / "scans/m.csv", "--out", store)
    assert "label of two holds the values [0, 1, 3]" in said
    assert "CLINIC [0, 1, 2]" in said
    assert list(open_store(store)) == ["one"]

    both = ["two label sets are called CLINIC", "'1': 'core'", "'1': 'rim'"]

    def names_both(said: str) -> bool:
        return all(word in said for word in both)

    words = ["--out", folder / "scores", "--label-set", folder / "other.json"]
    assert names_both(says(3, evaluate, folder / "masks", store, *words))
    write_manifest(folder, "../other.json")
    assert names_both(says(2, preprocess, folder / "scans/m.csv", "--out", store))
    assert says(3, preprocess, folder / "scans/m.csv", "--out", folder / "second")  # two holds a 3
    with open_store(folder / "second")["one"] as case:
        assert case.coding == LabelSet.from_dict(OTHER)
    report = merge_stores(store, [folder / "second"])
    assert names_both(report.refused["one"])
    with (folder / "scans/m.csv").open("a") as file:
        file.write("three,sets/t.nii.gz,,sets/clinic.toml\n")
    save(folder / "scans/sets/t.nii.gz", reference())
    assert names_both(says(2, preprocess, folder / "scans/m.csv", "--out", folder / "third"))
