"""How a run begins or goes on: with which recipe, in which folder, and what is refused before anything is done."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
from run_folders import PLAIN, Arguments, Train

from brats3d.cases import Facts, load_split
from brats3d.console import run
from brats3d.errors import NoCasesError, OptionError
from brats3d.store import PreparedCase, StoredCase, case_path, open_store, pack_store, summarise, write_case
from brats3d.train import read_recipe
from brats3d.train.__main__ import main
from brats3d.train.run_folder import RunFolder

pytest.importorskip("keras")
pytestmark = [pytest.mark.network, pytest.mark.slow]


def test_a_folder_with_a_run_is_exit_code_2(plain: Any, arguments: Arguments, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(plain.run)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert run(main, arguments(folder, PLAIN)) == 2
    said = capsys.readouterr().err
    assert f"error: {folder} holds a run" in said
    assert "--resume" in said
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


OTHERS = [
    (["--seed", "5"], ["training.seed was 0, now 5"]),
    (["--fold", "1"], ["training.fold was 0, now 1"]),
    (["--recipe", "isensee2017"], ["data.patch_size", "training.epochs was 4", "optimiser.learning_rate"]),
    (["--recipe", "isensee2017", "--settings", "optimiser.learning_rate=1e-4"], ["training.epochs was 4"]),
    (["--settings", "training.fold=1"], ["training.fold was 0, now 1"]),
    (["--settings", "training.precision=mixed_bfloat16"], ["training.precision was 'float32', now 'mixed_bfloat16'"]),
    (["--settings", "training.epochs=9"], ["training.epochs was 4, now 9)"]),
    (["--settings", "optimiser.learning_rate=1e-4", "training.epochs=9"], ["(training.epochs was 4, now 9)"]),
]


def test_resuming_with_other_options_is_exit_code_2_and_names_each(
    plain: Any, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brats3d.train.run.run_training", lambda *_, **__: pytest.fail("it continued"))
    for options, named in OTHERS:
        assert run(main, [str(store), "--out", plain.run, "--resume", *options]) == 2
        said = capsys.readouterr().err
        for each in (plain.run, *named, "optimiser.learning_rate=..."):
            assert each in said, (options, said)


@pytest.fixture
def chosen(plain: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Store, recipe, folder and whether to resume, of each run that would begin or continue."""
    calls: list[Any] = []

    def stand_in(store: Path, recipe: Any, folder: RunFolder, progress: Any, *, resume: bool) -> Any:
        calls.append((store, recipe, folder.path, resume))
        return plain

    monkeypatch.setattr("brats3d.train.run.run_training", stand_in)
    return calls


def test_resuming_with_the_same_options_goes_on(plain: Any, store: Path, arguments: Arguments, chosen: list[Any]) -> None:
    folder = Path(plain.run)
    for same in ([str(store), "--out", plain.run], [*arguments(folder, PLAIN), "--fold", "0", "--seed", "0"]):
        assert run(main, [*same, "--resume"]) == 0
    recipe = read_recipe(str(folder / "recipe.toml")).resolved()
    assert chosen == [(store, recipe, folder, True)] * 2


@pytest.mark.parametrize("recipe", [None, "cpu_small"])
def test_a_resumed_run_may_ask_for_another_rate(
    plain: Any, store: Path, arguments: Arguments, chosen: list[Any], recipe: str | None
) -> None:
    asked = "optimiser.learning_rate=1e-4"
    given = [str(store), "--out", plain.run, "--settings"] if recipe is None else arguments(Path(plain.run), PLAIN)
    assert run(main, [*given, asked, "--resume"]) == 0
    assert chosen[0][1].optimiser.learning_rate == 1e-4
    own = read_recipe(str(Path(plain.run) / "recipe.toml")).resolved()
    assert [chosen[0][1].network, chosen[0][1].training] == [own.network, own.training]


def test_the_recipe_of_a_run_repeats_it(plain: Any, train: Train, store: Path, tmp_path: Path, chosen: list[Any]) -> None:
    from brats3d.train import train_model

    train(tmp_path / "first", {**PLAIN, "loss.options": {"weights": [1, 2, 3]}}, fold=3, seed=7)
    (tmp_path / "recipe.toml").write_text(chosen[0][1].to_toml())
    train_model(store, out=tmp_path / "again", recipe=tmp_path / "recipe.toml")
    assert chosen[1][1] == chosen[0][1]
    assert (chosen[1][1].training.fold, chosen[1][1].training.seed) == (3, 7)
    train_model(store, out=tmp_path / "other", recipe=str(tmp_path / "recipe.toml"), fold=1)
    assert chosen[2][1].training.fold == 1
    train_model(store, out=tmp_path / "third", recipe=chosen[0][1], settings={"training.seed": 7}, seed=7)
    assert chosen[3][1] == chosen[0][1]


def test_what_train_model_does_not_take(store: Path, tmp_path: Path) -> None:
    from brats3d.train import train_model

    for given, words in (
        ({"fold": 2, "settings": {"training.fold": 1}}, ("fold is 2", "training.fold = 1")),
        ({"seed": 0, "settings": {"training.seed": 3}}, ("seed is 0", "training.seed = 3")),
        ({"settings": ["training.epochs=3"]}, ("settings is ['training.epochs=3']", "mapping")),
        ({"recipe": 7}, ("recipe is 7", "cpu_small")),
    ):
        with pytest.raises(OptionError) as refusal:
            train_model(store, out=tmp_path / "run", **given)
        assert all(word in str(refusal.value) for word in words)
    assert not (tmp_path / "run").exists()


def test_where_there_is_no_run_there_is_nothing_to_resume(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, [str(store), "--out", str(tmp_path / "none"), "--resume"]) == 2
    assert "holds no run to resume (recipe.toml and split.json are expected); leave --resume out." in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--fold", "5"], "training.fold is 5; expected a whole number from 0 to 4"),
        (["--settings", "data.batch_size=2", "training.replicas=7"], "training.replicas is 7; visible devices: cpu:0"),
        (["--recipe", "cpu_smal"], "recipe is 'cpu_smal' (did you mean 'cpu_small'?)"),
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing(
    store: Path, tmp_path: Path, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, [str(store), "--out", str(tmp_path / "run"), "--recipe", "cpu_small", *more]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_case_without_a_label_is_named(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from brats3d.store import CaseHeader

    with open_store(store)["Phantom_003"] as case:
        header = CaseHeader("Phantom_003", Facts("Phantom_003"), case.modalities)
        (tmp_path / "store").mkdir()
        write_case(tmp_path / "store", summarise(header, case.images[:], None, case.grid, case.source))
    # 3 would say that the other cases are done.
    assert run(main, [str(tmp_path / "store"), "--out", str(tmp_path / "run")]) == 2
    assert "error: case Phantom_003 of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_file_in_the_place_of_the_folder_is_one_sentence(
    store: Path, tmp_path: Path, out: str, arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("somebody's work")
    assert run(main, arguments(tmp_path / out, PLAIN)) == 2
    said = capsys.readouterr().err.strip()
    assert str(tmp_path / "file") in said
    assert said.startswith("error: ")
    assert "\n" not in said
    assert (tmp_path / "file").read_text(encoding="utf-8") == "somebody's work"


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_store_that_lacks_cases_of_the_run_is_refused_at_once(
    plain: Any, train: Train, store: Path, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brats3d.train import train_model

    monkeypatch.setattr("brats3d.train.run.pick_devices", lambda *_: pytest.fail("it went on"))
    shutil.copytree(store, tmp_path / "store")
    lost = getattr(load_split(Path(plain.run) / "split.json").folds[0], part)[0]
    case_path(tmp_path / "store", lost).unlink()
    with pytest.raises(
        NoCasesError, match=rf"store lacks 1 of the \d {part} cases of the run's split \({lost}\); give the store"
    ):
        train_model(tmp_path / "store", out=plain.run, resume=True)


# --- the same cases --------------------------------------------------------------------------------------------------


def make_again(store: Path, name: str, *, brighter: int = 0) -> None:
    """Write a case of a store again with the other codec, its second modality brighter if asked."""
    with open_store(store)[name] as case:
        made = case_in_memory(case, brighter)
    write_case(store, made, codec="gzip")


def case_in_memory(case: StoredCase, brighter: int = 0) -> PreparedCase:
    images, label = case.images[:], None if case.label is None else case.label[:]
    images[1] += brighter * (images[1] != 0)
    return summarise(case.header, images, label, case.grid, case.source)


def test_a_run_does_not_continue_on_cases_that_have_changed(
    plain: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("brats3d.train.run.pick_devices", lambda *_: pytest.fail("it went on"))
    shutil.copytree(store, tmp_path / "store")
    fold = load_split(Path(plain.run) / "split.json").folds[0]
    relabelled, rebuilt, same = fold.train[0], fold.test[0], fold.train[1]
    with h5py.File(case_path(tmp_path / "store", relabelled), "r+", locking=False) as file:
        value = int(file["label"][16, 16, 10])
        file["label"][16, 16, 10] = 1 if value != 1 else 2
    make_again(tmp_path / "store", rebuilt, brighter=1)
    make_again(tmp_path / "store", same)
    before = {p: p.read_bytes() for p in Path(plain.run).rglob("*") if p.is_file()}
    assert run(main, [str(tmp_path / "store"), "--out", plain.run, "--resume"]) == 2
    said = capsys.readouterr().err
    assert "2 of the 10 cases" in said
    assert f"{relabelled} (label)" in said
    assert f"{rebuilt} (t1ce)" in said
    assert same not in said
    assert {p: p.read_bytes() for p in Path(plain.run).rglob("*") if p.is_file()} == before


def test_a_run_continues_on_the_same_cases_however_they_are_stored(
    plain: Any, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brats3d.train import train_model

    class WentOnError(Exception):
        pass

    def go_on(*_: Any) -> None:
        raise WentOnError

    monkeypatch.setattr("brats3d.train.run.pick_devices", go_on)
    shutil.copytree(store, tmp_path / "store")
    for name in open_store(tmp_path / "store"):
        make_again(tmp_path / "store", name)
    with open_store(store)["Phantom_003"] as case:  # one more does no harm: it is in no fold of the run
        write_case(tmp_path / "store", replace(case_in_memory(case), header=replace(case.header, id="Phantom_999")))
    pack_store(tmp_path / "store", tmp_path / "packed.h5")
    for other in (tmp_path / "store", tmp_path / "packed.h5"):
        with pytest.raises(WentOnError):
            train_model(other, out=plain.run, resume=True)


def test_a_run_that_knows_nothing_of_its_cases_continues_with_one_warning(
    plain: Any, train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(plain.run, tmp_path / "run")
    (tmp_path / "run" / "cases.json").unlink()
    assert train(tmp_path / "run").test == plain.test
    warnings = [r.getMessage() for r in caplog.records if "checksums" in r.getMessage()]
    assert len(warnings) == 1
    assert str(tmp_path / "run") in warnings[0]
    assert warnings[0] in (tmp_path / "run" / "run.log").read_text(encoding="utf-8")
    kept = [json.loads((folder / "cases.json").read_text(encoding="utf-8")) for folder in (tmp_path / "run", Path(plain.run))]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 2, "cases": {}}', '{"schema": 1, "cases": {"c1": {}}}'])
def test_what_is_no_list_of_the_cases_is_refused_by_name(
    plain: Any, train: Train, tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brats3d.train.run.pick_devices", lambda *_: pytest.fail("it went on"))
    for name in ("recipe.toml", "split.json"):
        shutil.copy(Path(plain.run) / name, tmp_path / name)
    (tmp_path / "cases.json").write_text(content)
    with pytest.raises(OptionError, match=r"cases\.json"):
        train(tmp_path)
