"""The checks of one case: planted faults are found and named, sound cases pass, and only what is certain is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from coded_cases import REAL, Images, phantom_case, prepared, real_case
from scipy import ndimage

from brats3d.checks import relations
from brats3d.checks.checked import CHECKS, check_case
from brats3d.checks.coding import coding_features
from brats3d.checks.evidence import Evidence
from brats3d.errors import CaseError, OptionError
from brats3d.geometry import bounding_box
from brats3d.store import PreparedCase

Faulty = tuple[np.ndarray, dict[str, np.ndarray]]


def names_of(case: PreparedCase) -> set[str]:
    """Return the names of all findings, refusals too."""
    return {finding.check for finding in check_case(case, accept=list(CHECKS))}


# planted faults, each (label, images) → the same; `mm` is the voxels' size


def put(images: Images, **changed: np.ndarray) -> dict[str, np.ndarray]:
    return {**images, **changed}


def copied(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return label, put(images, flair=images["t2"])


def copied_and_rescaled(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return label, put(images, t1=np.where(images["t1ce"] > 0, images["t1ce"] * 0.5 + 7, 0).astype(np.float32))


def t1_and_t1ce(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return label, put(images, t1=images["t1ce"], t1ce=images["t1"])


def t2_and_flair(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return label, put(images, t2=images["flair"], flair=images["t2"])


def moved(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return label, put(images, flair=np.roll(images["flair"], round(20 / mm), 1))


def moved_and_masked(label: np.ndarray, images: Images, mm: float) -> Faulty:
    """Moved, and stripped with the others' mask: only what is inside tells."""
    t1 = np.roll(images["t1"], round(20 / mm), 0)
    return label, put(images, t1=np.where(images["t2"] > 0, np.maximum(t1, 1), 0))


def turned(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return label, put(images, t2=ndimage.rotate(images["t2"], 15, axes=(0, 1), reshape=False, order=1))


def skull(label: np.ndarray, images: Images, mm: float) -> Faulty:
    brain = np.logical_or.reduce([image > 0 for image in images.values()])
    gap = ndimage.binary_dilation(brain, iterations=1)
    ring = ndimage.binary_dilation(gap, iterations=max(2, round(6 / mm))) & ~gap
    return label, {m: np.where(ring, 1.6 * np.median(image[image > 0]), image).astype(np.int16) for m, image in images.items()}


def cropped(label: np.ndarray, images: Images, mm: float) -> Faulty:
    kept = slice(label.shape[1] * 3 // 8, None)
    return label[:, kept], {m: image[:, kept] for m, image in images.items()}


def cut_and_padded(label: np.ndarray, images: Images, mm: float) -> Faulty:
    top = label.shape[2] * 9 // 16
    return label, {m: np.where(np.arange(label.shape[2]) < top, image, 0) for m, image in images.items()}


def half_a_modality(label: np.ndarray, images: Images, mm: float) -> Faulty:
    flair = images["flair"].copy()
    flair[label.shape[0] // 2 :] = 0
    return label, put(images, flair=flair)


def scored_inside(label: np.ndarray, images: Images, mm: float) -> Faulty:
    inside = {m: image[image > 0] for m, image in images.items()}
    return label, {
        m: np.where(image > 0, (image - inside[m].mean()) / inside[m].std(), 0).astype(np.float32)
        for m, image in images.items()
    }


def scored_as_a_whole(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return label, {m: ((image - image.mean()) / image.std()).astype(np.float32) for m, image in images.items()}


def to_one(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return label, {m: (image / image.max()).astype(np.float32) for m, image in images.items()}


def label_outside(label: np.ndarray, images: Images, mm: float) -> Faulty:
    return np.roll(label, label.shape[0] * 3 // 8, 0), dict(images)


def mirrored_copy(label: np.ndarray, images: Images, mm: float) -> Faulty:
    """The same values in other places: no correlation tells."""
    return label, put(images, flair=images["t2"][::-1])


FAULTS: dict[Callable[[np.ndarray, Images, float], Faulty], str] = {
    copied: "copied",
    copied_and_rescaled: "copied",
    mirrored_copy: "copied",
    t1_and_t1ce: "swapped",
    t2_and_flair: "swapped",
    moved: "unregistered",
    moved_and_masked: "unregistered",
    turned: "unregistered",
    skull: "bright_rim",
    cropped: "cropped",
    cut_and_padded: "cropped",
    half_a_modality: "partial",
    scored_inside: "normalised",
    to_one: "normalised",
    scored_as_a_whole: "background",
    label_outside: "label_outside",
}


CERTAIN = {"background", "copied", "skull", "label_outside"}
"""What is no suspicion, and so refused."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("seed", [0, 3])
def test_a_fault_planted_in_a_phantom_is_found(fault: Callable[..., Faulty], seed: int) -> None:
    case = prepared(*fault(*phantom_case(seed), 3.0), spacing_mm=(3, 3, 3))
    found = names_of(case)
    beside = {"spacing"} | ({"label_outside", "label_beyond"} if fault is cut_and_padded else set())
    assert FAULTS[fault] in found
    assert found <= {FAULTS[fault]} | beside
    if found & CERTAIN:
        with pytest.raises(CaseError):
            check_case(case)
    else:
        assert {finding.severity for finding in check_case(case)} == {"warn"}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("case", ["BraTS2021_00006", "Brats18_2013_20_1"])
def test_a_fault_planted_in_a_real_case_is_found(real_data: Path, case: str) -> None:
    whole, scans = real_case(real_data / "brats" / case, case)
    near = tuple(slice(max(0, a - 6), b + 6) for a, b in bounding_box(np.logical_or.reduce([i != 0 for i in scans.values()])))
    for fault, check in FAULTS.items():
        if check in ("normalised", "background", "partial"):
            continue  # what is found there has no anatomy: phantoms do
        label, images = fault(whole[near], {m: image[near] for m, image in scans.items()}, 1.0)
        assert check in names_of(prepared(label, images, spacing_mm=(1, 1, 1))), fault.__name__


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("case", REAL)
def test_a_mirrored_modality_of_a_real_case_is_suspected(real_data: Path, case: str) -> None:
    """Where the brain lies in the middle of the volume, only its folds tell; elsewhere its outline tells first."""
    _, images = real_case(real_data / "brats" / case, case)
    for modality in ("t1", "flair"):
        findings = check_case(prepared(None, put(images, **{modality: images[modality][::-1]}), spacing_mm=(1, 1, 1)))
        said = {finding.check: finding.sentence for finding in findings}
        assert said.keys() & {"mirrored", "unregistered"}
        assert "mirrored" not in said or re.search(rf"{modality} may be mirrored: with left and right", said["mirrored"])
    two = {m: images[m] for m in ("t1", "flair")}
    findings = check_case(prepared(None, put(two, t1=two["t1"][::-1]), spacing_mm=(1, 1, 1)))
    assert any(
        "t1 or flair may be mirrored" in f.sentence or "may not be aligned with the other" in f.sentence for f in findings
    )


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("case", REAL)
def test_real_cases_pass(real_data: Path, case: str) -> None:
    label, images = real_case(real_data / "brats" / case, case)
    findings = check_case(prepared(label, images, spacing_mm=(1, 1, 1)))
    assert [finding.check for finding in findings] == (["partial"] if case == "Brats18_2013_20_1" else [])
    if findings:
        assert findings[0].sentence.startswith("case c1: flair covers 66% of the brain")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(80, 80, 52), (32, 32, 24)])
def test_phantoms_pass(seed: int, shape: tuple[int, int, int]) -> None:
    label, images = phantom_case(seed, shape)
    findings = check_case(prepared(label, images))
    assert [finding.check for finding in findings] == ["spacing"]
    assert f"{240 / shape[0]:.4g} × {240 / shape[1]:.4g} × {155 / shape[2]:.4g} mm" in findings[0].sentence


# what a check says, and how it is accepted


def test_refusals_say_what_they_found_and_how_to_take_the_case() -> None:
    label, images = label_outside(*phantom_case(0), 3.0)
    case = prepared(label, put(images, t1ce=images["t1"]), spacing_mm=(3, 3, 3))
    with pytest.raises(CaseError) as caught:
        check_case(case)
    says = str(caught.value)
    assert says.startswith("case c1: t1 and t1ce are the same image (correlation 1.0000)")
    assert "% of the label is where all modalities are 0" in says
    assert says.endswith("--accept copied,label_outside.")
    assert caught.value.exit_code == 3
    with pytest.raises(CaseError, match=r"of the label.*--accept label_outside\.$"):
        check_case(case, ["copied"])
    assert check_case(case, ["label_outside,copied"]) == check_case(case, ["label_outside", "copied"])
    taken = check_case(case, ["label_outside", "copied"])
    assert [(f.check, f.severity) for f in taken][:2] == [("copied", "warn"), ("label_outside", "warn")]


def test_a_copy_in_other_places_is_told_by_its_values() -> None:
    label, images = phantom_case(0)
    for kind in (np.int16, np.float32):  # counts of all values, and quantiles
        typed = {m: image.astype(kind) for m, image in images.items()}
        for copy in (typed["t2"][:, ::-1], np.roll(typed["t2"], 5, 1)):
            with pytest.raises(CaseError, match="t2 and flair have the same values"):
                check_case(prepared(label, put(typed, flair=copy)))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.8])
def test_how_much_of_a_label_lies_outside_decides(share: float) -> None:
    """A part may have been stripped off with the skull; most of it was not."""
    label, images = phantom_case(0)
    tumour, air = np.flatnonzero(label.ravel()), np.flatnonzero(images["t2"].ravel() == 0)
    moved_out = label.copy().ravel()
    gone = tumour[: round(share * len(tumour))]
    moved_out[air[: len(gone)]] = moved_out[gone]
    moved_out[gone] = 0
    case = prepared(moved_out.reshape(label.shape), images, spacing_mm=(3, 3, 3))
    expected = {0.02: set(), 0.2: {"label_beyond"}, 0.8: {"label_outside"}}[share]
    assert names_of(case) & {"label_beyond", "label_outside"} == expected
    if share > 0.5:
        with pytest.raises(CaseError, match="8[0-9]% of the label|79% of the label"):
            check_case(case)


def poor_flair(images: Images) -> dict[str, np.ndarray]:
    """Thick slices and much noise: hardly anything is shared with the others, but nowhere more than here."""
    flair, inside = images["flair"].astype(float), images["flair"] > 0
    noise = np.random.default_rng(0).normal(0, 2 * flair[inside].std(), flair.shape)
    poor = np.maximum(ndimage.uniform_filter1d(flair, 3, axis=2) + noise, 1)
    return put(images, flair=np.where(inside, poor, 0).astype(np.int16))


def no_contrast(images: Images) -> dict[str, np.ndarray]:
    """A t1ce without contrast agent, and a t1 that is twice as bright at one end as in the middle."""
    t1, inside = images["t1"].astype(float), images["t1"] > 0
    noise = np.random.default_rng(1).normal(0, 0.02 * t1.max(), t1.shape)
    uneven = t1 * (1 - 0.6 * np.linspace(-1, 1, t1.shape[2]))
    new = {"t1": uneven, "t1ce": t1 + noise}
    return put(images, **{m: np.where(inside, np.maximum(image, 1), 0).astype(np.int16) for m, image in new.items()})


@pytest.mark.parametrize(("seed", "worse"), [(7, poor_flair), (1, no_contrast)])
def test_sound_scans_of_poor_quality_are_not_doubted(seed: int, worse: Callable[[Images], dict[str, np.ndarray]]) -> None:
    label, images = phantom_case(seed)
    assert names_of(prepared(label, worse(images), spacing_mm=(3, 3, 3))) == {"spacing"}


def test_the_reason_of_a_suspected_swap() -> None:
    label, images = t2_and_flair(*phantom_case(0), 3.0)
    (finding,) = (f for f in check_case(prepared(label, images)) if f.check == "swapped")
    assert finding.severity == "warn"
    assert finding.sentence.startswith("case c1: t2 and flair may be swapped: if exchanged, fluid, dark in t1, is bright in t2")
    label, images = t1_and_t1ce(*phantom_case(0), 3.0)
    (finding,) = (f for f in check_case(prepared(label, images)) if f.check == "swapped")
    assert "t1 and t1ce may be swapped: if exchanged, vessels and tumour take up contrast agent in t1ce" in finding.sentence


def test_a_mirrored_label_is_suspected() -> None:
    label, images = phantom_case(0)
    (finding,) = (f for f in check_case(prepared(label[::-1], images)) if f.check == "misplaced")
    assert "with left and right exchanged it is +" in finding.sentence


def test_an_unknown_check_cannot_be_accepted() -> None:
    with pytest.raises(OptionError, match=r"accept is 'skul' \(did you mean 'skull'\?\)"):
        check_case(prepared(*phantom_case(0)), ["skul"])


def test_a_head_in_noise_is_not_stripped() -> None:
    label, images = phantom_case(0)
    rng = np.random.default_rng(0)
    noisy = {m: np.maximum(image, rng.integers(1, 30, image.shape)).astype(np.int16) for m, image in images.items()}
    with pytest.raises(CaseError, match=r"8986 ml are not 0, .*2300 ml"):
        check_case(prepared(label, noisy, corpus="BraTS 2023 GLI", spacing_mm=(3, 3, 3)))
    found = check_case(prepared(label, noisy, corpus="BraTS 2024 MEN-RT", spacing_mm=(3, 3, 3), label_set="GTV"))
    assert ("skull", "warn") in [(f.check, f.severity) for f in found], "a corpus that keeps the skull"


@pytest.mark.parametrize(
    ("corpus", "label_set", "said"),
    [
        ("BraTS 2023 GLI", "L17", r"has \[4\], which BraTS 2023 GLI labels \(L23\) do not have; it is read as L17"),
        ("BraTS 2021", "L17", None),
        ("plain", "L17", None),
        ("a corpus that nobody knows", "L17", None),
    ],
)
def test_a_value_that_contradicts_the_year(corpus: str, label_set: str, said: str | None) -> None:
    findings = [f for f in check_case(prepared(*phantom_case(0), corpus=corpus, label_set=label_set)) if f.check == "year"]
    assert len(findings) == (said is not None)
    if said:
        assert re.search(said, findings[0].sentence)


# what is not there, or too little


@pytest.mark.parametrize("modalities", [("flair",), ("t1", "flair"), ("t1ce", "t2", "flair")])
def test_fewer_modalities_and_no_label(modalities: tuple[str, ...]) -> None:
    label, images = phantom_case(0)
    fewer = {m: images[m] for m in modalities}
    assert names_of(prepared(label, fewer)) == {"spacing"}
    assert names_of(prepared(None, fewer)) == {"spacing"}
    if len(modalities) > 1:
        moved_one = prepared(None, put(fewer, flair=np.roll(fewer["flair"], 7, 1)), spacing_mm=(3, 3, 3))
        (finding,) = (f for f in check_case(moved_one) if f.check == "unregistered")
        assert re.search(f"({modalities[0]}|flair) may not be aligned with the other.* moved by 2[01] mm", finding.sentence)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_arrays_too_small_for_a_brain_are_not_judged(make_prepared: Callable[..., PreparedCase], kind: type) -> None:
    assert check_case(make_prepared(kind=kind)) == ()
    assert check_case(make_prepared(labelled=False)) == ()


@pytest.mark.parametrize("shape", [(300, 299, 1), (1, 2, 3), (700, 2, 90)])
def test_flat_arrays_are_looked_at_without_complaint(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    images = {m: rng.integers(1, 900, shape).astype(np.int16) for m in ("t1", "t2", "flair")}
    label = (rng.random(shape) < 0.1).astype(np.uint8)
    assert check_case(prepared(label, images, spacing_mm=(1, 1, 1))) == ()
    assert set(coding_features(label, images)) <= {1}


# the numbers, by another route


def random_classes(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, relations.GREYS + 1, (6, 7, 8)).astype(np.uint16)


def test_mutual_information_is_the_difference_of_entropies() -> None:
    rng = np.random.default_rng(0)
    first = random_classes(rng)
    second = np.where(rng.random(first.shape) < 0.6, first, random_classes(rng)).astype(np.uint16)

    def entropy(*images: np.ndarray) -> float:
        inside = (first > 0) & (second > 0)
        _, counts = np.unique(np.stack([image[inside] for image in images]), axis=1, return_counts=True)
        shares = counts / counts.sum()
        return float(-(shares * np.log2(shares)).sum())

    expected = entropy(first) + entropy(second) - entropy(first, second)
    assert relations.mutual_information(first, second) == pytest.approx(expected)
    assert relations.mutual_information(first, np.zeros_like(first)) == 0


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        (lambda image: ndimage.shift(image, (0, 6, -2), order=0), "moved by 19 mm"),
        (lambda image: ndimage.rotate(image, 12, axes=(0, 2), reshape=False, order=0), "rotated by 12°"),
        (lambda image: image[:, ::-1], "with front and back exchanged"),
        (lambda image: np.roll(image[:, :, ::-1], 3, 2), "with top and bottom exchanged"),
    ],
)
def test_where_a_modality_fits_best_is_where_it_came_from(planted: Callable[..., np.ndarray], expected: str) -> None:
    label, images = phantom_case(1)
    seen = Evidence(prepared(label, put(images, t2=planted(images["t2"])), spacing_mm=(3, 3, 3)))
    assert list(seen.misfits) == ["t2"]
    fit, _ = seen.misfits["t2"]
    assert fit.gain > 2
    assert expected in fit.words()
    assert fit.moved_mm < 21


def test_a_move_is_along_one_axis_by_one_point() -> None:
    rng = np.random.default_rng(1)
    first = random_classes(rng)
    for axis in range(3):
        for step in (1, -1):
            still, moved_by = relations.displaced_information(first, np.roll(first, step, axis))
            window = np.delete(first, 0 if step == 1 else -1, axis)
            assert moved_by == pytest.approx(relations.mutual_information(window, window), abs=0.25)
            assert moved_by > 1.5 * still


@pytest.mark.parametrize("filled", [0.9, 0.4])
def test_the_rim_is_what_erosion_takes(filled: float) -> None:
    mask = np.random.default_rng(0).random((9, 8, 7)) < filled
    np.testing.assert_array_equal(relations.rim(mask), mask & ~ndimage.binary_erosion(mask))


def test_containment_and_ends() -> None:
    first, second = np.zeros((2, 10, 9, 8), bool)
    first[2:8, 2:7, 2:6], second[5:8, 2:7, 2:6] = True, True
    assert relations.containment(first, second) == relations.containment(second, first) == 1
    second[8] = second[7]
    assert relations.containment(first, second) == pytest.approx(0.75)
    assert relations.containment(first, np.zeros_like(first)) == 1
    wedge = np.zeros((10, 9, 8), bool)
    for x in range(2, 7):
        wedge[x, : x - 1, 1:5] = True
    np.testing.assert_allclose(relations.end_areas(wedge)[0], [0.2, 1])
    assert not relations.end_areas(np.zeros((3, 3, 3), bool)).any()


def test_correlation_is_numpys() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 6, 7, 8)).astype(np.float32)
    both = (first != 0) & (second != 0)
    assert relations.correlation(first, second) == pytest.approx(np.corrcoef(first[both], second[both])[0, 1])
    assert np.isnan(relations.correlation(first, np.zeros_like(first)))
    assert np.isnan(relations.correlation(first, np.ones_like(first)))


def test_every_check_is_planted_somewhere() -> None:
    assert set(FAULTS.values()) | {"misplaced", "spacing", "year", "mirrored", "skull", "label_beyond"} == set(CHECKS)
    assert {name for name, check in CHECKS.items() if check.severity == "refuse"} == CERTAIN
    for check in CHECKS.values():
        assert check.severity in ("refuse", "warn")
        assert check.meaning[0].islower()
