"""Writes a case file: schema 1, completely or not at all.

Layout and codec were chosen on real cases: chunks of (M, 32, 32, 32) keep all modalities of a place together, as patches need;
zstd-1 after byte shuffle reads twice as fast as gzip at the same size and is the fastest to write (`benchmarks/codecs.py`);
Fletcher-32 is nearly free. Only non-zero chunks are written, the rest is the fill value 0.

A file is built in memory and its bytes are written at once: if HDF5 itself encounters a full disk, the process later crashes
with a segmentation fault (h5py 3.14).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from brats3d.errors import check_option
from brats3d.files import check_name, write_file
from brats3d.geometry import Box, bounding_box
from brats3d.regions import LabelSet
from brats3d.store.prepared import PreparedCase
from brats3d.store.stored_transforms import write_transforms
from brats3d.version import __version__

FORMAT = "brats3d"
SCHEMA = 1
CHUNK = 32
CODECS: Mapping[str, Mapping[str, Any]] = {
    "zstd": {**hdf5plugin.Zstd(clevel=1), "shuffle": True},
    "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
}
"""Codec → keywords of ``create_dataset``. ``gzip`` is readable by any HDF5, at twice the reading time."""

TEXT_FACTS = ("patient", "timepoint", "corpus", "grade")

OPTIONAL_FACTS: Mapping[str, Callable[[Any], Any]] = {"age": float, "survival_days": int, "resection": str, "site": str}
"""Attribute that exists only if it is known (older files of this schema lack them) → its type."""


OWN_LABEL_SET = "label_set_content"
"""Attribute that is there only if the label set is the user's own: its content, as JSON."""


def case_path(store: Path, case: str) -> Path:
    """Return the path of a case's file in a store."""
    return store / f"{case}.h5"


def write_case(store: Path, prepared: PreparedCase, *, codec: str = "zstd") -> Path:
    """Write a case's file, completely or not at all.

    Args:
        store: folder of the store.
        prepared: the case.
        codec: a key of `CODECS`.

    Returns:
        The path of the finished file.

    Raises:
        OptionError: there is no codec of that name.
        CaseError: the file's name would be too long for the file system.
        SpaceError: the disk is full; nothing of the case is left.
    """
    check_option("codec", codec, CODECS)
    path = case_path(store, prepared.id)
    check_name(path)
    with h5py.File(f"{path}.memory", "w", driver="core", backing_store=False) as file:  # never on the disk
        _write_attributes(file, prepared)
        _write_arrays(file, prepared, CODECS[codec])
        if prepared.transforms is not None:
            write_transforms(file, prepared.transforms)
        file.attrs["checksum"] = facts_checksum(file)
        file.flush()
        content = file.id.get_file_image()
    write_file(path, content)
    return path


def _write_attributes(file: h5py.File, prepared: PreparedCase) -> None:
    header, facts, source = prepared.header, prepared.facts, prepared.source
    attributes: dict[str, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "created_with": f"brats3d {__version__}",
        "sources": json.dumps([dict(s) for s in header.sources]),
        "warnings": json.dumps(header.warnings),
        "label_features": json.dumps({str(value): dict(seen) for value, seen in header.label_features.items()}),
        "affine": prepared.grid.affine,
        "source_shape": np.array(source.shape),
        "source_affine": source.affine,
        "source_axes": source.axes,
        "source_qform_code": source.qform_code,
        "source_sform_code": source.sform_code,
        "source_xyzt_units": source.xyzt_units,
        "case": header.id,
        "label_set": prepared.label_set or "",
        **_own_label_set(prepared.coding),
        **{name: getattr(facts, name) or "" for name in TEXT_FACTS},
        **{name: value for name in OPTIONAL_FACTS if (value := getattr(facts, name)) is not None},
    }
    for form in ("qform", "sform"):
        matrix = getattr(source, form)
        if matrix is not None:
            attributes[f"source_{form}"] = matrix
    for name, value in attributes.items():
        file.attrs[name] = value


def _own_label_set(coding: LabelSet | None) -> dict[str, str]:
    """Return what keeps a label set of the user's own: the table knows the others by name."""
    return {OWN_LABEL_SET: json.dumps(coding.as_dict())} if coding is not None and coding.own else {}


def facts_checksum(file: h5py.File) -> int:
    """Return the CRC-32 over the names of the modalities and all root attributes except the checksum itself."""
    crc = zlib.crc32(json.dumps([str(m) for m in file["images"].attrs["modalities"]]).encode())
    for name in sorted(file.attrs):
        if name != "checksum":
            value = file.attrs[name]
            content = value.tobytes() if isinstance(value, np.ndarray | np.generic) else str(value).encode()
            crc = zlib.crc32(name.encode() + b"=" + content, crc)
    return crc


def _write_arrays(file: h5py.File, prepared: PreparedCase, filters: Mapping[str, Any]) -> None:
    modalities, *shape = prepared.images.shape
    chunk = tuple(min(CHUNK, n) for n in shape)
    images = file.create_dataset(
        "images", prepared.images.shape, prepared.images.dtype, chunks=(modalities, *chunk), fletcher32=True, **filters
    )
    _write_chunks(images, prepared.images, prepared.brain_box)
    images.attrs["modalities"] = list(prepared.modalities)
    if prepared.label is not None:
        label = file.create_dataset("label", shape, np.uint8, chunks=chunk, fletcher32=True, **filters)
        # The label's own box, not the brain's: it may extend outside it, and must read back unchanged.
        _write_chunks(label, prepared.label, bounding_box(prepared.label))
    file.create_dataset("brain_box", data=prepared.brain_box, fletcher32=True)
    for modality, histogram in prepared.histograms.items():
        for name, array in histogram.arrays().items():
            file.create_dataset(f"histograms/{modality}/{name}", data=array, fletcher32=True)
    for value, sample in prepared.tumour.items():
        group = file.create_group(f"tumour/{value}")
        group.attrs["count"] = sample.count
        group.create_dataset("coordinates", data=sample.coordinates, fletcher32=True)


def _write_chunks(dataset: h5py.Dataset, array: np.ndarray, box: Box) -> None:
    """Write the non-zero chunks that touch a box; elsewhere is the fill value, 0.

    One at a time: a chunk fits into the processor's cache, where converting it from the order of the scan's file to HDF5's
    costs little.
    """
    sizes, place = dataset.chunks[-3:], dataset.id.get_space()
    starts = (range(int(first) // size * size, int(end), size) for (first, end), size in zip(box, sizes, strict=True))
    for corner in product(*starts):
        part: Any = (..., *(slice(start, start + size) for start, size in zip(corner, sizes, strict=True)))
        chunk = np.ascontiguousarray(array[part])
        if chunk.any():  # h5py's low-level API: the high-level one takes a quarter longer
            place.select_hyperslab((0,) * (chunk.ndim - 3) + corner, chunk.shape)
            dataset.id.write(h5py.h5s.create_simple(chunk.shape), place, chunk)
