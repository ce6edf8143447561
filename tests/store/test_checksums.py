"""What a case's checksums are, what changes them, and what must not."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from brats3d.cases import Facts
from brats3d.store import (
    PreparedCase,
    case_checksums,
    file_stamp,
    merge_stores,
    open_store,
    pack_store,
    summarise,
    unpack_store,
    write_case,
)

Make = Callable[..., PreparedCase]


def checksums(store: Path) -> dict[str, Any]:
    with open_store(store)["c1"] as case:
        return case_checksums(case)


def written(folder: Path, case: PreparedCase, **options: Any) -> Path:
    folder.mkdir()
    write_case(folder, case, **options)
    return folder


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_they_are_those_of_the_voxels(tmp_path: Path, make_prepared: Make, kind: type) -> None:
    made = make_prepared("c1", (40, 37, 66), kind=kind, spacing_mm=1.5)
    assert made.label is not None
    expected = {m: zlib.crc32(channel.tobytes()) for m, channel in zip(("t1", "t1ce", "t2", "flair"), made.images, strict=True)}
    expected |= {"label": zlib.crc32(made.label.tobytes()), "label_set": "L17", "shape": [40, 37, 66], "spacing_mm": [1.5] * 3}
    assert checksums(written(tmp_path / "store", made)) == expected
    without = checksums(written(tmp_path / "without", make_prepared("c1", labelled=False)))
    assert (without["label"], without["label_set"]) == (None, None)


def test_how_a_store_keeps_a_case_does_not_change_them(tmp_path: Path, make_prepared: Make) -> None:
    made = make_prepared("c1", (40, 37, 66))
    store = written(tmp_path / "store", made)
    others = [written(tmp_path / "gzip", made, codec="gzip"), tmp_path / "packed.h5", tmp_path / "unpacked"]
    sources = ({"name": "renamed.nii", "bytes": 3, "crc32": 9},)
    header = replace(made.header, sources=sources, warnings=("something odd",), facts=Facts("p", grade="HGG"))
    others.append(written(tmp_path / "facts", replace(made, header=header)))
    pack_store(store, tmp_path / "packed.h5")
    unpack_store(tmp_path / "packed.h5", tmp_path / "unpacked")
    others.append(written(tmp_path / "merged", make_prepared("c2")))
    merge_stores(tmp_path / "merged", [store])
    assert [checksums(other) for other in others] == [checksums(store)] * len(others)


@pytest.mark.parametrize("part", ["t1", "flair", "label"])
def test_one_voxel_changes_them_whether_the_case_is_made_again_or_its_file_is_edited(
    tmp_path: Path, make_prepared: Make, part: str
) -> None:
    made = make_prepared("c1")
    before = checksums(written(tmp_path / "store", made))
    images, label = made.images.copy(), made.label.copy() if made.label is not None else None
    assert label is not None
    place = (20, 20, 20)
    changed = label if part == "label" else images[("t1", "t1ce", "t2", "flair").index(part)]
    changed[place] = 4 if changed[place] != 4 else 1
    again = summarise(made.header, images, label, made.grid, made.source)
    edited = tmp_path / "store" / "c1.h5"
    os.utime(edited, ns=(10**18, 10**18))
    with open_store(tmp_path / "store")["c1"] as case:
        stamp = file_stamp(case)
    with h5py.File(edited, "r+", locking=False) as file:
        file["label" if part == "label" else "images"][(Ellipsis, *place)] = (label if part == "label" else images)[
            (Ellipsis, *place)
        ]
    with open_store(tmp_path / "store")["c1"] as case:
        assert file_stamp(case) != stamp
    for store in (written(tmp_path / "again", again), tmp_path / "store"):
        found = checksums(store)
        assert [name for name in before if found[name] != before[name]] == [part]
