"""What a case is to those who learn from it, as a few numbers: they differ where its voxels do, and nowhere else.

Taken over the voxels themselves. The sums that HDF5 keeps are of compressed chunks and change with the codec; those of the
source files change when a file is compressed again, and do not when a label is corrected in the store. All voxels of a real
case are read in 0.15 s; whoever compares again may first look at `file_stamp`.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from brats3d.store.read import StoredCase, reading, slabs


def case_checksums(case: StoredCase) -> dict[str, Any]:
    """Return what a case holds, part by part, as plain values.

    They do not depend on the codec, on whether the store is packed, on the sources' names, or on the version that wrote it.

    Args:
        case: of a folder or of a packed store.

    Returns:
        Modality → CRC-32 of its voxels (in C order, in the stored orientation and type), in the channels' order; ``label`` →
        that of the label, and ``label_set``, both None without one; ``shape`` and ``spacing_mm`` of the stored grid.

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
        "shape": [int(n) for n in case.grid.shape],
        "spacing_mm": [round(float(mm), 4) for mm in case.grid.spacing_mm],
    }


def file_stamp(case: StoredCase) -> list[int]:
    """Return size and time of change (ns) of the file that holds a case: while both stay, so does what is in it."""
    path = case.path.parent if case.path.parent.is_file() else case.path
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
