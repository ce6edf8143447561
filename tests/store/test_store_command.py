"""``python -m brats3d.store``: lists what is whole, names what is damaged."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brats3d.console import run
from brats3d.errors import OptionError
from brats3d.store import PreparedCase, describe_store, write_case
from brats3d.store.__main__ import main


@pytest.fixture
def store(tmp_path: Path, make_prepared: Callable[..., PreparedCase]) -> Path:
    """Three cases: one labelled, one not, one damaged in a chunk that listing does not read."""
    folder = tmp_path / "store"
    folder.mkdir()
    write_case(folder, make_prepared("c1", spacing_mm=2.0))
    write_case(folder, make_prepared("c2", labelled=False, kind=np.float32))
    path = write_case(folder, make_prepared("c3"))
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 64):
        content[place] ^= 0xFF
    path.write_bytes(content)
    return folder


def test_it_lists_the_cases(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, [str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [c.strip() for c in lines[0].split("  ") if c.strip()] == [
        "case", "corpus", "grade", "shape", "label set", "label values: ml", "MB"]  # fmt: skip
    # blocks of 11³, 7³ and 3³ voxels, one in another, of 8 mm³ each
    cells = [c.strip() for c in lines[2].split("  ") if c.strip()]
    assert cells[:-1] == [
        "c1",
        "plain",
        "-",
        "40×37×35",
        "L17",
        f"1:{8 * 316 / 1000:g} 2:{8 * 988 / 1000:g} 4:{8 * 27 / 1000:g}",
    ]
    assert lines[3].split()[:5] == ["c2", "plain", "-", "40×37×35", "-"]
    assert lines[-1] == "3 cases, 0 damaged"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_verify_names_the_damaged_among_the_good(store: Path, capsys: pytest.CaptureFixture[str], workers: str) -> None:
    assert run(main, [str(store), "--verify", "--workers", workers]) == 3
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == "2 cases, 1 damaged"
    (refusal,) = [line for line in shown.err.splitlines() if line.startswith("refused")]
    assert refusal.startswith(f"refused c3: {store}/c3.h5: the case file is damaged (")
    assert refusal.endswith("; delete it and run brats3d.preprocess again.")


def test_the_json_is_the_functions_result(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, [str(store), "--json", "--quiet", "--verify"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert shown == describe_store(store, verify=True).as_dict()
    assert list(shown["cases"]) == ["c1", "c2"]
    row = shown["cases"]["c1"]
    assert row.pop("warnings") == []
    assert row.pop("megabytes") == pytest.approx((store / "c1.h5").stat().st_size / 1e6, abs=0.01)
    assert row == {
        "patient": "c1", "timepoint": None, "corpus": "plain", "grade": None, "age": None, "survival_days": None,
        "resection": None, "site": None, "label_set": "L17", "modalities": ["t1", "t1ce", "t2", "flair"],
        "shape": [40, 37, 35], "type": "int16", "label_ml": {"1": 2.528, "2": 7.904, "4": 0.216},
    }  # fmt: skip
    assert shown["cases"]["c2"]["label_ml"] == {}


def test_files_that_are_no_cases_are_refused_one_by_one(store: Path) -> None:
    (store / "c0.h5").write_text("case,dice\n" * 99)
    (store / "c1.h5").rename(store / "c9.h5")
    told: list[tuple[str, int, int]] = []
    found = describe_store(store, progress=lambda *step: told.append(step))
    assert list(found.cases) == ["c2", "c3"]
    assert list(found.refused) == ["c0", "c9"]
    assert "c0.h5: the case file is damaged" in found.refused["c0"]
    assert "contains case 'c1'; expected the case in its name" in found.refused["c9"]
    assert told == [("reading the store", n, 4) for n in (1, 2, 3, 4)]


def test_a_store_of_damaged_files_only_is_still_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c0.h5").touch()
    assert run(main, [str(tmp_path)]) == 3
    assert "0 cases, 1 damaged" in capsys.readouterr().out


@pytest.mark.parametrize(("folder", "says"), [("gone", "no such folder"), (".", r"no case files (*.h5) among the 1 entries")])
def test_what_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, says: str) -> None:
    (tmp_path / "notes.txt").touch()
    assert run(main, [str(tmp_path / folder)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert says in shown.err


def test_workers_below_one_are_refused(store: Path) -> None:
    with pytest.raises(OptionError, match="workers is 0; expected"):
        describe_store(store, workers=0)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.ENOSYS, errno.ETXTBSY, errno.ETIMEDOUT, errno.ENOTCONN])
def test_what_the_system_refuses_is_exit_code_2_and_one_sentence(
    store: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(old: object, new: object) -> None:
        raise OSError(number, os.strerror(number), str(old), None, str(new))

    before = sorted(p.name for p in store.iterdir())
    monkeypatch.setattr(os, "replace", refuse)
    assert run(main, [str(store), "--write", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {store}/store.json: {os.strerror(number)}; ")
    assert said.count("\n") == 1
    assert sorted(p.name for p in store.iterdir()) == before
