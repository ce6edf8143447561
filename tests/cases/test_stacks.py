"""The decathlon's dataset.json: which channel is which modality, and what the label's values are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brats3d.cases import Case, find_cases
from brats3d.errors import OptionError

MODALITY = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
LABELS = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}


def msd(root: Path, content: Any = None) -> Case:
    for folder in ("imagesTr", "labelsTr"):
        path = root / "Task01_BrainTumour" / folder / "BRATS_001.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "Task01_BrainTumour/dataset.json").write_text(text)
    [case] = find_cases(root)
    return case


def test_the_decathlons_own_file(tmp_path: Path) -> None:
    case = msd(tmp_path, {"name": "BRATS", "modality": MODALITY, "labels": LABELS, "numTraining": 484})
    assert case.channels == {"t1": 1, "t1ce": 2, "t2": 3, "flair": 0}
    assert list(case.images) == ["t1", "t1ce", "t2", "flair"]
    assert set(case.images.values()) == {tmp_path / "Task01_BrainTumour/imagesTr/BRATS_001.nii.gz"}
    assert case.label == tmp_path / "Task01_BrainTumour/labelsTr/BRATS_001.nii.gz"
    assert (case.label_sets, case.missing) == (("LMSD",), ())
    assert case.reason == "named like BRATS_001.nii.gz; channels by dataset.json (flair, t1, t1ce, t2)"


def test_without_the_file_the_decathlons_order_holds(tmp_path: Path) -> None:
    case = msd(tmp_path)
    assert case.channels == {"t1": 1, "t1ce": 2, "t2": 3, "flair": 0}
    assert case.reason.endswith("channels in the decathlon's order (flair, t1, t1ce, t2): no dataset.json gives another")


@pytest.mark.parametrize(
    ("modality", "channels"),
    [
        ({"0": "T1w", "1": "T1-Gd", "2": "T2", "3": "Flair"}, {"t1": 0, "t1ce": 1, "t2": 2, "flair": 3}),
        ({"3": "t1n", "0": "t1c", "1": "t2w", "2": "t2f"}, {"t1": 3, "t1ce": 0, "t2": 1, "flair": 2}),
        ({"0": "FLAIR", "1": "T1ce"}, {"t1ce": 1, "flair": 0}),
    ],
)
def test_another_order_is_read(tmp_path: Path, modality: dict[str, str], channels: dict[str, int]) -> None:
    case = msd(tmp_path, {"channel_names": modality})
    assert case.channels == channels
    assert list(case.images) == list(channels)


@pytest.mark.parametrize(
    ("labels", "label_sets"),
    [
        (LABELS, ("LMSD",)),
        ({"background": 0, "edema": 1, "non-enhancing": 2, "enhancing": 3}, ("LMSD",)),
        ({"0": "background", "1": "oedema", "2": "necrosis", "3": "enhancing tumour"}, ("LMSD",)),
        ({"0": "background", "1": "NCR", "2": "ED", "3": "ET"}, ("L23",)),
        ({"1": "necrosis", "2": "edema", "3": "non-enhancing tumour", "4": "enhancing tumour"}, ("L13",)),
        ({"0": "background", "1": "necrotic", "2": "edema", "4": "enhancing tumor"}, ("L17",)),
        ({"0": "background", "1": "tumour"}, ("LMSD",)),
        (None, ("LMSD",)),
    ],
)
def test_the_names_of_the_labels_tell_the_label_set(tmp_path: Path, labels: Any, label_sets: tuple[str, ...]) -> None:
    assert msd(tmp_path, {"modality": MODALITY, "labels": labels}).label_sets == label_sets


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", r"dataset\.json: cannot be read as JSON \(.*\); fix it, or remove it"),
        ([1], r"dataset\.json: contains a list; expected the keys modality and labels"),
        ({}, r"dataset\.json: modality is None; expected a name per channel"),
        ({"modality": {"a": "FLAIR"}}, r"dataset\.json: modality is \{'a': 'FLAIR'\}"),
        ({"modality": {"0": "PD"}}, r"dataset\.json: channel 0 is called 'PD'; expected one of: t1, t1w"),
        ({"modality": {"0": "FLAIR", "1": "flairs"}}, r"channel 1 is called 'flairs' \(did you mean 'flair'\?\)"),
        ({"modality": {"0": "T1", "1": "t1w"}}, r"channels 0 and 1 are both called t1"),
        ({"modality": MODALITY, "labels": {"1": "enhancing", "2": "edema", "3": "core"}},
         r"labels are \{.*\}, which no known label set has; expected those of LMSD, or name files"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        msd(tmp_path, content)


def test_another_decathlon_task_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "Task05_Prostate/imagesTr/prostate_01.nii.gz"
    path.parent.mkdir(parents=True)
    path.touch()
    assert msd(tmp_path, {"modality": MODALITY}).id == "BRATS_001"
