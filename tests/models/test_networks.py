"""The networks, layer by layer, against the published tables; and what they refuse."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brats3d.errors import OptionError
from brats3d.models import (
    NETWORKS,
    build_model,
    check_size,
    load_model,
    network_options,
    read_card,
    stride,
    training_model,
)

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.network

VERSION_1 = Path(__file__).parents[1] / "version_1"
EDGE = 128
"""The tables are given for 128³ patches."""


@pytest.fixture(scope="module", autouse=True)
def _fresh_session() -> Iterator[None]:
    yield
    keras.utils.clear_session()


@functools.cache
def at_128(name: str) -> keras.Model:
    """Return a network with its defaults, built for the tables' patches; nothing is computed."""
    return build_model(name, input_shape=(EDGE, EDGE, EDGE, 4))


# --- the tables: totals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("isensee2017", {"base_filters": 8}, 2_069_569),
        ("isensee2017", {"base_filters": 12}, 4_653_261),
        ("isensee2017", {"base_filters": 24}, 18_599_985),
        ("isensee2017", {"base_filters": 32}, 33_060_841),
        ("isensee2017", {"regions": 4}, 8_269_676),
        ("isensee2017_paper", {"regions": 4}, 9_483_788),
        ("unet3d", {"normalisation": "batch"}, 16_327_651),
        ("unet3d", {"upsampling": "transposed"}, 19_071_715),
        ("unet3d", {"base_filters": 16}, 4_081_075),
    ],
)
def test_parameters_in_total(name: str, options: dict[str, Any], parameters: int) -> None:
    assert build_model(name, **options).count_params() == parameters


# --- the tables: levels ----------------------------------------------------------------------------------------------

PARAMETERS = {
    "isensee2017": {
        "enc0": 15_696, "enc1": 69_408, "enc2": 277_056, "enc3": 1_107_072, "enc4": 4_425_984,
        "dec3": 1_787_008, "dec2": 447_040, "dec1": 111_904, "dec0": 28_048, "seg2": 195, "seg1": 99, "seg0": 51,
    },
    "isensee2017_paper": {
        "enc0": 15_632, "enc1": 69_408, "enc2": 277_056, "enc3": 1_107_072, "enc4": 4_425_984,
        "dec3": 2_705_024, "dec2": 672_640, "dec1": 168_384, "dec0": 41_779 - 99, "seg2": 387, "seg1": 195, "seg0": 99,
    },
    "unet3d": {
        "enc0": 58_848, "enc1": 331_968, "enc2": 1_327_488, "enc3": 5_309_184,
        "dec2": 7_078_400, "dec1": 1_769_728, "dec0": 442_496, "logits": 195,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_each_level(name: str) -> None:
    found = dict.fromkeys(PARAMETERS[name], 0)
    for layer in at_128(name).layers:
        # The table counts the normalisation of the lowest level's output, the first step of what comes after, to enc4.
        level = "enc4" if layer.name == "dec3_below_norm" else layer.name.split("_")[0]
        if layer.count_params():
            found[level] += layer.count_params()
    assert found == PARAMETERS[name]
    totals = {"isensee2017": 8_269_561, "isensee2017_paper": 9_483_561, "unet3d": 16_318_307}
    assert at_128(name).count_params() == totals[name]


def test_parameters_of_the_papers_normalisation() -> None:
    layers = at_128("isensee2017_paper").layers
    assert sum(layer.count_params() for layer in layers if isinstance(layer, keras.layers.GroupNormalization)) == 5_056


# --- the tables: operations ------------------------------------------------------------------------------------------

Row = tuple[str, str, list[str]]
"""Layer, operation with its output shape, layers it takes."""


def _rows(start: str, edge: int, *steps: str) -> list[Row]:
    """Return a chain of steps ``name: operation maps``; with ``< a b`` a step takes other layers than the one before."""
    rows, before = [], start
    for step in steps:
        text, _, taken = step.partition(" < ")
        name, operation = text.split(": ")
        kind, maps = operation.rsplit(" ", 1)
        rows.append((name, f"{kind} {edge}^3 x {maps}", taken.split() or [before]))
        before = name
    return rows


def _isensee2017() -> list[Row]:
    """Table 1.2 of the specification."""
    rows: list[Row] = []
    below = "images"
    for i, f, edge, s in [(0, 16, 128, 1), (1, 32, 64, 2), (2, 64, 32, 2), (3, 128, 16, 2), (4, 256, 8, 2)]:
        n = f"enc{i}"
        rows += _rows(
            below, edge,
            f"{n}_in_conv: conv k3 s{s} {f}", f"{n}_in_norm: IN {f}", f"{n}_in_act: LR {f}",
            f"{n}_a_conv: conv k3 s1 {f}", f"{n}_a_norm: IN {f}", f"{n}_a_act: LR {f}", f"{n}_dropout: drop maps {f}",
            f"{n}_b_conv: conv k3 s1 {f}", f"{n}_b_norm: IN {f}", f"{n}_b_act: LR {f}",
            f"{n}_add: add {f} < {n}_in_act {n}_b_act",
        )  # fmt: skip
        below = f"{n}_add"
    for i, f, edge in [(3, 128, 16), (2, 64, 32), (1, 32, 64), (0, 16, 128)]:
        n = f"dec{i}"
        rows += _rows(
            below, edge,
            f"{n}_up: up {2 * f}", f"{n}_in_conv: conv k3 s1 {f}", f"{n}_in_norm: IN {f}", f"{n}_in_act: LR {f}",
            f"{n}_concat: concat {2 * f} < enc{i}_add {n}_in_act",
            f"{n}_a_conv: conv k3 s1 {f}", f"{n}_a_norm: IN {f}", f"{n}_a_act: LR {f}",
            f"{n}_b_conv: conv k1 s1 {f}", f"{n}_b_norm: IN {f}", f"{n}_b_act: LR {f}",
        )  # fmt: skip
        below = f"{n}_b_act"
    return rows + _segmentation("b_act")


def _isensee2017_paper() -> list[Row]:
    """Table 1.3 of the specification."""
    rows = _rows(
        "images", 128,
        "enc0_in_conv: conv k3 s1 16", "enc0_a_act: LR 16", "enc0_a_conv: conv k3 s1 16", "enc0_dropout: drop 16",
        "enc0_b_act: LR 16", "enc0_b_conv: conv k3 s1 16", "enc0_add: add 16 < enc0_in_conv enc0_b_conv",
        "enc0_skip_act: LR 16", "enc0_out_norm: IN 16 < enc0_add", "enc0_out_act: LR 16",
    )  # fmt: skip
    below = "enc0_out_act"
    for i, f, edge in [(1, 32, 64), (2, 64, 32), (3, 128, 16), (4, 256, 8)]:
        n = f"enc{i}"
        rows += _rows(
            below, edge,
            f"{n}_in_conv: conv k3 s2 {f}", f"{n}_a_norm: IN {f}", f"{n}_a_act: LR {f}", f"{n}_a_conv: conv k3 s1 {f}",
            f"{n}_dropout: drop {f}", f"{n}_b_norm: IN {f}", f"{n}_b_act: LR {f}", f"{n}_b_conv: conv k3 s1 {f}",
            f"{n}_add: add {f} < {n}_in_conv {n}_b_conv",
            *([f"{n}_out_norm: IN {f}", f"{n}_out_act: LR {f}"] if i < 4 else []),
        )  # fmt: skip
        below = f"{n}_out_act" if i < 4 else f"{n}_add"
    for i, f, edge in [(3, 128, 16), (2, 64, 32), (1, 32, 64), (0, 16, 128)]:
        n = f"dec{i}"
        rows += _rows(below, edge // 2, f"{n}_below_norm: IN {2 * f}", f"{n}_below_act: LR {2 * f}")
        extra = [f"{n}_extra_conv: conv k1 s1 {f}", f"{n}_extra_norm: IN {f}", f"{n}_extra_act: LR {f}"] if i == 3 else []
        skip = f"enc{i}_out_act" if i else "enc0_skip_act"
        rows += _rows(
            f"{n}_below_act", edge,
            f"{n}_up: up {2 * f}", f"{n}_in_conv: conv k3 s1 {f}", f"{n}_in_norm: IN {f}", f"{n}_in_act: LR {f}", *extra,
            f"{n}_concat: concat {2 * f} < {skip} {n}_{'extra' if extra else 'in'}_act",
            f"{n}_a_conv: conv k3 s1 {2 * f}", f"{n}_a_norm: IN {2 * f}", f"{n}_a_act: LR {2 * f}",
            *([f"{n}_b_conv: conv k1 s1 {f}"] if i else []),
        )  # fmt: skip
        below = f"{n}_b_conv"
    return rows + _segmentation("a_act")


def _segmentation(tap: str) -> list[Row]:
    return [
        *(row for i, edge in [(2, 32), (1, 64), (0, 128)] for row in _rows(f"dec{i}_{tap}", edge, f"seg{i}: conv k1 s1 3")),
        *_rows("seg2", 64, "seg1_up: up 3", "seg1_sum: add 3 < seg1_up seg1"),
        *_rows("seg1_sum", 128, "seg0_up: up 3", "logits: add 3 < seg0_up seg0", "probabilities: sigmoid 3"),
    ]


def _unet3d() -> list[Row]:
    """Table 2 of the specification."""
    rows: list[Row] = []
    below = "images"
    for i, f, edge in [(0, 32, 128), (1, 64, 64), (2, 128, 32), (3, 256, 16)]:
        n = f"enc{i}"
        rows += _rows(
            below, edge, *([f"{n}_pool: pool {f}"] if i else []),
            f"{n}_a_conv: conv k3 s1 {f}", f"{n}_a_act: R {f}", f"{n}_b_conv: conv k3 s1 {2 * f}", f"{n}_b_act: R {2 * f}",
        )  # fmt: skip
        below = f"{n}_b_act"
    for i, f, edge in [(2, 256, 32), (1, 128, 64), (0, 64, 128)]:
        n = f"dec{i}"
        rows += _rows(
            below, edge, f"{n}_up: up {2 * f}", f"{n}_concat: concat {3 * f} < {n}_up enc{i}_b_act",
            f"{n}_a_conv: conv k3 s1 {f}", f"{n}_a_act: R {f}", f"{n}_b_conv: conv k3 s1 {f}", f"{n}_b_act: R {f}",
        )  # fmt: skip
        below = f"{n}_b_act"
    return rows + _rows(below, 128, "logits: conv k1 s1 3", "probabilities: sigmoid 3")


KINDS = {
    "GroupNormalization": "IN", "LeakyReLU": "LR", "ReLU": "R", "SpatialDropout3D": "drop maps", "Dropout": "drop",
    "UpSampling3D": "up", "MaxPooling3D": "pool", "Concatenate": "concat", "Add": "add", "Activation": "sigmoid",
}  # fmt: skip


def _found(network: keras.Model) -> dict[str, Row]:
    """Return what a built network consists of, in the words of the tables."""
    rows = {}
    for layer in network.layers[1:]:
        kind = KINDS.get(type(layer).__name__, "")
        if isinstance(layer, keras.layers.Conv3D):
            kind = f"conv k{layer.kernel_size[0]} s{layer.strides[0]}"
            assert (layer.padding, layer.use_bias, layer.activation.__name__) == ("same", True, "linear")
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        edge, maps = layer.output.shape[1], layer.output.shape[-1]
        rows[layer.name] = (layer.name, f"{kind} {edge}^3 x {maps}", [t._keras_history.operation.name for t in inputs])
    return rows


@pytest.mark.parametrize(
    ("name", "table"), [("isensee2017", _isensee2017), ("isensee2017_paper", _isensee2017_paper), ("unet3d", _unet3d)]
)
def test_every_layer_is_the_tables(name: str, table: Any) -> None:
    network = at_128(name)
    expected = {row[0]: row for row in table()}
    assert _found(network) == expected
    assert [layer.name for layer in network.layers[-2:]] == ["logits", "probabilities"]


def test_settings_of_the_layers() -> None:
    network = at_128("isensee2017")
    by_kind: dict[str, list[Any]] = {}
    for layer in network.layers:
        by_kind.setdefault(type(layer).__name__, []).append(layer)
    assert {layer.negative_slope for layer in by_kind["LeakyReLU"]} == {0.01}
    for layer in by_kind["GroupNormalization"]:  # a group a map is instance normalisation
        maps = layer.output.shape[-1]
        assert (layer.groups, layer.epsilon, layer.scale, layer.center) == (maps, 1e-5, True, True)
    assert {layer.rate for layer in by_kind["SpatialDropout3D"]} == {0.3}
    assert {type(layer.kernel_initializer).__name__ for layer in by_kind["Conv3D"]} == {"HeNormal"}
    seeds = [layer.kernel_initializer.seed for layer in by_kind["Conv3D"]] + [
        layer.seed for layer in by_kind["SpatialDropout3D"]
    ]
    assert len(set(seeds)) == len(seeds)
    changed = build_model("isensee2017", base_filters=1, slope=0.3, epsilon=1e-3, dropout=0.1)
    assert changed.get_layer("enc0_in_act").negative_slope == 0.3
    assert changed.get_layer("enc0_in_norm").epsilon == 1e-3
    assert changed.get_layer("enc0_dropout").rate == 0.1


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("isensee2018", {}, "network is 'isensee2018' (did you mean 'isensee2017'?)"),
        (
            "isensee2017",
            {"base_filter": 8},
            "network isensee2017 has an unknown key 'base_filter' (did you mean 'base_filters'?)",
        ),
        ("isensee2017", {"base_filters": 0}, "base_filters is 0; expected a whole number of at least 1"),
        ("isensee2017", {"base_filters": 8.0}, "base_filters is 8.0; expected a whole number"),
        ("isensee2017", {"depth": True}, "depth is True; expected a whole number of at least 2"),
        ("isensee2017", {"depth": 3}, "segmentation_levels is 3; a network of depth 3 has 2 decoder levels"),
        ("isensee2017", {"dropout": 1.0}, "dropout is 1.0; expected a number from 0.0 to 0.99"),
        ("isensee2017", {"seed": 1.5}, "seed is 1.5; expected a whole number of at least 0"),
        ("isensee2017", {"input_shape": (None, None, None, True)}, "M of input_shape is True; expected a whole number"),
        ("isensee2017", {"kernel_size": (3, 3)}, "kernel_size is (3, 3); expected one whole number"),
        ("isensee2017", {"kernel_size": "333"}, "kernel_size is '333'; expected one whole number"),
        ("unet3d", {"strides": [2, 2, 0]}, "strides is [2, 2, 0]; expected one whole number"),
        ("unet3d", {"activation": "softmx"}, "activation is 'softmx' (did you mean 'softmax'?)"),
        ("unet3d", {"activation": "softmax", "regions": 1}, "regions is 1"),
        ("isensee2017", {"slope": "0.3"}, "slope is '0.3'; expected a number"),
        ("isensee2017", {"epsilon": 0}, "epsilon is 0; expected a number from 1e-12"),
        (
            "unet3d",
            {"upsampling": "linear"},
            "upsampling is 'linear' (did you mean 'nearest'?); expected one of: nearest, transposed",
        ),
        ("unet3d", {"normalisation": "bach"}, "normalisation is 'bach' (did you mean 'batch'?)"),
    ],
)
def test_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as refusal:
        build_model(name, **options)
    assert message in str(refusal.value)


def test_shapes_are_refused() -> None:
    with pytest.raises(OptionError, match=r"input_shape is \(32, 40, 32\); the network's stride is 16.*\(32, 48, 32\)"):
        build_model("isensee2017", input_shape=(32, 40, 32, 4))
    with pytest.raises(OptionError, match=r"input_shape is \(16, 16, 4\); expected \(X, Y, Z, M\)"):
        build_model("isensee2017", input_shape=(16, 16, 4))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"regions is 0; expected"):
        build_model("isensee2017", regions=0)
    with pytest.raises(OptionError, match=r"patch_size is \(0, 16, 16\); the network's stride is 16.*\(16, 16, 16\)"):
        check_size("patch_size", (0, 16, 16), 16)
    check_size("input_shape", (None, 48, 16), 16)
    with pytest.raises(OptionError, match=r"\(32, 24, 5\); the network's stride is 16 × 16 × 1.*\(32, 32, 5\)"):
        build_model("isensee2017", input_shape=(32, 24, 5, 4), strides=(2, 2, 1))


def test_strides_and_defaults() -> None:
    assert {name: stride(name) for name in NETWORKS} == {
        "isensee2017": (16,) * 3, "isensee2017_paper": (16,) * 3, "unet3d": (8,) * 3,
    }  # fmt: skip
    assert stride("unet3d", {"depth": 2}) == (2, 2, 2)
    assert stride("isensee2017", {"strides": [2, 3, 1]}) == (16, 81, 1)
    for name in NETWORKS:
        chosen = network_options(name, {"kernel_size": 5, "strides": [2, 2, 1]})  # one number; a list as in TOML
        assert (chosen.kernel_size, chosen.strides) == ((5, 5, 5), (2, 2, 1))
    assert network_options("isensee2017", {"depth": 4}).depth == 4
    assert network_options("isensee2017").base_filters == 16


def test_a_network_of_version_1_is_the_one_built_today() -> None:
    """Layer names, seeds, weights: a file made before kernels and strides had axes."""
    old = load_model(VERSION_1 / "whole.keras")
    assert read_card(VERSION_1 / "run" / "best.keras").network_options == old.card.network_options
    new = build_model(old.card.network, **old.card.network_options)
    assert json.dumps(new.get_config()["layers"]) == json.dumps(old.network.get_config()["layers"])
    assert [w.shape for w in new.get_weights()] == [w.shape for w in old.network.get_weights()]
    assert old.card.stride == stride(old.card.network, old.card.network_options) == (2, 2, 2)
    assert old.card.spacing_mm == (10.0, 10.0, 10.0)


def test_a_network_without_logits_is_refused() -> None:
    images = keras.Input((None, None, None, 4))
    with pytest.raises(OptionError, match="expected a layer named 'logits'"):
        training_model(keras.Model(images, keras.layers.Conv3D(3, 1, name="out")(images)))
