"""What every predictor and everything that wraps one must do; analytic predictors say what the answer is."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from brats3d.errors import ArrayError, OptionError
from brats3d.predict import Predictor, cooled, flips, from_network, where_it_fits, window

keras = pytest.importorskip("keras")

SHAPE = (3, 7, 10, 13)


def volume() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def identity(images: np.ndarray) -> np.ndarray:
    return images.copy()


WRAPPERS: dict[str, Callable[[Predictor], Predictor]] = {
    "window": lambda p: window(p, (4, 5, 6)),
    "window of one voxel's overlap": lambda p: window(p, (3, 4, 5), overlap=0.25),
    "larger window": lambda p: window(p, (16, 5, 99)),
    "flips": lambda p: flips(p, (0, 1, 2)),
    "flip of one axis": lambda p: flips(p, (1,)),
    "no flips": lambda p: flips(p, ()),
    "no temperatures": lambda p: cooled(p, (1.0, 1.0, 1.0), exclusive=False),
    "fits": lambda p: where_it_fits(p, window(p, (4, 4, 4)), lambda size: True),
    "does not fit": lambda p: where_it_fits(p, window(p, (4, 4, 4)), lambda size: False),
}


@pytest.mark.parametrize("stack", [*((w,) for w in WRAPPERS), *itertools.permutations(["window", "flips", "fits"])])
def test_identity_through_any_stack_is_identity(stack: tuple[str, ...]) -> None:
    predictor: Predictor = identity
    for wrapper in stack:
        predictor = WRAPPERS[wrapper](predictor)
    images = volume()
    before = images.copy()
    found = predictor(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, images, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_other_numbers_of_regions(wrapper: str) -> None:
    found = WRAPPERS[wrapper](lambda images: np.full((2, *images.shape[1:]), 0.25, np.float32))(volume())
    assert found.shape == (2, *SHAPE[1:])
    np.testing.assert_allclose(found, 0.25, rtol=1e-6)


def test_windows_cover_everything_evenly_and_overlap() -> None:
    seen = np.zeros(SHAPE[1:], int)
    sizes = set()

    def looking(images: np.ndarray) -> np.ndarray:
        # The first channel tells where the window lies.
        where = images[0].astype(int).ravel()
        seen.ravel()[where] += 1
        sizes.add(images.shape[1:])
        return images

    images = np.zeros(SHAPE, np.float32)
    images[0] = np.arange(seen.size).reshape(seen.shape)
    window(looking, (4, 6, 20), overlap=0.5)(images)
    assert sizes == {(4, 6, 13)}
    assert seen.min() >= 1
    along_x, along_y = seen[:, 0, 0], seen[0, :, 0]
    assert along_x.tolist() == [1, 1, 2, 3, 2, 2, 1]  # windows of 4 from 0, 2, 3
    assert along_y.tolist() == [1, 1, 2, 2, 3, 3, 2, 2, 1, 1]  # windows of 6 from 0, 2, 4


def test_windows_blend_by_gaussian_weights() -> None:
    """Each window answers with its own number; the blend is the weighted mean, worked out here again in float64."""
    starts = [0, 2, 4, 6]  # 4 windows of 4 on 10 voxels
    numbers = itertools.count()

    def numbered(images: np.ndarray) -> np.ndarray:
        return np.full((1, *images.shape[1:]), next(numbers), np.float32)

    found = window(numbered, (4, 4, 4))(np.zeros((1, 10, 4, 4), np.float32))[0]
    weights = np.zeros((len(starts), 10))
    for row, start in zip(weights, starts, strict=True):
        row[start : start + 4] = np.exp(-0.5 * ((np.arange(4) - 1.5) / (4 / 8)) ** 2)
    expected = (weights * np.arange(4)[:, None]).sum(0) / weights.sum(0)
    np.testing.assert_allclose(found, np.broadcast_to(expected[:, None, None], found.shape), rtol=1e-5, atol=1e-6)
    assert 0 < expected[2] < 1  # a voxel that two windows answer for


def test_flips_average_over_all_mirrorings() -> None:
    """A predictor that answers with the index along x: mirrored back, the index counts from the other end."""

    def index(images: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.arange(images.shape[1], dtype=np.float32)[:, None, None], images.shape).copy()

    images = volume()
    np.testing.assert_allclose(flips(index, (0,))(images), (SHAPE[1] - 1) / 2)
    np.testing.assert_allclose(flips(index, (1, 2))(images), index(images))
    calls: list[int] = []

    def counting(images: np.ndarray) -> np.ndarray:
        calls.append(1)
        return images

    flips(counting, (0, 1, 2))(images)
    assert len(calls) == 8


def test_flips_of_an_equivariant_predictor_change_nothing() -> None:
    def neighbours(images: np.ndarray) -> np.ndarray:
        padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (1, 1)])
        return padded[:, 2:, 1:-1, 1:-1] + padded[:, :-2, 1:-1, 1:-1] + images**2

    images = volume()
    np.testing.assert_allclose(flips(neighbours, (0, 1, 2))(images), neighbours(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exclusive", [False, True])
def test_temperatures_divide_the_logits(exclusive: bool) -> None:
    logits = volume().astype(float)

    def probabilities(x: np.ndarray) -> np.ndarray:
        return np.exp(x) / np.exp(x).sum(0) if exclusive else 1 / (1 + np.exp(-x))

    divided = (2.0, 2.0, 2.0) if exclusive else (0.5, 1.0, 3.0)
    found = cooled(lambda x: probabilities(x).astype(np.float32), divided, exclusive=exclusive)(logits)
    expected = probabilities(logits / np.array(divided)[:, None, None, None])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_window_stands_in_where_memory_runs_out() -> None:
    sizes: list[tuple[int, ...]] = []
    notes: list[str] = []

    def small_machine(images: np.ndarray) -> np.ndarray:
        sizes.append(images.shape[1:])
        if images[0].size > 64:
            raise MemoryError
        return images

    windows = window(small_machine, (4, 4, 4))
    predictor = where_it_fits(small_machine, windows, lambda size: True, notes.append)
    np.testing.assert_allclose(predictor(volume()), volume(), rtol=1e-5)
    assert sizes[0] == SHAPE[1:]
    assert set(sizes[1:]) == {(4, 4, 4)}
    # What did not fit is not tried again, nor what is larger; what is smaller is, and may lower the bound.
    for shape, tried in [(SHAPE, False), ((3, 8, 10, 13), False), ((3, 5, 5, 4), True), ((3, 4, 5, 5), False)]:
        sizes.clear()
        predictor(np.zeros(shape, np.float32))
        assert (shape[1:] in sizes) == tried, shape
    assert notes == ["windows"] * 5
    sizes.clear()
    predictor(volume()[:, :4, :4, :4])
    assert (sizes, notes[5:]) == ([(4, 4, 4)], ["whole"])
    sizes.clear()
    where_it_fits(small_machine, windows, lambda size: size != SHAPE[1:])(volume())
    assert set(sizes) == {(4, 4, 4)}


def counting_network() -> keras.Model:
    """Return a network that says what it sees: the sum over 3×3×3 voxels of the first channel, and the second channel."""
    kernel = np.zeros((3, 3, 3, 3, 2), np.float32)
    kernel[:, :, :, 0, 0] = 1
    kernel[1, 1, 1, 1, 1] = 1
    layer = keras.layers.Conv3D(2, 3, padding="same", use_bias=False)
    inputs = keras.Input((None, None, None, 3))
    network = keras.Model(inputs, layer(inputs))
    layer.set_weights([kernel])
    return network


@pytest.mark.network
def test_from_network_pads_crops_and_turns_the_axes() -> None:
    network = counting_network()
    images = volume()
    found = from_network(network, 4)(images)
    padded = np.pad(images[0].astype(float), 1)
    sums = sum(padded[a : a + 7, b : b + 10, c : c + 13] for a in range(3) for b in range(3) for c in range(3))
    assert found.shape == (2, 7, 10, 13)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found[0], sums, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[1], images[1], rtol=1e-6)
    # Weights are not copied: a network in training can be asked again and again.
    network.set_weights([w * 2 for w in network.get_weights()])
    np.testing.assert_allclose(from_network(network, 4)(images)[1], 2 * images[1], rtol=1e-6)
    with pytest.raises(ArrayError, match=r"shape \(2, 7, 10, 13\); the network takes 3 channels"):
        from_network(network, 4)(images[:2])


@pytest.mark.network
def test_from_network_sees_the_stride() -> None:
    inputs = keras.Input((None, None, None, 3))
    half = keras.layers.Conv3D(3, 3, strides=2, padding="same")(inputs)
    network = keras.Model(inputs, keras.layers.Add()([keras.layers.UpSampling3D(2)(half), inputs]))
    assert from_network(network, 2)(volume()).shape == SHAPE


@pytest.mark.network
@pytest.mark.parametrize(
    "message", ["RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes", "OOM when allocating: out of memory"]
)
def test_memory_errors_of_the_backend_are_told_apart(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: keras.Model, x: np.ndarray) -> np.ndarray:
        raise RuntimeError(message)

    predictor = from_network(counting_network(), 1)
    monkeypatch.setattr(keras.Model, "predict_on_batch", fail)
    with pytest.raises(MemoryError, match=r"too little memory for \(7, 10, 13\) voxels"):
        predictor(volume())
    message = "something else"
    with pytest.raises(RuntimeError, match="something else"):
        predictor(volume())


def test_refusals() -> None:
    with pytest.raises(OptionError, match=r"patch_size is \(4, 0, 4\)"):
        window(identity, (4, 0, 4))
    with pytest.raises(OptionError, match=r"overlap is 1"):
        window(identity, (4, 4, 4), overlap=1)
    with pytest.raises(OptionError, match=r"flips is \(0, 3\)"):
        flips(identity, (0, 3))
    with pytest.raises(OptionError, match=r"flips is \(1, 1\)"):
        flips(identity, (1, 1))
