"""Lesion-wise scores of random small volumes against the slow twin: many lesions, at the border, voxels that are no cubes."""

from __future__ import annotations

import numpy as np
import pytest
from lesion_twin import TWINS, slow_case

from brats3d.regions import LABEL_SETS
from brats3d.scores import TASKS, Scoring, case_scores

CODINGS = {("brats2024", "GLI"): "L24", ("brats2024", "PED"): "LPED", ("brats2024", "MEN-RT"): "GTV"}
GRIDS = [
    ((15, 22, 17), (1.0, 1.0, 1.0)),
    ((21, 14, 19), (0.7, 1.9, 1.3)),
    ((30, 11, 13), (2.0, 0.5, 1.0)),
    ((18, 19, 20), (1.0, 1.0, 3.0)),
]
NUMBERS = (
    "lesion_dice", "lesion_hd95_mm", "lesions_tp", "lesions_fp", "lesions_fn", "dice", "hd95_mm", "sensitivity", "specificity",
)  # fmt: skip


def random_pair(seed: int, shape: tuple[int, ...], values: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A reference of random boxes of all tissues; a prediction that moves, forgets, recolours and invents some."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((2, *shape), np.uint8)
    for _ in range(rng.integers(2, 14)):
        size = rng.integers(1, rng.choice([3, 5, 8]), 3)
        corner = rng.integers(-1, shape)
        value, fate = rng.choice(values), rng.random()
        if fate < 0.85:
            _box(labels[1], corner, size, value)
        if fate > 0.2:
            moved = corner + rng.integers(-1, 2, 3) * (rng.random() < 0.6)
            _box(labels[0], moved, size + rng.integers(0, 2, 3), rng.choice(values) if rng.random() < 0.1 else value)
    return labels[0], labels[1]


def _box(label: np.ndarray, corner: np.ndarray, size: np.ndarray, value: int) -> None:
    label[tuple(slice(max(0, c), max(0, c + s)) for c, s in zip(corner, size, strict=True))] = value


@pytest.mark.parametrize("key", TWINS, ids="-".join)
def test_random_volumes_score_as_the_slow_twin_says(key: tuple[str, str], subtests: pytest.Subtests) -> None:
    coding = LABEL_SETS[CODINGS.get(key, "L23")]
    for seed in range(10):
        with subtests.test(seed=seed):
            shape, spacing = GRIDS[seed % len(GRIDS)]
            prediction, reference = random_pair(seed, shape, coding.values[1:])
            before = prediction.copy(), reference.copy()
            found = case_scores(prediction, reference, spacing, Scoring(*key), label_set=coding)
            np.testing.assert_array_equal((prediction, reference), before)
            expected = slow_case(prediction, reference, spacing, key)
            assert list(found) == list(expected)
            for region, row in expected.items():
                ours = found[region]
                for name in NUMBERS:
                    assert getattr(ours, name) == pytest.approx(row[name], abs=1e-9), (region, name)
                sizes = sorted((lesion.reference_mm3, lesion.predicted_mm3) for lesion in ours.lesions)
                np.testing.assert_allclose(np.ravel(sizes), np.ravel(sorted(row["sizes"])))


def test_the_twin_knows_all_tasks() -> None:
    assert {(protocol, task) for protocol, tasks in TASKS.items() for task in tasks} == set(TWINS)


def test_the_random_volumes_are_not_all_alike() -> None:
    """They hold what the rules are about: hits, misses, false alarms, lesions left out, joined components, joins by tissue."""
    seen: set[str] = set()
    for seed in range(10):
        shape, spacing = GRIDS[seed % len(GRIDS)]
        pair, coding = random_pair(seed, shape, (1, 2, 3, 4)), LABEL_SETS["L24"]
        apart, joined = (case_scores(*pair, spacing, Scoring(p), label_set=coding)["ET"] for p in ("brats2023", "brats2024"))
        seen |= {name for name in ("lesions_tp", "lesions_fp", "lesions_fn") if getattr(joined, name)}
        seen |= {"left out" for lesion in joined.lesions if lesion.reference_mm3 and not lesion.counted}
        seen |= {"several components" for lesion in apart.lesions if len(lesion.components) > 1}
        seen |= {"a match without overlap" for lesion in apart.lesions if lesion.components and lesion.dice == 0}
        seen |= {"joined"} if len(joined.lesions) < len(apart.lesions) else set()
    assert seen == {
        "lesions_tp", "lesions_fp", "lesions_fn", "left out", "several components", "a match without overlap", "joined",
    }  # fmt: skip
