"""Splits: a partition by patient, seeded, the same share of each grade in every part."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from brats3d.cases import Case, Facts, Split, find_cases, load_split, make_split, patient_of
from brats3d.errors import OptionError

Row = tuple[str, str, str | None]


def cohort(hgg: int, lgg: int, unknown: int = 0) -> list[Row]:
    grades = ["HGG"] * hgg + ["LGG"] * lgg + [None] * unknown
    return [(f"Brats18_TCIA01_{100 + i}_1", f"TCIA_{100 + i}", grade) for i, grade in enumerate(grades)]


def parts(split: Split, fold: int) -> list[set[str]]:
    chosen = split.folds[fold]
    return [set(chosen.test), set(chosen.validation), set(chosen.train)]


@pytest.mark.parametrize(
    ("hgg", "lgg", "unknown", "folds"), [(210, 75, 0, 5), (6, 2, 4, 5), (3, 0, 0, 3), (9, 8, 7, 4), (0, 0, 11, 10)]
)
def test_every_fold_is_a_partition_and_the_tests_cover_all(hgg: int, lgg: int, unknown: int, folds: int) -> None:
    rows = cohort(hgg, lgg, unknown)
    split = make_split(rows, folds=folds, seed=3)
    everyone = {row[0] for row in rows}
    assert len(split.folds) == folds
    for k in range(folds):
        test, validation, train = parts(split, k)
        assert test
        assert validation
        assert train
        assert len(test) + len(validation) + len(train) == len(everyone)
        assert test | validation | train == everyone
        assert len(validation) == max(1, (len(everyone) - len(test)) // 8)
    tested = Counter(case for fold in split.folds for case in fold.test)
    assert tested == Counter(everyone)
    sizes = [len(fold.test) for fold in split.folds]
    assert max(sizes) - min(sizes) <= 1


def test_time_points_and_renamed_copies_stay_together() -> None:
    names = [f"Brats17_CBICA_A{c}_1" for c in "ABCDEFGH"] + [f"Brats18_CBICA_A{c}_1" for c in "ABCD"]
    names += [f"BraTS2021_{n:05}" for n in range(6)] + [f"BraTS-GLI-{n:05}-00{t}" for n in range(3, 9) for t in (0, 1)]
    rows = [(name, patient_of(name)[0], None) for name in names]
    split = make_split(rows, seed=1)
    for k in range(5):
        people = [{patient_of(case)[0] for case in part} for part in parts(split, k)]
        assert not people[0] & people[1]
        assert not people[0] & people[2]
        assert not people[1] & people[2]


def test_grades_are_spread_over_the_parts() -> None:
    rows = cohort(210, 75)
    grade = {row[0]: row[2] for row in rows}
    split = make_split(rows, seed=7)
    for fold in split.folds:
        tested, validating = (Counter(grade[c] for c in part) for part in (fold.test, fold.validation))
        assert tested == {"HGG": 42, "LGG": 15}
        assert sum(validating.values()) == 28
        assert validating["LGG"] in (7, 8), "75 of 285 in 28 are 7.4"


def test_a_patient_of_two_grades_is_still_one_patient() -> None:
    rows: list[Row] = [(f"c{i}{t}", f"p{i}", g) for i in range(6) for t, g in (("a", "LGG"), ("b", "HGG"))]
    split = make_split(rows, folds=3)
    for k in range(3):
        assert all(len({case[:2] for case in part}) * 2 == len(part) for part in parts(split, k))


def test_the_order_of_the_cases_does_not_matter() -> None:
    rows = cohort(9, 4, 3)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert make_split(shuffled, seed=5) == make_split(rows, seed=5)
    assert make_split(iter(rows), seed=5) == make_split(rows, seed=5)


def test_the_seed_decides() -> None:
    rows = cohort(20, 10)
    assert make_split(rows, seed=0) == make_split(rows, seed=0)
    assert len({make_split(rows, seed=s).folds for s in range(5)}) == 5


def test_the_validation_changes_with_the_fold() -> None:
    """With 12 cases a fold validates on one: not always on the same."""
    split = make_split(cohort(8, 4))
    assert len({fold.validation for fold in split.folds}) >= 3


def test_cases_are_taken_as_found() -> None:
    cases = [Case(i, Facts(p, None, "BraTS 2018", g), {}, None, ("L17",)) for i, p, g in cohort(6, 4)]
    assert make_split(cases) == make_split(cohort(6, 4))


@pytest.mark.parametrize(
    ("rows", "folds", "says"),
    [
        ([], 5, "found 0 patients; a split needs at least 3"),
        (cohort(2, 0), 2, "found 2 patients"),
        (cohort(4, 0), 5, "found 4 patients for 5 folds; use at most 4 folds"),
        (cohort(3, 0), 2, "2 folds of 3 patients .*; use 3 folds"),
        (cohort(9, 0), 1, "folds is 1; expected a whole number from 2"),
        ([("a1", "a", None), ("a2", "a", None), ("a3", "a", None)], 3, "found 1 patients"),
        ([*cohort(5, 0), *cohort(1, 0)], 5, "case Brats18_TCIA01_100_1 occurs 2 times"),
    ],
)
def test_too_few_is_refused(rows: list[Row], folds: int, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        make_split(rows, folds=folds)


def test_cases_that_stand_for_themselves_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "brats3d"):
        make_split([("a", "a", None), ("b", "b", None), ("p_1", "p", None), ("p_2", "p", None)], folds=3)
    assert [message.partition(" have ")[0] for message in caplog.messages] == ["2 of 4 cases"]


def test_written_is_read(tmp_path: Path) -> None:
    made = make_split(cohort(6, 3), seed=11)
    chosen = Split(made.seed, made.folds, fold=2)
    for split in (made, chosen):
        split.save(tmp_path / "split.json")
        assert load_split(str(tmp_path / "split.json")) == split
    content = json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))
    assert list(content) == ["schema", "seed", "fold", "folds"]
    assert (content["schema"], content["seed"], content["fold"]) == (1, 11, 2)
    assert [list(fold) for fold in content["folds"]] == [["test", "validation", "train"]] * 5
    assert list(content["folds"][0]["test"]) == list(made.folds[0].test)
    assert [p.name for p in tmp_path.iterdir()] == ["split.json"]


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "split.json"
    old = make_split(cohort(6, 3))
    old.save(path)

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        make_split(cohort(6, 3), seed=1).save(path)
    assert load_split(path) == old
    assert [p.name for p in tmp_path.iterdir()] == ["split.json"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no such file; expected a split"),
        ("not json", "cannot be read as JSON"),
        ("[1, 2]", "is not a split"),
        ('{"schema": 2, "folds": []}', "schema 2; this version reads schema 1"),
        ('{"schema": 1, "seed": 0, "fold": null, "folds": [{"test": ["a"]}]}', "incomplete .*validation"),
        ('{"schema": 1, "fold": null, "folds": []}', "incomplete .*seed"),
        ('{"schema": 1, "seed": 0, "fold": 3, "folds": []}', "fold is 3"),
        ('{"schema": 1, "sed": 0, "fold": null, "folds": []}', "unknown key 'sed' .*did you mean 'seed'"),
    ],
)
def test_what_is_no_split_is_refused(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "s.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(OptionError, match=says):
        load_split(path)


@pytest.mark.real
def test_the_real_cases(real_data: Path) -> None:
    cases = find_cases(real_data / "brats")
    split = make_split(cases, seed=0)
    assert sorted(c for fold in split.folds for c in fold.test) == [c.id for c in cases]
    assert {len(fold.test) for fold in split.folds} <= {2, 3}
    assert {len(fold.validation) for fold in split.folds} == {1}
