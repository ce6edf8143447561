"""Failure classes: one planted failure a class, and what the rules measure against distance transforms and moved arrays."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from brats3d.errors import ArrayError, OptionError
from brats3d.regions import LABEL_SETS
from brats3d.scores import Failure, case_failures, dice, failure_class
from brats3d.scores.disagreement import BOUNDARY_MM, DIRECTIONS, SAMPLE, Disagreement
from brats3d.scores.failures import FAILURES
from brats3d.scores.overlap import joint_box

SHAPE = (61, 53, 45)
SPACINGS = [(1.0, 1.0, 1.0), (0.8, 1.0, 2.5)]
NOTHING = np.zeros(SHAPE, bool)


def ellipsoid(centre: tuple[int, int, int], radii: tuple[int, int, int]) -> np.ndarray:
    grid = np.indices(SHAPE)
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True)) <= 1


BIG = ellipsoid((18, 20, 15), (9, 8, 6))
SECOND = ellipsoid((44, 14, 30), (8, 7, 7))
SMALL = ellipsoid((44, 14, 30), (4, 3, 3))
SPECK = ellipsoid((44, 14, 30), (1, 1, 1))
KNOBBLY = BIG | ellipsoid((25, 24, 18), (4, 6, 5))
BAR = NOTHING.copy()
BAR[18:51, 14:27, 10:21] = True


def moved(mask: np.ndarray, shift: tuple[int, int, int]) -> np.ndarray:
    return np.roll(mask, shift, (0, 1, 2))


def planted() -> dict[str, tuple[str, str, np.ndarray, np.ndarray, dict[str, Any]]]:
    """Return name → kind, start of the detail (``<n>`` is the volume of n voxels), prediction, reference, other tissues."""
    grown = ndimage.binary_dilation(BIG)
    half = BIG & (np.arange(SHAPE[0]) < 17)[:, None, None]
    found: dict[str, tuple[str, str, np.ndarray, np.ndarray, dict[str, Any]]] = {
        "perfect": ("good", "", BIG, BIG, {}),
        "nothing at all": ("good", "", NOTHING, NOTHING, {}),
        "a voxel less": ("good", "", BIG & (np.arange(BIG.size) != np.flatnonzero(BIG)[0]).reshape(SHAPE), BIG, {}),
        "shifted": ("geometry suspicious", "shifted by (4, -3, 2) voxels?", moved(KNOBBLY, (4, -3, 2)), KNOBBLY, {}),
        "called another tissue": (
            "region confused", f"<{BIG.sum()}> called NCR", NOTHING, BIG, {"predicted_others": {"NCR": BIG}}),
        "another tissue called it": (
            "region confused", f"<{SECOND.sum()}> of ED called the region", BIG | SECOND, BIG,
            {"others": {"NCR": SPECK, "ED": SECOND}}),
        "no reference": ("false alarm", f"<{SMALL.sum()}> where the reference has none", SMALL, NOTHING, {}),
        "invented": ("false alarm", f"<{SECOND.sum()}> more than 5 mm", BIG | SECOND, BIG, {}),
        "invented beside a good one": ("false alarm", f"<{SMALL.sum()}> more than 5 mm", BIG | SMALL, BIG, {}),
        "the only one, small": ("small lesion missed", f"<{SMALL.sum()}>", NOTHING, SMALL, {}),
        "a speck is all there is": ("small lesion missed", f"<{SPECK.sum()}>", NOTHING, SPECK, {}),
        "a small one of two": ("small lesion missed", f"1 of 2 lesions, <{SMALL.sum()}>", BIG, BIG | SMALL, {}),
        "one of two": ("one of several lesions missed", f"1 of 2 lesions, <{SECOND.sum()}>", BIG, BIG | SECOND, {}),
        "the only one": ("lesion missed", f"<{BIG.sum()}>", NOTHING, BIG, {}),
        "too large all around": ("boundary", "100% of the errors", grown, BIG, {}),
        "too small all around": ("boundary", "100% of the errors", BIG, grown, {}),
        "leaked": ("overgrown", "", BIG | BAR, BIG, {}),
        "half": ("part missed", "", half, BIG, {}),
    }  # fmt: skip
    for count in (1, 2):
        for axes in itertools.combinations(range(3), count):
            words = " and ".join(DIRECTIONS[a] for a in axes)
            found[f"flip {axes}"] = ("geometry suspicious", f"flipped {words}? Dice 0.", np.flip(KNOBBLY, axes), KNOBBLY, {})
    return found


PLANTED = planted()


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_planted_failure_is_told(spacing: tuple[float, float, float], subtests: pytest.Subtests) -> None:
    for name, (kind, words, prediction, reference, others) in PLANTED.items():
        with subtests.test(name):
            copies = prediction.copy(), reference.copy()
            found = failure_class(prediction, reference, spacing, **others)
            assert found.kind == kind
            words = re.sub("<([0-9]+)>", lambda n: f"{int(n[1]) * np.prod(spacing) / 1000:.2f} ml", words)
            assert found.detail.startswith(words)
            np.testing.assert_array_equal(prediction, copies[0])
            np.testing.assert_array_equal(reference, copies[1])


def test_every_class_is_planted() -> None:
    assert {row[0] for row in PLANTED.values()} == set(FAILURES)


def test_a_missed_speck_beside_a_found_lesion_is_good() -> None:
    """Seven voxels of 1 mm³ are below the limit of 50 mm³; of 8 mm³ each they are above it."""
    assert failure_class(BIG, BIG | SPECK, (1, 1, 1)).kind == "good"
    assert failure_class(BIG, BIG | SPECK, (2, 2, 2)).kind == "small lesion missed"


def test_a_satellite_does_not_explain_half_a_tumour() -> None:
    half = BIG & (np.arange(SHAPE[0]) < 17)[:, None, None]
    assert failure_class(half, BIG | SMALL, (1, 1, 1)).kind == "part missed"


def test_a_missed_lesion_explains_most_errors_or_what_keeps_the_score_from_being_acceptable() -> None:
    inner = ndimage.binary_erosion(BIG, iterations=2)
    assert dice(inner, BIG) < 0.8
    assert SECOND.sum() > 0.5 * ((BIG | SECOND) & ~inner).sum()
    assert failure_class(inner, BIG | SECOND, (1, 1, 1)).kind == "one of several lesions missed"
    grown = ndimage.binary_dilation(BIG)
    assert dice(grown, BIG) > 0.8
    assert SMALL.sum() < 0.5 * (grown ^ (BIG | SMALL)).sum()
    assert failure_class(grown, BIG | SMALL, (1, 1, 1)).kind == "small lesion missed"


def test_the_edge_between_two_tissues_is_not_confused() -> None:
    grown = ndimage.binary_dilation(BIG)
    for pair in ((grown, BIG), (BIG, grown)):
        others = {"others": {"ED": ~pair[1]}, "predicted_others": {"ED": ~pair[0]}}
        assert failure_class(*pair, (1, 1, 1), **others).kind == "boundary"


def test_a_symmetric_tumour_is_not_called_flipped() -> None:
    middle = ellipsoid((30, 26, 22), (9, 8, 6))
    assert failure_class(ndimage.binary_dilation(middle, iterations=2), middle, (1, 1, 1)).kind == "boundary"


def test_a_small_mask_beside_its_place_is_no_shifted_volume() -> None:
    assert failure_class(moved(SMALL, (2, 0, 0)), SMALL, (1, 1, 1)).kind == "boundary"


def test_the_text_holds_kind_and_detail() -> None:
    assert str(Failure("boundary", "61% of the errors")) == "boundary: 61% of the errors"
    assert str(Failure("good")) == "good"


# -- what the rules measure --------------------------------------------------------------------------------------------


def pair(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Disagreement:
    box = joint_box(prediction, reference)
    return Disagreement(prediction[box], reference[box], tuple(s.start for s in box), SHAPE, spacing, {}, {})


@pytest.mark.parametrize("spacing", [*SPACINGS, (3.0, 0.5, 2.0)])
def test_distances_are_those_of_a_distance_transform(spacing: tuple[float, float, float]) -> None:
    prediction, reference = moved(KNOBBLY, (5, 2, -3)), KNOBBLY
    unit = [s / max(s, BOUNDARY_MM) for s in spacing]
    found = pair(prediction, reference, spacing)
    for errors, mask, other in ((found.extra, prediction, reference), (found.missing, reference, prediction)):
        slow = ndimage.distance_transform_edt(~other, sampling=unit)[mask & ~other]
        assert errors.weight == 1
        np.testing.assert_allclose(errors.distances, slow, atol=1e-9)


def test_a_large_mask_is_sampled() -> None:
    large = np.zeros(SHAPE, bool)
    large[4:50, 3:40, 5:40] = True
    errors = pair(large, BIG).extra
    assert len(errors.points) == SAMPLE
    assert errors.weight * SAMPLE == pytest.approx((large & ~BIG).sum())
    far = ndimage.distance_transform_edt(~BIG)[large & ~BIG] > 2
    assert errors.voxels(~errors.near) == pytest.approx(far.sum(), rel=0.03)


def test_mirrored_dice_is_that_of_a_flipped_array() -> None:
    prediction = KNOBBLY | SECOND
    best, words = pair(prediction, SECOND | SPECK).mirrored()
    slow = {
        " and ".join(DIRECTIONS[a] for a in axes): dice(np.flip(prediction, axes), SECOND | SPECK)
        for count in (1, 2, 3)
        for axes in itertools.combinations(range(3), count)
    }
    assert best == pytest.approx(max(slow.values()))
    assert slow[words] == pytest.approx(best)


def test_a_shift_is_found() -> None:
    shifts = [(2, 0, 0), (-7, 3, 1), (0, 0, 12)]
    assert [pair(moved(KNOBBLY, shift), KNOBBLY).shifted() for shift in shifts] == [(1.0, shift) for shift in shifts]


# -- whole labels ------------------------------------------------------------------------------------------------------


def label(tissues: dict[int, np.ndarray]) -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    for value, mask in tissues.items():
        found[mask] = value
    return found


CORE = ellipsoid((18, 20, 15), (5, 5, 4))


@pytest.mark.parametrize("coding", ["L17", "L23"])
def test_a_core_called_edema_is_confused_and_the_whole_is_good(coding: str) -> None:
    enhancing = {"L17": 4, "L23": 3}[coding]
    reference = label({2: BIG, 4: CORE})
    prediction = label({2: BIG})
    found = case_failures(prediction, reference, (1, 1, 1), label_set=LABEL_SETS[coding], reference_label_set=LABEL_SETS["L17"])
    assert {region: row.kind for region, row in found.items()} == {
        "WT": "good",
        "TC": "region confused",
        "ET": "region confused",
    }
    assert found["ET"].detail == f"{CORE.sum() / 1000:.2f} ml called ED"
    other_way = case_failures(
        label({2: BIG, enhancing: CORE}), label({2: BIG, 1: CORE}), (1, 1, 1), ["ET", "1"],
        label_set=LABEL_SETS[coding], reference_label_set=LABEL_SETS["L17"],
    )  # fmt: skip
    assert str(other_way["ET"]) == f"false alarm: {CORE.sum() / 1000:.2f} ml where the reference has none"
    assert str(other_way["1"]) == f"region confused: {CORE.sum() / 1000:.2f} ml called ET"


def test_a_flipped_label_is_suspicious_in_every_region() -> None:
    reference = label({2: KNOBBLY, 1: CORE})
    found = case_failures(reference[::-1], reference, (1, 1, 1), ("WT", "TC"), label_set=LABEL_SETS["L17"])
    assert [row.detail for row in found.values()] == ["flipped left-right? Dice 0.00, moved back 1.00"] * 2


@pytest.mark.parametrize("call", ["masks", "labels"])
def test_what_cannot_be_compared_is_refused(call: str) -> None:
    tell: Callable[..., object] = failure_class
    if call == "labels":

        def tell(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> object:
            return case_failures(a, b, spacing, label_set=LABEL_SETS["L17"])

    with pytest.raises(ArrayError, match=r"prediction \(60, 53, 45\)"):
        tell(BIG[1:], BIG, (1, 1, 1))
    with pytest.raises(ArrayError, match=r"spacing_mm is \(1.0, 1.0\) for masks of shape \(53, 45\)"):
        tell(BIG[18], BIG[18], (1, 1))
    with pytest.raises(ArrayError, match=r"spacing_mm is \(1.0, 0.0, 1.0\)"):
        tell(BIG, BIG, (1, 0, 1))


def test_tissues_and_regions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArrayError, match=r"ED \(53, 45\)"):
        failure_class(BIG, BIG, (1, 1, 1), others={"ED": BIG[0]})
    with pytest.raises(OptionError, match="does not define CC"):
        case_failures(label({2: BIG}), label({2: BIG}), (1, 1, 1), ["CC"], label_set=LABEL_SETS["L17"])
