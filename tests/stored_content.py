"""What a case file holds, whatever HDF5's own layout of it: that depends on when Python lets go of objects."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401, the codec
import numpy as np


def stored_content(path: Path) -> dict[str, object]:
    """Return name → attributes and, of a dataset, its type, chunks' sizes and bytes; with bare h5py."""
    found: dict[str, object] = {}

    def look(name: str, item: h5py.HLObject) -> None:
        attributes = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
        chunks, content = None, None
        if isinstance(item, h5py.Dataset):
            content = (str(item.dtype), item.shape, item[()].tobytes())
            chunks = [item.id.get_chunk_info(i).size for i in range(item.id.get_num_chunks())] if item.chunks else None
        found[name] = (attributes, chunks, content)

    with h5py.File(path, "r", locking=False) as file:
        look("", file)
        file.visititems(look)
    return found
