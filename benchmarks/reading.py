"""Question: how long does a patch take from its file to normalised float32, against bare HDF5 and nnU-Net's files?

Turn about, in one process, at the same random places, wall clock and the median over all patches; each is (4, N, N, N) float32,
normalised, with its label:

- *bare h5py*: the same part of ``images`` and ``label`` read with h5py and nothing done to it.
- *brats3d*: `StoredCase.patch`, `StoredCase.label_patch` and `normalise`.
- *nnU-Net*: the same brain in the blosc2 files that nnU-Net v2's own preprocessing makes, opened and cut as its data loader
  does, and normalised by the same function; *read only* is without that, since they hold floats that were normalised before.
  They hold the brain's box alone, so the places are the same in world space as far as they fit.

Then one process and two, each reading patches of its own: patches a second.

    python benchmarks/reading.py DATA --cases 6 --patches 60

DATA holds BraTS case folders with labels. nnU-Net is left out, saying so, where `nnunetv2` is not installed. Use a machine that
does nothing else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from nnunet import peer

from brats3d.cases import Case, find_cases
from brats3d.console import text_table
from brats3d.intensity import Scaling
from brats3d.machine import describe_machine
from brats3d.patches.reader import normalise, scalings
from brats3d.preprocess import build_store
from brats3d.store import StoredCase, case_path

Corner = tuple[int, int, int]
SEED = 0


class Contenders:
    """Everything open, to be read at a case and a corner."""

    def __init__(self, store: Path, ids: list[str], size: int, saved: dict[str, str]) -> None:
        self.size = (size,) * 3
        self.cases = {name: StoredCase(case_path(store, name)) for name in ids}
        self.files = {name: h5py.File(case_path(store, name), "r", locking=False) for name in ids}
        self.by = {name: scalings(case, "clamped_zscore") for name, case in self.cases.items()}
        self.saved = saved

    def bare(self, name: str, corner: Corner) -> tuple[np.ndarray, np.ndarray]:
        part = tuple(slice(first, first + n) for first, n in zip(corner, self.size, strict=True))
        return self.files[name]["images"][(slice(None), *part)], self.files[name]["label"][part]

    def brats3d(self, name: str, corner: Corner) -> tuple[np.ndarray, np.ndarray]:
        case = self.cases[name]
        return normalise(case.patch(corner, self.size), self.by[name]), case.label_patch(corner, self.size)

    def nnunet(self, name: str, corner: Corner) -> tuple[np.ndarray, np.ndarray]:
        images, label = self.nnunet_read_only(name, corner)
        return normalise(images, [Scaling(0.0, 1.0)] * len(images)), label

    def nnunet_read_only(self, name: str, corner: Corner) -> tuple[np.ndarray, np.ndarray]:
        import blosc2

        # As nnunetv2.training.dataloading.nnunet_dataset.nnUNetDatasetBlosc2 opens them: mapped, in one thread.
        options: dict[str, Any] = {"mode": "r", "dparams": {"nthreads": 1}, "mmap_mode": "r"}
        data = blosc2.open(urlpath=f"{self.saved[name]}.b2nd", **options)
        label = blosc2.open(urlpath=f"{self.saved[name]}_seg.b2nd", **options)
        first = [max(0, min(c - int(b), n - size)) for c, b, n, size in
                 zip(corner[::-1], self.cases[name].brain_box[::-1, 0], data.shape[1:], self.size, strict=True)]  # fmt: skip
        part = tuple(slice(c, min(c + n, end)) for c, n, end in zip(first, self.size, data.shape[1:], strict=True))
        images = np.zeros((len(data), *self.size), np.float32)
        masks = np.zeros(self.size, label.dtype)
        inside = tuple(slice(0, p.stop - p.start) for p in part)
        images[(slice(None), *inside)] = data[(slice(None), *part)]
        masks[inside] = label[(0, *part)]
        return images, masks


def places(store: Path, ids: list[str], size: int, count: int, seed: int) -> list[tuple[str, Corner]]:
    """Draw cases and corners of patches that lie on the brain, inside the volume."""
    rng = np.random.default_rng(seed)
    drawn: list[tuple[str, Corner]] = []
    for _ in range(count):
        name = ids[int(rng.integers(len(ids)))]
        with StoredCase(case_path(store, name)) as case:
            low = np.minimum(case.brain_box[:, 0], np.array(case.grid.shape) - size)
            high = np.maximum(low, np.minimum(case.brain_box[:, 1], case.grid.shape) - size)
        x, y, z = (int(n) for n in rng.integers(low, high + 1))
        drawn.append((name, (x, y, z)))
    return drawn


def read_many(store: Path, ids: list[str], size: int, count: int, seed: int, start: Any) -> None:
    """Read patches as a process of its own, from when all are ready."""
    contenders = Contenders(store, ids, size, {})
    drawn = places(store, ids, size, count, seed)
    contenders.brats3d(*drawn[0])
    start.wait()
    for name, corner in drawn:
        contenders.brats3d(name, corner)


def rate(store: Path, ids: list[str], size: int, count: int, processes: int) -> float:
    """Return patches a second of so many processes."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes + 1)
    readers = [context.Process(target=read_many, args=(store, ids, size, count, 100 + n, start)) for n in range(processes)]
    for reader in readers:
        reader.start()
    start.wait()
    began = time.perf_counter()
    for reader in readers:
        reader.join()
    if any(reader.exitcode for reader in readers):
        raise SystemExit("a reading process failed")
    return processes * count / (time.perf_counter() - began)


def seconds(work: Callable[..., object], name: str, corner: Corner) -> float:
    start = time.perf_counter()
    work(name, corner)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--patches", type=int, default=60)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    print(describe_machine())
    cases: list[Case] = [case for case in find_cases(options.data) if case.label and not case.missing][: options.cases]
    ids = [case.id for case in cases]
    with tempfile.TemporaryDirectory() as folder:
        scratch, store = Path(folder), Path(folder) / "store"
        build_store(options.data, out=store, cases=ids)
        other = peer(cases, scratch)
        saved = {} if other is None else {case.id: other.preprocess(case) for case in cases}
        contenders = Contenders(store, ids, options.size, saved)
        works = [contenders.bare, contenders.brats3d, *([contenders.nnunet, contenders.nnunet_read_only] if saved else [])]
        spent: dict[str, list[float]] = {work.__name__: [] for work in works}
        drawn = places(store, ids, options.size, options.patches, SEED)
        for name, corner in [drawn[0], *drawn]:  # the first one twice: it warms up
            for work in works:
                spent[work.__name__].append(seconds(work, name, corner))
        middle = {name: statistics.median(times[1:]) for name, times in spent.items()}
        rows = [[name, 1000 * value, middle["brats3d"] / value] for name, value in middle.items()]
        print(f"{options.patches} patches of 4 × {options.size}³ with label, {len(ids)} cases")
        print(text_table(["", "ms", "brats3d ÷ it"], rows))
        one, two = (rate(store, ids, options.size, options.patches, processes) for processes in (1, 2))
    print(f"patches a second: one process {one:.1f}, two {two:.1f}; two ÷ one: {two / one:.2f}")


if __name__ == "__main__":
    main()
