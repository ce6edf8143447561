"""Reads case files without a lock, and tells damaged files from temporarily unreadable ones."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from brats3d.cases import Facts
from brats3d.errors import StoreError, first_line, system_error
from brats3d.geometry import Box, Grid, box_at, crop_padded
from brats3d.intensity import Histogram, histogram_from_arrays
from brats3d.regions import LabelSet, label_set
from brats3d.store.prepared import CaseHeader, HeadedCase, TumourSample
from brats3d.store.stored_transforms import read_transforms
from brats3d.store.write import CHUNK, FORMAT, OPTIONAL_FACTS, OWN_LABEL_SET, SCHEMA, TEXT_FACTS, facts_checksum
from brats3d.transforms import Transforms


class StoredCase(HeadedCase):
    """An open case file, with the attributes of `PreparedCase`; a context manager.

    Opened read-only and without a lock. ``images`` and ``label`` are HDF5 datasets: slices are read from disk, in the stored
    orientation. Must not be carried into a forked process; it can be pickled, and reopens the file there.

    Args:
        path: the case's file; in a packed store, a path as if that were a folder.

    Raises:
        StoreError: the file is missing, damaged, or of another format or schema.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._opened, self._file = _open(self.path)
        try:
            with reading(self.path):
                self.header = self._read_header()
                self.images = self._file["images"]
                self.label = self._file.get("label")
                self.brain_box: Box = self._file["brain_box"][:]
                self.grid, self.source = self._read_grids()
        except StoreError:
            self._opened.close()
            raise

    def _read_header(self) -> CaseHeader:
        attributes = self._file.attrs
        facts: dict[str, Any] = {name: str(attributes[name]) or None for name in TEXT_FACTS}
        facts |= {name: kind(attributes[name]) for name, kind in OPTIONAL_FACTS.items() if name in attributes}
        features = json.loads(attributes.get("label_features", "{}"))  # older files of this schema lack them
        return CaseHeader(
            id=str(attributes["case"]),
            facts=Facts(**facts),
            modalities=tuple(str(m) for m in self._file["images"].attrs["modalities"]),
            coding=self._read_coding(),
            sources=tuple(json.loads(attributes["sources"])),
            warnings=tuple(json.loads(attributes.get("warnings", "[]"))),
            label_features={int(value): seen for value, seen in features.items()},
        )

    def _read_coding(self) -> LabelSet | None:
        name, content = str(self._file.attrs["label_set"]), self._file.attrs.get(OWN_LABEL_SET)
        if content is not None:
            return LabelSet.from_dict(json.loads(content))
        return label_set(name) if name else None

    @property
    def labelled(self) -> bool:
        """Whether there is a label."""
        return self.label is not None

    def _read_grids(self) -> tuple[Grid, Grid]:
        """Return the stored grid, and that of the source file, to write a mask on."""
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
        with self._reading():
            group = self._file["histograms"]
            return {m: histogram_from_arrays({n: d[:] for n, d in group[m].items()}) for m in self.modalities}

    @cached_property
    def tumour(self) -> dict[int, TumourSample]:
        """Label value → count and sample of coordinates; empty without a label."""
        with self._reading():
            groups = self._file.get("tumour", {})
            return {int(v): TumourSample(int(g.attrs["count"]), g["coordinates"][:]) for v, g in groups.items()}

    @cached_property
    def transforms(self) -> Transforms | None:
        """Transforms of the scans of a raw clinical case; None for a case whose files share a grid."""
        with self._reading():
            return read_transforms(self._file, self.source)

    def patch(self, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """Return raw intensities of a box that may extend beyond the volume.

        Args:
            corner: first voxel along each axis; may be negative.
            size: voxels along each axis.

        Returns:
            (M, x, y, z); zeros outside the volume.

        Raises:
            ArrayError: corner or size is not three whole numbers, or a size is below 1.
            StoreError: a chunk is damaged, or the file is closed.
        """
        return self._cut(self.images, box_at(corner, size))

    def label_patch(self, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """Return the label of a box that may extend beyond the volume, (x, y, z) uint8; zeros without a label.

        Raises:
            ArrayError: corner or size is not three whole numbers, or a size is below 1.
            StoreError: a chunk is damaged, or the file is closed.
        """
        box = box_at(corner, size)
        if self.label is None:
            return np.zeros(tuple(size), np.uint8)
        return self._cut(self.label, box)

    def _cut(self, dataset: h5py.Dataset, box: Box) -> np.ndarray:
        with self._reading():
            return crop_padded(dataset, box)

    @property
    def root(self) -> h5py.Group:
        """The case's HDF5 group: the root of its own file, or its group in a packed store."""
        return self._file

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if not self._file:
            raise StoreError(f"{self.path}: the case file is closed; open it again.")
        with reading(self.path):
            yield

    def close(self) -> None:
        """Close the file; it can no longer be read."""
        self._opened.close()

    def __enter__(self) -> StoredCase:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[StoredCase], tuple[Path]]:
        return StoredCase, (self.path,)


def _open(path: Path) -> tuple[h5py.File, h5py.Group]:
    """Return the opened file and the case's group: the file's root or, in a packed store, the case's own."""
    packed = path.parent.is_file()
    if not packed and not path.is_file():
        raise StoreError(f"{path}: no such case file; expected an HDF5 file made by brats3d.preprocess.")
    with reading(path):
        file = h5py.File(path.parent if packed else path, "r", locking=False)
        root = file[path.name.removesuffix(".h5")] if packed else file
        found = root.attrs.get("format"), root.attrs.get("schema")
    if found != (FORMAT, SCHEMA):
        file.close()
        raise StoreError(
            f"{path}: the file has format {found[0]!r}, schema {found[1]}; expected {FORMAT!r}, schema {SCHEMA}:"
            " rebuild the store with this version's brats3d.preprocess."
        )
    return file, root


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn exceptions of h5py into a `StoreError`: system errors have a number, damage has none.

    Args:
        path: the case's file, for the message.

    Raises:
        StoreError: the file is damaged, or could not be read; the message says why.
    """
    try:
        yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as problem:
        number = system_error(problem)
        if number is not None:
            advice = "try again, or raise ulimit -n" if number in (errno.EMFILE, errno.ENFILE) else "try again"
            raise StoreError(f"{path}: the case file could not be read ({os.strerror(number)}); {advice}.") from problem
        raise StoreError(
            f"{path}: the case file is damaged ({first_line(problem)}); delete it and run brats3d.preprocess again."
        ) from problem


def slabs(dataset: h5py.Dataset) -> Iterator[np.ndarray]:
    """Yield an array in slabs along X, the third axis from the end, so that it is never entirely in memory.

    Args:
        dataset: (..., X, Y, Z).
    """
    lead = (slice(None),) * (dataset.ndim - 3)
    for first in range(0, dataset.shape[-3], CHUNK):
        yield dataset[(*lead, slice(first, first + CHUNK))]


def verify_file(path: Path) -> None:
    """Read a case file from end to end, verifying all its checksums.

    Args:
        path: the case's file.

    Raises:
        StoreError: something is damaged or missing.
    """
    with StoredCase(path) as case, reading(path):
        kept, found = int(case._file.attrs.get("checksum", -1)), facts_checksum(case._file)
        if kept != found:
            raise ValueError(f"the attributes do not match their checksum: {found}, recorded {kept}")
        told = set(case._file["histograms"]), len(case.images)
        if told != (set(case.modalities), len(case.modalities)):
            raise ValueError(
                f"modalities, channels and histograms disagree: {list(case.modalities)}, {told[1]} and {sorted(told[0])}"
            )
        _ = case.histograms, case.transforms  # reads them all
        for _ in slabs(case.images):
            pass  # reading verifies the checksums
        label = None if case.label is None else case.label[:]
        counts = {} if label is None else dict(zip(*np.unique(label[label > 0], return_counts=True), strict=True))
        summary = {v: s.count for v, s in case.tumour.items()}
        if counts != summary:
            shown = {int(value): int(count) for value, count in counts.items()}
            raise ValueError(f"the label and its summary disagree: voxels by value {shown} and {summary}")
