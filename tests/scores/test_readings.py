"""Labels that seem to be coded otherwise than they are read, against labels whose tissues were exchanged by hand."""

from __future__ import annotations

import numpy as np
import pytest

from brats3d.regions import LABEL_SETS, convert_label
from brats3d.scores import other_reading, unscored_regions

L17, L23, LMSD, LPED = (LABEL_SETS[name] for name in ("L17", "L23", "LMSD", "LPED"))


def tumour(radius: float = 9.0, core: float = 6.0, enhancing: float = 4.0) -> np.ndarray:
    """Shells of L23: edema 2, necrosis 1 in the middle of it, enhancing 3 between them."""
    distance = np.sqrt(((np.indices((22, 23, 24)) - 11.2) ** 2).sum(0))
    found = np.where(distance < radius, 2, 0)
    found[distance < core] = 3
    found[distance < enhancing] = 1
    return found.astype(np.uint8)


def without_et(label: np.ndarray) -> np.ndarray:
    return np.where(label == 3, 1, label).astype(np.uint8)


SOUND = tumour()
ROUGH = tumour(8.6, 5.7, 4.2)
"""A fair prediction: Dice of WT 0.93."""
EXPLAINED = {
    # name: (prediction, its coding, reference, its coding; the coding that explains it, and what that takes for TC)
    "decathlon as 2023": (convert_label(ROUGH, L23, LMSD), L23, SOUND, L23, "LMSD", (2, 3)),
    "2023 as decathlon": (ROUGH, LMSD, convert_label(SOUND, L23, LMSD), LMSD, "L23", (1, 3)),
    "without ET": (convert_label(without_et(ROUGH), L23, LMSD), L17, without_et(SOUND), L17, "LMSD", (2, 3)),
    "paediatric as 2017": (convert_label(ROUGH, L23, LPED), L17, convert_label(SOUND, L23, L17), L17, "LPED", (1, 2, 3)),
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_an_exchanged_coding_is_seen(name: str) -> None:
    prediction, coding, reference, reference_coding, other, core = EXPLAINED[name]
    found = other_reading(prediction, reference, label_set=coding, reference_label_set=reference_coding)
    assert found is not None
    assert (found.side, found.label_set) == ("prediction", other)
    mine, theirs = np.isin(prediction, core), np.isin(reference, reference_coding.regions["TC"])
    assert found.other_dice == pytest.approx(2 * (mine & theirs).sum() / (mine.sum() + theirs.sum()))
    assert found.other_dice > 0.8 > found.dice + 0.1


def moved(label: np.ndarray, value: int, shift: int) -> np.ndarray:
    """The label with one tissue elsewhere within the tumour."""
    found = np.where(label == value, 2, label)
    found[np.roll(label == value, shift, 0) & (label > 0)] = value
    return found.astype(np.uint8)


SMALL_CORE = tumour(9, 2.5, 2.5)
UNSUSPICIOUS = {
    "a fair prediction": (ROUGH, SOUND),
    "the core missed": (np.where(ROUGH > 0, 2, 0).astype(np.uint8), SOUND),
    "a small core elsewhere": (moved(SMALL_CORE, 1, 5), tumour(9.3, 2.5, 2.5)),
    "another tumour": (np.roll(convert_label(ROUGH, L23, LMSD), 12, 0), SOUND),
    "mostly core, called edema but for its middle": (
        np.where(without_et(ROUGH) == 1, 2, 0).astype(np.uint8) - (tumour(9, 2, 2) == 1), without_et(tumour(9, 8, 5))),
    "nothing": (np.zeros_like(SOUND), np.zeros_like(SOUND)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUSPICIOUS)
def test_poor_predictions_are_not_suspicious(name: str) -> None:
    prediction, reference = UNSUSPICIOUS[name]
    assert other_reading(prediction, reference, label_set=L23, reference_label_set=L23) is None


def test_equal_tumours_with_cores_that_share_nothing_are_told_without_an_explanation() -> None:
    found = other_reading(moved(SMALL_CORE, 1, 5), SMALL_CORE, label_set=L17, reference_label_set=L17)
    assert found is not None
    assert (found.label_set, found.dice, found.other_dice) == ("", 0, 0)
    mask = (SMALL_CORE > 0).astype(np.uint8)
    assert other_reading(mask, SMALL_CORE, label_set=LABEL_SETS["GTV"], reference_label_set=L17) is None


@pytest.mark.parametrize(
    ("coding", "values", "scored", "left"),
    [
        ("L24", [1, 2, 3, 4], ("WT", "TC", "ET"), ("RC",)),
        ("L24", [1, 2, 3], ("WT", "TC", "ET"), ()),
        ("L24", [1, 2, 3, 4], ("WT", "RC"), ()),
        ("L24", [1, 2, 4], ("TC",), ("SNFH", "RC")),
        ("LPED", [1, 2, 3, 4], ("TC",), ("ED",)),
        ("LMSD", [1, 2, 3], ("ET",), ("edema", "non-enhancing")),
        ("L17", [1, 2, 4], ("WT", "TC", "ET"), ()),
        ("GTV", [1], ("GTV",), ()),
    ],
)
def test_tissues_in_no_region_that_is_scored(coding: str, values: list[int], scored: tuple[str, ...], left: tuple) -> None:
    assert unscored_regions(np.array([0, *values], np.uint8), LABEL_SETS[coding], scored) == left
