"""The transform contract: what every change of a patch must keep, whatever its strengths. A new one joins by a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rows import not_refused

from brats3d.errors import OptionError
from brats3d.patches import (
    TRANSFORMS,
    Augmentation,
    BatchSettings,
    CaseReader,
    Change,
    PatchPlan,
    apply_change,
    draw_change,
    undo_moves,
)
from brats3d.patches.pool import read_batch
from brats3d.store import PreparedCase, write_case

STRENGTHS = {
    "default": Augmentation(),
    "nothing": Augmentation(flip_axes=(), intensity_probability=0),
    "flips": Augmentation(intensity_probability=0),
    "left and right": Augmentation(flip_axes=(0,), intensity_probability=0),
    "shift": Augmentation((), 1, shift=0.5, scale=0, gamma=0),
    "scale": Augmentation((), 1, shift=0, scale=0.9, gamma=0),
    "gamma": Augmentation((), 1, shift=0, scale=0, gamma=2),
    "far too strong": Augmentation((0, 1, 2), 1, shift=5, scale=0.9, gamma=5),
}
SEEDS = range(6)


def patch() -> tuple[np.ndarray, np.ndarray]:
    """Normalised images with a background of zeros, and nested regions that say where the images are bright."""
    rng = np.random.default_rng(1)
    images = np.clip(rng.normal(size=(4, 6, 7, 8)) * 2, -5, 5).astype(np.float32)
    images[:, rng.random((6, 7, 8)) < 0.3] = 0
    regions = np.stack([images[0] > cut for cut in (0, 1, 2)]).astype(np.uint8)
    return images, regions


def drawn(name: str, seed: int, modalities: int = 4) -> Change:
    return draw_change(np.random.default_rng([seed]), STRENGTHS[name], modalities)


@pytest.mark.parametrize("name", STRENGTHS)
def test_what_every_transform_keeps(name: str, subtests: pytest.Subtests) -> None:
    for seed in SEEDS:
        with subtests.test(seed=seed):
            keeps(name, seed)


def keeps(name: str, seed: int) -> None:
    images, regions = patch()
    change = drawn(name, seed)
    out, targets = apply_change(images, regions, change)

    before = patch()
    np.testing.assert_array_equal(images, before[0], err_msg="the input was changed")
    np.testing.assert_array_equal(regions, before[1], err_msg="the input was changed")
    assert not np.shares_memory(out, images)

    again, targets_again = apply_change(images, regions, drawn(name, seed))
    np.testing.assert_array_equal(out, again, err_msg="the same parameters gave another result")
    np.testing.assert_array_equal(targets, targets_again)

    assert (out.shape, out.dtype, targets.dtype) == (images.shape, np.float32, regions.dtype)
    assert np.isfinite(out).all()
    assert set(np.unique(targets)) <= set(np.unique(regions))
    assert (targets.sum((1, 2, 3)) == regions.sum((1, 2, 3))).all()
    assert np.abs(out).max() <= 5

    back, regions_back = undo_moves(out, change), undo_moves(targets, change)
    np.testing.assert_array_equal(regions_back, regions, err_msg="undoing the flips is not the identity")
    np.testing.assert_array_equal(back[images == 0], 0, err_msg="background did not stay zero")
    if name in ("nothing", "flips", "left and right"):
        np.testing.assert_array_equal(back, images)
    for ours, theirs in zip(back, images, strict=True):
        inside = theirs != 0
        order = np.argsort(theirs[inside])
        assert (np.diff(ours[inside][order]) >= -1e-5).all(), "a brighter voxel became darker: image and label are not aligned"


@pytest.mark.parametrize("name", STRENGTHS)
def test_intensities_are_those_of_the_formula(name: str) -> None:
    images, regions = patch()
    for seed in SEEDS:
        change = drawn(name, seed)
        out, by = undo_moves(apply_change(images, regions, change)[0], change), change.drawn["rescaling"]
        for channel, source, shift, scale, gamma in zip(out, images.astype(float), by.shift, by.scale, by.gamma, strict=True):
            expected = 10 * ((np.clip(source * scale + shift, -5, 5) + 5) / 10) ** gamma - 5
            np.testing.assert_allclose(channel, np.where(source == 0, 0, expected), atol=1e-4)


@pytest.mark.parametrize("name", STRENGTHS)
def test_what_is_drawn_lies_within_the_strengths(name: str) -> None:
    strengths = STRENGTHS[name]
    changes = [drawn(name, seed) for seed in range(400)]
    for axis in range(3):
        share = np.mean([axis in c.drawn["flips"].axes for c in changes])
        assert share == (pytest.approx(0.5, abs=0.1) if axis in strengths.flip_axes else 0)
    shift, scale, gamma = (np.array([getattr(c.drawn["rescaling"], n) for c in changes]) for n in ("shift", "scale", "gamma"))
    for values, most in ((shift, strengths.shift), (scale - 1, strengths.scale), (np.log(gamma), np.log1p(strengths.gamma))):
        assert np.abs(values).max() <= most + 1e-12
        if most and strengths.intensity_probability:
            assert np.abs(values).max() > 0.95 * most
            assert np.mean(values[values != 0]) == pytest.approx(0, abs=0.1 * most)
    if strengths.shift:
        assert np.mean(shift != 0) == pytest.approx(strengths.intensity_probability, abs=0.05)
    np.testing.assert_array_equal((shift != 0) & (scale != 1), (shift != 0) if strengths.scale else False)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_row_does_what_its_kind_says(name: str) -> None:
    """Those that move voxels move all arrays alike; those of intensities leave targets and background where they are."""
    row, (images, regions) = TRANSFORMS[name], patch()
    changed = 0
    for seed in range(40):
        parameters = row.draw(np.random.default_rng([seed]), Augmentation(intensity_probability=1), 4)
        out, targets = row.apply(images, regions, parameters)
        changed += not np.array_equal(out, images)
        if row.acts_on == "voxels":
            moved, _ = row.apply(regions.astype(np.float32), regions, parameters)
            np.testing.assert_array_equal(moved, targets)
            if row.undo is not None:
                for before, after in ((images, out), (regions, targets)):
                    np.testing.assert_array_equal(row.undo(after, parameters), before)
        else:
            assert row.undo is None
            np.testing.assert_array_equal(targets, regions)
            np.testing.assert_array_equal(out[images == 0], 0)
    assert changed > 20, "a row that changes nothing needs a strength here that switches it on"


def test_any_number_of_modalities() -> None:
    images, regions = patch()
    for modalities in (1, 3):
        out, _ = apply_change(images[:modalities], regions, drawn("default", 0, modalities))
        assert out.shape == (modalities, 6, 7, 8)


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_sample_in_a_batch_is_the_sample_alone(tmp_path: Path, make_prepared: Callable[..., PreparedCase], name: str) -> None:
    write_case(tmp_path, make_prepared())
    plan = PatchPlan(tmp_path, ("c0",), BatchSettings(patch_size=(6, 7, 8)), augmentation=STRENGTHS[name])
    batch = read_batch(CaseReader(plan), 2, 1, 3)
    for row in range(3):
        alone = CaseReader(plan).sample(2, 3 + row)
        np.testing.assert_array_equal(np.moveaxis(batch.images[row], -1, 0), alone.images)
        np.testing.assert_array_equal(np.moveaxis(batch.targets[row], -1, 0), alone.targets)
        assert batch.change[row] == alone.change


WRONG_STRENGTHS = [
    ({"flip_axes": (0, 3)}, r"flip_axes is \(0, 3\).* 0 to 2"),
    ({"flip_axes": (0.5,)}, r"flip_axes is \(0.5,\)"),
    ({"flip_axes": (-1,)}, r"flip_axes is \(-1,\)"),
    ({"flip_axes": (True,)}, r"flip_axes is \(True,\)"),
    ({"flip_axes": 1}, "flip_axes is 1"),
    ({"intensity_probability": 1.2}, "intensity_probability is 1.2.* 0 to 1"),
    ({"shift": -0.1}, "shift is -0.1.* 0 to 5"),
    ({"shift": float("nan")}, "shift is nan"),
    ({"scale": 1.0}, "scale is 1.0.* 0 to 0.9"),
    ({"gamma": -0.3}, "gamma is -0.3.* 0 to 5"),
]


def test_strengths_that_cannot_be_used_are_refused() -> None:
    rows = [(strengths, OptionError, says) for strengths, says in WRONG_STRENGTHS]
    assert not not_refused(lambda strengths: Augmentation(**strengths), rows)


def test_an_axis_named_twice_is_one_axis() -> None:
    changes = [draw_change(np.random.default_rng([s]), Augmentation((1, 1, 0)), 4) for s in range(50)]
    assert {c.drawn["flips"].axes for c in changes} == {(), (0,), (1,), (0, 1)}
