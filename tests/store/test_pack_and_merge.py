"""A store as one file and back, and cases of one store in another: the content is the same, the chunks are the same bytes."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from brats3d.console import run
from brats3d.errors import NoCasesError, OptionError, OutputExistsError, SpaceError, StoreError
from brats3d.evaluate.find_labels import find_labels
from brats3d.evaluate.label_files import Side, read_label
from brats3d.patches import BatchSettings, CaseReader, PatchPlan
from brats3d.store import (
    PreparedCase,
    StoredCase,
    case_path,
    describe_store,
    is_store,
    merge_stores,
    open_store,
    pack_store,
    unpack_store,
    verify_file,
    write_case,
    write_listing,
)
from brats3d.store.__main__ import main

Make = Callable[..., PreparedCase]
CASES = ("c1", "c10", "c2")


@pytest.fixture
def store(tmp_path: Path, make_prepared: Make) -> Path:
    """Three cases: of two codecs, two types, one without a label."""
    folder = tmp_path / "store"
    folder.mkdir()
    made = make_prepared("c1", (40, 37, 66))
    write_case(
        folder,
        replace(
            made,
            header=replace(
                made.header, facts=replace(made.facts, grade="HGG"), sources=({"name": "a.nii", "bytes": 3, "crc32": 9},)
            ),
        ),
    )
    write_case(folder, make_prepared("c2", kind=np.float32), codec="gzip")
    write_case(folder, make_prepared("c10", labelled=False))
    return folder


def raw_chunks(group: h5py.Group) -> dict[str, list[tuple[tuple[int, ...], int, bytes]]]:
    """Return dataset → its chunks as they lie on the disk: corner, filters passed over, bytes."""
    found = {}

    def look(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and item.chunks:
            corners = [item.id.get_chunk_info(i).chunk_offset for i in range(item.id.get_num_chunks())]
            found[name] = sorted((c, *item.id.read_direct_chunk(c)) for c in corners)

    group.visititems(look)
    return found


def attributes(group: h5py.Group) -> dict[str, tuple]:
    return {n: (np.asarray(v).dtype.kind, np.asarray(v).tolist()) for n, v in group.attrs.items()}


def assert_same_case(first: h5py.Group, second: h5py.Group) -> None:
    assert attributes(first) == attributes(second)
    assert attributes(first["images"]) == attributes(second["images"])
    names: tuple[list[str], list[str]] = ([], [])
    for group, found in zip((first, second), names, strict=True):
        group.visit(found.append)
    assert names[0] == names[1]
    for name in names[0]:
        if isinstance(first[name], h5py.Dataset):
            assert first[name].dtype == second[name].dtype
            assert (first[name].compression, first[name].fletcher32) == (second[name].compression, second[name].fletcher32)
            np.testing.assert_array_equal(first[name][()], second[name][()])
    assert raw_chunks(first) == raw_chunks(second)
    assert raw_chunks(first)["images"]


def entries(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_packed_store_holds_the_same_chunks_and_comes_back(tmp_path: Path, store: Path) -> None:
    packed = tmp_path / "all.h5"
    told: list[tuple[str, int, int]] = []
    report = pack_store(store, packed, progress=lambda *step: told.append(step))
    assert (report.cases, report.out, report.store) == (CASES, str(packed), str(store))
    assert report.megabytes == pytest.approx(packed.stat().st_size / 1e6, abs=0.01)
    assert told == [("packing", n, 3) for n in (1, 2, 3)]
    assert entries(tmp_path) == ["all.h5", "store"]
    with h5py.File(packed, locking=False) as file:
        assert sorted(file) == sorted(CASES)
        for name in CASES:
            with h5py.File(store / f"{name}.h5", locking=False) as own:
                assert_same_case(own, file[name])
    # the room taken beforehand is given back: what the file takes is about what the case files took
    assert packed.stat().st_size < 1.1 * sum(p.stat().st_size for p in store.iterdir()) + 4096
    report = unpack_store(packed, tmp_path / "deep" / "back")
    assert (report.added, report.kept, report.refused) == (CASES, (), {})
    assert entries(tmp_path / "deep" / "back") == entries(store)
    for name in CASES:
        verify_file(tmp_path / "deep" / "back" / f"{name}.h5")
        with h5py.File(store / f"{name}.h5") as own, h5py.File(tmp_path / "deep" / "back" / f"{name}.h5") as back:
            assert_same_case(own, back)


def test_a_packed_store_reads_as_its_folder(tmp_path: Path, store: Path) -> None:
    pack_store(store, tmp_path / "all.h5")
    packed, folder = open_store(tmp_path / "all.h5"), open_store(store)
    assert list(packed) == list(folder) == list(CASES)
    assert "c10" in packed
    assert "c3" not in packed
    for name in CASES:
        with packed[name] as one, folder[name] as other:
            assert one.header == other.header
            np.testing.assert_array_equal(one.patch((-3, 2, 5), (20, 9, 41)), other.patch((-3, 2, 5), (20, 9, 41)))
            np.testing.assert_array_equal(one.label_patch((0, 0, 0), (9, 9, 9)), other.label_patch((0, 0, 0), (9, 9, 9)))
            np.testing.assert_array_equal(one.brain_box, other.brain_box)
            np.testing.assert_array_equal(one.source.affine, other.source.affine)
            assert one.scaling("t2", "clamped_zscore") == other.scaling("t2", "clamped_zscore")
            with pickle.loads(pickle.dumps(one)) as again:
                assert again.header == other.header
    first, second = packed["c1"], packed["c1"]
    first.close()
    assert second.patch((0, 0, 0), (9, 9, 9)).shape == (4, 9, 9, 9), "closing one case closes no other of the same file"
    with pytest.raises(StoreError, match=r"all\.h5/c1\.h5: the case file is closed"):
        first.patch((0, 0, 0), (9, 9, 9))
    second.close()
    rows, packed_rows = describe_store(store, verify=True).cases, describe_store(tmp_path / "all.h5", verify=True).cases
    for name, row in rows.items():
        assert packed_rows[name].pop("megabytes") == pytest.approx(row.pop("megabytes"), abs=0.05)
    assert packed_rows == rows
    with pytest.raises(StoreError, match=r"all\.h5/c3\.h5: the case file is damaged"):
        StoredCase(case_path(tmp_path / "all.h5", "c3"))


def test_every_reader_takes_a_packed_store(tmp_path: Path, store: Path) -> None:
    """`case_path` leads into the file, so that whoever is given a store's path needs to know nothing."""
    pack_store(store, tmp_path / "all.h5")
    samples = []
    for path in (store, tmp_path / "all.h5"):
        reader = CaseReader(PatchPlan(path, ("c1", "c2"), BatchSettings(patch_size=(16, 16, 16)), seed=3))
        samples.append([reader.sample(0, index) for index in range(4)])
        reader.close()
    for one, other in zip(*samples, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.targets, other.targets)
    found = [find_labels(Side("reference", path, "--label-set", None, False)) for path in (store, tmp_path / "all.h5")]
    assert list(found[0]) == list(found[1]) == list(CASES)
    for one, other in zip(*(f.values() for f in found), strict=True):
        if one.id != "c10":  # which has no label
            np.testing.assert_array_equal(read_label(one).volume.array, read_label(other).volume.array)


def test_damage_in_a_packed_store_is_found_and_harms_no_other(tmp_path: Path, store: Path) -> None:
    pack_store(store, tmp_path / "all.h5")
    with h5py.File(tmp_path / "all.h5", locking=False) as file:
        chunk = file["c2/images"].id.get_chunk_info(0)
    with (tmp_path / "all.h5").open("r+b") as raw:
        raw.seek(chunk.byte_offset + chunk.size // 2)
        byte = raw.read(1)[0]
        raw.seek(-1, os.SEEK_CUR)
        raw.write(bytes([byte ^ 0x55]))
    listing = describe_store(tmp_path / "all.h5", verify=True)
    assert list(listing.cases) == ["c1", "c10"]
    assert "all.h5/c2.h5: the case file is damaged (" in listing.refused["c2"]


def test_what_is_there_is_not_overwritten(tmp_path: Path, store: Path) -> None:
    packed = tmp_path / "all.h5"
    packed.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"all\.h5 already exists; use --force"):
        pack_store(store, packed)
    with pytest.raises(OutputExistsError, match=r"store is a folder.* store\.h5|store is a folder"):
        pack_store(store, store)
    assert packed.read_text(encoding="utf-8") == "mine"
    pack_store(store, packed, force=True)
    assert list(open_store(packed)) == list(CASES)
    with pytest.raises(OutputExistsError, match=r"store.* all 3 cases of .*all\.h5 "):
        unpack_store(packed, store)
    with pytest.raises(OutputExistsError, match=r"all\.h5 is a file; expected a folder"):
        unpack_store(packed, packed)
    with pytest.raises(NoCasesError, match=r"store is a folder"):
        unpack_store(store, tmp_path / "back")


def test_a_store_is_not_packed_into_itself(store: Path) -> None:
    before = entries(store)
    for name in ("all.h5", before[0]):
        with pytest.raises(OutputExistsError, match=r"inside the store itself"):
            pack_store(store, store / name, force=True)
    assert entries(store) == before


def test_a_damaged_case_file_packs_nothing(tmp_path: Path, store: Path) -> None:
    for damage in (lambda: (store / "c10.h5").write_text("damaged"), lambda: (store / "c1.h5").replace(store / "c10.h5")):
        damage()
        with pytest.raises(StoreError, match=r"c10\.h5: the "):
            pack_store(store, tmp_path / "all.h5")
        assert entries(tmp_path) == ["store"]


def test_a_disk_too_small_packs_nothing(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(handle: int, offset: int, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(SpaceError, match=r"all\.h5: no space .* \d\.\d MB"):
        pack_store(store, tmp_path / "all.h5")
    assert entries(tmp_path) == ["store"]
    assert asked[0] > sum(p.stat().st_size for p in store.iterdir())


FULL = """
import errno, os, resource, sys
from brats3d.console import run
from brats3d.store.__main__ import main
def unknown(handle, offset, size):
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")
os.posix_fallocate = unknown  # as on drives that do not know it
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop()), resource.RLIM_INFINITY))
sys.exit(run(main))
"""


@pytest.mark.parametrize("share", [0.02, 0.5, 2])
def test_a_drive_that_fails_in_the_middle_of_a_file_is_one_sentence(tmp_path: Path, store: Path, share: float) -> None:
    packed, size = tmp_path / "all.h5", sum(p.stat().st_size for p in store.iterdir())
    command = [sys.executable, "-c", FULL, str(store), "--quiet", "--pack", str(packed), str(int(share * size))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if share > 1:
        assert (done.returncode, done.stderr) == (0, "")
        assert describe_store(packed, verify=True).refused == {}
    else:
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {packed}: File too large; ")
        assert done.stderr.count("\n") == 1
        assert entries(tmp_path) == ["store"]


KILLED = """
import os, sys
os.fsync = lambda handle: os.kill(os.getpid(), 9)
from brats3d.store import pack_store
pack_store(sys.argv[1], sys.argv[2], force=True)
"""


@pytest.mark.parametrize("before", [True, False], ids=["over an older file", "first"])
def test_a_kill_while_packing_leaves_what_was_and_the_next_run_clears_up(tmp_path: Path, store: Path, before: bool) -> None:
    packed = tmp_path / "all.h5"
    if before:
        packed.write_text("mine")
    assert subprocess.run([sys.executable, "-c", KILLED, str(store), str(packed)], check=False).returncode == -9
    assert (packed.read_text(encoding="utf-8") if before else packed.exists()) == ("mine" if before else False)
    assert len([e for e in entries(tmp_path) if e.startswith(".all.")]) == 1
    pack_store(store, packed, force=True)
    assert entries(tmp_path) == ["all.h5", "store"]
    assert describe_store(packed, verify=True).refused == {}


def test_unpacking_goes_on_where_it_stopped(tmp_path: Path, store: Path) -> None:
    pack_store(store, tmp_path / "all.h5")
    unpack_store(tmp_path / "all.h5", tmp_path / "back")
    (tmp_path / "back" / "c10.h5").unlink()
    before = (tmp_path / "back" / "c1.h5").stat().st_mtime_ns
    report = unpack_store(tmp_path / "all.h5", tmp_path / "back")
    assert (report.added, report.kept) == (("c10",), ("c1", "c2"))
    assert (tmp_path / "back" / "c1.h5").stat().st_mtime_ns == before


@pytest.fixture
def others(tmp_path: Path, make_prepared: Make) -> Iterator[list[Path]]:
    """A folder with a case that clashes, one that is the same but of another codec, and a new one; and a packed store."""
    folder, second = tmp_path / "other", tmp_path / "second"
    for path in (folder, second):
        path.mkdir()
    write_case(folder, replace(made := make_prepared("c2", (41, 37, 35)), header=replace(made.header, id="c1")))
    write_case(folder, make_prepared("c10", labelled=False), codec="gzip")
    write_case(folder, make_prepared("c4"))
    write_case(second, make_prepared("c5"))
    write_case(second, make_prepared("c2"))
    pack_store(second, tmp_path / "second.h5")
    return [folder, tmp_path / "second.h5"]


def test_merging_brings_in_what_is_new_and_refuses_clashes_by_name(tmp_path: Path, store: Path, others: list[Path]) -> None:
    before = {p.name: p.read_bytes() for p in store.iterdir()}
    for added, kept in ((("c4", "c5"), ("c10",)), ((), ("c10", "c4", "c5"))):  # the second time nothing is left to do
        report = merge_stores(store, others)
        assert (report.added, report.kept) == (added, kept)
        assert list(report.refused) == ["c1", "c2"]
        assert report.refused["c1"].startswith(f"{others[0]}/c1.h5: the store {store} has a case c1 ")
        assert report.refused["c2"].startswith(f"{others[1]}/c2.h5: the store {store} has a case c2 ")
    assert entries(store) == sorted([*before, "c4.h5", "c5.h5"])
    assert {name: (store / name).read_bytes() for name in before} == before
    assert (store / "c4.h5").read_bytes() == (others[0] / "c4.h5").read_bytes()
    assert describe_store(store, verify=True).refused == {}
    with open_store(store)["c5"] as one, open_store(others[1])["c5"] as other:
        assert_same_case(one.root, other.root)


def test_a_damaged_case_is_not_brought_in(tmp_path: Path, store: Path, others: list[Path]) -> None:
    (others[0] / "c4.h5").write_text("damaged")
    (others[0] / "c6.h5").write_bytes((store / "c2.h5").read_bytes())
    report = merge_stores(store, others[:1])
    assert set(report.refused) == {"c1", "c4", "c6"}
    assert "c4.h5: the case file is damaged" in report.refused["c4"]
    assert "c6.h5: the file contains case 'c2'" in report.refused["c6"]
    assert entries(store) == ["c1.h5", "c10.h5", "c2.h5"]


def test_merges_that_mean_nothing_are_refused(tmp_path: Path, store: Path, others: list[Path]) -> None:
    with pytest.raises(OptionError, match="found 0 other stores"):
        merge_stores(store, [])
    with pytest.raises(OptionError, match="store is the store itself"):
        merge_stores(store, [others[0], tmp_path / "other" / ".." / "store"])
    with pytest.raises(OutputExistsError, match=r"second\.h5 is a packed store"):
        merge_stores(others[1], [store])
    with pytest.raises(NoCasesError, match="gone: no such folder"):
        merge_stores(store, [tmp_path / "gone"])
    assert entries(store) == ["c1.h5", "c10.h5", "c2.h5"]


def test_other_files_are_no_stores(tmp_path: Path, store: Path) -> None:
    (tmp_path / "scores.csv").write_text("case,dice\n" * 99)
    pack_store(store, tmp_path / "all.h5")
    half = tmp_path / "half.h5"
    half.write_bytes((tmp_path / "all.h5").read_bytes()[:5000])
    for path, says in (
        (tmp_path / "scores.csv", r"the file has format .*(signature|superblock).*; expected a store: a folder of case files"),
        (half, r"half\.h5: the file has format '.*truncated.*'; expected a store"),
        (store / "c1.h5", r"c1\.h5: the file has format 'brats3d'; expected a store"),
    ):
        with pytest.raises(NoCasesError, match=says):
            open_store(path)
        assert not is_store(path)
    assert is_store(store)
    assert is_store(tmp_path / "all.h5")
    assert not is_store(tmp_path / "gone")


def test_the_listing_is_kept_and_is_never_the_only_copy(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "c0.h5").write_text("damaged")
    assert run(main, [str(store), "--write", "--quiet"]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == f"saved as {store}/store.json"
    text = (store / "store.json").read_text(encoding="utf-8")
    kept = json.loads(text)
    assert kept["cases"] == describe_store(store).cases
    assert list(kept["refused"]) == ["c0"]
    assert str(tmp_path) not in text
    (store / "c0.h5").unlink()
    assert list(open_store(store)) == list(CASES), "the listing is not read"
    pack_store(store, tmp_path / "all.h5")
    with pytest.raises(OutputExistsError, match=r"all\.h5 is a packed store"):
        write_listing(tmp_path / "all.h5")


def test_the_command_packs_merges_and_unpacks(
    tmp_path: Path, store: Path, others: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    packed, back = tmp_path / "all.h5", tmp_path / "back"
    assert run(main, [str(store), "--pack", str(packed), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(f"{packed}: 3 cases of {store} in ")
    assert run(main, [str(packed), f"--unpack={back}", "--quiet"]) == 0
    assert capsys.readouterr().out == f"{back}: 3 cases added, 0 already there, 0 refused\n"
    assert run(main, [str(back), "--merge", *map(str, others), "--quiet"]) == 3
    shown = capsys.readouterr()
    assert shown.out == f"{back}: 2 cases added, 1 already there, 2 refused\n"
    assert [line.split(":")[0] for line in shown.err.splitlines()] == ["refused c1", "refused c2"]
    assert run(main, [str(packed), "--verify", "--json", "--quiet"]) == 0
    assert '"store"' in capsys.readouterr().out
    assert run(main, [str(store), "--pack", str(packed)]) == 2
    assert run(main, [str(store), "--pack", str(packed), "--unpack", str(back)]) == 2
    assert "--pack and --unpack are given; expected one of them at a time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--help"], "STORE|--verify|--workers|--write  |--pack OUT  |--unpack OUT |--merge OTHERS |--audit SPLIT "),
        (["--pack", "--help"], "--pack OUT|--force|STORE"),
        (["S", "--merge", "-h"], "--merge OTHERS [OTHERS ...]"),
        (["--write", "-h"], "usage: python -m brats3d.store --write|--verify"),
    ],
)
def test_help_tells_what_else_the_command_does(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for word in [*words.split("|"), "Example:\n  python -m brats3d.store STORE"]:
        assert word in shown
    assert ("--force" in shown) == (argv[0] == "--pack"), "options of other actions are not offered"


@pytest.mark.parametrize(
    ("argv", "says"),
    [(["S", "--merge", "A", "--verify"], "unrecognized arguments: --verify"), (["S", "--pack"], "expected one argument")],
)
def test_an_action_takes_its_own_options_only(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2
    assert says in capsys.readouterr().err
