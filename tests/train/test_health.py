"""A doomed run is stopped with the reason, a healthy one is left exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats3d.cases import Facts
from brats3d.errors import HealthError
from brats3d.geometry import Grid
from brats3d.patches import Batch, BatchSettings, PatchPlan
from brats3d.regions import LABEL_SETS
from brats3d.store import CaseHeader, summarise, write_case
from brats3d.train import Recipe
from brats3d.train.recipe_files import with_training

keras = pytest.importorskip("keras")
health = pytest.importorskip("brats3d.train.health")
state = pytest.importorskip("brats3d.train.state")
devices = pytest.importorskip("brats3d.train.devices")
pytestmark = pytest.mark.network

MODALITIES = ("t1", "t1ce", "t2", "flair")
SIZE = (6, 7, 8)


@dataclass(frozen=True)
class Batches:
    """What the check needs of a `PatchDataset`."""

    plan: PatchPlan
    images: np.ndarray
    targets: np.ndarray
    available: np.ndarray
    batch_size: int = 2

    @property
    def num_batches(self) -> int:
        return len(self.images) // self.batch_size

    def batch(self, index: int) -> Batch:
        part = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return Batch(self.images[part], self.targets[part], (), self.available[part])


def write_store(folder: Path, values: tuple[int, ...]) -> PatchPlan:
    """A store of two cases; the second one's label holds the values."""
    folder.mkdir()
    grid = Grid(SIZE, np.diag([-1.0, -1.0, 1.0, 1.0]))
    for name, inside in (("a", (0, 2)), ("b", values)):
        label = np.resize(np.array(inside, np.uint8), SIZE)
        images = np.random.default_rng(0).integers(1, 1000, (4, *SIZE)).astype(np.int16)
        write_case(folder, summarise(CaseHeader(name, Facts(name), MODALITIES, LABEL_SETS["L17"]), images, label, grid, grid))
    return PatchPlan(folder, ("a", "b"), BatchSettings(patch_size=(4, 4, 4)), modalities=MODALITIES)


def batches(plan: PatchPlan, **changes: Any) -> Batches:
    rng = np.random.default_rng(1)
    images = rng.normal(size=(8, 4, 4, 4, 4)).astype(np.float32)
    targets = (rng.random((8, 4, 4, 4, 3)) > np.linspace(0.99, 0.5, 8)[:, None, None, None, None]).astype(np.uint8)
    return Batches(plan, **{"images": images, "targets": targets, "available": np.ones((8, 4), bool), **changes})


def with_channel(number: int, values: Any) -> np.ndarray:
    images = np.random.default_rng(1).normal(size=(8, 4, 4, 4, 4)).astype(np.float32)
    images[..., number] = values if not callable(values) else values(images[..., number])
    return images


@pytest.fixture
def plan(tmp_path: Path) -> PatchPlan:
    return write_store(tmp_path / "store", (0, 1, 2, 4))


# --- the batches -----------------------------------------------------------------------------------------------------


def test_healthy_batches_give_the_one_with_most_tumour(plan: PatchPlan) -> None:
    given = batches(plan)
    images, targets = health.check_batches(given)
    np.testing.assert_array_equal(images, given.images[6:])
    np.testing.assert_array_equal(targets, given.targets[6:])


@pytest.mark.parametrize(
    ("number", "values", "sentence"),
    [
        (0, 0, "channel t1 of the first batches has only zeros; expected about mean 0, spread 1"),
        (3, lambda x: 300 + 100 * x, "channel flair of the first batches has mean (29|30).*, spread .*; expected about mean 0"),
        (1, lambda x: x * 20, "channel t1ce of the first batches has mean .*, spread (19|20|21)"),
        (2, lambda x: 4 + 0.1 * x, "channel t2 of the first batches has mean (3.9|4).*, spread 0.1"),
        (2, lambda x: x * 1e-3, "channel t2 of the first batches has mean .*, spread 0.001"),
        (1, lambda x: np.where(x > 2, np.nan, x), "channel t1ce of the first batches has values that are not finite"),
        (1, lambda x: np.where(x > 2, np.inf, x), "channel t1ce of the first batches has values that are not finite"),
    ],
)
def test_images_that_are_not_normalised_are_named(plan: PatchPlan, number: int, values: Any, sentence: str) -> None:
    with pytest.raises(HealthError, match=sentence):
        health.check_batches(batches(plan, images=with_channel(number, values)))


def test_background_does_not_count(plan: PatchPlan) -> None:
    images = with_channel(1, lambda x: np.where(x < 1.5, 0, x - 2))
    assert np.mean(images[..., 1] == 0) > 0.9
    health.check_batches(batches(plan, images=images))


def test_a_modality_that_cases_lack_is_looked_at_where_it_is(plan: PatchPlan) -> None:
    """Zeros of absent modalities are no reason to stop, also if no case looked at has it; wrong values where it is are."""
    available = np.ones((8, 4), bool)
    available[:5, 2] = False
    zeros = with_channel(2, lambda x: x * available[:, 2, None, None, None])
    health.check_batches(batches(plan, images=zeros, available=available))
    with pytest.raises(HealthError, match="channel t2 of the first batches has mean"):
        health.check_batches(batches(plan, images=with_channel(2, lambda x: 9 + x), available=available))
    available[:, 2] = False
    health.check_batches(batches(plan, images=with_channel(2, 0), available=available))


def test_a_region_that_no_case_has_is_named(tmp_path: Path) -> None:
    without = write_store(tmp_path / "store", (0, 1, 2))
    given = batches(without)
    given.targets[..., 2] = 0
    with pytest.raises(
        HealthError, match="no voxel of ET in any of the 2 training cases; check the labels and their label set"
    ):
        health.check_batches(given)


def test_a_region_that_the_first_patches_miss_is_no_reason_to_stop(plan: PatchPlan) -> None:
    given = batches(plan)
    given.targets[..., 2] = 0
    health.check_batches(given)


# --- the loss on one batch -------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def _clean_keras() -> Iterator[None]:
    yield
    keras.utils.clear_session()


def network(rate: float, dropout: float = 0.5) -> Any:
    given = keras.Input((4, 4, 4, 4))
    x = keras.layers.Conv3D(4, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(seed=1))(given)
    x = keras.layers.SpatialDropout3D(dropout, seed=2)(keras.layers.ReLU()(x))
    model = keras.Model(given, keras.layers.Conv3D(3, 1, kernel_initializer=keras.initializers.HeNormal(seed=3))(x))
    model.compile(keras.optimizers.Adam(rate, use_ema=True), "mse", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    return model


ONE = devices.Devices(("cpu:0",))


def one_batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(2, 4, 4, 4, 4)).astype(np.float32), rng.normal(size=(2, 4, 4, 4, 3)).astype(np.float32)


def check(model: Any, steps: int = 6) -> list[float]:
    """Run the check, and see that whatever came of it, everything is back where it was."""
    before = state.snapshot(model)
    try:
        return list(health.check_learning(model, one_batch(), steps, ONE))
    finally:
        assert all(np.array_equal(a, b) for a, b in zip(before, state.snapshot(model), strict=True))


def test_a_network_that_learns_passes_and_is_as_before() -> None:
    losses = check(network(1e-2))
    assert len(losses) == 6
    assert losses[-1] < 0.99 * losses[0]
    # The first loss is that of the untouched network, with the dropout of its first step.
    fresh = network(1e-2)
    expected = float(np.mean((np.asarray(fresh(one_batch()[0], training=True)) - one_batch()[1]) ** 2))
    assert losses[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_loss_that_stays_where_it_is_stops_the_run(dropout: float) -> None:
    with pytest.raises(
        HealthError, match=r"the loss on one fixed batch does not fall in 6 steps \(\d.*\); change the learning"
    ):
        check(network(1e-9, dropout))


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(
        HealthError,
        match=r"the loss on one fixed batch is not finite \(.*(nan|inf).*\); lower .* --settings training.precision=float32",
    ):
        check(network(1e30))


# --- an epoch's end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("resumable", "how"),
    [(True, "continue from the last state with --resume and a lower rate"), (False, "start over with a lower")],
)
def test_a_loss_that_is_no_number_is_told_with_the_way_on(loss: float, resumable: bool, how: str) -> None:
    model = network(1e-3)
    with pytest.raises(HealthError) as refusal:
        health.check_finite(model, loss, 7, Recipe(), resumable=resumable)
    assert str(refusal.value).startswith(f"the loss of epoch 7 is {loss}; {how}")
    assert "(--settings optimiser.learning_rate=5e-05)" in str(refusal.value)
    assert "precision" not in str(refusal.value)
    with pytest.raises(HealthError, match="or start another run with --settings training.precision=float32"):
        health.check_finite(model, loss, 7, with_training(Recipe(), precision="mixed_float16"), resumable=resumable)


def test_weights_that_are_no_numbers_are_found_before_the_loss_shows_it() -> None:
    model = network(1e-3)
    health.check_finite(model, 0.5, 7, Recipe(), resumable=True)
    spoiled = model.get_weights()
    spoiled[1][2] = np.inf
    model.set_weights(spoiled)
    with pytest.raises(HealthError, match="the weights after epoch 7 are not finite; continue from the last state"):
        health.check_finite(model, 0.5, 7, Recipe(), resumable=True)


def test_one_step_says_only_whether_the_loss_is_finite() -> None:
    assert len(check(network(1e-9), steps=1)) == 1
