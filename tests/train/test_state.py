"""The training state: exact, whole or absent, and refused by name where it cannot be used."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from brats3d.errors import ModelError, SpaceError

keras = pytest.importorskip("keras")
state = pytest.importorskip("brats3d.train.state")
pytestmark = pytest.mark.network

OPTIMISERS: dict[str, Callable[[], Any]] = {
    "adam with averages": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.7),
    "adamw, falling rate": lambda: keras.optimizers.AdamW(keras.optimizers.schedules.ExponentialDecay(0.01, 3, 0.5)),
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.99, nesterov=True),
}


@pytest.fixture(autouse=True, scope="module")
def _clean_keras() -> Iterator[None]:
    yield
    keras.utils.clear_session()


def network(optimiser: str = "sgd", filters: int = 3) -> Any:
    """A network with dropout and a normalisation that has state of its own."""
    given = keras.Input((4, 5, 6, 2))
    x = keras.layers.Conv3D(filters, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(seed=1))(given)
    x = keras.layers.BatchNormalization()(keras.layers.SpatialDropout3D(0.5, seed=2)(x))
    out = keras.layers.Conv3D(1, 1, kernel_initializer=keras.initializers.HeNormal(seed=3))(x)
    model = keras.Model(given, out)
    model.compile(OPTIMISERS[optimiser](), "mse", run_eagerly=True)  # a graph costs seconds; test_run.py has one
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model: Any, first: int, last: int, at_end: Callable[[int], Any]) -> None:
    """Train epochs ``first`` … ``last`` − 1 of three steps each; the callback is told as epochs end."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4, 5, 6, 2)), rng.normal(size=(6, 4, 5, 6, 1))
    tell = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: at_end(epoch + 1))
    model.fit(x, y, batch_size=2, epochs=last, initial_epoch=first, shuffle=False, verbose=0, callbacks=[tell])


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> list[bool]:
    return [np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first, second, strict=True)]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_two_epochs_and_two_more_are_four_to_the_bit(optimiser: str, tmp_path: Path) -> None:
    undisturbed, resumed = network(optimiser), network(optimiser)
    ends: dict[int, list[np.ndarray]] = {}

    def keep(epoch: int) -> None:
        ends[epoch] = state.snapshot(undisturbed)
        if epoch == 2:
            state.save_state(tmp_path, 2, undisturbed, {"log": [1.5, None], "best": float("nan")})

    fit(undisturbed, 0, 4, keep)
    epochs, values, record = state.load_state(tmp_path)
    assert (epochs, record["log"]) == (2, [1.5, None])
    assert np.isnan(record["best"])
    assert all(equal(values, ends[2]))
    state.restore(resumed, values)
    again: dict[int, list[np.ndarray]] = {}
    fit(resumed, 2, 4, lambda epoch: again.update({epoch: state.snapshot(resumed)}))
    assert all(equal(again[4], ends[4]))
    # Every part of the state matters: what is not restored shows in the end.
    assert not all(equal(ends[2], ends[4]))


def test_a_state_holds_dropout_counters_step_count_and_averages() -> None:
    model = network("adam with averages")
    before = state.snapshot(model)
    fit(model, 0, 1, lambda epoch: None)
    names = [v.path for v in state._variables(model)]
    moved = {n for n, same in zip(names, equal(before, state.snapshot(model)), strict=True) if not same}
    for part in ("seed_generator_state", "iteration", "kernel", "moving_mean", "momentum", "velocity", "average"):
        assert any(part in name for name in moved), (part, names)


def test_a_snapshot_is_a_copy() -> None:
    model = network()
    before = state.snapshot(model)
    kept = [np.copy(v) for v in before]
    fit(model, 0, 1, lambda epoch: None)
    assert all(equal(before, kept))
    state.restore(model, before)
    assert all(equal(state.snapshot(model), kept))


def test_two_are_kept_and_the_newest_counts(tmp_path: Path) -> None:
    model = network()
    for epoch in (1, 2, 3, 99_999, 100_000):
        path = state.save_state(tmp_path, epoch, model, {"epoch": epoch})
        assert state.load_state(tmp_path)[::2] == (epoch, {"epoch": epoch})
    assert state.state_files(tmp_path) == [path, tmp_path / "state-99999.h5"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state-100000.h5", "state-99999.h5"]


@pytest.fixture
def two_states(tmp_path: Path) -> Path:
    model = network()
    for epoch in (1, 2):
        state.save_state(tmp_path, epoch, model, {"epoch": epoch})
    return tmp_path


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.35, 0.5, 0.75, 0.9, 0.999])
def test_a_truncated_state_falls_back_to_the_one_before(two_states: Path, share: float) -> None:
    newest = two_states / "state-00002.h5"
    os.truncate(newest, int(newest.stat().st_size * share))
    epochs, values, record = state.load_state(two_states)
    assert (epochs, record) == (1, {"epoch": 1})
    state.restore(network(), values)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_state_whose_end_never_reached_the_disk_falls_back(two_states: Path, share: float) -> None:
    newest = two_states / "state-00002.h5"
    content = newest.read_bytes()
    kept = int(len(content) * share)
    newest.write_bytes(content[:kept] + bytes(len(content) - kept))
    assert state.load_state(two_states)[0] == 1


def test_a_flipped_bit_in_the_weights_falls_back(two_states: Path) -> None:
    newest = two_states / "state-00002.h5"
    with h5py.File(newest) as file:
        kernel = next(d for d in file["variables"].values() if d.ndim == 5)
        place = kernel.id.get_chunk_info(0).byte_offset
    content = bytearray(newest.read_bytes())
    content[place + 5] ^= 1
    newest.write_bytes(content)
    assert state.load_state(two_states)[0] == 1


@pytest.mark.parametrize("lost", ["record", "variables", "schema", "epoch"])
def test_a_state_that_lacks_something_falls_back(two_states: Path, lost: str) -> None:
    with h5py.File(two_states / "state-00002.h5", "r+") as file:
        del (file if lost in file else file.attrs)[lost]
    assert state.load_state(two_states)[0] == 1


def test_it_says_which_state_is_damaged_and_which_is_used(two_states: Path, caplog: pytest.LogCaptureFixture) -> None:
    state.load_state(two_states)
    assert caplog.messages == []
    os.truncate(two_states / "state-00002.h5", 100)
    state.load_state(two_states)
    (said,) = caplog.messages
    assert re.fullmatch(r"damaged training states .* \(state-00002\.h5: .*\); continuing from state-00001\.h5\.", said)


def test_a_state_that_cannot_be_read_now_is_not_passed_over(two_states: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EACCES, "Unable to open file (Permission denied)")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(ModelError, match=r"state-00002\.h5: the training state cannot be read now \(Permission denied\)"):
        state.load_state(two_states)


def test_what_a_kill_leaves_behind_is_no_state(two_states: Path) -> None:
    (two_states / ".state-00003.host-4711.h5").write_bytes(b"half")
    (two_states / "state-new.h5").write_bytes(b"half")
    assert [p.name for p in state.state_files(two_states)] == ["state-00002.h5", "state-00001.h5"]


def test_no_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no training state to continue from \(no state files\); leave --resume out to start"):
        state.load_state(tmp_path / "checkpoint")


def test_states_that_are_all_broken_are_refused_by_name(two_states: Path) -> None:
    os.truncate(two_states / "state-00001.h5", 100)
    with h5py.File(two_states / "state-00002.h5", "r+") as file:
        file.attrs["schema"] = 7
    with pytest.raises(
        ModelError, match=r"\(state-00002.h5: .*schema 7, expected 2.*; state-00001.h5: .*\); start over with another"
    ):
        state.load_state(two_states)


def test_values_that_do_not_fit_are_refused_and_nothing_is_assigned() -> None:
    model = network(filters=3)
    before = state.snapshot(model)
    other = [v + 1 for v in state.snapshot(network(filters=4))]
    with pytest.raises(ModelError, match=r"holds \d+ arrays that do not fit the network's \d+ variables"):
        state.restore(model, other)
    with pytest.raises(
        ModelError, match=f"holds {len(before) - 1} arrays that do not fit the network's {len(before)} variables"
    ):
        state.restore(model, before[:-1])
    assert all(equal(state.snapshot(model), before))


@pytest.mark.parametrize("number", [0, 1, 4])
def test_an_interrupt_while_writing_leaves_the_states_as_they_were(
    two_states: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = iter(range(100))
    create = h5py.Group.create_dataset

    def interrupted(*args: Any, **options: Any) -> Any:
        if next(written) == number:
            raise KeyboardInterrupt
        return create(*args, **options)

    monkeypatch.setattr(h5py.Group, "create_dataset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        state.save_state(two_states, 3, network(), {"epoch": 3})
    assert sorted(p.name for p in two_states.iterdir()) == ["state-00001.h5", "state-00002.h5"]
    assert state.load_state(two_states)[0] == 2


def test_a_full_disk_says_how_much_is_needed_and_leaves_the_states(two_states: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpaceError, match=r"state-00003.h5: no space left on the disk; 0.1 MB are needed"):
        state.save_state(two_states, 3, network(), {})
    assert sorted(p.name for p in two_states.iterdir()) == ["state-00001.h5", "state-00002.h5"]


def test_what_a_dead_writer_left_behind_goes_and_what_a_living_one_writes_stays(two_states: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    left, writing, elsewhere = (f".state-00003.{who}.h5" for who in (f"{host}-{dead.pid}", f"{host}-{os.getppid()}", "other-1"))
    for name in (left, writing, elsewhere):
        (two_states / name).write_bytes(b"half")
    state.save_state(two_states, 3, network(), {})
    assert sorted(p.name for p in two_states.iterdir()) == sorted([writing, elsewhere, "state-00002.h5", "state-00003.h5"])


def test_a_state_of_another_backend_is_refused_by_name(two_states: Path) -> None:
    with h5py.File(two_states / "state-00002.h5", "r+") as file:
        assert file.attrs["backend"] == keras.backend.backend()
        file.attrs["backend"] = "jax" if keras.backend.backend() != "jax" else "tensorflow"
    with pytest.raises(
        ModelError, match=r"state-00002.h5: this state was made on the \w+ backend, .*: set KERAS_BACKEND=\w+ to"
    ):
        state.load_state(two_states)
