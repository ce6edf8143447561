"""Checksums of a case as training sees it: they differ exactly if its voxels do.

They are computed over the voxels themselves. HDF5's own checksums are of compressed chunks and change with the codec; those of
the source files change when a file is recompressed, and do not when a label is corrected in the store. All voxels of a real
case are read in 0.15 s; `file_stamp` is a quick first test for repeated comparisons.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from brats3d.store.read import StoredCase, reading, slabs


def case_checksums(case: StoredCase) -> dict[str, Any]:
    """Return checksums of a case's content, part by part, as plain values.

    They do not depend on the codec, on whether the store is packed, on the sources' names, or on the version that wrote it.

    Args:
        case: from a folder or a packed store.

    Returns:
        Modality → CRC-32 of its voxels (C order, stored orientation and type), in the channels' order; ``label`` → that of the
        label, and ``label_set``, both None without one; ``label_set_content`` if that is the user's own; ``shape`` and
        ``spacing_mm`` of the stored grid.

    Raises:
        StoreError: a part of it is damaged.
    """
    with reading(case.path):
        sums = dict.fromkeys(case.modalities, 0)
        for slab in slabs(case.images):
            for modality, channel in zip(case.modalities, slab, strict=True):
                sums[modality] = zlib.crc32(np.ascontiguousarray(channel).data, sums[modality])
        label = None
        if case.label is not None:
            label = 0
            for slab in slabs(case.label):
                label = zlib.crc32(slab.data, label)
    return {
        **sums,
        "label": label,
        "label_set": case.label_set,
        **({"label_set_content": case.coding.as_dict()} if case.coding is not None and case.coding.own else {}),
        "shape": [int(n) for n in case.grid.shape],
        "spacing_mm": [round(float(mm), 4) for mm in case.grid.spacing_mm],
    }


def file_stamp(case: StoredCase) -> list[int]:
    """Return size and modification time (ns) of a case's file: while both are unchanged, so is its content."""
    path = case.path.parent if case.path.parent.is_file() else case.path
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
