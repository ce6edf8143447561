"""Recipes: what is shipped, what is written back, and what is refused with which sentence."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats3d.console.values import key_values
from brats3d.errors import OptionError
from brats3d.patches import Augmentation, BatchSettings
from brats3d.train import Recipe, change_recipe, read_recipe, shipped_recipes
from brats3d.train.recipe import Prediction, Schedule, Training
from brats3d.train.recipe_files import parse_recipe, with_training

ODD = """
regions = ["ET", "WT"]
[network]
name = "isensee2017_paper"
options = { base_filters = 3, depth = 3, segmentation_levels = 2, dropout = 0.25, kernel_size = [3, 5, 1], strides = 2 }
[data]
patch_size = [8, 12, 20]
spacing_mm = [1, 2, 5.5]
foreground = 0
[augmentation]
flip_axes = []
[loss.options]
smooth = 0.5
weights = [1.0, 3.0]
[optimiser]
name = "adamw"
weight_decay = 1e-4
[training]
precision = "mixed_bfloat16"
[prediction]
flips = [2, 0]
thresholds = [0.25, 0.75]
"""


def test_the_recipes_of_the_issue_are_shipped() -> None:
    assert {"cpu_small", "isensee2017"} <= set(shipped_recipes())


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_comes_back_from_what_it_writes(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    assert read_recipe(str(path)) == recipe
    assert recipe != Recipe()


def test_isensee2017_trains_as_the_issue_says() -> None:
    recipe = read_recipe("isensee2017")
    assert (recipe.network.name, recipe.data.patch_size, recipe.data.batch_size) == ("isensee2017", (128, 128, 128), 2)
    assert (recipe.optimiser.name, recipe.optimiser.learning_rate) == ("adam", 5e-4)
    assert (recipe.schedule.name, recipe.schedule.decay) == ("exponential", 0.985)
    assert recipe.regions == ("WT", "TC", "ET")


def test_cpu_small_has_the_steps_and_the_smooth_term_of_the_issue() -> None:
    recipe = read_recipe("cpu_small")
    assert 2300 <= recipe.training.epochs * recipe.data.batches <= 3100
    assert recipe.loss.options["smooth"] == 1


def test_an_odd_recipe_comes_back_and_keeps_every_key() -> None:
    recipe = parse_recipe(ODD, "here")
    assert parse_recipe(recipe.to_toml(), "again") == recipe
    assert (recipe.data.spacing_mm, recipe.data.patch_size, recipe.prediction.flips) == ((1, 2, 5.5), (8, 12, 20), (2, 0))
    assert {type(mm) for mm in recipe.data.spacing_mm} == {float}
    tables = tomllib.loads(recipe.to_toml())
    assert tables.keys() == asdict(recipe).keys() == {f.name for f in fields(Recipe)}
    for section, keys in asdict(recipe).items():
        if isinstance(keys, dict):
            assert tables[section].keys() == keys.keys(), section
    assert tables["training"].keys() == {f.name for f in fields(Training)}
    assert tables["data"].keys() == {f.name for f in fields(BatchSettings)}


def test_a_resolved_recipe_names_every_option_and_stays_what_it_is(tmp_path: Path) -> None:
    recipe = parse_recipe(ODD, "here").resolved()
    tables = tomllib.loads(recipe.to_toml())
    assert tables["network"]["options"] == {
        "base_filters": 3, "depth": 3, "segmentation_levels": 2, "dropout": 0.25, "slope": 0.01, "epsilon": 1e-5,
        "kernel_size": [3, 5, 1], "strides": [2, 2, 2],
    }  # fmt: skip
    assert tables["loss"]["options"] == {"smooth": 0.5, "dice": 1.0, "bce": 1.0, "weights": [1.0, 3.0]}
    assert tables["training"]["fold"] == 0
    assert parse_recipe(recipe.to_toml(), "again").resolved() == recipe.resolved() == recipe
    assert recipe.data == parse_recipe(ODD, "here").data


def test_one_number_stands_for_three_axes() -> None:
    one, three = (parse_recipe(f"[data]\nspacing_mm = {text}", "here").data for text in ("2", "[2, 2.0, 2]"))
    assert one == three == BatchSettings(spacing_mm=2)
    assert parse_recipe("", "here").data.spacing_mm == (1, 1, 1)
    thick = {"data.spacing_mm": (1, 1, 5), "network.options.strides": (2, 2, 1), "data.patch_size": (16, 16, 1)}
    changed = change_recipe(Recipe(), thick)
    text = ["data.spacing_mm=1,1,5", "network.options.strides=2,2,1", "data.patch_size=16,16,1"]
    assert change_recipe(Recipe(), key_values("settings", text)) == changed
    assert (changed.data.spacing_mm, changed.network.options) == ((1, 1, 5), {"strides": (2, 2, 1)})
    assert change_recipe(changed, {"data.spacing_mm": 3.5}).data.spacing_mm == (3.5, 3.5, 3.5)
    for wrong in ("[1, 1]", "[1, 1, 0]", '["1", 1, 1]', "true"):
        with pytest.raises(OptionError, match="spacing_mm"):
            parse_recipe(f"[data]\nspacing_mm = {wrong}", "here")


@pytest.mark.parametrize("name", shipped_recipes())
def test_the_head_of_a_recipe_tells_what_to_expect(name: str) -> None:
    text = files("brats3d.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    head = [line for line in text.split("\n[")[0].splitlines() if line.startswith("#")]
    for word in ("What", "Hardware", "Time", "Score", "Command"):
        assert any(line.startswith(f"# {word}: ") for line in head), f"the head of {name}.toml says nothing under {word}:"


def test_a_label_set_goes_into_the_recipe_by_content(tmp_path: Path) -> None:
    """By name, from a file, as a table: the same recipe, whose TOML needs no file and no table of this version."""
    text = 'output = "labels"\nregions = ["ALL"]\nlabel_set = "{}"\n[loss]\nname = "dice_ce"\n'
    own = tmp_path / "own.toml"
    regions, paint = "{ALL = [1, 5], MID = [5]}", '[["ALL", 1], ["MID", 5]]'
    own.write_text(f'name = "own"\ntissues = {{1 = "rim", 5 = "middle"}}\nregions = {regions}\npaint = {paint}\n')
    recipe = parse_recipe(text.format(own), "here").resolved()
    assert recipe.coding is not None
    assert (recipe.coding.values, recipe.coding.painted, recipe.prediction.thresholds) == ((0, 1, 5), ("ALL", "MID"), (0.5,))
    own.unlink()
    again = parse_recipe(recipe.to_toml(), "again").resolved()
    assert again == recipe
    assert tomllib.loads(recipe.to_toml())["label_set"]["tissues"] == {"1": "rim", "5": "middle"}
    assert change_recipe(recipe, {"label_set": None, "regions": "WT"}).label_set is None
    named = Recipe(regions=("RC",), label_set="L24")
    assert parse_recipe(named.to_toml(), "named") == named == change_recipe(Recipe(), {"regions": "RC", "label_set": "L24"})


def test_an_empty_recipe_is_the_default() -> None:
    assert parse_recipe("", "here") == Recipe()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[networks]", "recipe here has an unknown key 'networks' (did you mean 'network'?)"),
        ("[data]\npatchsize = [16, 16, 16]", "recipe here [data] has an unknown key 'patchsize' (did you mean 'patch_size'?)"),
        ("[loss.options]\nsmoth = 1", "loss dice_bce has an unknown key 'smoth' (did you mean 'smooth'?)"),
        ("[network.options]\nbase_filter = 1", "unknown key 'base_filter' (did you mean 'base_filters'?)"),
        ("[network]\nname = 'isense2017'", "network is 'isense2017' (did you mean 'isensee2017'?)"),
        ("[optimiser]\nname = 'adm'", "optimiser.name is 'adm' (did you mean 'adam'?)"),
        ("[data]\nnormalisation = 'zscor'", "normalisation is 'zscor'"),
        ("regions = ['WT', 'CT']\nlabel_set = 'L17'", "regions is ['WT', 'CT']: L17 does not define CT"),
        ("regions = ['WT', 'TC', 'WT']", "regions is ['WT', 'TC', 'WT']; expected different names"),
        ("regions = []", "regions is []; expected different names"),
        ("regions = ['NETC']\nlabel_set = 'L17'", "L17 has no value to paint NETC with"),
        ("output = 'label'", "output is 'label' (did you mean 'labels'?)"),
        ("output = 'labels'", "loss.name is 'dice_bce', a loss for output = 'regions'"),
        ("loss.name = 'dice_ce'", "expected one of dice, bce, dice_bce"),
        ("output = 'labels'\nloss.name = 'ce'\nprediction.thresholds = [0.4]", "prediction.thresholds is [0.4]"),
        ("output = 'labels'\nlabel_set = 'L17'\nloss = {name = 'ce', options = {weights = [1]}}", "per channel: 0, 1, 2, 4"),
        ("label_set = 'L18'", "label set is 'L18' (did you mean 'L1"),
        ("label_set = {name = 'mine'}", "the label set has no tissues"),
        ("[data]\nmay_be_absent = ['t2', 't2']", "may_be_absent is ('t2', 't2'); expected different names"),
        ("regions = 'WT'", "regions = 'WT'; expected a list such as ['WT', 'TC', 'ET']"),
        ("regions = ['WT']\nprediction.thresholds = [0.5, 0.5]", "prediction.thresholds is [0.5, 0.5]; expected one for all"),
        ("prediction.thresholds = []", "prediction.thresholds is (); expected one for all regions, or one per region"),
        ("[loss.options]\nweights = [1, 2]", "loss.options.weights is [1, 2]; expected one per channel: WT, TC, ET"),
        ("[training]\nfold = 5", "training.fold is 5; expected a whole number from 0 to 4"),
        ("data = 3", "recipe here [data] is 3; expected a table of keys such as patch_size"),
        ("[network]\noptions = [1]", "recipe here [network] has options = [1]; expected a value such as {}"),
        ("[network]\nname = 3", "recipe here [network] has name = 3; expected a value such as 'isensee2017'"),
        ("[training]\nepochs = 3.5", "recipe here [training] has epochs = 3.5; expected a value such as 300"),
        ("[training]\nepochs = true", "has epochs = True; expected a value such as 300"),
        ("[optimiser]\nlearning_rate = '1e-3'", "has learning_rate = '1e-3'; expected a value such as 0.0005"),
        ("[data]\npatch_size = [32, 32]", "has patch_size = [32, 32]; expected a value such as (128, 128, 128)"),
        ("[data]\npatch_size = [32, 'x', 32]", "has patch_size = [32, 'x', 32]"),
        ("[data]\npatch_size = [32.0, 32, 32]", "has patch_size = [32.0, 32, 32]"),
        ("[data]\npatch_size = 32", "has patch_size = 32; expected a value such as (128, 128, 128)"),
        ("[augmentation]\nflip_axes = ['x']", "recipe here [augmentation] has flip_axes = ['x']"),
        ("[optimiser]\nlearning_rate = nan", "optimiser.learning_rate is nan; expected a number from 1e-09 to 10"),
        ("[training]\nepochs = 0", "training.epochs is 0; expected a whole number from 1 to 1000000"),
        ("[data]\nforeground = 1.5", "foreground is 1.5; expected a number from 0 to 1"),
        ("[data]\nreaders = -1", "readers is -1; expected a whole number from 0"),
        ("[schedule]\nname = 'linear'", "schedule.name is 'linear'"),
        ("[prediction]\nflips = [3]", "prediction.flips is (3,); expected whole numbers from 0 to 2"),
        ("[prediction]\nflips = [0, 0]", "prediction.flips is [0, 0]; expected different axes out of 0, 1, 2"),
        ("[prediction]\nthresholds = [0.5, 0.5, 2]", "a number in prediction.thresholds is 2; expected"),
        ("[prediction]\nthresholds = [1.0, 0.5, 0.5]", "prediction.thresholds has 1; "),
        ("x = = 3", "recipe here is not TOML (Invalid value"),
    ],
)  # fmt: skip
def test_what_no_run_could_use_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(OptionError) as refusal:
        parse_recipe(text, "here")
    assert sentence in str(refusal.value)


def test_a_patch_that_the_stride_does_not_divide_is_refused_with_both() -> None:
    with pytest.raises(
        OptionError, match=r"data.patch_size is \(128, 120, 128\); the network's stride is 16, .*\(128, 128, 128\)"
    ):
        parse_recipe("[data]\npatch_size = [128, 120, 128]", "here")
    assert parse_recipe("[data]\npatch_size = [128, 120, 128]\n[network.options]\ndepth = 4", "here").data.patch_size[1] == 120


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(OptionError, match=r"recipe is 'cpu_smal' \(did you mean 'cpu_small'\?\).*isensee2017"):
        read_recipe("cpu_smal")
    with pytest.raises(OptionError, match=r"mine.toml: no such recipe file; .*cpu_small"):
        read_recipe("mine.toml")


def test_a_file_of_bytes_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00[data]")
    with pytest.raises(OptionError, match="mine.toml is not TOML"):
        read_recipe(str(tmp_path / "mine.toml"))


def value(recipe: Recipe, address: str) -> Any:
    found: Any = recipe
    for name in address.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    return found


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("training.epochs=3", 3),
        ("optimiser.learning_rate=1", 1.0),
        ("optimiser.name=sgd", "sgd"),
        ("optimiser.name='adamw'", "adamw"),
        ("data.patch_size=[16, 32, 48]", (16, 32, 48)),
        ("network.options.base_filters=4", 4),
        ("network.options={base_filters=4, depth=4}", {"base_filters": 4, "depth": 4}),
        ("loss.options.smooth = 2.5", 2.5),
        ("prediction.flips=[]", ()),
        ("prediction.flips=1", (1,)),
        ("prediction.flips=2,0", (2, 0)),
        ("prediction.thresholds=0.25", (0.25,)),
        ("data.patch_size=16,32,48", (16, 32, 48)),
        ("loss.options.weights=1,2,3", [1, 2, 3]),
        ("regions=WT", ("WT",)),
        ("regions=ET, WT", ("ET", "WT")),
        ('regions=["TC", "WT"]', ("TC", "WT")),
        ("regions=[TC]", ("TC",)),
        ("augmentation={shift=0.125}", Augmentation(shift=0.125)),
    ],
)
def test_settings_change_one_key_and_no_other(setting: str, expected: Any) -> None:
    """As the command takes them, and as Python does."""
    before = read_recipe("cpu_small")
    after = change_recipe(before, key_values("settings", [setting]))
    address = setting.split("=")[0].strip()
    assert value(after, address) == expected
    assert type(value(after, address)) is type(expected)
    assert change_recipe(before, {address: asdict(expected) if isinstance(expected, Augmentation) else expected}) == after
    old, new = tomllib.loads(before.to_toml()), tomllib.loads(after.to_toml())
    section, _, key = address.partition(".")
    key = key.split(".")[0]
    for tables in (old, new):
        tables[section] = {k: v for k, v in tables[section].items() if key and k != key} if key else None
    assert old == new
    assert after != before


def test_settings_may_be_of_numpy() -> None:
    settings = {"training.epochs": np.int64(7), "data.patch_size": np.array([16, 32, 48]), "optimiser.ema": np.float32(0.5)}
    changed = change_recipe(read_recipe("cpu_small"), settings)
    assert (changed.training.epochs, changed.data.patch_size, changed.optimiser.ema) == (7, (16, 32, 48), 0.5)
    assert parse_recipe(changed.to_toml(), "again") == changed


def test_thresholds_follow_the_regions_unless_they_differ() -> None:
    recipe = read_recipe("cpu_small")
    for base in (recipe, recipe.resolved()):
        changed = change_recipe(base, {"regions": ["WT", "TC"]})
        assert changed.resolved().prediction.thresholds == (0.5, 0.5)
        lower = change_recipe(base, {"prediction.thresholds": 0.25, "regions": "WT"})
        assert lower.resolved().prediction.thresholds == (0.25,)
    assert recipe.resolved().prediction.thresholds == (0.5, 0.5, 0.5)
    assert replace(recipe, regions=("WT",)).resolved().prediction.thresholds == (0.5,)
    several = change_recipe(recipe, {"prediction.thresholds": (0.25, 0.5, 0.75)})
    assert several.resolved().prediction.thresholds == (0.25, 0.5, 0.75)
    with pytest.raises(OptionError, match=r"prediction.thresholds is \[0.25, 0.5, 0.75\]; .* one per region: WT"):
        change_recipe(several, {"regions": ["WT"]})
    with pytest.raises(OptionError, match=r"loss.options.weights is \[1, 2, 3\]; .* one per channel: WT"):
        change_recipe(recipe, {"loss.options.weights": [1, 2, 3], "regions": "WT"})


def test_settings_are_a_mapping() -> None:
    for wrong in (["training.epochs=3"], "training.epochs=3", None, 5):
        with pytest.raises(OptionError, match=r"settings is .*; expected a mapping") as refusal:
            change_recipe(read_recipe("cpu_small"), wrong)
        assert repr(wrong) in str(refusal.value)


def test_a_setting_of_several_lines_is_no_two_settings() -> None:
    with pytest.raises(OptionError, match="epochs = '3.*seed=4'"):
        change_recipe(read_recipe("cpu_small"), key_values("settings", ["training.epochs=3\nseed=4"]))


def test_no_settings_change_nothing() -> None:
    assert change_recipe(read_recipe("cpu_small"), {}) == read_recipe("cpu_small")


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("epochs", 3, "setting 'epochs' does not say the section of 'epochs'; expected training.epochs"),
        ("name", "sgd", "expected network.name or loss.name or optimiser.name or schedule.name"),
        ("", 3, "setting '' is not of the form key or section.key"),
        ("training.", 3, "setting 'training.' is not of the form"),
        (("training", "epochs"), 3, "setting ('training', 'epochs') is not of the form"),
        ("region", "WT", "the section of 'region' is 'region' (did you mean 'regions'?)"),
        ("label_set", "L99", "label set is 'L99'"),
        ("regions", ["WT", "WT"], "regions is ['WT', 'WT']"),
        ("regions", [], "regions is []"),
        ("regions", 3, "regions = [3]"),
        ("regions.WT", 3, "goes into regions, which is ['WT', 'TC', 'ET']; expected a table"),
        ("data", 3, "[data] is 3; expected a table of keys"),
        ("trainin.epochs", 3, "the section of 'trainin.epochs' is 'trainin' (did you mean 'training'?)"),
        ("training.epoch", 3, "unknown key 'epoch' (did you mean 'epochs'?)"),
        ("training.epochs", "abc", "has epochs = 'abc'; expected a value such as 300"),
        ("training.epochs", None, "has epochs = None; expected a value such as 300"),
        ("training.epochs", -1, "training.epochs is -1; expected a whole number from 1"),
        ("training.epochs.more", 5, "setting 'training.epochs.more' goes into epochs, which is 28; expected a table"),
        ("data.patch_size.x", 3, "goes into patch_size, which is [48, 64, 48]; expected a table"),
        ("data.patch_size", [48, 64, 40], "data.patch_size is (48, 64, 40); the network's stride is 16"),
        ("network.options.filters", 4, "network isensee2017 has an unknown key 'filters'"),
    ],
)
def test_settings_that_cannot_be_used(setting: Any, value: Any, sentence: str) -> None:
    recipe = change_recipe(read_recipe("cpu_small"), {"training.epochs": 28, "data.patch_size": (48, 64, 48)})
    with pytest.raises(OptionError) as refusal:
        change_recipe(recipe, {setting: value})
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (BatchSettings, {"batch_size": 1.5}),
        (BatchSettings, {"batches": "100"}),
        (BatchSettings, {"readers": float("nan")}),
        (BatchSettings, {"spacing_mm": float("nan")}),
        (BatchSettings, {"patch_size": 64}),
        (BatchSettings, {"patch_size": (64, 64, 48.0)}),
        (Training, {"epochs": True}),
        (Training, {"seed": 0.5}),
        (Schedule, {"patience": 2.5}),
        (Prediction, {"flips": 1}),
        (Prediction, {"thresholds": ("0.5",)}),
        (Prediction, {"thresholds": (True,)}),
        (Prediction, {"thresholds": 0.5}),
        (Recipe, {"regions": "WT"}),
        (Recipe, {"data": {"batch_size": 1}}),
    ],
)
def test_parts_made_in_python_are_checked_too(part: type, values: dict[str, Any]) -> None:
    ((name, value),) = values.items()
    with pytest.raises(OptionError) as refusal:
        part(**values)
    assert name in str(refusal.value)
    assert repr(value[0] if name == "thresholds" and isinstance(value, tuple) else value) in str(refusal.value)


def test_seed_and_precision_replace_the_recipes_own_where_they_are_given() -> None:
    recipe = read_recipe("cpu_small")
    assert with_training(recipe, seed=None, precision=None) == recipe
    assert with_training(recipe, seed=5, precision=None).training == Training(**{**asdict(recipe.training), "seed": 5})
    with pytest.raises(OptionError, match="training.seed is -1"):
        with_training(recipe, seed=-1)
