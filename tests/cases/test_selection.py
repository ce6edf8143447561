"""What ``cases`` takes: ids, a file of them, or a part of a split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brats3d.cases import Split, make_split, match_ids, read_case_ids, select_ids
from brats3d.errors import OptionError


@pytest.fixture
def split(tmp_path: Path) -> Split:
    made = make_split([(f"c{i}", f"c{i}", None) for i in range(11)], folds=3)
    made.save(tmp_path / "all.json")
    replace(made, fold=1).save(tmp_path / "split.json")
    return made


def test_a_file_of_ids(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbfc2\r\n\r\n# not c9\r\n  c1 \r\nc2\r\n")
    assert read_case_ids(str(tmp_path / "ids.txt")) == ["c2", "c1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_file_of_ids_as_windows_writes_it(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "ids.txt").write_bytes("c2\r\nMüller_1\r\n".encode(encoding))
    assert read_case_ids(str(tmp_path / "ids.txt")) == ["c2", "Müller_1"]


def test_ids_themselves() -> None:
    for ids in (["c2", "c1", "c2"], ("c2", "c1"), dict.fromkeys(["c2", "c1"]), np.array(["c2", "c1"])):
        assert read_case_ids(ids) == ["c2", "c1"]
    for wrong in ([], (), ["c1", 2], [Path("c1")], 7, None, b"c1"):
        with pytest.raises(OptionError, match="cases is ") as caught:
            read_case_ids(wrong)
        assert repr(wrong) in str(caught.value)
    with pytest.raises(OptionError, match=r"Brats18_x: cannot be read .*cases=\['Brats18_x'\]"):
        read_case_ids("Brats18_x")


@pytest.mark.parametrize("part", ["test", "validation", "train"])
def test_a_part_of_the_runs_own_fold(tmp_path: Path, split: Split, part: str) -> None:
    assert read_case_ids(f"{tmp_path}/split.json:{part}") == list(getattr(split.folds[1], part))
    assert read_case_ids(f"{tmp_path}/split.json:{part}", fold=0) == list(getattr(split.folds[0], part))
    assert read_case_ids(f"{tmp_path}/all.json:{part}", fold=2) == list(getattr(split.folds[2], part))


@pytest.mark.parametrize(
    ("text", "fold", "says"),
    [
        ("all.json:test", None, "does not record which of its 3 folds"),
        ("split.json:tset", None, r"'tset' \(did you mean 'test'\?\); expected one of: test, validation, train"),
        ("split.json", None, "split without a part; .*split.json:test"),
        ("split.json:test", 3, "fold is 3; expected a whole number from 0 to 2"),
        ("gone.json:test", None, "gone.json:test: cannot be read"),
        ("gone.txt", None, "gone.txt: cannot be read .*RUN/split.json:test"),
        ("empty.txt", None, "holds no case id"),
        ("picture.txt", None, "cannot be read .*UTF-8 or UTF-16"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, split: Split, text: str, fold: int | None, says: str) -> None:
    (tmp_path / "empty.txt").write_text("\n# nobody\n")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\xff")
    with pytest.raises(OptionError, match=says):
        read_case_ids(f"{tmp_path}/{text}", fold)


def test_select_ids_keeps_the_order_asked_for() -> None:
    assert select_ids(["b", "a"], iter(["a", "b", "c"]), "store X") == ["b", "a"]
    assert select_ids([], [], "store X") == []


def test_select_ids_names_what_is_not_there() -> None:
    with pytest.raises(
        OptionError, match=r"2 of the 3 .*cases .* among the 2 of store X: Brats1, zz \(did you mean 'Brats18'\?\)"
    ):
        select_ids(["a", "Brats1", "zz"], ["a", "Brats18"], "store X")


@pytest.mark.parametrize(
    ("wanted", "available", "matched"),
    [
        (["a", "b"], ["b", "a", "c"], {"a": "a", "b": "b"}),
        (["A1", "b"], ["a1", "B"], {"A1": "a1", "b": "B"}),
        (["a", "A"], ["A"], {"A": "A"}),  # a may be somebody else
        (["a"], ["A", "a"], {"a": "a"}),
        (["aA"], ["AA", "aa"], {}),  # which one?
        (["aA", "Aa"], ["AA"], {}),
        (["aA", "AA"], ["AA", "aa"], {"AA": "AA", "aA": "aa"}),
        (["straße"], ["STRASSE"], {"straße": "STRASSE"}),
    ],
)
def test_ids_are_matched_without_regard_to_the_case_of_letters(wanted: list, available: list, matched: dict) -> None:
    assert match_ids(wanted, available) == matched


def test_select_ids_spells_them_as_they_are_there_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    assert select_ids(["BRATS_2", "brats_1", "x"], ["Brats_1", "Brats_2", "x"], "store X") == ["Brats_2", "Brats_1", "x"]
    assert caplog.text.count("Brats_2 for BRATS_2, Brats_1 for brats_1") == 1
    with pytest.raises(OptionError, match="1 of the 2 .*cases .* 1 of store X: a"):
        select_ids(["a", "A"], ["A"], "store X")
