"""`PatchDataset` as its users meet it: what a batch is, which patches an epoch has, and a plain ``model.fit``."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from rows import not_refused

from brats3d.data import EpochSetter, PatchDataset, check_batch
from brats3d.errors import LabelError, NoCasesError, OptionError, StoreError
from brats3d.patches import CaseReader
from brats3d.store import PreparedCase, open_store, summarise, write_case

Batch = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def store(make_prepared: Callable[..., PreparedCase], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five labelled cases and one without a label."""
    folder = tmp_path_factory.mktemp("store")
    for number in range(5):
        write_case(folder, make_prepared(f"c{number}"))
    write_case(folder, make_prepared("bare", labelled=False))
    return folder


CASES = ["c0", "c1", "c2", "c3", "c4"]


def dataset(store: Path, cases: list[str] | None = CASES, **options: object) -> PatchDataset:
    return PatchDataset(store, cases, **{"patch_size": (9, 8, 6), "batch_size": 2, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("readers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("spacing_mm", "kind"), [(None, np.uint8), (2.0, np.float32)])
def test_batches_are_full_and_have_the_channels_last(store: Path, spacing_mm: float | None, kind: type, readers: int) -> None:
    data = dataset(store, spacing_mm=spacing_mm, readers=readers, regions=("ET", "WT"), seed=7)
    assert data.num_batches == 2, "five cases make two full batches of two"
    reader = CaseReader(data.plan)
    for number, (images, targets) in enumerate(data):
        assert (images.shape, images.dtype) == ((2, 9, 8, 6, 4), np.float32)
        assert (targets.shape, targets.dtype) == ((2, 9, 8, 6, 2), kind)
        for row in range(2):
            sample = reader.sample(0, 2 * number + row)
            np.testing.assert_array_equal(images[row], np.moveaxis(sample.images, 0, -1))
            np.testing.assert_array_equal(targets[row], np.moveaxis(sample.targets, 0, -1))
    data.close()


def test_cases_of_other_modalities_are_refused(make_prepared: Callable[..., PreparedCase], tmp_path: Path) -> None:
    """As many channels that mean something else would train without complaint."""
    for name, left_out in (("a", "t2"), ("b", "t1ce")):
        whole = make_prepared(name)
        kept = tuple(m for m in whole.modalities if m != left_out)
        rows = [whole.modalities.index(m) for m in kept]
        header = dataclasses.replace(whole.header, modalities=kept)
        write_case(tmp_path, summarise(header, whole.images[rows], whole.label, whole.grid, whole.source))
    dataset(tmp_path, ["a"]).close()
    with pytest.raises(OptionError, match=r"case b of .* t1, t2, flair, case a .* t1, t1ce, flair"):
        dataset(tmp_path, ["a", "b"])


def test_modalities_that_may_be_absent_are_zeros_where_they_are(
    make_prepared: Callable[..., PreparedCase], tmp_path: Path
) -> None:
    """The channels are those of all cases together; which of them are there goes with the batch."""
    for name, kept in (("a", ("t1", "flair")), ("b", ("t1", "t1ce", "flair"))):
        whole = make_prepared(name)
        header = dataclasses.replace(whole.header, modalities=kept)
        rows = [whole.modalities.index(m) for m in kept]
        write_case(tmp_path, summarise(header, whole.images[rows], whole.label, whole.grid, whole.source))
    for spacing_mm in (None, 2.0):
        settings = {"spacing_mm": spacing_mm, "augmentation": None, "batches": 3, "foreground": 1.0}
        data = dataset(tmp_path, ["a", "b"], may_be_absent=("t1ce",), **settings)
        assert data.plan.modalities == ("t1", "t1ce", "flair")
        for number in range(3):
            batch = data.batch(number)
            assert sorted(batch.available.tolist()) == [[True, False, True], [True, True, True]]
            for images, available in zip(batch.images, batch.available, strict=True):
                np.testing.assert_array_equal(images.any(axis=(0, 1, 2)), available)
        data.close()
    with pytest.raises(OptionError, match=r"may_be_absent names t2, which no case .* t1, flair, t1ce"):
        dataset(tmp_path, ["a", "b"], may_be_absent=("t2",))
    with pytest.raises(OptionError, match="case b .* holds t1, t1ce, flair, case a holds t1, flair; .*all but flair"):
        dataset(tmp_path, ["a", "b"], may_be_absent=("flair",))


def test_how_many_batches_an_epoch_has(store: Path) -> None:
    for options, batches in (
        ({}, 2),
        ({"batch_size": 4}, 1),
        ({"batch_size": 16}, 1),
        ({"batches": 9}, 9),
        ({"batch_size": 1}, 5),
    ):
        data = dataset(store, **options)
        assert data.num_batches == batches == len(list(data)), options
        assert {images.shape[0] for images, _ in data} == {options.get("batch_size", 2)}
        data.close()


def test_an_item_may_be_asked_for_any_number_of_times(store: Path) -> None:
    data = dataset(store, batches=6)
    first = {n: data[n] for n in (0, 1, 0, 5, 3)}
    data.set_epoch(1)
    other = data[3]
    data.set_epoch(0)
    for n in (3, 5, 1, 0):
        np.testing.assert_array_equal(data[n][0], first[n][0])
    assert not np.array_equal(other[0], first[3][0])
    assert data.waited > 0
    data.close()


def test_augmentation_is_on_unless_it_is_none(store: Path) -> None:
    plain, augmented = dataset(store, augmentation=None), dataset(store)
    assert plain.plan.augmentation is None
    assert augmented.plan.augmentation is not None
    assert not np.array_equal(plain[0][0], augmented[0][0])
    plain.close()
    augmented.close()


CANNOT_BE_READ: list[tuple[dict, type[Exception], str]] = [
    ({"batch_size": 3, "replicas": 2}, OptionError, "batch of 3 .* 2 replicas.* 2 or 4"),
    ({"batch_size": 1, "replicas": 4}, OptionError, "batch of 1 .* 4 replicas.* batch_size of 4"),
    ({"batch_size": 0}, OptionError, "batch_size is 0.* 1 to 1024"),
    ({"cases": None}, LabelError, "case bare of .* no label"),
    ({"cases": ["c1", "c9"]}, OptionError, "1 of the 2 .*cases .* 6 of the store .*: c9"),
    ({"cases": []}, NoCasesError, "cases is empty"),
    ({"patch_size": (9, 8)}, OptionError, r"patch_size is \(9, 8\).* 3 whole numbers"),
    ({"patch_size": (9, 0, 8)}, OptionError, r"patch_size is \(9, 0, 8\)"),
    ({"foreground": 1.5}, OptionError, "foreground is 1.5.* 0 to 1"),
    ({"batches": 0}, OptionError, "batches is 0.* 1 to"),
    ({"readers": -1}, OptionError, "readers is -1"),
    ({"regions": ("WT", "RC")}, OptionError, "case c0 .* L17.* RC"),
]
OF_ANOTHER_TYPE: list[tuple[str, object]] = [
    *(("batch_size", value) for value in (1.5, True, "2", float("nan"), None, -2, 5000)),
    *((name, value) for name in ("batches", "replicas", "readers") for value in (2.0, True, "2", float("nan"))),
    *(("patch_size", value) for value in ((9, 8, 6.5), (9, 8, True), 9, "986", None)),
    *(("seed", value) for value in (1.5, -1, None)),
    *((name, value) for name in ("spacing_mm", "foreground", "memory_mb") for value in ("1", True, float("nan"), -1)),
    *(("regions", value) for value in ("WT", (), ("WT", "WT"), None, (1,))),
    ("normalisation", "clamped_zscor"),
    ("augmentation", {"shift": 0.1}),
    ("cases", "c1"),
    *(("may_be_absent", value) for value in ("t2", ("t2", "t2"), (1,), None)),
    ("output", "masks"),
]


def test_what_cannot_be_read_is_refused_before_training(store: Path) -> None:
    assert not not_refused(lambda options: dataset(store, **options), CANNOT_BE_READ)


def test_a_setting_of_another_type_is_refused_by_name(store: Path) -> None:
    rows = [({name: value}, OptionError, re.escape(f"{name} is {value!r}")) for name, value in OF_ANOTHER_TYPE]
    assert not not_refused(lambda options: dataset(store, **options), rows)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_whole_numbers_may_be_those_of_numpy(store: Path, kind: type) -> None:
    data = dataset(store, patch_size=np.array([9, 8, 6], kind), batch_size=kind(2), batches=kind(3), seed=kind(4))
    other = dataset(store, batches=3, seed=4)
    np.testing.assert_array_equal(data[kind(1)][0], other[1][0])
    data.close()
    other.close()


def test_an_unknown_setting_offers_the_nearest(store: Path) -> None:
    with pytest.raises(OptionError, match=r"unknown key 'spacing' .*'spacing_mm'"):
        dataset(store, spacing=2.0)
    with pytest.raises(TypeError, match="store"):
        dataset(store, store=store)


def test_it_has_a_length_and_items_from_both_ends(store: Path) -> None:
    data = dataset(store, batches=3)
    assert len(data) == data.num_batches == 3
    for index in (-3, -2, -1):
        np.testing.assert_array_equal(data[index][0], data[3 + index][0])
    for index in (3, -4):
        with pytest.raises(IndexError, match=rf"batch {index} of an epoch of 3; expected -3 to 2"):
            data[index]
    for wrong in (1.0, True, "1", slice(2), None):
        with pytest.raises(TypeError, match="the index of a batch is .*; expected a whole number"):
            data[wrong]  # type: ignore[index]
    for epoch in (-1, 1.5, True):
        with pytest.raises(OptionError, match=rf"epoch is {epoch}.* at least 0"):
            data.set_epoch(epoch)  # type: ignore[arg-type]
    assert data.problem is None
    data.close()


def test_a_store_that_is_none_or_damaged_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(NoCasesError, match="no such folder"):
        dataset(tmp_path / "gone")
    (tmp_path / "c0.h5").write_bytes((store / "c0.h5").read_bytes()[:999])
    with pytest.raises(StoreError, match=r"c0\.h5: the case file is damaged"):
        dataset(tmp_path, ["c0"])


def test_a_batch_that_divides_is_taken() -> None:
    for batch_size, replicas in ((2, 1), (2, 2), (6, 3)):
        check_batch(batch_size, replicas)


class Watching(keras.Sequential):
    """A user's own network, which remembers what it was trained with."""

    def __init__(self) -> None:
        super().__init__([keras.layers.Input((None, None, None, 4)), keras.layers.Conv3D(3, 1, activation="sigmoid")])
        self.compile(optimizer="sgd", loss="binary_crossentropy", run_eagerly=True)
        self.seen: list[np.ndarray] = []

    def train_step(self, data: Batch) -> dict:
        self.seen.append(np.array(data[0]))
        return super().train_step(data)


network = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="overrides TensorFlow's train_step")


def batches_of(store: Path, epochs: range) -> list[np.ndarray]:
    """What the batches of these epochs are, asked for one by one."""
    data = dataset(store)
    expected = []
    for epoch in epochs:
        data.set_epoch(epoch)
        expected += [data[n][0] for n in range(2)]
    data.close()
    return expected


@pytest.mark.network
@network
@pytest.mark.parametrize("first", [0, 2], ids=["from the start", "resumed"])
def test_every_epoch_of_a_plain_fit_has_its_own_patches(store: Path, caplog: pytest.LogCaptureFixture, first: int) -> None:
    model, data = Watching(), dataset(open_store(store))
    validation = dataset(store, ["c3"], batch_size=1, augmentation=None)
    with caplog.at_level(logging.WARNING):
        history = model.fit(
            data, epochs=4, initial_epoch=first, shuffle=False, verbose=0, validation_data=validation,
            callbacks=[data.epoch_setter()],
        )  # fmt: skip
    assert caplog.messages == []
    assert np.isfinite(history.history["loss"] + history.history["val_loss"]).all()
    expected = batches_of(store, range(first, 4))
    assert len(model.seen) == len(expected)
    for ours, theirs in zip(model.seen, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len({batch.tobytes() for batch in model.seen}) == len(model.seen)
    data.close()
    validation.close()


@pytest.mark.network
@network
def test_what_a_fit_left_to_its_defaults_is_told_once(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, data = Watching(), dataset(store, batches=12)
    with caplog.at_level(logging.WARNING):
        model.fit(data, epochs=4, verbose=0)
    order, epochs = caplog.messages
    assert "shuffle=False" in order
    assert "callbacks=[dataset.epoch_setter()]" in epochs
    assert len({batch.tobytes() for batch in model.seen}) == 12
    data.close()


def test_one_callback_sets_the_epoch_of_several_datasets(store: Path) -> None:
    data = [dataset(store, seed=s) for s in (1, 2)]
    EpochSetter(*data).on_epoch_begin(5)
    assert [d.epoch for d in data] == [5, 5]
    for d in data:
        d.close()
