"""Question: which chunks and which codec should a case file have?

For each choice, on real cases: wall clock of writing images and label into an HDF5 file in memory, chunk by chunk within the
brain's box as `write_case` does, the file's bytes against those of the sources, and wall clock of reading a 4 × 128³ patch with
its label from the file. Turn about, medians.

    python benchmarks/codecs.py DATA --cases 6 --patches 20

DATA holds BraTS case folders with labels. Use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from brats3d.cases import find_cases
from brats3d.console import text_table
from brats3d.machine import describe_machine
from brats3d.preprocess import prepare_case
from brats3d.store import PreparedCase

Chunk = tuple[int, int, int, int]
BLOSC2 = hdf5plugin.Blosc2
CODECS: dict[str, dict[str, Any]] = {
    "zstd-1, shuffle": {**hdf5plugin.Zstd(clevel=1), "shuffle": True},
    "zstd-3, shuffle": {**hdf5plugin.Zstd(clevel=3), "shuffle": True},
    "blosc2 zstd-1, shuffle": dict(BLOSC2(cname="zstd", clevel=1, filters=BLOSC2.SHUFFLE)),
    "blosc2 zstd-1, bitshuffle": dict(BLOSC2(cname="zstd", clevel=1, filters=BLOSC2.BITSHUFFLE)),
    "blosc2 lz4-5, shuffle": dict(BLOSC2(cname="lz4", clevel=5, filters=BLOSC2.SHUFFLE)),
    "gzip-4, shuffle": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
}
CHUNKS: tuple[Chunk, ...] = ((4, 32, 32, 32), (4, 64, 64, 64), (1, 64, 64, 64), (1, 32, 32, 32))
USUAL = "zstd-1, shuffle", CHUNKS[0]
"""What the library does; each other choice changes one of the two."""
SIZE = 128


def write(case: PreparedCase, codec: str, chunk: Chunk) -> bytes:
    with h5py.File("nowhere", "w", driver="core", backing_store=False) as file:
        for name, array in (("images", case.images), ("label", case.label)):
            assert array is not None
            lead = [(0, array.shape[0])] if array.ndim == 4 else []
            sizes = chunk[-array.ndim :]
            made = file.create_dataset(name, array.shape, array.dtype, chunks=sizes, fletcher32=True, **CODECS[codec])
            box = [*lead, *case.brain_box.tolist()]
            for corner in product(*(range(a // size * size, b, size) for (a, b), size in zip(box, sizes, strict=True))):
                part = tuple(slice(start, start + size) for start, size in zip(corner, sizes, strict=True))
                block = np.ascontiguousarray(array[part])
                if block.any():
                    made[part] = block
        file.flush()
        image: bytes = file.id.get_file_image()
        return image


def read(path: Path, corner: np.ndarray) -> None:
    with h5py.File(path, "r", locking=False) as file:
        part = tuple(slice(first, first + SIZE) for first in corner)
        file["images"][(slice(None), *part)], file["label"][part]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--patches", type=int, default=20)
    options = parser.parse_args()
    print(describe_machine())
    sources = [case for case in find_cases(options.data) if case.label and not case.missing][: options.cases]
    choices = [(codec, USUAL[1]) for codec in CODECS] + [(USUAL[0], chunk) for chunk in CHUNKS[1:]]
    times: dict[str, dict[tuple[str, Chunk], list[float]]] = {
        what: {c: [] for c in choices} for what in ("write", "read", "size")
    }
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        cases = [prepare_case(source) for source in sources]
        for number, (source, case) in enumerate(zip(sources, cases, strict=True)):
            packed = sum(file.stat().st_size for file in source.files)
            for n, choice in enumerate(choices):
                start = time.perf_counter()
                image = write(case, *choice)
                times["write"][choice].append(1000 * (time.perf_counter() - start))
                times["size"][choice].append(len(image) / packed)
                Path(folder, f"{number} {n}.h5").write_bytes(image)
        for _ in range(options.patches):
            number = int(rng.integers(len(cases)))
            box, shape = cases[number].brain_box, np.array(cases[number].grid.shape)
            low = np.minimum(box[:, 0], shape - SIZE)
            corner = rng.integers(low, np.maximum(low, np.minimum(box[:, 1], shape) - SIZE) + 1)
            for n, choice in enumerate(choices):
                start = time.perf_counter()
                read(Path(folder, f"{number} {n}.h5"), corner)
                times["read"][choice].append(1000 * (time.perf_counter() - start))
    rows = [[codec, str(chunk), *(statistics.median(times[what][codec, chunk]) for what in ("write", "read", "size"))]
            for codec, chunk in choices]  # fmt: skip
    print(text_table(["codec", "chunks", "write, ms a case", "read, ms a patch", "bytes ÷ sources"], rows))


if __name__ == "__main__":
    main()
