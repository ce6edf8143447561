"""From a prepared case to probabilities on its stored grid."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cards import flat_card
from hand_made import own_messages

from brats3d.cases import Facts
from brats3d.errors import ArrayError, CaseError, GridError, ImageError, ModelError, OptionError
from brats3d.geometry import Grid
from brats3d.intensity import histogram_of
from brats3d.models import load_model
from brats3d.predict import masks_of, own_label_set, predict_case, predict_probabilities, runner_of
from brats3d.regions import LABEL_SETS
from brats3d.store import CaseHeader, PreparedCase, summarise

MODALITIES = ("t1", "t1ce", "t2", "flair")


def prepared(
    shape: tuple[int, int, int] = (11, 14, 9),
    spacing_mm: tuple[float, float, float] = (1, 1, 1),
    corpus: str = "BraTS 2021",
    box: tuple[slice, slice, slice] = np.s_[2:9, 3:13, 1:8],
) -> PreparedCase:
    images = np.zeros((4, *shape), np.int16)
    inside = images[(slice(None), *box)]
    inside[:] = np.random.default_rng(0).integers(1, 1000, inside.shape)
    grid = Grid(shape, np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0]))
    header = CaseHeader("case", Facts("patient", corpus=corpus), MODALITIES)
    return summarise(header, images, None, grid, grid)


def normalised(case: PreparedCase) -> np.ndarray:
    out = np.zeros(case.images.shape)
    for row, image in zip(out, case.images, strict=True):
        inside = image[image != 0].astype(float)
        clamped = np.clip(inside, *np.percentile(inside, [2, 98]))
        row[:] = np.where(image == 0, 0, np.clip((image - clamped.mean()) / clamped.std(), -5, 5))
    return out


def test_the_predictor_sees_normalised_channels_of_the_brain_box() -> None:
    case = prepared()
    seen = []

    def look(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return images[:3]

    found = predict_probabilities(look, case, flat_card(modalities=("flair", "t1", "t2")))
    # The box and nothing around it: a margin of zeros changes what instance normalisation makes of the brain.
    assert (seen[0].dtype, seen[0].shape) == (np.float32, (3, 7, 10, 7))
    np.testing.assert_allclose(seen[0], normalised(case)[[3, 0, 2], 2:9, 3:13, 1:8], atol=1e-4)
    np.testing.assert_allclose(found, normalised(case)[[3, 0, 2]], atol=1e-4)


def test_outside_the_brain_box_is_zero() -> None:
    found = predict_probabilities(lambda images: np.ones((3, *images.shape[1:]), np.float32), prepared(), flat_card())
    expected = np.zeros((3, 11, 14, 9))
    expected[:, 2:9, 3:13, 1:8] = 1
    np.testing.assert_array_equal(found, expected)


def test_on_a_coarser_grid() -> None:
    """Blocks are averaged from the volume's origin, and what comes back is linear between their centres: a slow twin."""
    case = prepared((11, 14, 9), spacing_mm=(1.02, 1, 2))  # two, two and one voxels per block
    found = predict_probabilities(lambda images: images[:3], case, flat_card(spacing_mm=2.0, stride=2))
    fine = np.pad(normalised(case), [(0, 0), (0, 5), (0, 2), (0, 0)])
    coarse = np.zeros((4, 8, 8, 9))
    for x, y, z in itertools.product(range(8), range(8), range(9)):
        coarse[:, x, y, z] = fine[:, 2 * x : 2 * x + 2, 2 * y : 2 * y + 2, z].mean((1, 2))
    # The network answers for whole blocks: 1 to 4 along x (voxels 2-9), 1 to 6 along y (2-13).
    back = coarse[:3, 1:5, 1:7]
    for axis, first, last in ((1, 1, 5), (2, 1, 7)):
        centres, wanted = 2 * np.arange(first, last) + 0.5, np.arange(2 * first, 2 * last)
        back = np.apply_along_axis(lambda line, c=centres, w=wanted: np.interp(w, c, line), axis, back)
    expected = np.zeros((3, 11, 14, 9))
    expected[:, 2:9, 3:13, 1:8] = back[:, :7, 1:11, 1:8]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_on_a_grid_of_thick_slices() -> None:
    """One, three and two voxels per block along the axes; the network may see one slice after another."""
    case = prepared((11, 14, 9), spacing_mm=(1, 1, 2.02))
    seen = []

    def look(images: np.ndarray) -> np.ndarray:
        seen.append(images.shape)
        return images[:3]

    found = predict_probabilities(look, case, flat_card(spacing_mm=(1, 3, 4), stride=(2, 2, 1)))
    assert seen == [(4, 7, 4, 4)]  # the box of 7×10×7 widened to blocks: 2–8, 3–14, 0–7
    fine = np.pad(normalised(case)[:3], [(0, 0), (0, 0), (0, 1), (0, 1)])
    coarse = fine.reshape(3, 11, 5, 3, 5, 2).mean((3, 5))[:, 2:9, 1:5, 0:4]
    along_y = np.apply_along_axis(lambda line: np.interp(np.arange(12), 3 * np.arange(4) + 1, line), 2, coarse)
    back = np.apply_along_axis(lambda line: np.interp(np.arange(8), 2 * np.arange(4) + 0.5, line), 3, along_y)
    expected = np.zeros((3, 11, 14, 9))
    expected[:, 2:9, 3:13, 1:8] = back[:, :, :10, 1:]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_refusals() -> None:
    def identity(images: np.ndarray) -> np.ndarray:
        return images

    with pytest.raises(CaseError, match=r"case case lacks adc \(it has t1, t1ce, t2, flair\); the model expects t1, adc"):
        predict_probabilities(identity, prepared(), flat_card(modalities=("t1", "adc")))
    with pytest.raises(GridError, match=r"case case: a model grid of 2 mm .* 1.3 × 1 × 1 mm"):
        predict_probabilities(identity, prepared(spacing_mm=(1.3, 1, 1)), flat_card(spacing_mm=2.0))
    with pytest.raises(ArrayError, match=r"gives shape \(4, 7, 10, 7\); expected \(3, 7, 10, 7\) for WT, TC, ET"):
        predict_probabilities(identity, prepared(), flat_card())
    flat = prepared()
    flat.images[1][flat.images[1] != 0] = 7
    again = replace(flat, histograms={**flat.histograms, "t1ce": histogram_of(flat.images[1])})
    with pytest.raises(ImageError, match="case case, t1ce: .*the intensities do not vary"):
        predict_probabilities(identity, again, flat_card())


def test_thresholds_are_strict_and_a_regions_own() -> None:
    probabilities = np.full((3, 2, 2, 2), 0.5, np.float32)
    probabilities[:, 0, 0, 0] = 0.51
    masks = masks_of(probabilities, flat_card(thresholds=(0.5, 0.4, 0.6)))
    assert masks.sum((1, 2, 3)).tolist() == [1, 8, 0]
    nothing = masks_of(np.zeros((3, 2, 2, 2), np.float32), flat_card(thresholds=(0, 0, 0)))
    assert not nothing.any()  # outside the brain box probabilities are zero


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [("BraTS 2021", "L17"), ("BraTS 2013-2016", "L13"), ("plain", None), ("a corpus of tomorrow", None)],
)
def test_the_sources_own_label_set(corpus: str, expected: str | None) -> None:
    assert own_label_set(prepared(corpus=corpus)) == (expected and LABEL_SETS[expected])


@pytest.mark.network
def test_predict_case(make_model: Any) -> None:
    model = load_model(make_model(thresholds=(0.5, 0.9, 0.5)))
    case = prepared(corpus="plain")
    found = predict_case(model, case)
    assert (found.id, found.label_set, found.assumed, found.channels) == ("case", "L23", True, ("WT", "TC", "ET"))
    t1, t1ce, _, flair = normalised(case)
    brain = np.zeros((11, 14, 9), bool)
    brain[2:9, 3:13, 1:8] = True
    label = np.zeros((11, 14, 9))
    for region, value in (((t1 > 0.2), 2), ((8 * (t1ce - 0.6) > np.log(9)), 1), ((flair > 1), 3)):
        label[region & brain] = value
    np.testing.assert_array_equal(found.label, label)
    assert found.label.dtype == np.uint8
    again = predict_case(runner_of(model), case, label_set="L17")
    np.testing.assert_array_equal(again.label, np.where(label == 3, 4, label))
    assert (again.label_set, again.assumed) == ("L17", False)
    with pytest.raises(OptionError, match="label set is 'L99'"):
        predict_case(model, case, label_set="L99")


@pytest.mark.network
def test_a_source_whose_label_set_cannot_be_painted_gets_the_models(make_model: Any) -> None:
    odd = load_model(make_model("odd", regions=("WT", "TC", "RC"), label_set="L24"))
    found = predict_case(odd, prepared())  # of 2021, whose L17 has no resection cavity
    assert (found.label_set, found.assumed) == ("L24", True)
    with pytest.raises(OptionError, match="RC"):
        predict_case(odd, prepared(), label_set="L17")
    values = load_model(make_model("values", regions=("1", "2", "4"), label_set="LPED"))  # 4 is oedema there, ET in L17
    found = predict_case(values, prepared())
    assert (found.label_set, found.assumed) == ("LPED", True)
    with pytest.raises(OptionError, match="1, 2, 4 are values of LPED"):
        predict_case(values, prepared(), label_set="L17")


@pytest.mark.network
def test_cards_that_ask_for_more_are_refused(make_model: Any) -> None:
    later = load_model(make_model("later", postprocessing=({"step": "smallest_et_ml"},), created_with="brats3d 9"))
    with pytest.raises(ModelError, match=r"post-processing smallest_et_ml, which this version .* \(brats3d 9\)"):
        predict_case(later, prepared())


@pytest.mark.network
def test_the_cards_flips_and_the_window_are_used(
    make_model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(make_model("plain"))
    case = prepared()
    plain = predict_case(model, case).probabilities
    mirrored = load_model(make_model("mirrored", flips=(0, 2)))
    calls: list[tuple[int, ...]] = []
    run = type(model.network).predict_on_batch

    def counted(self: Any, batch: np.ndarray) -> np.ndarray:
        calls.append(batch.shape[1:4])
        return run(self, batch)

    monkeypatch.setattr(type(model.network), "predict_on_batch", counted)
    np.testing.assert_allclose(predict_case(mirrored, case).probabilities, plain, atol=1e-5)
    assert calls == [(8, 12, 8)] * 4  # the box of 7×10×7, padded to the stride of 4
    calls.clear()
    always = load_model(make_model("always", window="always"))
    np.testing.assert_allclose(predict_case(always, case).probabilities, plain, atol=1e-5)
    assert calls == [(8, 8, 8)] * 2
    assert own_messages(caplog) == []
    calls.clear()
    monkeypatch.setattr("brats3d.models.memory.available_bytes", lambda: 1000.0)
    runner = runner_of(model)
    for _ in range(2):
        np.testing.assert_allclose(predict_case(runner, case).probabilities, plain, atol=1e-5)
    assert calls == [(8, 8, 8)] * 4
    (said,) = own_messages(caplog)  # once
    assert "in windows of 8×8×8" in said


@pytest.mark.network
def test_where_memory_runs_out_a_case_is_predicted_in_windows_alone(make_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that answers otherwise to windows, and fails at the third of eight mirrored passes over the whole."""
    model = load_model(make_model(flips=(0, 1, 2)))
    calls: list[tuple[int, ...]] = []

    def answer(self: Any, batch: np.ndarray) -> np.ndarray:
        calls.append(batch.shape[1:4])
        if calls == [(8, 12, 8)] * 3:
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return np.full((*batch.shape[:4], 3), 0.25 if calls[-1] == (8, 8, 8) else 0.75, np.float32)

    monkeypatch.setattr(type(model.network), "predict_on_batch", answer)
    notes: list[str] = []
    runner = runner_of(model, notes.append)
    for first in (3, 0):  # passes over the whole of the first case, and of the second
        calls.clear()
        found = predict_case(runner, prepared()).probabilities
        np.testing.assert_allclose(found[:, 2:9, 3:13, 1:8], 0.25, atol=1e-6)
        assert calls == [(8, 12, 8)] * first + [(8, 8, 8)] * 16
    assert notes == ["windows", "windows"]
