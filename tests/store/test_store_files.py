"""Case files: what is written is read, what is damaged is named, and a stop at any moment leaves whole files only."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from brats3d.errors import ArrayError, ImageError, NoCasesError, OptionError, SpaceError, StoreError
from brats3d.geometry import Grid
from brats3d.intensity import histogram_of
from brats3d.regions import LABEL_SETS
from brats3d.store import PreparedCase, Store, StoredCase, case_path, open_store, summarise, verify_file, write_case

Make = Callable[..., PreparedCase]


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_written_is_read(tmp_path: Path, make_prepared: Make, codec: str, kind: type, labelled: bool) -> None:
    made = make_prepared(kind=kind, labelled=labelled)
    sources = ({"name": "c0_t1.nii.gz", "bytes": 5, "crc32": 7},)
    facts = replace(made.facts, patient="p", timepoint="002", corpus="BraTS 2018", grade="HGG")
    header = replace(made.header, facts=facts, sources=sources)
    sheared = np.diag([2.0, -3.0, 1.5, 1.0]) + np.eye(4, k=1) * 0.1
    source = Grid((35, 40, 37), sheared, sheared + 1, None, 2, 0, 10)
    path = write_case(tmp_path, replace(made, header=header, source=source), codec=codec)
    assert path == tmp_path / "c0.h5"
    assert list(tmp_path.iterdir()) == [path]
    verify_file(path)
    with StoredCase(path) as case:
        assert case.header == header
        assert (case.id, case.patient, case.timepoint, case.corpus, case.grade) == ("c0", "p", "002", "BraTS 2018", "HGG")
        assert (case.label_set, case.modalities) == ("L17" if labelled else None, ("t1", "t1ce", "t2", "flair"))
        assert case.images.dtype == kind
        np.testing.assert_array_equal(case.images[:], made.images)
        assert (case.label is None) == (not labelled)
        if labelled:
            np.testing.assert_array_equal(case.label[:], made.label)
        np.testing.assert_array_equal(case.brain_box, made.brain_box)
        for modality, histogram in made.histograms.items():
            for ours, theirs in zip(case.histograms[modality].arrays().items(), histogram.arrays().items(), strict=True):
                assert ours[0] == theirs[0]
                np.testing.assert_array_equal(ours[1], theirs[1])
            assert case.scaling(modality, "clamped_zscore") == made.scaling(modality, "clamped_zscore")
        assert list(case.tumour) == list(made.tumour) == ([1, 2, 4] if labelled else [])
        for value, sample in made.tumour.items():
            assert case.tumour[value].count == sample.count
            np.testing.assert_array_equal(case.tumour[value].coordinates, sample.coordinates)
        np.testing.assert_array_equal(case.grid.affine, made.grid.affine)
        assert case.grid.shape == made.grid.shape
        back = case.source
        np.testing.assert_array_equal(back.affine, sheared)
        np.testing.assert_array_equal(back.qform, sheared + 1)
        assert (back.shape, back.sform) == ((35, 40, 37), None)
        assert (back.qform_code, back.sform_code, back.xyzt_units) == (2, 0, 10)


def test_unknown_facts_come_back_as_none(tmp_path: Path, make_prepared: Make) -> None:
    with StoredCase(write_case(tmp_path, make_prepared(labelled=False))) as case:
        assert (case.timepoint, case.grade, case.label_set, case.source.qform) == (None, None, None, None)


def test_the_summary_of_a_case_is_that_of_its_voxels(make_prepared: Make) -> None:
    made = make_prepared((name := "c1"), (41, 38, 36))
    assert made.id == name
    union = (made.images != 0).any(0)
    found = np.argwhere(union)
    np.testing.assert_array_equal(made.brain_box, np.stack([found.min(0), found.max(0) + 1], 1))
    for modality, channel in zip(made.modalities, made.images, strict=True):
        inside = channel[channel != 0]
        assert made.histograms[modality].percentile(98) == pytest.approx(np.percentile(inside, 98))
        values, counts = np.unique(inside, return_counts=True)
        np.testing.assert_array_equal(made.histograms[modality].arrays()["counts"], counts)
        np.testing.assert_array_equal(made.histograms[modality].arrays()["values"], values)
    assert {v: s.count for v, s in made.tumour.items()} == {v: int((made.label == v).sum()) for v in (1, 2, 4)}


def test_a_tumour_sample_is_bounded_and_carries_its_value(make_prepared: Make) -> None:
    plain = make_prepared()
    label = np.zeros(plain.grid.shape, np.uint8)
    label[5:30, 4:33, 3:30] = 2
    label[7:9, 8:10, 9:12] = 1
    first, second = (summarise(plain.header, plain.images, label, plain.grid, plain.source).tumour for _ in range(2))
    assert first[2].count == (label == 2).sum() > 10_000
    assert first[2].coordinates.shape == (10_000, 3)
    assert len(np.unique(first[2].coordinates, axis=0)) == 10_000
    assert first[1].coordinates.shape == (12, 3)
    for value, sample in first.items():
        assert (label[tuple(sample.coordinates.T)] == value).all()
        np.testing.assert_array_equal(sample.coordinates, second[value].coordinates)
    spread = first[2].coordinates.mean(0) - np.argwhere(label == 2).mean(0)
    assert np.abs(spread).max() < 0.5, "the sample is not spread over the tumour"


def test_a_modality_of_zeros_is_named(make_prepared: Make) -> None:
    made = make_prepared()
    made.images[2] = 0
    with pytest.raises(ImageError, match="case c0, t2: all voxels are 0; expected a scan"):
        summarise(made.header, made.images, made.label, made.grid, made.source)


@pytest.mark.parametrize("order", ["C", "F"])
def test_chunks_that_hold_nothing_are_not_written_and_all_else_is(tmp_path: Path, make_prepared: Make, order: str) -> None:
    """Brain in one corner, a label voxel in the other: each has chunks of its own, whatever the order in memory."""
    one = make_prepared("c0")
    shape = (70, 41, 66)
    images, label = np.zeros((4, *shape), np.int16, order=order), np.zeros(shape, np.uint8, order=order)
    images[:, 3:20, 33:39, 2:9] = np.random.default_rng(1).integers(-5, 900, (4, 17, 6, 7))
    label[69, 40, 65] = 4
    grid = Grid(shape, np.eye(4))
    prepared = summarise(one.header, images, label, grid, grid)
    write_case(tmp_path, prepared)
    with StoredCase(case_path(tmp_path, "c0")) as case:
        assert (case.images.id.get_num_chunks(), case.label.id.get_num_chunks()) == (1, 1)
        np.testing.assert_array_equal(case.images, images)
        np.testing.assert_array_equal(case.label, label)
        np.testing.assert_array_equal(case.tumour[4].coordinates, [[69, 40, 65]])
        np.testing.assert_array_equal(case.brain_box, [[3, 20], [33, 39], [2, 9]])
    verify_file(case_path(tmp_path, "c0"))


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_a_modality_that_cannot_be_scaled_is_named_and_not_stored(make_prepared: Make, kind: type) -> None:
    made = make_prepared(kind=kind)
    inside = made.images[1] != 0
    made.images[1][inside] = 7
    made.images[1][10:13, 10, 10] = 7.5, 8, 9  # a few odd voxels are no contrast
    with pytest.raises(ImageError, match="case c0, t1ce: the intensities do not vary"):
        summarise(made.header, made.images, made.label, made.grid, made.source)
    with pytest.raises(ImageError, match="case c0, t1ce: the intensities do not vary"):  # as an older store may hold it
        replace(made, histograms={"t1ce": histogram_of(made.images[1])}).scaling("t1ce", "clamped_zscore")
    made.images[1][inside & (np.indices(inside.shape)[0] % 9 == 0)] = 8  # two values that can be told apart
    summarise(made.header, made.images, made.label, made.grid, made.source)


PAD = 50


@pytest.mark.parametrize(
    ("corner", "size"),
    [
        ((-4, -5, -6), (50, 48, 47)),  # overhangs on all six sides
        ((3, 4, 5), (7, 8, 9)),
        ((-4, 10, 30), (9, 9, 9)),
        ((40, 0, 0), (5, 5, 5)),  # begins where the volume ends
        ((-20, 3, 3), (20, 4, 4)),
        ((-30, -30, -30), (8, 8, 8)),
    ],
)
def test_a_patch_is_that_of_the_padded_volume(tmp_path: Path, make_prepared: Make, corner: tuple, size: tuple) -> None:
    made = make_prepared()
    there = tuple(slice(c + PAD, c + PAD + s) for c, s in zip(corner, size, strict=True))
    expected = np.pad(made.images, [(0, 0)] + [(PAD, PAD)] * 3)[(slice(None), *there)]
    label = np.pad(made.label, PAD)[there]
    with StoredCase(write_case(tmp_path, made)) as case:
        for patch in (case.patch(corner, size), made.patch(corner, size), case.patch(np.array(corner), np.array(size))):
            assert patch.dtype == np.int16
            np.testing.assert_array_equal(patch, expected)
        np.testing.assert_array_equal(case.label_patch(corner, size), label)
    with StoredCase(write_case(tmp_path, make_prepared("bare", labelled=False))) as case:
        np.testing.assert_array_equal(case.label_patch(corner, size), np.zeros(size, np.uint8))


def test_what_is_no_box_is_the_callers_mistake_and_no_damage(tmp_path: Path, make_prepared: Make) -> None:
    made, bare = make_prepared(), make_prepared("bare", labelled=False)
    with StoredCase(write_case(tmp_path, made)) as case, StoredCase(write_case(tmp_path, bare)) as unlabelled:
        for patch in (case.patch, made.patch, case.label_patch, unlabelled.label_patch):
            for corner, size in (((0, 0), (3, 3, 3)), ((0, 0, 0), (3, 0, 3)), ((0.5, 0, 0), (3, 3, 3))):
                with pytest.raises(ArrayError, match=r"(corner|size) of the box is \[.*\]; expected"):
                    patch(corner, size)


def test_a_closed_file_is_said_to_be_closed(tmp_path: Path, make_prepared: Make) -> None:
    with StoredCase(write_case(tmp_path, make_prepared())) as case:
        pass
    box = (0, 0, 0), (3, 3, 3)
    for read in (lambda: case.patch(*box), lambda: case.label_patch(*box), lambda: case.histograms, lambda: case.tumour):
        with pytest.raises(StoreError, match=r"c0\.h5: the case file is closed; open it again\.$"):
            read()


def test_an_unknown_codec_writes_nothing(tmp_path: Path, make_prepared: Make) -> None:
    with pytest.raises(OptionError, match=r"codec is 'zst' .*'zstd'.*zstd, gzip"):
        write_case(tmp_path, make_prepared(), codec="zst")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("codec", "needs"), [("zstd", ", hdf5plugin"), ("gzip", "")])
def test_bare_h5py_reads_a_case(tmp_path: Path, make_prepared: Make, codec: str, needs: str) -> None:
    made = make_prepared()
    path = write_case(tmp_path, made, codec=codec)
    script = f"""import sys, h5py, numpy as np{needs}
with h5py.File({str(path)!r}) as f:
    print(f.attrs["case"], f.attrs["schema"], *f["images"].attrs["modalities"], f["label"][:].sum(), f["images"][:].sum())
print([m for m in sys.modules if m.startswith("brats3d")])"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    sums = made.label.sum(), made.images.sum(dtype=int)
    assert done.stdout.splitlines() == [f"c0 1 t1 t1ce t2 flair {sums[0]} {sums[1]}", "[]"]


def test_a_case_written_again_does_not_change_under_its_readers(tmp_path: Path, make_prepared: Make) -> None:
    before, after = make_prepared(), make_prepared(labelled=False, kind=np.float32)
    with StoredCase(write_case(tmp_path, before)) as reader:
        with StoredCase(write_case(tmp_path, after)) as again:
            assert again.label is None
        np.testing.assert_array_equal(reader.images[:], before.images)
        np.testing.assert_array_equal(reader.label[:], before.label)


def test_an_open_case_travels_by_pickle(tmp_path: Path, make_prepared: Make) -> None:
    with StoredCase(write_case(tmp_path, make_prepared())) as case, pickle.loads(pickle.dumps(case)) as again:
        np.testing.assert_array_equal(again.label[:], case.label[:])
        assert again.header == case.header


def test_a_store_is_a_mapping_in_the_order_of_names(tmp_path: Path, make_prepared: Make) -> None:
    for name in ("c2", "c10", "c1"):
        write_case(tmp_path, make_prepared(name, labelled=False))
    (tmp_path / ".c3.host-1.h5").touch()
    (tmp_path / "notes.txt").touch()
    store = open_store(str(tmp_path))
    assert (list(store), len(store), "c2" in store, "c3" in store) == (["c1", "c10", "c2"], 3, True, False)
    with store["c10"] as case:
        assert case.id == "c10"
    (tmp_path / "c2.h5").write_text("damaged")
    assert "c2" in store, "asking what is there opens nothing"
    with pytest.raises(KeyError):
        store["c3"]
    assert store.select(None) == ["c1", "c10", "c2"]
    assert store.select(["c2", "c1"]) == ["c2", "c1"]
    with pytest.raises(OptionError, match=r"1 of the 2 .*cases .* 3 of the store .*: c3"):
        store.select(["c2", "c3"])


def test_a_store_of_version_1_opens_with_its_codings() -> None:
    for name, case in open_store(Path(__file__).parents[1] / "version_1/store").items():
        verify_file(case.path)
        with case:
            assert (case.id, case.coding, case.label_set) == (name, LABEL_SETS["L17"], "L17")
            assert set(case.tumour) <= {1, 2, 4}


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoCasesError, match=r"gone: no such folder.*brats3d\.preprocess"):
        Store(tmp_path / "gone")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(NoCasesError, match=r"no case files \(\*\.h5\) among the 1 entries"):
        Store(tmp_path)


def flip_byte(path: Path, dataset: str) -> None:
    """Change a byte in the middle of the first chunk that a dataset has on disk."""
    with h5py.File(path, locking=False) as file:
        chunk = file[dataset].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset + chunk.size // 2)
        byte = raw.read(1)[0]
        raw.seek(-1, os.SEEK_CUR)
        raw.write(bytes([byte ^ 0x55]))


def change(path: Path, how: str) -> None:
    """Change a case file with h5py, so that HDF5 itself finds nothing wrong."""
    with h5py.File(path, "r+") as file:
        if how.startswith("without "):
            name = how.removeprefix("without ")
            del (file if name in file else file.attrs)[name]
        elif how == "another label":
            file["label"][0, 0, 0] = 2
        elif how == "a spare histogram":
            file.create_group("histograms/adc")
        elif how == "renamed modalities":
            file["images"].attrs["modalities"] = ["t1", "t2", "t1ce", "flair"]
        else:
            name, _, value = how.partition("=")
            file.attrs[name] = int(value) if value.isdigit() else value


@pytest.mark.parametrize(
    "dataset", ["images", "label", "brain_box", "histograms/t2/counts", "histograms/flair/values", "tumour/4/coordinates"]
)
def test_a_flipped_byte_is_found(tmp_path: Path, make_prepared: Make, dataset: str) -> None:
    path = write_case(tmp_path, make_prepared())
    flip_byte(path, dataset)
    with pytest.raises(StoreError, match=r"c0\.h5: .*damaged .*brats3d\.preprocess"):
        verify_file(path)
    if dataset in ("images", "label"):  # a whole patch elsewhere can still be read; this one is refused
        with StoredCase(path) as case, pytest.raises(StoreError, match=r"c0\.h5: the case file is damaged"):
            (case.patch if dataset == "images" else case.label_patch)((0, 0, 0), (40, 37, 35))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda whole: whole[: len(whole) // 2], "the case file is damaged"),
        (lambda whole: whole[:100], "the case file is damaged"),
        (lambda whole: b"", "the case file is damaged"),
        (lambda whole: b"case,dice\n" * 500, "the case file is damaged"),
        (None, "no such case file"),
    ],
    ids=["half", "head", "empty", "text", "absent"],
)
def test_what_is_no_whole_case_file_is_named(tmp_path: Path, make_prepared: Make, content: Callable | None, says: str) -> None:
    path = write_case(tmp_path, make_prepared())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content(path.read_bytes()))
    for look in (StoredCase, verify_file):
        with pytest.raises(StoreError, match=rf"c0\.h5: {says}") as caught:
            look(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("schema=2", r"the file has format 'brats3d', schema 2; expected 'brats3d', schema 1"),
        ("format=other", r"the file has format 'other', schema 1; expected 'brats3d'"),
        ("without schema", r"the file has format 'brats3d', schema None"),
        ("without images", r"the case file is damaged \("),
        ("without brain_box", r"the case file is damaged \("),
        ("without patient", r"the case file is damaged \("),
        ("without source_affine", r"the case file is damaged \("),
        ("sources=[", r"the case file is damaged \("),
    ],
)
def test_a_file_of_another_schema_is_refused_on_opening(tmp_path: Path, make_prepared: Make, how: str, says: str) -> None:
    path = write_case(tmp_path, make_prepared())
    change(path, how)
    with pytest.raises(StoreError, match=rf"c0\.h5: {says}"):
        StoredCase(path)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("patient=somebody", "the attributes do not match their checksum"),
        ("source_qform_code=2", "the attributes do not match their checksum"),
        ("without created_with", "the attributes do not match their checksum"),
        ("without checksum", "the attributes do not match their checksum"),
        ("renamed modalities", "the attributes do not match their checksum"),
        ("a spare histogram", "modalities, channels and histograms disagree"),
        ("without histograms/t2", "modalities, channels and histograms disagree"),
        ("another label", "the label and its summary disagree"),
        ("without tumour", "the label and its summary disagree"),
        ("without label", "the label and its summary disagree"),
        ("without histograms", "the case file is damaged"),
    ],
)
def test_tampering_is_found_by_verify(tmp_path: Path, make_prepared: Make, how: str, says: str) -> None:
    path = write_case(tmp_path, make_prepared())
    change(path, how)
    StoredCase(path).close()
    with pytest.raises(StoreError, match=rf"c0\.h5: .*{says}"):
        verify_file(path)


def test_a_refusal_of_the_system_is_not_called_damage(
    tmp_path: Path, make_prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_case(tmp_path, make_prepared())

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Unable to open file (Too many open files)")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(StoreError, match=r"c0\.h5: .*\(Too many open files\); try again, or raise ulimit -n\.$"):
        StoredCase(path)


@pytest.mark.parametrize("part", ["histograms", "images"])
def test_a_drive_that_goes_away_is_not_called_damage(tmp_path: Path, make_prepared: Make, part: str) -> None:
    with StoredCase(write_case(tmp_path, make_prepared())) as case:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, case.root.file.id.get_vfd_handle())  # from here on HDF5 reads nothing more
        os.close(nowhere)
        with pytest.raises(StoreError, match=r"c0\.h5: .*\(Bad file descriptor\)"):
            _ = case.histograms if part == "histograms" else case.patch((0, 0, 0), (40, 37, 35))


KILLED = """
import os, pickle, sys
from pathlib import Path
from brats3d.store import write_case
os.fsync = lambda handle: os.kill(os.getpid(), 9)
write_case(Path(sys.argv[1]), pickle.loads(Path(sys.argv[2]).read_bytes()))
"""


def test_a_kill_leaves_no_half_file_and_the_next_write_clears_up(tmp_path: Path, make_prepared: Make) -> None:
    store, pickled = tmp_path / "store", tmp_path / "case.pickle"
    store.mkdir()
    made = make_prepared()
    pickled.write_bytes(pickle.dumps(made))
    done = subprocess.run([sys.executable, "-c", KILLED, str(store), str(pickled)], check=False)
    assert done.returncode == -9
    (left,) = store.iterdir()
    assert left.name.startswith(f".c0.{socket.gethostname()}-")
    with pytest.raises(NoCasesError):
        open_store(store)
    other = store / left.name.replace("c0", "c00", 1)
    other.touch()
    write_case(store, made)
    assert sorted(store.iterdir()) == sorted([case_path(store, "c0"), other])
    verify_file(case_path(store, "c0"))


@pytest.mark.parametrize("before", [True, False], ids=["over an older file", "first"])
def test_a_full_disk_is_named_and_nothing_stays(tmp_path: Path, make_prepared: Make, before: bool) -> None:
    made = make_prepared()
    if before:
        write_case(tmp_path, make_prepared(labelled=False))
    # What is written through this link meets a full disk.
    (tmp_path / f".c0.{socket.gethostname()}-{os.getpid()}.h5").symlink_to("/dev/full")
    with pytest.raises(SpaceError, match=r"c0\.h5: no space .* \d+\.\d MB"):
        write_case(tmp_path, made)
    assert [p.name for p in tmp_path.iterdir()] == (["c0.h5"] if before else [])
    if before:
        with StoredCase(tmp_path / "c0.h5") as case:
            assert case.label is None


def test_another_fault_of_the_disk_is_not_hidden(tmp_path: Path, make_prepared: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_case(tmp_path, make_prepared())
    assert list(tmp_path.iterdir()) == []
