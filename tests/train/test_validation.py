"""Whole cases during training: which ones, scored by all the rules, and refused by name where they are damaged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from cards import flat_card

from brats3d.errors import StoreError
from brats3d.predict import Runner
from brats3d.store import case_path, open_store

pytest.importorskip("keras")
validation = pytest.importorskip("brats3d.train.validation")
pytestmark = pytest.mark.network

OPTIONS = {"base_filters": 2, "depth": 2, "segmentation_levels": 1}
CARD = flat_card("isensee2017", network_options=OPTIONS, stride=2, spacing_mm=7.5)


@pytest.fixture
def scorer(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A scorer whose network sees tumour everywhere, on a store of its own."""
    shutil.copytree(store, tmp_path / "store")

    def everywhere(case: Any) -> np.ndarray:
        return np.ones((3, *case.grid.shape), np.float32)

    monkeypatch.setattr(validation, "runner_of", lambda pipeline: Runner(pipeline.card, everywhere))
    return validation.Scorer(open_store(tmp_path / "store"), CARD, {"cpu:0": None})


def test_a_case_is_scored_by_its_painted_label(scorer: Any) -> None:
    (scores,) = scorer.score(["Phantom_002"]).values()
    with scorer.store["Phantom_002"] as case:
        label = case.label_patch((0, 0, 0), case.grid.shape)
    for region, values in (("WT", (1, 2, 4)), ("TC", (1, 4)), ("ET", (4,))):
        share = np.isin(label, values).mean()
        assert scores[region].dice == pytest.approx(2 * share / (1 + share))
        assert scores[region].predicted_voxels == label.size
    assert validation.mean_dice({"a": scores, "b": scores})["WT"] == scores["WT"].dice


def test_a_damaged_label_is_a_damaged_case_file(scorer: Any) -> None:
    path = case_path(scorer.store.path, "Phantom_002")
    with h5py.File(path, locking=False) as file:
        chunk = file["label"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset + chunk.size // 2)
        raw.write(b"damaged")
    assert scorer.score(["Phantom_001"])
    with pytest.raises(StoreError, match=r"Phantom_002\.h5: the case file is damaged"):
        scorer.score(["Phantom_001", "Phantom_002"])


@pytest.mark.parametrize(
    ("names", "count", "expected"),
    [
        ("abcdefgh", 4, "aceg"),
        ("abcdefgh", 3, "acf"),
        ("abcdefgh", 1, "a"),
        ("abc", 3, "abc"),
        ("abc", 20, "abc"),
        ("aaabbbccc", 3, "abc"),
    ],
)
def test_the_validated_cases_are_spread_over_the_names(names: str, count: int, expected: str) -> None:
    from brats3d.train.run import spread

    assert "".join(spread(tuple(names), count)) == expected
