"""One case file: schema 1, written whole or not at all, read without a lock.

Layout and codec were chosen on real cases: chunks of (M, 32, 32, 32) keep all modalities of a place together, which is
what a patch needs; Blosc2 zstd-3 with byte shuffle reads three times faster than gzip at the same size; Fletcher-32 is about
free. Only chunks that touch the brain box are written, the rest is the fill value 0.

A file is made in memory and its bytes are written at once: where HDF5 itself meets a full disk, the process dies later
with a segmentation fault (h5py 3.14).
"""

from __future__ import annotations

import errno
import glob
import json
import os
import socket
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import hdf5plugin
import numpy as np

import brats3d
from brats3d.errors import SpaceError, StoreError
from brats3d.geometry import Box, Grid, box_slices, crop_padded, widen_box
from brats3d.intensity import Histogram, histogram_from_arrays
from brats3d.store.case import CaseFacts, KnownCase, PreparedCase, TumourSample

FORMAT = "brats3d"
SCHEMA = 1
CHUNK = 32
CODECS: Mapping[str, Mapping[str, Any]] = {
    "blosc2": dict(hdf5plugin.Blosc2(cname="zstd", clevel=3, filters=hdf5plugin.Blosc2.SHUFFLE)),
    "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
}
"""Codec → keywords of ``create_dataset``. ``gzip`` is readable by any HDF5, at about three times the reading time."""

_TEXT_FACTS = ("case", "patient", "timepoint", "corpus", "grade", "label_set")


def case_path(store: Path, case: str) -> Path:
    """Return the path of a case's file in a store."""
    return store / f"{case}.h5"


def write_case(store: Path, prepared: PreparedCase, *, codec: str = "blosc2") -> Path:
    """Write a case's file: under a temporary name in the store, synced, renamed.

    Args:
        store: folder of the store.
        prepared: the case.
        codec: a key of `CODECS`.

    Returns:
        The path of the finished file.

    Raises:
        SpaceError: the disk is full; nothing of the case stays.
    """
    path = case_path(store, prepared.case)
    remove_stale(path)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    with h5py.File(temporary, "w", driver="core", backing_store=False) as file:
        _write_attributes(file, prepared)
        _write_arrays(file, prepared, CODECS[codec])
        file.flush()
        content = file.id.get_file_image()
    try:
        with temporary.open("wb") as raw:
            raw.write(content)
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            size = len(content) / 1e6
            raise SpaceError(f"{path}: no space left on the disk; {size:.1f} MB are needed for this case.") from problem
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return path


def remove_stale(path: Path) -> None:
    """Remove temporary files of this case whose writer, on this host, is dead."""
    prefix = f".{path.name}.{socket.gethostname()}-"
    for left in path.parent.glob(f"{glob.escape(prefix)}*.tmp"):
        pid = left.name[len(prefix) : -len(".tmp")]
        if pid.isdigit() and not _alive(int(pid)):
            left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write_attributes(file: h5py.File, prepared: PreparedCase) -> None:
    facts, source = prepared.facts, prepared.source
    attributes: dict[str, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "created_with": f"brats3d {brats3d.__version__}",
        "sources": json.dumps([dict(s) for s in facts.sources]),
        "affine": prepared.grid.affine,
        "source_shape": np.array(source.shape),
        "source_affine": source.affine,
        "source_axes": source.axes,
        "source_qform_code": source.qform_code,
        "source_sform_code": source.sform_code,
        "source_xyzt_units": source.xyzt_units,
        **{name: getattr(facts, name) or "" for name in _TEXT_FACTS},
    }
    for form in ("qform", "sform"):
        matrix = getattr(source, form)
        if matrix is not None:
            attributes[f"source_{form}"] = matrix
    for name, value in attributes.items():
        file.attrs[name] = value
    file.attrs["checksum"] = attribute_checksum(file)


def attribute_checksum(file: h5py.File) -> int:
    """Return the CRC-32 over all root attributes but the checksum itself."""
    crc = 0
    for name in sorted(file.attrs):
        if name != "checksum":
            value = file.attrs[name]
            content = value.tobytes() if isinstance(value, np.ndarray | np.generic) else str(value).encode()
            crc = zlib.crc32(name.encode() + b"=" + content, crc)
    return crc


def _write_arrays(file: h5py.File, prepared: PreparedCase, filters: Mapping[str, Any]) -> None:
    modalities, *shape = prepared.images.shape
    chunk = tuple(min(CHUNK, n) for n in shape)
    box = np.minimum(widen_box(prepared.brain_box, CHUNK), np.array(shape)[:, None])
    images = file.create_dataset(
        "images", prepared.images.shape, prepared.images.dtype, chunks=(modalities, *chunk), fletcher32=True, **filters
    )
    images[(slice(None), *box_slices(box))] = prepared.images[(slice(None), *box_slices(box))]
    images.attrs["modalities"] = list(prepared.modalities)
    if prepared.label is not None:
        # The whole label, not the box: it may reach outside the brain, and must come back as it was.
        file.create_dataset("label", data=prepared.label, chunks=chunk, fletcher32=True, **filters)
    file.create_dataset("brain_box", data=prepared.brain_box, fletcher32=True)
    for modality, histogram in prepared.histograms.items():
        for name, array in histogram.arrays().items():
            file.create_dataset(f"histograms/{modality}/{name}", data=array, fletcher32=True)
    for value, sample in prepared.tumour.items():
        group = file.create_group(f"tumour/{value}")
        group.attrs["count"] = sample.count
        group.create_dataset("coordinates", data=sample.coordinates, fletcher32=True)


class StoredCase(KnownCase):
    """An open case file, with the attributes of `PreparedCase`; a context manager.

    Opened read-only and without a lock. ``images`` and ``label`` are HDF5 datasets: slices are read from disk, in the stored
    orientation. Not to be carried into a forked process; it can be pickled, and opens the file anew there.

    Args:
        path: the case's file.

    Raises:
        StoreError: the file is missing, damaged, or of another format or schema.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            with _reading(self.path):
                self.facts = self._read_facts()
                self.images = self._file["images"]
                self.label = self._file.get("label")
                self.brain_box: Box = self._file["brain_box"][:]
                self.grid, self.source = self._read_grids()
        except StoreError:
            self._file.close()
            raise

    def _read_facts(self) -> CaseFacts:
        attributes = self._file.attrs
        modalities = tuple(str(m) for m in self._file["images"].attrs["modalities"])
        texts = {name: str(attributes[name]) or None for name in _TEXT_FACTS}
        sources = tuple(json.loads(attributes["sources"]))
        return CaseFacts(**texts, modalities=modalities, sources=sources)  # type: ignore[arg-type]

    def _read_grids(self) -> tuple[Grid, Grid]:
        """Return the stored grid, and the source file's to write a mask on."""
        a = self._file.attrs
        x, y, z = self.images.shape[1:]
        i, j, k = (int(n) for n in a["source_shape"])
        source = Grid(
            (i, j, k),
            a["source_affine"],
            a.get("source_qform"),
            a.get("source_sform"),
            int(a["source_qform_code"]),
            int(a["source_sform_code"]),
            int(a["source_xyzt_units"]),
        )
        return Grid((x, y, z), a["affine"]), source

    @cached_property
    def histograms(self) -> dict[str, Histogram]:
        """Modality → histogram of its non-zero voxels."""
        with _reading(self.path):
            group = self._file["histograms"]
            return {m: histogram_from_arrays({n: d[:] for n, d in group[m].items()}) for m in self.modalities}

    @cached_property
    def tumour(self) -> dict[int, TumourSample]:
        """Label value → count and sample of coordinates; empty without a label."""
        with _reading(self.path):
            groups = self._file.get("tumour", {})
            return {int(v): TumourSample(int(g.attrs["count"]), g["coordinates"][:]) for v, g in groups.items()}

    def patch(self, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """Return raw intensities of a box that may overhang the volume.

        Args:
            corner: first voxel along each axis, may be negative.
            size: voxels along each axis.

        Returns:
            (M, x, y, z); zeros outside the volume.

        Raises:
            StoreError: a chunk is damaged.
        """
        return self._cut(self.images, corner, size)

    def label_patch(self, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """Return the label of a box that may overhang the volume, (x, y, z) uint8; zeros without a label.

        Raises:
            StoreError: a chunk is damaged.
        """
        if self.label is None:
            return np.zeros(tuple(size), np.uint8)
        return self._cut(self.label, corner, size)

    def _cut(self, dataset: h5py.Dataset, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
        with _reading(self.path):
            return crop_padded(dataset, np.stack([corner, np.add(corner, size)], 1))

    def close(self) -> None:
        """Close the file; reading from it is over."""
        self._file.close()

    def __enter__(self) -> StoredCase:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[StoredCase], tuple[Path]]:
        return StoredCase, (self.path,)


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise StoreError(f"{path}: no such case file; expected an HDF5 file made by brats3d.preprocess.")
    with _reading(path):
        file = h5py.File(path, "r", locking=False)
        found = file.attrs.get("format"), file.attrs.get("schema")
    if found != (FORMAT, SCHEMA):
        file.close()
        raise StoreError(
            f"{path}: the file has format {found[0]!r}, schema {found[1]}; expected {FORMAT!r}, schema {SCHEMA}:"
            " make the store again with this version's brats3d.preprocess."
        )
    return file


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what h5py raises into a `StoreError`: the system's refusals carry an errno, damage does not."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as problem:
        first = (str(problem).splitlines() or [""])[0].strip().rstrip(".")
        if isinstance(problem, OSError) and problem.errno:
            raise StoreError(f"{path}: the case file cannot be read now ({os.strerror(problem.errno)}).") from problem
        raise StoreError(
            f"{path}: the case file is damaged ({first}); delete it and run brats3d.preprocess again."
        ) from problem


def verify_file(path: Path) -> None:
    """Read a case file from end to end, so that every checksum in it is compared.

    Args:
        path: the case's file.

    Raises:
        StoreError: what is damaged or missing.
    """
    with StoredCase(path) as case, _reading(path):
        if int(case._file.attrs.get("checksum", -1)) != attribute_checksum(case._file):
            raise ValueError("the attributes do not match their checksum")
        for slab in range(0, case.images.shape[1], CHUNK):
            case.images[:, slab : slab + CHUNK]
        label = None if case.label is None else case.label[:]
        counts = {} if label is None else dict(zip(*np.unique(label[label > 0], return_counts=True), strict=True))
        if len(case.histograms) != len(case.modalities) or counts != {v: s.count for v, s in case.tumour.items()}:
            raise ValueError("the label and its summary disagree")
