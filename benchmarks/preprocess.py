"""Question: how long does a BraTS case take from its files to a finished HDF5 file, and how much room and memory?

Turn about, in one process, for each case; wall clock, the median of the repetitions:

- *nibabel*: its five files loaded into float32 arrays and nothing else (``nib.load(file).get_fdata(dtype=float32)``).
- *brats3d*: `build_store` on the case's folder: found, read, checked, written, synced.
- *nnU-Net*: nnU-Net v2's own preprocessing of the same case, by the plans that its own planner made of all cases shown: its
  `DefaultPreprocessor` reads, crops, normalises, resamples and saves it.

Then, in processes of their own as `python -m brats3d.preprocess`, a cohort of the same cases under several names with one
worker and with two: cases a second once running (the start of Python and its imports is told apart by a cohort of one case
a worker), and the peak of each process' resident memory.

    python benchmarks/preprocess.py DATA --cases 12 --repeat 3 --copies 4

DATA holds BraTS case folders with labels. nnU-Net is left out, saying so, where `nnunetv2` is not installed. Linux only; use a
machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from evaluate_cohort import measure
from nnunet import Peer, peer

from brats3d.cases import Case, find_cases
from brats3d.console import text_table
from brats3d.machine import describe_machine
from brats3d.preprocess import build_store


def by_nibabel(case: Case) -> None:
    arrays = [nib.load(file).get_fdata(dtype=np.float32) for file in case.files]
    assert len(arrays) == 5


def by_brats3d(case: Case, out: Path) -> None:
    build_store(case.files[0].parent, out=out, force=True)


def seconds(work: Callable[[], object]) -> float:
    os.sync()  # what one leaves for the disk to write is not for the next to wait for
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(cases: list[Case], scratch: Path, repeat: int, other: Peer | None) -> list[list[object]]:
    """Return a row a case: seconds of each, ratios, bytes."""
    rows: list[list[object]] = []
    by_brats3d(cases[0], scratch / "warm")  # imports, and what else happens once
    if other is not None:
        other.preprocess(cases[0])
    for case in cases:
        out = scratch / "stores" / case.id
        contenders: dict[str, Callable[[], object]] = {
            "nibabel": lambda case=case: by_nibabel(case),
            "brats3d": lambda case=case, out=out: by_brats3d(case, out),
        }
        if other is not None:
            contenders["nnU-Net"] = lambda case=case: other.preprocess(case)
        spent: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(repeat):
            for name, work in contenders.items():
                spent[name].append(seconds(work))
        middle = {name: statistics.median(times) for name, times in spent.items()}
        stored = sum(path.stat().st_size for path in out.glob("*.h5"))
        ratio = middle["nnU-Net"] / middle["brats3d"] if other else None
        packed = sum(file.stat().st_size for file in case.files)
        rows.append([case.id, *middle.values(), middle["brats3d"] / middle["nibabel"], ratio, stored / packed])
    return rows


def cohort(cases: list[Case], folder: Path, copies: int) -> Path:
    """Lay the same cases under several names: links, so that they take no room."""
    for copy in range(copies):
        for case in cases:
            name = f"BraTS2021_{copy:02d}{cases.index(case):03d}"
            (folder / name).mkdir(parents=True)
            for modality, file in case.images.items():
                (folder / name / f"{name}_{modality}.nii.gz").symlink_to(file.absolute())
    return folder


def workers(cases: list[Case], scratch: Path, copies: int) -> list[list[object]]:
    """Return a row for one worker and for two: seconds, cases a second once running, peaks."""
    rows: list[list[object]] = []
    many, few = cohort(cases, scratch / "many", copies), cohort(cases[:2], scratch / "few", 1)
    for count in (1, 2):
        spent, peaks = [], []
        for source in (few, many):
            out = scratch / f"cohort {count} {source.name}"
            command = ["-m", "brats3d.preprocess", str(source), "--out", str(out), "--workers", str(count), "--quiet"]
            command += ["--shard", "1/1"]  # the only job of an array: copies of cases are not looked for, there are too many
            took, peaks = measure(*command)
            spent.append(took)
            shutil.rmtree(out)
        done = len(cases) * copies - 2
        rate = done / (spent[1] - spent[0])
        rows.append([count, spent[1], rate, max(peaks[1:] or peaks), peaks[0]])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--copies", type=int, default=4)
    options = parser.parse_args()
    print(describe_machine())
    cases = [case for case in find_cases(options.data) if case.label and not case.missing][: options.cases]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        rows = compare(cases, scratch, options.repeat, peer(cases, scratch))
        print(
            text_table(
                ["case", "nibabel s", "brats3d s", *["nnU-Net s"] * (len(rows[0]) == 7), "÷ nibabel", "nnU-Net ÷", "bytes"],
                rows,
            )
        )
        for name, column in (("brats3d ÷ nibabel", -3), ("nnU-Net ÷ brats3d", -2), ("bytes ÷ those of the files", -1)):
            values = [row[column] for row in rows if row[column] is not None]
            if values:
                print(f"{name}: median {statistics.median(values):.2f}, from {min(values):.2f} to {max(values):.2f}")
        one, two = workers(cases, scratch, options.copies)
    print(text_table(["workers", "s", "cases a s once running", "worker's peak MB", "parent's peak MB"], [one, two]))
    print(f"two workers ÷ one: {two[2] / one[2]:.2f} once running, {one[1] / two[1]:.2f} with the start of all processes")


if __name__ == "__main__":
    main()
