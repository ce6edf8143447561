"""From a folder of cases to a store: refusals harm nobody else, nothing half-written stays, a stop is gone on from."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from stored_content import stored_content

from brats3d.console import run
from brats3d.errors import OptionError, OutputExistsError
from brats3d.parallel import Sharing
from brats3d.phantom import write_cohort
from brats3d.preprocess import StoreSettings, build_store
from brats3d.preprocess.__main__ import main
from brats3d.store import describe_store, open_store, verify_file

Make = Callable[..., dict[str, Path]]
NAMES = [f"BraTS2021_{n:05d}" for n in range(1, 5)]


@pytest.fixture
def cohort(tmp_path: Path, make_case: Make) -> dict[str, dict[str, Path]]:
    """Four cases of different shapes, the last without a label; case → its files."""
    shapes = [(13, 11, 9), (9, 13, 11), (11, 9, 13), (12, 11, 10)]
    return {
        name: make_case(i, shape=shape, labelled=i < 4) for i, (name, shape) in enumerate(zip(NAMES, shapes, strict=True), 1)
    }


def entries(store: Path) -> list[str]:
    return sorted(p.name for p in store.iterdir()) if store.exists() else []


def files(*numbers: int) -> list[str]:
    return [f"{NAMES[n - 1]}.h5" for n in numbers]


def test_quiet_is_quiet_where_headers_have_faults(tmp_path: Path, make_case: Make) -> None:
    image = nib.load(path := make_case(1)["t2"])
    image.header["qform_code"] = 9
    nib.save(image, path)
    command = [sys.executable, "-m", "brats3d.preprocess", "source", "--out", "store", "--workers", "1"]
    quiet = subprocess.run([*command, "--quiet"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert "qform_code 9 not valid" in quiet.stdout


@pytest.fixture
def make_phantoms(tmp_path: Path) -> Callable[[int], Path]:
    """Write a number of synthetic heads; returns their folder."""

    def make(count: int) -> Path:
        write_cohort(tmp_path / "heads", cases=count, shape=(64, 64, 41))
        return tmp_path / "heads"

    return make


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command on tmp_path/source; returns exit code, standard output and standard error."""

    def call(*options: str) -> tuple[int, str, str]:
        code = run(main, [str(tmp_path / "source"), "--out", str(tmp_path / "store"), "--workers", "1", *options])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_every_case_is_stored(tmp_path: Path, cohort: dict, command: Callable) -> None:
    code, out, err = command()
    assert code == 0
    assert out.splitlines()[0] == f"{tmp_path}/store: 4 cases written, 0 kept, 0 refused"
    assert "preprocess: 4 of 4" in err
    assert entries(tmp_path / "store") == files(1, 2, 3, 4)
    assert describe_store(tmp_path / "store", verify=True).refused == {}
    for name, case in open_store(tmp_path / "store").items():
        paths = cohort[name]
        np.testing.assert_array_equal(case.images[2], nib.load(paths["t2"]).get_fdata())
        assert (case.label_set is None) == ("seg" not in paths)
        case.close()


def test_the_json_is_the_functions_result(tmp_path: Path, cohort: dict, command: Callable) -> None:
    cohort[NAMES[1]]["t1"].write_bytes(b"")
    cohort[NAMES[2]]["t1"].unlink()
    code, out, _ = command("--json", "--quiet", "--codec", "gzip")
    assert code == 3
    shown = json.loads(out)
    assert shown.pop("refused").keys() == {NAMES[1]}
    (sentence,) = shown.pop("warnings")[NAMES[2]]
    assert sentence == "t1 is missing; stored with only t1ce, t2, flair, for models that take these."
    assert shown == {"store": f"{tmp_path}/store", "written": [NAMES[0], NAMES[2], NAMES[3]], "kept": []}
    with open_store(tmp_path / "store")[NAMES[0]] as case:
        assert case.images.compression == "gzip"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_refused_case_harms_no_other(tmp_path: Path, cohort: dict, command: Callable, workers: str) -> None:
    cohort[NAMES[0]]["t2"].write_bytes(b"")
    cohort[NAMES[2]]["flair"].write_text("id,age\n1,60\n")
    for written, kept in ((2, 0), (0, 2)):  # the second time the refused ones are tried again
        code, out, err = command("--workers", workers)
        assert code == 3
        assert f"{written} cases written, {kept} kept, 2 refused" in out
        refused = [line for line in err.splitlines() if line.startswith("refused")]
        assert [line.split(":")[0] for line in refused] == [f"refused {NAMES[0]}", f"refused {NAMES[2]}"]
        assert "t2.nii.gz: the file is empty (0 bytes); copy it again from its source." in refused[0]
        assert "flair.nii.gz: cannot be read as NIfTI" in refused[1]
        assert entries(tmp_path / "store") == files(2, 4)
        assert describe_store(tmp_path / "store", verify=True).refused == {}


def test_a_modality_that_comes_later_is_not_left_out_silently(tmp_path: Path, cohort: dict, command: Callable) -> None:
    late = cohort[NAMES[1]]["t1ce"]
    content = late.read_bytes()
    late.unlink()
    assert command()[0] == 0
    with open_store(tmp_path / "store")[NAMES[1]] as case:
        assert case.modalities == ("t1", "t2", "flair")
        assert list(case.histograms) == ["t1", "t2", "flair"]
        for channel, modality in zip(case.images, case.modalities, strict=True):
            np.testing.assert_array_equal(channel, nib.load(cohort[NAMES[1]][modality]).get_fdata())
    late.write_bytes(content)
    code, _, err = command()
    assert code == 3
    assert "make it again with --force" in err
    assert command("--force")[0] == 0
    with open_store(tmp_path / "store")[NAMES[1]] as case:
        assert case.modalities == ("t1", "t1ce", "t2", "flair")


def test_a_refusal_that_is_accepted_is_a_warning(tmp_path: Path, cohort: dict, command: Callable) -> None:
    copied = cohort[NAMES[0]]
    copied["t2"].write_bytes(copied["flair"].read_bytes())
    code, _, err = command()
    assert code == 3
    assert "t2 and flair are the same image" in err
    assert err.rstrip().endswith("--accept copied.")
    for accepted in (["copied"], ["skull,copied"], ["skull", " copied "]):
        code, out, _ = command("--force", "--json", "--accept", *accepted)
        assert code == 0
        assert "t2 and flair are the same image" in json.loads(out)["warnings"][NAMES[0]][0]
    with pytest.raises(OptionError, match=r"codec is 'blosc'.*expected one of: zstd, gzip"):
        StoreSettings(codec="blosc")
    with pytest.raises(OptionError, match=r"accept is 'copid' \(did you mean 'copied'\?\)"):
        StoreSettings(accept=["skull,copid"])


def test_a_mask_of_the_whole_tumour_is_warned_of(tmp_path: Path, cohort: dict, command: Callable) -> None:
    path = cohort[NAMES[1]]["seg"]
    label = nib.load(path)
    nib.save(nib.Nifti1Image((np.asarray(label.dataobj) > 0).astype(np.uint8), label.affine), path)
    code, out, _ = command("--json")
    assert code == 0
    warnings = json.loads(out)["warnings"]
    warned = {name: sentences for name, sentences in warnings.items() if "--label-set GTV" in " ".join(sentences)}
    assert list(warned) == [NAMES[1]]
    assert "L17 reads as NCR+NET (in WT and TC; ET empty)" in warned[NAMES[1]][0]
    (tmp_path / "masks.txt").write_text(NAMES[1])
    code, out, _ = command("--json", "--force", "--label-set", "GTV", "--cases", str(tmp_path / "masks.txt"))
    assert code == 0
    assert not any("--label-set" in sentence for sentence in json.loads(out)["warnings"].get(NAMES[1], ()))
    with open_store(tmp_path / "store")[NAMES[1]] as case:
        assert case.label_set == "GTV"


def test_one_scan_under_two_names_is_told(tmp_path: Path, make_phantoms: Callable[[int], Path]) -> None:
    source = make_phantoms(3)
    first, second, _ = sorted(p for p in source.iterdir() if p.is_dir())
    copy = source / "Phantom_777"
    copy.mkdir()
    for file in first.iterdir():
        shutil.copy(file, copy / file.name.replace(first.name, copy.name))
    warnings = build_store(source, out=tmp_path / "store").warnings
    for name, other in ((first.name, copy.name), (copy.name, first.name)):
        assert any(s.startswith(f"{name} and {other}: the volumes are the same scans") for s in warnings[name])
    assert not any("same scans" in s for s in warnings.get(second.name, ()))


def test_one_case_coded_otherwise_is_told(tmp_path: Path, make_phantoms: Callable[[int], Path]) -> None:
    source = make_phantoms(7)
    odd = sorted(p for p in source.iterdir() if p.is_dir())[2]
    (path,) = odd.glob("*seg.nii.gz")
    image = nib.load(path)
    label = np.asanyarray(image.dataobj)
    swapped = np.array([0, 2, 1, 3, 4], np.uint8)[label]
    path.write_bytes(gzip.compress(nib.Nifti1Image(swapped, image.affine).to_bytes(), 1))
    report = build_store(source, out=tmp_path / "store", settings=StoreSettings(label_set="L17"))
    told = {name for name, sentences in report.warnings.items() if any("coded differently" in s for s in sentences)}
    assert told == {odd.name}


@pytest.mark.parametrize(("third", "doubted"), [({1: 1, 2: 2, 4: 3}, True), ({1: 1, 2: 2, 4: 4}, False), ({1: 9}, False)])
def test_a_label_that_fits_its_name_is_in_doubt_where_others_beside_it_do_not(
    tmp_path: Path, make_case: Make, third: dict[int, int], doubted: bool
) -> None:
    """Numbered 1, 2, 3, the one label without a 3 was stored as L17 without a word, and was refused if LMSD was asked for."""
    made = {1: make_case(1), 2: make_case(2), 3: make_case(3)}

    def recode(number: int, values: dict[int, int]) -> None:
        image, table = nib.load(made[number]["seg"]), np.zeros(5, np.uint8)
        table[list(values)] = list(values.values())
        nib.save(nib.Nifti1Image(table[np.asanyarray(image.dataobj)], image.affine), made[number]["seg"])

    recode(1, {1: 2, 2: 1})  # no enhancing tumour, as a case of a year may be
    recode(3, third)
    store = tmp_path / "store"
    for shard in ("1/3", None, None):  # the first without the others
        report = build_store(tmp_path / "source", out=store, sharing=Sharing(shard=shard))
        said = {name: [w for w in sentences if "under such names" in w] for name, sentences in report.warnings.items()}
        assert {name: len(sentences) for name, sentences in said.items() if sentences} == ({NAMES[0]: 1} if doubted else {})
        assert list(report.refused) == ([NAMES[2]] if 4 not in third.values() and shard is None else [])
        if len(report.kept) + len(report.written) == 3:
            return
    assert list(report.refused) == [NAMES[2]]
    if not doubted:
        return
    assert all(word in said[NAMES[0]][0] for word in ("read as L17", NAMES[2], "LPED or LMSD", "--label-set NAME --force"))
    report = build_store(tmp_path / "source", out=store, settings=StoreSettings(label_set="LMSD"), force=True)
    assert list(report.refused) == [NAMES[1]]  # which holds a 4
    with open_store(store)[NAMES[0]] as case:
        assert (case.label_set, report.warnings.get(NAMES[0], ())) == ("LMSD", ())


def test_shards_make_what_one_call_makes(tmp_path: Path, cohort: dict, command: Callable) -> None:
    written = []
    for shard in ("1/3", "3/3", "2/3"):
        code, out, _ = command("--json", "--quiet", "--shard", shard)
        assert code == 0
        written.append(json.loads(out)["written"])
    assert written == [[NAMES[0], NAMES[3]], [NAMES[2]], [NAMES[1]]]
    assert entries(tmp_path / "store") == files(1, 2, 3, 4)
    code, out, _ = command("--json", "--shard", "9/9")  # a job that nothing is left for
    assert (code, json.loads(out)["written"]) == (0, [])
    before = {name: stored_content(tmp_path / "store" / name) for name in files(1, 2, 3, 4)}
    command("--force")
    assert {name: stored_content(tmp_path / "store" / name) for name in before} == before


def test_several_sources_make_one_store(tmp_path: Path, cohort: dict) -> None:
    sources = [tmp_path / "source" / name for name in NAMES[1:3]]
    report = build_store(sources, out=tmp_path / "store")
    assert report.written == (NAMES[1], NAMES[2])
    with pytest.raises(OutputExistsError, match=rf"all 2 cases of {sources[0]}, {sources[1]} "):
        build_store(sources, out=tmp_path / "store")


@pytest.mark.slow
def test_a_cluster_makes_what_one_process_makes(
    tmp_path: Path, cohort: dict, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort[NAMES[0]]["t2"].write_bytes(b"")
    monkeypatch.chdir(tmp_path)  # the workers are elsewhere
    report = build_store("source", out="by cluster", sharing=Sharing(scheduler=cluster))
    alone = build_store("source", out="alone")
    assert report.as_dict() == alone.as_dict() | {"store": "by cluster", "refused": report.refused}
    assert report.refused.keys() == alone.refused.keys() == {NAMES[0]}
    for name in files(2, 3, 4):
        assert stored_content(Path("by cluster", name)) == stored_content(Path("alone", name))


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, cohort: dict, command: Callable) -> None:
    for number, name in ((0, "t2"), (1, "seg")):
        path = cohort[NAMES[number]][name]
        path.unlink()
        path.symlink_to(tmp_path / "gone.nii.gz")
    code, out, err = command()
    assert code == 3
    assert "2 cases written, 0 kept, 2 refused" in out
    assert err.count("no such file; expected an image") == 2
    assert entries(tmp_path / "store") == files(3, 4)


def test_all_cases_refused_is_still_three(tmp_path: Path, cohort: dict, command: Callable) -> None:
    for paths in cohort.values():
        paths["t1"].write_bytes(b"")
    code, out, _ = command()
    assert code == 3
    assert "0 cases written, 0 kept, 4 refused" in out
    assert entries(tmp_path / "store") == []


@pytest.mark.parametrize(
    ("fill", "says"),
    [
        (lambda folder: None, "does not exist; expected a folder of scans"),
        (lambda folder: folder.mkdir(), "which has no files; expected names like"),
        (
            lambda folder: [folder.mkdir(), (folder / "notes.txt").touch()],
            "which has 1 files, such as notes.txt; expected names like",
        ),
    ],
    ids=["no folder", "empty folder", "other files"],
)
def test_no_cases_found(tmp_path: Path, command: Callable, fill: Callable, says: str) -> None:
    fill(tmp_path / "source")
    code, out, err = command()
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert says in err
    assert not (tmp_path / "store").exists()


def test_what_is_stored_already_is_not_made_again(tmp_path: Path, cohort: dict, command: Callable) -> None:
    command()
    before = {p: p.read_bytes() for p in (tmp_path / "store").iterdir()}
    code, _, err = command()
    assert code == 2
    assert re.search(rf"{tmp_path}/store.* all 4 cases of {tmp_path}/source .*--force", err)
    assert {p: p.read_bytes() for p in (tmp_path / "store").iterdir()} == before
    command("--force", "--codec", "gzip")
    assert all(p.read_bytes() != content for p, content in before.items())


def test_a_second_call_goes_on_where_the_first_stopped(
    tmp_path: Path, cohort: dict, command: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ids.txt").write_text(f"{NAMES[3]}\n{NAMES[1]}\n")
    code, out, _ = command("--cases", str(tmp_path / "ids.txt"))
    assert code == 0
    assert "2 cases written" in out
    assert entries(tmp_path / "store") == files(2, 4)
    times = [p.stat().st_mtime_ns for p in sorted((tmp_path / "store").iterdir())]
    with caplog.at_level(logging.WARNING):
        _, out, _ = command()
    assert "2 cases written, 2 kept, 0 refused" in out
    assert caplog.messages == [f"{tmp_path}/store: continuing, 2 of 4 cases are stored already."]
    assert [(tmp_path / "store" / f).stat().st_mtime_ns for f in files(2, 4)] == times


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cases", "ids.txt"], "1 of the 2 .*cases .* the 4 of .*: BraTS2021_0000 .did you mean"),
        (["--cases", "gone.txt"], "gone.txt: cannot be read"),
        (["--workers", "0"], "workers is 0; expected"),
        (["--label-set", "L71"], "label set is 'L71'.*expected one of: L12"),
        (["--shard", "3/2"], "shard is '3/2'; expected I/N"),
    ],
)
def test_options_that_cannot_be_used(
    tmp_path: Path, cohort: dict, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text(f"{NAMES[0]}\nBraTS2021_0000\n")
    with pytest.raises(OptionError, match=says) as caught:
        main(["source", "--out", "store", *options])
    assert caught.value.exit_code == 2
    assert not (tmp_path / "store").exists()


def test_another_label_set_needs_another_store(tmp_path: Path, cohort: dict, command: Callable) -> None:
    command()
    code, _, err = command("--label-set", "L13")
    assert code == 2
    assert "(label set was 'L17', now 'L13')" in err
    assert describe_store(tmp_path / "store", verify=True).refused == {}


def test_what_is_odd_is_said_again_when_a_run_goes_on(tmp_path: Path, cohort: dict, command: Callable) -> None:
    cohort[NAMES[3]]["t1ce"].unlink()
    first = build_store(tmp_path / "source", out=tmp_path / "store", cases=[NAMES[3], NAMES[0]])
    again = build_store(tmp_path / "source", out=tmp_path / "store")
    assert again.kept == (NAMES[0], NAMES[3])
    (sentence,) = again.warnings[NAMES[3]]
    assert sentence.startswith("t1ce is missing; stored with only t1, t2, flair")
    assert again.warnings[NAMES[3]] == first.warnings[NAMES[3]]
    with open_store(tmp_path / "store")[NAMES[3]] as case:
        assert case.header.warnings == (sentence,)
    assert describe_store(tmp_path / "store").cases[NAMES[3]]["warnings"] == [sentence]


def test_a_case_added_later_is_compared_with_the_stored_ones(tmp_path: Path, make_phantoms: Callable[[int], Path]) -> None:
    heads = make_phantoms(6)
    names = sorted(path.name for path in heads.iterdir() if path.is_dir())
    before = build_store(heads, out=tmp_path / "store", cases=names[:5])
    assert "coded differently" not in str(before.warnings)
    (tmp_path / "later").mkdir()
    last = next((heads / names[5]).glob("*seg.nii.gz"))
    image = nib.load(last)
    nib.save(nib.Nifti1Image(np.array([0, 4, 2, 0, 1], np.uint8)[np.asanyarray(image.dataobj)], image.affine), last)
    (heads / names[5]).rename(tmp_path / "later" / names[5])
    report = build_store(tmp_path / "later", out=tmp_path / "store", settings=StoreSettings(label_set="L17"))
    outliers = [case for case, said in report.warnings.items() if "is coded differently from the cohort" in " ".join(said)]
    assert (report.written, outliers) == ((names[5],), [names[5]])


def test_a_stored_case_that_stands_out_beside_later_ones_is_named(tmp_path: Path, make_phantoms: Callable[[int], Path]) -> None:
    heads = make_phantoms(6)
    names = sorted(path.name for path in heads.iterdir() if path.is_dir())
    label = next((heads / names[0]).glob("*seg.nii.gz"))
    image = nib.load(label)
    nib.save(nib.Nifti1Image(np.array([0, 4, 2, 0, 1], np.uint8)[np.asanyarray(image.dataobj)], image.affine), label)
    (tmp_path / "first").mkdir()
    (heads / names[0]).rename(tmp_path / "first" / names[0])
    build_store(tmp_path / "first", out=tmp_path / "store", settings=StoreSettings(label_set="L17"))
    report = build_store(heads, out=tmp_path / "store")
    assert "coded differently from the cohort" in " ".join(report.warnings[names[0]])


def test_another_codec_needs_another_store(tmp_path: Path, cohort: dict, command: Callable) -> None:
    (tmp_path / "ids.txt").write_text(f"{NAMES[1]}\n")
    command("--codec", "gzip", "--cases", str(tmp_path / "ids.txt"))
    code, _, err = command()
    assert code == 2
    assert re.search(rf"{NAMES[1]}\.h5 .*\(codec was 'gzip', now 'zstd'\)", err)
    assert entries(tmp_path / "store") == files(2)
    assert command("--codec", "gzip")[0] == 0
    code, _, err = command("--codec", "zstd", "--cases", str(tmp_path / "ids.txt"))
    assert (code, "codec was 'gzip', now 'zstd'" in err) == (2, True)


def bigger(paths: dict[str, Path]) -> None:
    """Write a scan anew, less compressed."""
    image = nib.load(paths["t2"])
    paths["t2"].write_bytes(gzip.compress(image.to_bytes(), 0))


def capitalise(paths: dict[str, Path]) -> None:
    paths["t1"].rename(paths["t1"].with_name(paths["t1"].name.replace("t1", "T1")))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (bigger, r"stored from \w+_t2\.nii\.gz of \d+ bytes, where now BraTS2021_00002 has \w+_t2\.nii\.gz of \d+ bytes"),
        (lambda paths: paths["seg"].unlink(), r"stored from \w+_seg\.nii\.gz of \d+ bytes, where now .* has no such file"),
        (capitalise, r"stored from \w+_t1\.nii\.gz of \d+ bytes, where now .* has \w+_T1\.nii\.gz of \d+ bytes"),
    ],
    ids=["another size", "no label any more", "another name"],
)
def test_a_case_issued_again_is_not_taken_for_the_old_one(
    tmp_path: Path, cohort: dict, command: Callable, change: Callable, says: str
) -> None:
    command()
    (tmp_path / "store" / files(4)[0]).unlink()
    before = (tmp_path / "store" / files(2)[0]).read_bytes()
    change(cohort[NAMES[1]])
    code, out, err = command()
    assert code == 3
    assert "1 cases written, 2 kept, 1 refused" in out
    refused = next(line for line in err.splitlines() if line.startswith(f"refused {NAMES[1]}: {tmp_path}/store/"))
    assert re.search(says, refused)
    assert refused.endswith("; make it again with --force, or use another --out.")
    assert (tmp_path / "store" / files(2)[0]).read_bytes() == before
    assert command("--force")[0] == 0
    assert "all 4 cases" in command()[2]


def test_bytes_count_where_name_and_size_are_the_same(tmp_path: Path, cohort: dict, command: Callable) -> None:
    """Of the label always, of a scan where it was touched after it was stored."""
    for name in NAMES[:3]:
        for part in ("t2", "seg"):  # not compressed, so that the size stays
            path = cohort[name][part]
            nib.save(nib.load(path), str(path).removesuffix(".gz"))
            path.unlink()
    command()
    (tmp_path / "store" / files(4)[0]).unlink()
    for name, part in ((NAMES[0], "seg"), (NAMES[1], "t2")):
        path = Path(str(cohort[name][part]).removesuffix(".gz"))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    code, out, err = command()
    assert (code, "1 cases written, 1 kept, 2 refused" in out) == (3, True)
    for name, part in ((NAMES[0], "seg"), (NAMES[1], "t2")):
        assert f"{name}.h5 was stored from {name}_{part}.nii, where now that file has other bytes; make it again" in err


def test_facts_that_are_others_than_when_it_was_stored(tmp_path: Path, cohort: dict) -> None:
    """Two scans that a manifest learns later to be one patient's would come to two sides of a split."""
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"case,t1\na,{cohort[NAMES[0]]['t1']}\n")
    build_store(manifest, out=tmp_path / "store")
    lines = [f"case,t1,patient\na,{cohort[NAMES[0]]['t1']},anna", f"b,{cohort[NAMES[1]]['t1']},anna\n"]
    manifest.write_text("\n".join(lines))
    report = build_store(manifest, out=tmp_path / "store")
    assert (report.written, report.kept) == (("b",), ())
    assert "a.h5 was stored with patient a, where now a has anna; make it again with --force" in report.refused["a"]


def test_what_a_manifest_says_otherwise_of_the_label(tmp_path: Path, cohort: dict) -> None:
    """Age, which was not known before and of which nothing is made, harms nothing."""
    manifest, files = tmp_path / "m.csv", cohort[NAMES[0]]

    def say(**more: str) -> None:
        row = {"case": "a", "t1": files["t1"], "label": files["seg"], **more}
        manifest.write_text("\n".join(",".join(map(str, cells)) for cells in (row, row.values())))

    say(label_set="L17")
    build_store(manifest, out=tmp_path / "store")
    say(label_set="L17", age="60")
    with pytest.raises(OutputExistsError, match="all 1 cases"):
        build_store(manifest, out=tmp_path / "store")
    say(label_set="L13")
    report = build_store(manifest, out=tmp_path / "store")
    assert "a.h5 was stored with label set L17, where now the manifest says L13; make it again" in report.refused["a"]


def test_a_label_that_cannot_be_read_any_more_is_its_own_cases_affair(
    tmp_path: Path, cohort: dict, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    command()
    (tmp_path / "store" / files(4)[0]).unlink()
    shut, plain = cohort[NAMES[0]]["seg"], Path.open

    def refuse(path: Path, *mode: str, **more: Any) -> Any:
        if path == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *mode, **more)

    monkeypatch.setattr(Path, "open", refuse)
    code, out, err = command()
    assert (code, "1 cases written, 2 kept, 1 refused" in out) == (3, True)
    assert f"refused {NAMES[0]}: {shut}: cannot be compared with what is stored (Permission denied); make it readable" in err


def test_the_command_takes_all_cores_and_the_function_one(
    tmp_path: Path, cohort: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spawned process runs a caller's script again, so that only the command can know that this does no harm."""
    asked: list[str] = []
    monkeypatch.setattr("brats3d.parallel.core_count", lambda: asked.append("all cores") or 1)
    build_store(tmp_path / "source", out=tmp_path / "by function")
    assert asked == []
    assert run(main, [str(tmp_path / "source"), "--out", str(tmp_path / "by command"), "--quiet"]) == 0
    assert set(asked) == {"all cores"}


def test_a_file_in_the_stores_place(tmp_path: Path, cohort: dict) -> None:
    (tmp_path / "store").write_text("mine")
    with pytest.raises(OutputExistsError, match="store is a file; expected a folder"):
        build_store(tmp_path / "source", out=tmp_path / "store")
    assert (tmp_path / "store").read_text(encoding="utf-8") == "mine"


def test_a_damaged_case_file_is_named_and_the_others_are_made(tmp_path: Path, cohort: dict, command: Callable) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / files(2)[0]).write_text("id,age\n")
    code, out, err = command()
    assert code == 3
    assert "3 cases written, 0 kept, 1 refused" in out
    assert f"refused {NAMES[1]}: {tmp_path}/store/{NAMES[1]}.h5: the case file is damaged" in err
    assert command("--force")[0] == 0
    assert describe_store(tmp_path / "store", verify=True).refused == {}


def test_a_disk_too_small_is_told_before_anything_is_written(
    tmp_path: Path, cohort: dict, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> tuple:
        asked.append(path)
        return namedtuple("usage", "free")(5 * 10**8)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    for name in NAMES[:3]:
        os.truncate(cohort[name]["seg"], 4 * 10**9)  # sparse: takes no room, and nobody comes to read it
    code, _, err = command()
    assert code == 2
    assert f"error: {tmp_path}/store: about 12.0 GB are needed for 4 cases, 0.5 GB are free." in err
    assert asked == [tmp_path]
    assert not (tmp_path / "store").exists()


def test_a_disk_that_fills_up_keeps_what_is_finished(tmp_path: Path, cohort: dict, command: Callable) -> None:
    store = tmp_path / "store"
    store.mkdir()
    # What is written through this link meets a full disk.
    (store / f".{NAMES[2]}.{socket.gethostname()}-{os.getpid()}.h5").symlink_to("/dev/full")
    code, _, err = command()
    assert code == 2
    assert f"error: {store}/{NAMES[2]}.h5: no space left on the disk; " in err
    assert "MB are needed." in err
    assert entries(store) == files(1, 2)
    assert command()[0] == 0
    assert entries(store) == files(1, 2, 3, 4)


@pytest.mark.slow
def test_a_killed_command_leaves_a_store_that_the_same_command_finishes(
    tmp_path: Path, cohort: dict, command: Callable
) -> None:
    script = """
import os, sys
from brats3d.console import run
from brats3d.preprocess.__main__ import main
if __name__ == "__main__":
    synced = []
    def fsync(handle):
        synced.append(handle)
        if len(synced) == 3:
            os.kill(os.getpid(), 9)
    os.fsync = fsync
    sys.exit(run(main))
"""
    store = tmp_path / "store"
    arguments = [str(tmp_path / "source"), "--out", str(store), "--workers", "1", "--quiet"]
    assert subprocess.run([sys.executable, "-c", script, *arguments], check=False).returncode == -9
    assert [e for e in entries(store) if not e.startswith(".")] == files(1, 2)
    assert len(entries(store)) == 3, "the file in work was not finished"
    assert describe_store(store, verify=True).refused == {}
    code, out, _ = command()
    assert code == 0
    assert "2 cases written, 2 kept, 0 refused" in out
    assert entries(store) == files(1, 2, 3, 4)
    for file in store.iterdir():
        verify_file(file)


@pytest.mark.slow
def test_two_workers_write_what_one_writes(tmp_path: Path, cohort: dict) -> None:
    for workers in (1, 2):
        report = build_store(tmp_path / "source", out=tmp_path / f"by{workers}", sharing=Sharing(workers))
        assert report.written == tuple(NAMES)
    for file in files(1, 2, 3, 4):
        assert stored_content(tmp_path / "by1" / file) == stored_content(tmp_path / "by2" / file)


@pytest.mark.real
@pytest.mark.slow
def test_the_real_cases_are_stored_as_they_are(tmp_path: Path, real_data: Path) -> None:
    """Voxels against nibabel's, label volumes against the table in a README beside the cases, where there is one."""
    source, store, readme = real_data / "brats", tmp_path / "store", real_data / "README.md"
    names = sorted(p.name for p in source.iterdir() if p.is_dir())
    report = build_store(source, out=store, sharing=Sharing(workers=2))
    assert (report.written, report.refused) == (tuple(names), {})
    table = {}
    for line in readme.read_text(encoding="utf-8").splitlines() if readme.is_file() else []:
        cells = [c.strip() for c in line.strip("|").split("|")]
        if cells[0] in names and len(cells) == 13:
            table[cells[0]] = [float(ml) for ml in cells[9].split("/")]
    ends = {"t1": ("t1", "t1n"), "t1ce": ("t1ce", "t1c"), "t2": ("t2", "t2w"), "flair": ("flair", "t2f"), "seg": ("seg",)}
    for name, case in open_store(store).items():
        arrays = dict(zip(case.modalities, case.images[:], strict=True))
        arrays |= {} if case.label is None else {"seg": case.label[:]}
        for kind, array in arrays.items():
            (path,) = (p for p in (source / name).iterdir() if re.split("[-_.]", p.name.lower())[-3] in ends[kind])
            ras = nib.as_closest_canonical(nib.load(path))
            assert np.array_equal(array, np.asanyarray(ras.dataobj)[::-1, ::-1]), path.name  # much faster than numpy.testing
        assert case.grid.axes == "LPS"
        if name in table:
            voxels = {value: sample.count for value, sample in case.tumour.items()}
            enhancing = voxels[3 if case.label_set == "L23" else 4]
            found = [n / 1000 for n in (sum(voxels.values()), voxels[1] + enhancing, enhancing)]
            assert found == pytest.approx(table[name], abs=0.0051)  # the table has two decimals
        case.close()
    if not table:
        pytest.skip(f"{readme} has no table of label volumes: the volumes were not compared, the voxels were")


def test_a_case_whose_file_would_have_too_long_a_name_is_refused_by_itself(tmp_path: Path, make_case: Make) -> None:
    """252 letters and .h5 are what a file system takes; a manifest may name a case as it likes."""
    lines = []
    for number, case in enumerate(("x" * 252, "y" * 253)):
        paths = make_case(number)
        lines.append(f"{case},{','.join(str(paths[m]) for m in ('t1', 't1ce', 't2', 'flair', 'seg'))},L17")
    (tmp_path / "own.csv").write_text("\n".join(["case,t1,t1ce,t2,flair,label,label_set", *lines]))
    for force in (False, True):
        report = build_store(tmp_path / "own.csv", out=tmp_path / "store", force=force)
        assert report.written == ("x" * 252,)
        assert list(report.refused) == ["y" * 253]
        assert "256 bytes" in report.refused["y" * 253]
        assert "at most 255" in report.refused["y" * 253]
        assert entries(tmp_path / "store") == ["x" * 252 + ".h5"]
        shutil.rmtree(tmp_path / "store")
