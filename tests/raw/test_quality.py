"""The numbers of quality control, counted another way, and when they raise a flag."""

from __future__ import annotations

import re

import numpy as np
import pytest

from brats3d.geometry import Grid
from brats3d.raw import mutual_information
from brats3d.raw.quality import BINS, measure, turn_degrees

SHAPE = (21, 20, 19)
GRID = Grid(SHAPE, np.diag([-7.0, -7, 7, 1]))
ALL = np.ones(SHAPE, bool)


def by_loops(one: np.ndarray, other: np.ndarray) -> float:
    def bins(values: np.ndarray) -> list[int]:
        low, high = np.percentile(values, [0.5, 99.5])
        return [int(min(max((v - low) / (high - low) * BINS, 0), BINS - 1)) for v in values]

    pairs = list(zip(bins(one), bins(other), strict=True))
    total, n = 0.0, len(pairs)
    for pair in set(pairs):
        p = pairs.count(pair) / n
        total += p * np.log(p / (sum(a == pair[0] for a, _ in pairs) / n) / (sum(b == pair[1] for _, b in pairs) / n))
    return total


def test_mutual_information_is_that_of_the_joint_histogram() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(100, 20, SHAPE)
    other = 300 - one + rng.normal(0, 15, SHAPE)
    mask = rng.random(SHAPE) < 0.05
    assert mutual_information(one, other, mask) == pytest.approx(by_loops(one[mask], other[mask]), abs=1e-9)
    assert mutual_information(one, -3 * one, ALL) > 3, "a contrast turned round tells all"
    assert mutual_information(one, rng.permutation(one.ravel()).reshape(SHAPE), ALL) < 0.2
    assert mutual_information(one, other, ~ALL) == 0


def test_a_turn_in_degrees() -> None:
    angle = np.radians(33)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert turn_degrees(turn) == pytest.approx(33)


def sphere() -> np.ndarray:
    i, j, k = np.indices(SHAPE)
    return (i - 10) ** 2 + (j - 10) ** 2 + (k - 9) ** 2 < 9**2


def measured(**change: object) -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    image = rng.uniform(10, 100, SHAPE)
    given = {
        "images": {"t1": image, "t2": 120 - image}, "before": {"t1": image, "t2": 120 - np.roll(image, 2, 0)},
        "brain": sphere() & (np.indices(SHAPE)[2] > 1), "grid": GRID, "moves": {"t1": np.eye(4), "t2": np.eye(4)}, **change,
    }  # fmt: skip
    quality = measure(**given, brain_method="atlas")  # type: ignore[arg-type]
    assert quality.brain_ml == pytest.approx(float(np.sum(given["brain"])) * 0.343)  # type: ignore[arg-type]
    assert set(quality.information_after) == {"t1-t2"}
    return quality.flags


def test_a_good_case_raises_no_flag() -> None:
    assert measured() == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"brain": sphere() & (np.indices(SHAPE)[2] > 11)}, "the brain mask has 3.. ml; brains have 700 to 2100 ml"),
        ({"moves": {"t1": np.eye(4), "t2": np.diag([1.0, -1, -1, 1])}}, "t2 was moved by .* 180 degrees"),
        ({"images": {"t1": np.where(np.indices(SHAPE)[0] < 10, 0, 50.0), "t2": np.full(SHAPE, 7.0)}}, "t1 shows 5.% of the"),
    ],
)
def test_what_looks_wrong_is_flagged(change: dict[str, object], said: str) -> None:
    assert any(re.search(said, flag) for flag in measured(**change))


def test_information_lost_is_flagged() -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(10, 100, SHAPE)
    flags = measured(images={"t1": image, "t2": 120 - np.roll(image, 2, 0)}, before={"t1": image, "t2": 120 - image})
    assert any("t1-t2: " in flag for flag in flags)
