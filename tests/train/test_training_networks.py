"""The network that learns and the one that is saved: the same weights, each in its own shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from brats3d.patches import RegionTarget
from brats3d.regions import LABEL_SETS
from brats3d.train import Recipe, change_recipe

keras = pytest.importorskip("keras")
networks = pytest.importorskip("brats3d.train.learning_network")
devices = pytest.importorskip("brats3d.train.devices")
pytestmark = pytest.mark.network

ONE = devices.Devices(("cpu:0",))
TARGET = RegionTarget(("WT", "TC", "ET"), LABEL_SETS["L17"])
TINY = {
    "network.options": {"base_filters": 2, "depth": 2, "segmentation_levels": 1},
    "data.patch_size": (8, 8, 8),
    "data.batch_size": 1,
}


def recipe(settings: dict[str, Any] | None = None) -> Recipe:
    return change_recipe(Recipe(), {**TINY, **(settings or {})})


@pytest.fixture(autouse=True, scope="module")
def _clean_keras() -> Iterator[None]:
    yield
    keras.utils.clear_session()


def fused(network: keras.Model) -> bool:
    return any(type(layer).__name__ == "FusedInstanceNormalization" for layer in network.layers)


@pytest.mark.parametrize(
    ("settings", "on", "expected"),
    [
        ({}, ONE, True),
        ({"data.batch_size": 2}, ONE, False),
        ({"data.batch_size": 2}, devices.Devices(("cpu:0", "cpu:1")), True),
        ({}, devices.Devices(("gpu:0",)), False),
        ({"training.precision": "mixed_bfloat16"}, ONE, False),
    ],
)
def test_norms_are_fused_where_each_cpu_sees_one_sample(settings: dict[str, Any], on: devices.Devices, expected: bool) -> None:
    learning = networks.learning_network(recipe(settings), 4, TARGET, on)
    assert fused(learning) == expected
    assert learning.layers[-1].name == "logits"
    assert not learning.jit_compile


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_both_networks_begin_with_the_same_weights(precision: str) -> None:
    chosen = recipe({"training.precision": precision, "training.seed": 3})
    learning, stock = networks.learning_network(chosen, 4, TARGET, ONE), networks.stock_network(chosen, 4, TARGET)
    assert keras.config.dtype_policy().name == "float32"
    assert learning.get_layer("enc0_a_conv").dtype_policy.name == precision
    assert {layer.dtype_policy.name for layer in stock.layers} == {"float32"}
    assert [w.path for w in learning.weights] == [w.path for w in stock.weights]
    assert all(np.array_equal(a, b) for a, b in zip(learning.get_weights(), stock.get_weights(), strict=True))


def test_the_recipes_seed_decides_the_weights() -> None:
    first, other = (networks.stock_network(recipe({"training.seed": seed}), 4, TARGET).get_weights() for seed in (0, 3))
    assert all(not np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim == 5)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_averages_are_what_is_validated_and_saved(precision: str, ema: float) -> None:
    chosen = recipe({"training.precision": precision, "optimiser.ema": ema})
    learning, stock = networks.learning_network(chosen, 4, TARGET, ONE), networks.stock_network(chosen, 4, TARGET)
    optimiser = getattr(learning.optimizer, "inner_optimizer", learning.optimizer)
    assert (type(optimiser) is type(learning.optimizer)) == (precision == "float32")
    learning.set_weights([w + 1 for w in learning.get_weights()])
    expected = learning.get_weights()
    if ema:
        assert optimiser.ema_momentum == ema
        for average, weight in zip(optimiser._model_variables_moving_average, learning.trainable_variables, strict=True):
            average.assign(weight + 1)
        expected = [w + 1 for w in expected]
    networks.copy_weights(learning, stock)
    assert all(np.array_equal(a, b) for a, b in zip(stock.get_weights(), expected, strict=True))


def rates(settings: dict[str, Any], steps: list[int]) -> list[float]:
    optimiser = networks._optimiser(recipe({"optimiser.learning_rate": 0.01, "data.batches": 10, **settings}))
    found = []
    for step in steps:
        optimiser.iterations.assign(step)
        found.append(float(optimiser.learning_rate))
    return found


def test_the_rate_follows_the_schedule() -> None:
    assert rates({"schedule.name": "constant"}, [0, 500]) == pytest.approx([0.01, 0.01])
    assert rates({"schedule.name": "plateau"}, [0, 500]) == pytest.approx([0.01, 0.01])
    falling = rates({"schedule.name": "exponential", "schedule.decay": 0.9}, [0, 9, 10, 35])
    assert falling == pytest.approx([0.01, 0.01, 0.009, 0.01 * 0.9**3])
    poly = rates({"schedule.name": "poly", "schedule.power": 0.9, "training.epochs": 4}, [0, 10, 39, 40])
    assert poly == pytest.approx([0.01, 0.01 * 0.75**0.9, 0.01 * (1 / 40) ** 0.9, 0])


@pytest.mark.parametrize("decay", [None, 0.0, 0.5])
@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_the_optimiser_is_the_one_of_the_recipe(name: str, kind: str, decay: float | None) -> None:
    given = {} if decay is None else {"optimiser.weight_decay": decay}
    optimiser = networks._optimiser(recipe({"optimiser.name": name, **given}))
    config = optimiser.get_config()
    assert type(optimiser).__name__ == kind
    assert (config["weight_decay"] or 0.0, config["use_ema"]) == (decay or 0.0, False)
    weight = keras.Variable([2.0])
    optimiser.build([weight])
    optimiser.apply([keras.ops.zeros(1)])
    # Decoupled decay moves a weight whose gradient is 0, and nothing else does.
    assert float(weight[0]) == pytest.approx(2 - 2 * (decay or 0.0) * 5e-4, rel=1e-6)
    if name == "sgd":
        assert (config["momentum"], config["nesterov"]) == (0.99, True)
