"""The audit finds one patient under two names, whatever was done to the scans, and raises no other alarm."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from brats3d.cases import Facts, Fold, Split, find_cases
from brats3d.console import run
from brats3d.errors import OptionError
from brats3d.geometry import Grid
from brats3d.preprocess import prepare_case
from brats3d.store import (
    CaseHeader,
    PreparedCase,
    audit_split,
    find_duplicates,
    pack_store,
    summarise,
    write_case,
)
from brats3d.store.__main__ import main

MODALITIES = ("t1", "t1ce", "t2", "flair")
Change = Callable[[np.ndarray], np.ndarray]


def prepared(case: str, images: np.ndarray, *, patient: str | None = None, spacing_mm: float = 4.0) -> PreparedCase:
    header = CaseHeader(case, Facts(patient or case), MODALITIES[: len(images)])
    x, y, z = images.shape[1:]
    grid = Grid((x, y, z), np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0]))
    return summarise(header, np.ascontiguousarray(images), None, grid, grid)


def head(seed: int) -> np.ndarray:
    """Return (4, 52, 58, 46) int16: smooth random tissue in an ellipsoid of 160 × 184 × 144 mm, voxels of 4 mm."""
    rng = np.random.default_rng(seed)
    shape = (52, 58, 46)
    x, y, z = (np.linspace(-1, 1, n)[tuple(slice(None) if a == i else None for a in range(3))] for i, n in enumerate(shape))
    inside = (x / 0.77) ** 2 + (y / 0.79) ** 2 + (z / 0.78) ** 2 < 1
    tissue = [stats.zscore(ndimage.gaussian_filter(rng.normal(size=shape), 2.5), axis=None) for _ in range(4)]
    # patients differ in the shape of their histograms too
    shaped = [400 * np.exp(rng.uniform(0.2, 0.6) * t) + rng.uniform(0, 90) * t**2 for t in tissue]
    return np.stack([np.where(inside, 1 + np.clip(t, 0, 9000), 0) for t in shaped]).astype(np.int16)


def background(images: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change the intensities of the brain, and leave the background 0."""
    return np.where(images != 0, change(images.astype(np.float64)), 0)


CHANGES: dict[str, Change] = {
    "renamed": lambda images: images,
    "shifted": lambda images: np.pad(images, [(0, 0), (7, 0), (0, 5), (3, 1)]),
    "rescaled": lambda images: background(images, lambda v: np.round(35 + 0.4 * v)).astype(np.int16),
    "bent": lambda images: background(images, lambda v: 5 * (v / v.max()) ** 0.6).astype(np.float32),
    "cropped to the brain": lambda images: images[:, 5:-5, 6:-6, 4:-4],
    "mirrored": lambda images: images[:, ::-1],
    "cut": lambda images: images[:, 21:, :, :-9],
    "shifted, rescaled and cut": lambda images: background(
        np.pad(images, [(0, 0), (3, 0), (0, 0), (0, 9)])[:, :, 22:], lambda v: np.round(9 + v / 2)
    ).astype(np.int16),
}
WHOLE = ("renamed", "shifted", "rescaled", "cropped to the brain", "mirrored")
"""What leaves the histogram's shape as it was."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head for each change and one more, and beside each its changed copy."""
    folder = tmp_path_factory.mktemp("heads") / "store"
    folder.mkdir()
    write_case(folder, prepared("lonely", head(99)))
    for seed, (name, change) in enumerate(CHANGES.items()):
        write_case(folder, prepared(f"patient {seed}", head(seed)))
        write_case(folder, prepared(name, change(head(seed))))
    return folder


def pairs_of(names: tuple[str, ...]) -> set[frozenset[str]]:
    return {frozenset((f"patient {tuple(CHANGES).index(name)}", name)) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("thorough", [True, False])
def test_copies_are_found_and_nothing_else(store: Path, thorough: bool) -> None:
    told: list[str] = []
    found = find_duplicates(store, thorough=thorough, progress=lambda what, *_: told.append(what))
    pairs = {frozenset((p.case_a, p.case_b)) for p in found.pairs}
    assert pairs_of(tuple(CHANGES) if thorough else WHOLE) <= pairs <= pairs_of(tuple(CHANGES))
    assert found.refused == {}
    assert [p.case_b for p in found.pairs if p.mirrored] == ["patient 5"]
    for pair in found.pairs:
        assert pair.case_a < pair.case_b
        assert pair.correlation > (0.99 if {pair.case_a, pair.case_b} & set(WHOLE[:4]) else 0.8)
    assert set(told) == {"comparing pairs"} | ({"reading volumes"} if thorough else set())
    assert find_duplicates(store, cases=["lonely", "renamed", "patient 1"], thorough=thorough).pairs == ()


@pytest.mark.slow
def test_all_leaks_are_found_whatever_was_done(store: Path, tmp_path: Path) -> None:
    train = ("lonely", *(f"patient {n}" for n in range(len(CHANGES))))
    report = audit_split(store, Split(0, (Fold(tuple(CHANGES)[:4], tuple(CHANGES)[4:], train),)))
    assert {frozenset((leak.case_a, leak.case_b)) for leak in report.leaks} == pairs_of(tuple(CHANGES))
    assert (report.duplicates, report.damaged, report.cases) == ((), {}, 17)
    for leak in report.leaks:
        parts = {leak.case_a: leak.part_a, leak.case_b: leak.part_b}
        for case, part in parts.items():
            assert part == ("train" if case in train else "test" if case in tuple(CHANGES)[:4] else "validation")
    told = report.refused["patient 0 and renamed"]
    assert told == (
        "patient 0 (train) and renamed (test) are the same patient in two parts of fold 0: the volumes are the same scans"
        " (correlation 1.00); leave one out, or put both into one part."
    )
    assert "mirrored (correlation" in report.refused["mirrored and patient 5"]


def test_the_same_scans_in_one_part_are_no_leak(store: Path) -> None:
    folds = (
        Fold(("renamed", "patient 0"), ("lonely",), ("shifted", "patient 1")),
        Fold(("shifted", "lonely"), ("renamed", "patient 0"), ("patient 1",)),
    )
    report = audit_split(store, Split(0, folds))
    assert [(p.case_a, p.case_b) for p in report.duplicates] == [("patient 0", "renamed")]
    assert [(leak.case_a, leak.case_b, leak.part_a, leak.part_b, leak.folds) for leak in report.leaks] == [
        ("patient 1", "shifted", "train", "test", (1,))
    ]


def test_the_runs_own_fold_is_told_first(store: Path) -> None:
    folds = (
        Fold(("renamed",), ("lonely",), ("patient 0",)),
        Fold(("lonely",), ("shifted",), ("patient 0", "renamed")),
        Fold(("lonely",), ("renamed",), ("patient 0",)),
    )
    (leak,) = audit_split(store, Split(0, folds, 2)).leaks
    assert (leak.folds, leak.part_a, leak.part_b) == ((2, 0), "train", "validation")
    assert "in two parts of folds 2, 0: " in leak.sentence()


def test_one_patient_by_name_is_a_leak_though_the_scans_differ(tmp_path: Path) -> None:
    for number, patient in enumerate(("P1", "P1", "P2")):
        write_case(tmp_path, prepared(f"c{number}", head(number), patient=patient))
    report = audit_split(tmp_path, Split(0, (Fold(("c0",), ("c2",), ("c1",)),)))
    (leak,) = report.leaks
    assert (leak.case_a, leak.case_b, leak.why) == ("c0", "c1", "both are patient P1 by name")
    write_case(tmp_path, prepared("c1", head(0), patient="P1"))
    (leak,) = audit_split(tmp_path, Split(0, (Fold(("c0",), ("c2",), ("c1",)),))).leaks
    assert leak.why == "both are patient P1 by name, and the volumes are the same scans (correlation 1.00)"
    assert audit_split(tmp_path, Split(0, (Fold(("c0", "c1"), ("c2",), ()),))).leaks == ()


@pytest.mark.parametrize("thorough", [True, False])
def test_modalities_that_both_have_decide(tmp_path: Path, thorough: bool) -> None:
    write_case(tmp_path, prepared("whole", head(0)))
    write_case(tmp_path, prepared("two of four", head(0)[:2]))
    flair = prepared("flair", head(0)[3:])
    write_case(
        tmp_path,
        replace(flair, header=replace(flair.header, modalities=("flair",)), histograms={"flair": flair.histograms["t1"]}),
    )
    found = find_duplicates(tmp_path, thorough=thorough).pairs
    assert [(p.case_a, p.case_b) for p in found] == [("flair", "whole"), ("two of four", "whole")]


@pytest.mark.parametrize("thorough", [True, False])
def test_a_damaged_case_is_named_and_the_others_are_compared(tmp_path: Path, thorough: bool) -> None:
    for name in ("a", "b"):
        write_case(tmp_path, prepared(name, head(0)))
    (tmp_path / "c.h5").write_text("damaged")
    found = find_duplicates(tmp_path, thorough=thorough)
    assert [(p.case_a, p.case_b) for p in found.pairs] == [("a", "b")]
    assert list(found.refused) == ["c"]
    assert "c.h5: the case file is damaged" in found.refused["c"]


@pytest.mark.slow
def test_the_command_ends_with_3_where_there_is_a_leak(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = tmp_path / "split.json"
    Split(0, (Fold(("renamed",), ("cut",), ("patient 0", "patient 6", "lonely", "shifted")),)).save(split)
    packed = tmp_path / "all.h5"
    pack_store(store, packed)
    assert run(main, [str(packed), "--audit", str(split), "--quiet", "--workers", "1"]) == 3
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == f"6 cases of {split}: 2 leaks, 0 duplicates in one part, 0 damaged"
    assert shown.out.splitlines()[2].split("  ")[0] == "cut"
    assert [line.partition(":")[0] for line in shown.err.splitlines()] == [
        "refused cut and patient 6",
        "refused patient 0 and renamed",
    ]
    Split(0, (Fold(("renamed", "patient 0"), ("cut",), ("lonely", "shifted")),)).save(split)
    assert run(main, [str(store), "--audit", str(split), "--quiet", "--json", "--workers", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(audit_split(store, split).as_dict()))
    assert told["duplicates"] == [{"case_a": "patient 0", "case_b": "renamed", "correlation": 1.0, "mirrored": False}]


def test_copies_are_listed_without_a_split(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ids.txt").write_text("patient 0\nrenamed\nlonely\n")
    options = ["--duplicates", "--quiet", "--workers", "1", "--cases", str(tmp_path / "ids.txt")]
    assert run(main, [str(store), *options]) == 0
    *_, pair, total = capsys.readouterr().out.splitlines()
    assert pair.split("  ")[:1] == ["patient 0"]
    assert "the volumes are the same scans (correlation 1.00)" in pair
    assert total == "1 pairs of cases show the same scans, 0 damaged"


def test_a_split_that_names_other_cases_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="1 of the 3 .*cases .* 17 of the store .*: renamed twice"):
        audit_split(store, Split(0, (Fold(("renamed twice",), ("cut",), ("lonely",)),)))
    with pytest.raises(OptionError, match="no such file; expected a split"):
        audit_split(store, tmp_path / "split.json")


REAL: dict[str, Change] = {
    "renamed": lambda images: images,
    "shifted": lambda images: np.roll(images, (7, -9, 4), (1, 2, 3)),
    "rescaled": lambda images: background(images, lambda v: np.round(37 + 0.31 * v)).astype(np.int16),
    "cropped": lambda images: images[:, 60:200, 40:180, 20:125],
    "all of it": lambda images: background(np.roll(images, (5, 3, -6), (1, 2, 3)), lambda v: 10 + v**0.7).astype(np.float32)[
        :, 95:, 30:, 25:
    ],
}


@pytest.mark.real
@pytest.mark.slow
def test_real_cases_and_planted_leaks(real_data: Path, tmp_path: Path) -> None:
    cases = find_cases(real_data / "brats")
    planted = {}
    for case, name in zip(cases, [*REAL, *[""] * 7], strict=True):
        made = prepare_case(replace(case, label=None))
        write_case(tmp_path, made)
        if name:
            planted[name] = case.id
            write_case(tmp_path, prepared(name, REAL[name](made.images), spacing_mm=1.0))
    report = audit_split(tmp_path, Split(0, (Fold(tuple(REAL), (), tuple(case.id for case in cases)),)))
    assert {frozenset((leak.case_a, leak.case_b)) for leak in report.leaks} == {frozenset(p) for p in planted.items()}
    assert (report.duplicates, report.damaged, report.cases) == ((), {}, 17)
    whole = {frozenset((planted[name], name)) for name in ("renamed", "shifted", "rescaled")}
    quick = {frozenset((pair.case_a, pair.case_b)) for pair in find_duplicates(tmp_path).pairs}
    assert whole <= quick <= {frozenset(p) for p in planted.items()}
