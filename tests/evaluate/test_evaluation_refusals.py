"""What an evaluation refuses and how it says so, and what it does with its output folder."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from two_cases import FIRST, GRID, SECOND, SHAPE, expected, files_of, label, write_list

from brats3d import images
from brats3d.cases import Facts
from brats3d.console import run
from brats3d.errors import ArrayError, GridError, NoCasesError, OptionError, OutputExistsError, SpaceError
from brats3d.evaluate import EvaluationSettings, evaluate_case, evaluate_cases, score_pairs
from brats3d.evaluate import scored_folders as evaluate_command
from brats3d.evaluate.__main__ import main
from brats3d.geometry import Grid, to_stored
from brats3d.images import Volume
from brats3d.regions import LABEL_SETS
from brats3d.store import CaseHeader, summarise, write_case

# --- what is refused ----------------------------------------------------------------------------------------------------


def test_a_case_on_one_side_only_is_refused_by_name_with_exit_code_3(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, references = folders
    (predictions / f"{FIRST}.nii.gz").rename(predictions / "BraTS2021_00007.nii.gz")
    assert run(main, [str(predictions), str(references), "--out", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr()
    assert f"refused {FIRST}: there is a reference, but no prediction in {predictions}; predict it" in printed.err
    assert f"refused BraTS2021_00007: there is a prediction, but no reference in {references}; add it" in printed.err
    assert "1 cases scored, 2 refused" in printed.out
    assert set(json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["refused"]) == {
        FIRST,
        "BraTS2021_00007",
    }


def test_nothing_in_common_is_an_error_that_lists_what_is_there(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, references = folders
    for number, path in enumerate(sorted(predictions.iterdir())):
        path.rename(predictions / f"mask{number}.nii.gz")
    assert run(main, [str(predictions), str(references), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "no case has both a prediction and a reference" in said
    assert f"has 2 (mask0, mask1), {references} has 2 ({FIRST}, {SECOND})" in said
    assert files_of(tmp_path / "out") == []


def test_folders_that_are_missing_or_empty_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(NoCasesError, match="nowhere: no such folder; expected the predictions"):
        evaluate_cases(tmp_path / "nowhere", folders[1], out=tmp_path / "out")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    with pytest.raises(NoCasesError, match=r"empty: no reference found among 1 entries \(notes.txt\)"):
        evaluate_cases(folders[0], tmp_path / "empty", out=tmp_path / "out")


def write_raw(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    nib.save(nib.Nifti1Image(array, GRID.affine if affine is None else affine), path)


def shifted() -> np.ndarray:
    affine = GRID.affine.copy()
    affine[0, 3] += 0.5
    return affine


BAD_MASKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "values outside the set": (lambda p: write_raw(p, label(0) + np.uint8(5)), "holds the values .5, 6, 7, 9."),
    "no whole numbers": (lambda p: write_raw(p, label(0) * np.float32(0.7)), "expected whole numbers from 0 to 255"),
    "NaN": (lambda p: write_raw(p, np.full(SHAPE, np.nan, np.float32)), "990 voxels are NaN or infinite"),
    "empty file": (lambda p: p.write_bytes(b""), r"the file is empty \(0 bytes\)"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:200]), "cannot be read as NIfTI"),
    "text": (lambda p: p.write_text("this is no image"), "cannot be read as NIfTI"),
    "4-D": (lambda p: write_raw(p, np.zeros((*SHAPE, 3), np.uint8)), r"the mask has shape \(9, 10, 11, 3\); expected one 3-D"),
    "another shape": (
        lambda p: write_raw(p, label(0)[1:]),
        r"not on the same grid \(shape \(8, 10, 11\) and \(9, 10, 11\)\)",
    ),
    "another origin": (lambda p: write_raw(p, label(0), shifted()), "not on the same grid .affine .*4.5.* and .*4.0"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_a_bad_mask_is_refused_and_others_go_on(folders: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    spoil, message = BAD_MASKS[kind]
    spoil(folders[0] / f"{FIRST}.nii.gz")
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert list(found.scores) == [SECOND]
    assert list(found.refused) == [FIRST]
    assert re.search(message, found.refused[FIRST]), found.refused[FIRST]
    assert f"{FIRST}.nii.gz" in found.refused[FIRST]
    assert files_of(tmp_path / "out") == ["lesions.csv", "report.html", "scores.csv", "summary.json"]


def test_a_listed_mask_that_is_gone_and_scans_without_a_label_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, references = folders
    write_list(predictions, {FIRST: "L17", SECOND: "L17"})
    (predictions / f"{FIRST}.nii.gz").unlink()
    (references / SECOND / f"{SECOND}_seg.nii.gz").unlink()
    found = evaluate_cases(predictions, references, out=tmp_path / "out")
    assert "no such file" in found.refused[FIRST]
    assert f"{SECOND} (BraTS 2021): found t1; missing t1ce, t2, flair; expected a label" in found.refused[SECOND]


def test_a_stored_case_of_sheared_scans_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """As earlier versions took them."""
    sheared = Grid(SHAPE, np.array([[-1.0, 0, 0.2, 4], [0, -1, 0, 239], [0, 0, 1, -3], [0, 0, 0, 1]]))
    (tmp_path / "store").mkdir()
    for number, (case, grid) in enumerate(((FIRST, sheared), (SECOND, GRID)), 5):
        stored, stored_grid = to_stored(label(number), grid)
        header = CaseHeader(case, Facts(case, corpus="BraTS 2021"), ("t1",), LABEL_SETS["L17"])
        write_case(tmp_path / "store", summarise(header, stored[None].astype(np.int16), stored, stored_grid, grid))
    found = evaluate_cases(folders[0], tmp_path / "store", out=tmp_path / "out")
    assert list(found.scores) == [SECOND]
    assert re.search(rf"{FIRST}\.h5: the axes .* are sheared, up to 11\.3 degrees", found.refused[FIRST])


def test_a_mask_that_nibabel_scaled_is_scored_as_it_was(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As ``Nifti1Image(image.get_fdata(), affine, header)`` writes it, with a qform of its own, ten degrees turned."""
    path = folders[0] / f"{FIRST}.nii.gz"
    image = nib.load(path)
    turned = image.affine @ nib.affines.from_matvec(nib.eulerangles.euler2mat(np.radians(10), 0, 0))
    scaled = nib.Nifti1Image(image.get_fdata(), image.affine, image.header)
    scaled.set_qform(turned, 1)
    nib.save(scaled, path)
    assert nib.load(path).dataobj.slope == pytest.approx(4 / 255)
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert found.of()[FIRST] == expected(0)
    said = [record.getMessage() for record in caplog.records if "sform" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(f"{path}: the header has an sform and a qform that put corners ")


def test_a_label_with_another_origin_than_its_scans_is_taken_with_a_warning(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folders[1] / FIRST / f"{FIRST}_seg.nii.gz"
    write_raw(path, label(5), shifted())
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert found.of()[FIRST] == expected(0)
    assert f"{path}: the label's header differs from its scans'" in caplog.text


def test_volumes_and_arrays() -> None:
    mine, theirs = Volume(label(0), GRID), Volume(label(5), GRID)
    found = evaluate_case(mine, theirs, label_set="L17")
    assert found == expected(0) == evaluate_case(label(0), label(5), label_set="L17", spacing_mm=GRID.spacing_mm)
    np.testing.assert_array_equal(mine.array, label(0))
    with pytest.raises(GridError, match=r"not on the same grid \(affine"):
        evaluate_case(mine, Volume(label(5), Grid(SHAPE, shifted())), label_set="L17")
    sheared = Grid(SHAPE, GRID.affine @ np.array([[1, 0, 0.3, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    with pytest.raises(GridError, match=r"are sheared, up to 11\.3 degrees"):
        evaluate_case(Volume(label(0), sheared), Volume(label(5), sheared), label_set="L17")
    with pytest.raises(ArrayError, match="the prediction is a Volume, the reference a ndarray"):
        evaluate_case(mine, label(5), label_set="L17")


def test_ids_that_differ_in_the_case_of_their_letters_meet(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders[0] / f"{FIRST}.nii.gz").rename(folders[0] / f"{FIRST.lower()}.nii.gz")
    (tmp_path / "ids.txt").write_text(f"{FIRST.upper()}\n{SECOND}\n", encoding="utf-16")
    (tmp_path / "groups.csv").write_text(f"case;site\n{FIRST.lower()};A\n{SECOND};B\n", encoding="utf-16")
    options = ["--cases", str(tmp_path / "ids.txt"), "--groups", str(tmp_path / "groups.csv"), "--json"]
    assert run(main, [*map(str, folders), "--out", str(tmp_path / "out"), *options]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert list(found["cases"]) == [FIRST, SECOND]
    assert found["groups"]["site"]["A"]["WT"]["n"] == 1
    assert told.err.count(f"{FIRST} for {FIRST.lower()}") == 1


# --- the output folder --------------------------------------------------------------------------------------------------


def test_results_are_not_overwritten_without_force(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    line = [*map(str, folders), "--out", str(out)]
    assert run(main, line) == 0
    before = (out / "scores.csv").read_text(encoding="utf-8")
    images.write(folders[0] / f"{FIRST}.nii.gz", label(5), GRID)
    assert run(main, line) == 2
    assert (
        f"{out} holds scores.csv, lesions.csv, summary.json, report.html already; choose another --out, or use --force"
        in capsys.readouterr().err
    )
    assert (out / "scores.csv").read_text(encoding="utf-8") == before
    assert run(main, [*line, "--force"]) == 0
    assert (out / "scores.csv").read_text(encoding="utf-8") != before
    with pytest.raises(OutputExistsError, match=r"scores.csv is a file; expected a folder"):
        evaluate_cases(*folders, out=out / "scores.csv")


@pytest.mark.parametrize("against", [False, True])
def test_where_nothing_is_scored_nothing_is_written_and_the_corrected_call_works(
    against: bool, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for number, case in enumerate((FIRST, SECOND)):
        images.write(other / f"{case}.nii.gz", label(number + 7), GRID)
        write_raw(folders[0] / f"{case}.nii.gz", label(number), shifted())
    line = [*map(str, folders), "--out", str(tmp_path / "out"), *(["--against", str(other)] if against else [])]
    assert run(main, line) == 3
    printed = capsys.readouterr()
    assert "nothing was written" in printed.out
    assert [f"refused {case}: " in printed.err for case in (FIRST, SECOND)] == [True, True]
    assert files_of(tmp_path / "out") == []
    assert run(main, [*line, "--other-grid", "voxelwise"]) == 0
    assert files_of(tmp_path / "out") == ["lesions.csv", "report.html", "scores.csv", "summary.json"]


def test_the_longest_id_that_a_mask_can_have(folders: tuple[Path, Path], tmp_path: Path) -> None:
    case = "c" * 248  # and .nii.gz: 255 bytes
    images.write(folders[0] / f"{case}.nii.gz", label(0), GRID)
    images.write(folders[1] / f"{case}.nii.gz", label(5), GRID)
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert len(found.scores) == 3
    assert found.of()[case] == expected(0)


def test_a_stopped_evaluation_goes_on(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out, real = tmp_path / "out", score_pairs.evaluate_pair
    scored: list[str] = []

    def stop_at_second(pair: object) -> object:
        if pair.id == SECOND:
            raise KeyboardInterrupt
        return real(pair)

    def count(pair: object) -> object:
        scored.append(pair.id)
        return real(pair)

    monkeypatch.setattr(score_pairs, "evaluate_pair", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        evaluate_cases(*folders, out=out)
    assert files_of(out) == [".scores.unfinished"]
    with (out / ".scores.unfinished").open("a") as file:
        file.write('{"case": "cut o')  # as a kill may leave it
    monkeypatch.setattr(score_pairs, "evaluate_pair", count)
    with pytest.raises(OutputExistsError, match=r"scorings.*protocol was 'casewise', now 'brats2021'"):
        evaluate_cases(*folders, out=out, settings=EvaluationSettings(protocol="brats2021"))
    found = evaluate_cases(*folders, out=out)
    assert scored == [SECOND]
    assert found.kept == (FIRST,)
    assert "continuing, 1 of 2 cases" in caplog.text
    assert found.of() == {FIRST: expected(0), SECOND: expected(1)}
    assert files_of(out) == ["lesions.csv", "report.html", "scores.csv", "summary.json"]


def test_a_mask_that_changed_since_the_stop_is_scored_again(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_command, "write_results", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate_cases(*folders, out=tmp_path / "out")
    images.write(folders[0] / f"{FIRST}.nii.gz", label(7), GRID)
    found = evaluate_cases(*folders, out=tmp_path / "out")
    assert found.kept == (SECOND,)
    assert found.of()[FIRST] != expected(0)


@pytest.mark.parametrize("kind", ["earlier version", "damaged", "other results"])
def test_unfinished_scores_that_cannot_be_used_are_passed_over(
    folders: tuple[Path, Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where an earlier version had an option ``resample``, the same command was refused for other settings."""
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(evaluate_command, "write_results", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate_cases(*folders, out=out)
    path = out / ".scores.unfinished"
    settings, first, second = path.read_text(encoding="utf-8").splitlines()
    old = {k: v for k, v in json.loads(settings).items() if k != "other_grid"} | {"resample": False}
    other = json.dumps({"case": FIRST, "result": {"scores": {}}})
    path.write_bytes({
        "earlier version": "\n".join([json.dumps(old), first, second]).encode(),
        "damaged": settings.encode() + b"\n\xff\xfe\n[]\n",
        "other results": "\n".join([settings, other, second]).encode(),
    }[kind])  # fmt: skip
    found = evaluate_cases(*folders, out=out)
    assert found.kept == ((SECOND,) if kind == "other results" else ())
    assert found.of() == {FIRST: expected(0), SECOND: expected(1)}
    assert ("another version" in caplog.text) == (kind == "earlier version")


def test_a_full_disk_is_said_and_leaves_no_results(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SpaceError, match=r"scores.csv: no space .* 0.1 MB"):
        evaluate_cases(*folders, out=tmp_path / "out")
    assert files_of(tmp_path / "out") == [".scores.unfinished"]


def test_a_disk_that_fills_up_while_results_are_written_is_no_reason_to_score_again(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        if ".report." in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    write, out = Path.write_bytes, tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(SpaceError, match=r"report.html: no space left"):
            evaluate_cases(*folders, out=out)
    assert "summary.json" not in files_of(out)
    assert evaluate_cases(*folders, out=out).kept == (FIRST, SECOND)
    assert files_of(out) == ["lesions.csv", "report.html", "scores.csv", "summary.json"]
    with pytest.raises(OutputExistsError):
        evaluate_cases(*folders, out=out)


BAD_OPTIONS = [
    (["--protocol", "lesionwise"], "invalid choice"),
    (["--label-set", "L71"], "label set is 'L71' .did you mean 'L17'"),
    (["--workers", "0"], "workers is 0; expected"),
    (["--cases", "nowhere.txt"], "nowhere.txt: cannot be read"),
    (["--groups", "nowhere.csv"], "nowhere.csv: cannot be read"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_bad_options_end_with_2_and_write_nothing(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    try:
        code = run(main, [*map(str, folders), "--out", str(tmp_path / "out"), *options])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert re.search(message, capsys.readouterr().err)
    assert files_of(tmp_path / "out") == []


def test_values_of_another_kind_are_refused_by_name() -> None:
    for option, value, words in (
        ("other_grid", "resmaple", "did you mean 'resample'"),
        ("other_grid", None, "refuse, resample, voxelwise"),
        ("against", "other", "['other']"),
        ("against", Path("other"), "['other']"),
        ("tolerances", 2.0, "[2.0]"),
        ("calibration", "no", "'no'"),
    ):
        asked: dict[str, Any] = {option: value}
        with pytest.raises(OptionError) as refused:
            EvaluationSettings(**asked)
        assert f"{option} is " in str(refused.value)
        assert words in str(refused.value)
    (scoring,) = EvaluationSettings(tolerances=np.array([1, 2.5], np.float32)).scorings()  # type: ignore[arg-type]  # NumPy's
    assert json.dumps(scoring.tolerances_mm) == "[1.0, 2.5]"
    with pytest.raises(OptionError, match=r"task of brats2023 is 'GLA' .did you mean 'GLI'"):
        EvaluationSettings(protocol="all", task="GLA")


def test_the_command_prints_every_case_and_the_means(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, [*map(str, folders), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    for number, case in enumerate((FIRST, SECOND)):
        line = next(line for line in printed.splitlines() if line.startswith(case))
        scores = expected(number)
        assert line.split()[1:] == [f"{getattr(scores[r], m):.3f}" for m in ("dice", "hd95_mm") for r in ("WT", "TC", "ET")]
    assert any(line.startswith("ET ") for line in printed.splitlines())
    assert run(main, [*map(str, folders), "--out", str(tmp_path / "out2"), "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cases"][FIRST]["casewise"]["ET"]["dice"] == expected(0)["ET"].dice
    assert told["protocols"]["casewise"]["regions"]["WT"]["cases"] == 2


@pytest.mark.slow
def test_two_workers_give_the_same_and_load_no_framework(folders: tuple[Path, Path], tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from brats3d.evaluate import evaluate_cases\n"
        "if __name__ == '__main__':\n"
        "    evaluate_cases(Path(sys.argv[1]), Path(sys.argv[2]), out=Path(sys.argv[3]), workers=2)\n"
        "    print([m for m in ('keras', 'tensorflow', 'jax') if m in sys.modules])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    line = [sys.executable, str(script), *map(str, folders), str(tmp_path / "two")]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (ended.stdout.strip(), ended.returncode) == ("[]", 0), ended.stderr
    evaluate_cases(*folders, out=tmp_path / "one")
    assert (tmp_path / "one" / "scores.csv").read_text(encoding="utf-8") == (tmp_path / "two" / "scores.csv").read_text(
        encoding="utf-8"
    )
