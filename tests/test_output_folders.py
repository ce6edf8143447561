"""What every command does with a folder that is there already: one table over the five commands that write into folders.

The folders and their inputs are those of `tests/version_1`; the first real work of each command is replaced by a stop.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from brats3d.demo.__main__ import main as demo
from brats3d.errors import OptionError, OutputExistsError
from brats3d.evaluate import evaluate_cases
from brats3d.evaluate.__main__ import main as evaluate
from brats3d.files import Contents, OutputFolder
from brats3d.predict import predict_cases
from brats3d.predict.__main__ import main as predict
from brats3d.preprocess import build_raw_store, build_store
from brats3d.preprocess.__main__ import main as preprocess
from brats3d.train.__main__ import main as train

OLD = Path(__file__).parent / "version_1"
SCANS, STORE, MASKS, RUN, MODEL = (str(OLD / name) for name in ("scans", "store", "masks", "run", "whole.keras"))
FINISHED = ("scores.csv", "lesions.csv", "summary.json", "report.html")


class Begun(BaseException):
    """The command was about to work; nothing that it catches."""


def begun(*values: object, **options: object) -> None:
    raise Begun


def store(out: Path, *, finished: bool) -> None:
    out.mkdir()
    for case in ("Phantom_000", "Phantom_002")[: 1 + finished]:
        shutil.copy(OLD / "store" / f"{case}.h5", out)


def masks(out: Path, *, finished: bool) -> None:
    shutil.copytree(MASKS, out)
    if not finished:
        (out / "Phantom_002.nii.gz").unlink()


def scores(out: Path, *, finished: bool) -> None:
    """A call that was stopped while it wrote its results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("brats3d.evaluate.scored_folders.write_results", begun)
        patch.setattr("brats3d.evaluate.thumbnails.draw_thumbnails", lambda *_: {})
        with pytest.raises(Begun):
            evaluate([MASKS, STORE, "--out", str(out)])
    for name in FINISHED[: 4 if finished else 1]:
        (out / name).write_text("made")


def run(out: Path, *, finished: bool) -> None:
    shutil.copytree(RUN, out)
    if finished:
        (out / "test").mkdir()


def demonstration(out: Path, *, finished: bool) -> None:
    (out / "scans").mkdir(parents=True)
    (out / "demo.json").write_text(json.dumps({"made_by": "brats3d.demo", "version": "1", "size": "full", "seed": 0}))
    if finished:
        (out / "picture.png").write_text("made")


@dataclass(frozen=True)
class User:
    """A command, and how its first work is stopped.

    Attributes:
        main: the command.
        inputs: what stands before ``--out``.
        work: what it calls first, to be replaced.
        fill: makes a folder of it.
        other: options that are another setting, and what a message then names.
        goes_on: the options that continue an unfinished folder; None if it never is continued.
        foreign: a name that is in its way if somebody else made it; None if nothing is.
        beside: whether ``--force`` writes beside that.
        force: the option that starts over; None if there is none.
    """

    main: Callable[[Sequence[str]], int]
    inputs: tuple[str, ...]
    work: str
    fill: Callable[..., None]
    other: tuple[list[str], str]
    goes_on: tuple[str, ...] | None = ()
    foreign: str | None = None
    beside: bool = True
    force: tuple[str, ...] | None = ("--force",)


USERS = {
    "store": User(
        preprocess, (SCANS,), "brats3d.preprocess.store_building.map_cases", store,
        (["--codec", "gzip"], "Phantom_000.h5 was .*codec was 'zstd', now 'gzip'"),
    ),
    "masks": User(
        predict, (MODEL, SCANS, "--cases", "ids.txt", "--probabilities"), "keras.saving.load_model", masks,
        (["--label-set", "L13"], "label_set was None, now 'L13'"), foreign="notes.txt",
    ),
    "scores": User(
        evaluate, (MASKS, STORE), "brats3d.evaluate.score_pairs.map_cases", scores,
        (["--protocol", "brats2021"], "protocol was 'casewise', now 'brats2021'"), foreign="report.html",
    ),
    "run": User(
        train, (STORE,), "brats3d.train.run.run_training", run,
        (["--resume", "--seed", "7"], "training.seed was 0, now 7"), goes_on=("--resume",), foreign="notes.txt", force=None,
    ),
    "demo": User(
        demo, (), "brats3d.demo.journey.write_cohort", demonstration,
        (["--seed", "7"], "seed was 0, now 7"), goes_on=None, foreign="scans", beside=False,
    ),
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.network] if n in ("masks", "run") else []) for n in USERS])
def test_what_is_there_decides(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user, number = USERS[name], iter(range(99))
    monkeypatch.chdir(tmp_path)
    Path("ids.txt").write_text("Phantom_002\n")

    def begins(out: Path, *options: str) -> None:
        with pytest.raises(Begun):
            user.main([*user.inputs, "--out", str(out), "--quiet", *options])

    def refuses(out: Path, *options: str, says: str = "") -> None:
        before = contents(out.parent)
        with pytest.raises(OutputExistsError, match=rf"(?s){out}.*{says}"):
            user.main([*user.inputs, "--out", str(out), "--quiet", *options])
        assert contents(out.parent) == before

    def there(*, finished: bool) -> Path:
        out = tmp_path / f"{next(number)}" / "out"
        out.parent.mkdir()
        user.fill(out, finished=finished)
        return out

    half, whole = there(finished=False), there(finished=True)
    free, file = tmp_path / "free" / "out", tmp_path / "file"
    file.write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(user.work, begun)
        begins(free)
        for options in ([], user.force or []):
            for out in (file, file / "out"):
                with pytest.raises(OutputExistsError, match=rf"^(?={out}\b).*{file} is a file"):
                    user.main([*user.inputs, "--out", str(out), *options])
        assert file.read_text(encoding="utf-8") == "mine"
        # unfinished
        if user.goes_on is None:
            refuses(half, says="--force")
        else:
            begins(half, *user.goes_on)
        other, named = user.other
        refuses(half, *other, says=named)
        # finished
        refuses(whole, says="--force" if user.force else "--resume")
        # somebody else's
        foreign = tmp_path / "foreign" / "out"
        foreign.mkdir(parents=True)
        (foreign / "letter.txt" if user.foreign is None else foreign / user.foreign).write_text("mine")
        if user.foreign is None:
            begins(foreign)
        else:
            refuses(foreign, says=rf"holds {user.foreign}\b")
        if user.force:
            (begins if user.beside else refuses)(foreign, *user.force)
            assert (foreign / (user.foreign or "letter.txt")).read_text(encoding="utf-8") == "mine"
            for out in (half, whole):
                begins(out, *user.force)
        else:
            with pytest.raises(OptionError, match=f"{foreign} holds no run"):
                user.main([*user.inputs, "--out", str(foreign), *(user.goes_on or ())])


THINGS = Contents("things", "made", beside="use --force to write beside them")


def test_settings_that_differ_are_named_by_the_whole_way_to_them(tmp_path: Path) -> None:
    recorded = {
        "model": "abc", "same": [1, 2], "nothing": None, "nested": {"window": "whole", "size": [1, 2, 3]},
        "rules": [{"name": "a", "limit": 1}, {"name": "b"}], "long": "x" * 500 + "before" + "y" * 500,
    }  # fmt: skip
    asked = {
        "model": "abd", "same": (1, 2), "new": True, "nested": {"window": "whole", "size": (1, 2, 4)},
        "rules": [{"name": "a", "limit": 2}, {"name": "b"}], "long": "x" * 500 + "after" + "y" * 500,
    }  # fmt: skip
    (tmp_path / "a").touch()
    with pytest.raises(OutputExistsError) as refused:
        OutputFolder(tmp_path, THINGS, asked).check(recorded)
    said = str(refused.value)
    for words in ("model was 'abc', now 'abd'", "nested.size was [1, 2, 3], now [1, 2, 4]", "rules.1.limit was 1, now 2",
                  "new was None, now True", "xbefore", "xafter", str(tmp_path), "--out", "--force"):  # fmt: skip
        assert words in said, (words, said)
    assert [word for word in ("same", "nothing", "window", "rules.2", "name") if f"{word} was" in said] == []
    assert len(said) < 600
    assert OutputFolder(tmp_path, THINGS, asked).check(recorded, force=True) == ["a"]
    assert OutputFolder(tmp_path, THINGS, recorded).check(json.loads(json.dumps(recorded))) == ["a"]


def test_only_what_is_in_the_folder_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    for folder in (out / "inner", out / "kept", mine):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (out / "link").symlink_to(mine)
    (out / "letter").write_text("x")
    wild = ["../mine/file", str(mine / "file"), "link/file", "inner/../../mine/file", "..", ".", "", "nowhere", "kept"]
    OutputFolder(out, THINGS).remove([*wild, "inner/file"], folders=["..", ".", "../mine", str(mine)])
    assert set(contents(tmp_path)) == {"mine", "mine/file", "out", "out/inner", "out/kept", "out/kept/file", "out/letter",
                                       "out/link"}  # fmt: skip
    OutputFolder(out, THINGS).remove(["letter"], folders=["inner", "link"])
    assert set(contents(tmp_path)) == {"mine", "mine/file", "out", "out/kept", "out/kept/file"}


def test_a_link_that_leads_nowhere_is_not_a_folder_and_hidden_files_do_not_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "out", tmp_path / "out" / "deep"):
        with pytest.raises(OutputExistsError, match=f"{tmp_path}/out is a link .*--place"):
            OutputFolder(path, Contents("things", option="--place")).check(None, force=True)
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / ".left").touch()
    folder = OutputFolder(tmp_path / "out", THINGS)
    assert folder.check(None) == []
    folder.check_unfinished(0, 0)
    folder.check_unfinished(0, 3)
    assert caplog.text == ""
    folder.check_unfinished(2, 3)
    assert "2 of 3 cases are made already" in caplog.text
    with pytest.raises(OutputExistsError, match=r"all 3 cases of here .*--force"):
        folder.check_unfinished(3, 3, "here")


def test_settings_of_another_class_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    calls: list[tuple[Callable[..., Any], str]] = [
        (lambda **given: build_store(tmp_path, out=tmp_path / "out", **given), "StoreSettings"),
        (lambda **given: build_raw_store(tmp_path, out=tmp_path / "out", **given), "RawSettings"),
        (lambda **given: predict_cases("m.keras", [tmp_path], out=tmp_path / "out", **given), "PredictionSettings"),
        (lambda **given: evaluate_cases(tmp_path, tmp_path, out=tmp_path / "out", **given), "EvaluationSettings"),
    ]
    for call, expected in calls:
        for wrong in ({"flips": ()}, None):
            with pytest.raises(OptionError) as refusal:
                call(settings=wrong)
            assert expected in str(refusal.value)
            assert repr(wrong) in str(refusal.value)
    assert not list(tmp_path.iterdir())
