"""Which reader a file's name asks for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from brats3d.errors import ImageError
from brats3d.images.metaimage import read_metaimage
from brats3d.images.mgh import read_mgh
from brats3d.images.nifti import read_nifti
from brats3d.images.pairs import HEADERS, VOXELS, read_pair
from brats3d.images.volume import SUFFIXES, Volume

READERS: Mapping[str, Callable[[Path, np.ndarray | None], Volume]] = MappingProxyType(
    {
        ".nii.gz": read_nifti, ".nii": read_nifti, ".mha": read_metaimage, **dict.fromkeys((*HEADERS, *VOXELS), read_pair),
        ".mgz": read_mgh, ".mgh": read_mgh,
    }
)  # fmt: skip
"""Suffix → reader. A name without one of them is tried as NIfTI."""


def read(path: Path | str, room: np.ndarray | None = None) -> Volume:
    """Read an image file with its grid; values as NIfTI defines them (``scl_slope`` 0 or NaN means none).

    The file is read once and to its end: its checksum is compared where it has one, and what a damaged header would make of it
    is refused.

    Args:
        path: a file whose name ends in one of `SUFFIXES`, of either byte order, gzipped whatever its name ends in; of a pair
            either file, both are read.
        room: memory that the volume's array may be, X fastest, where shape and type are the file's: it saves a copy.

    Returns:
        The volume; the array has the file's own type, in this machine's byte order, where no scaling applies, else a float
        type.

    Raises:
        ImageError: the file is missing, empty, truncated, damaged, of another kind, or absurdly large, or its axes are sheared.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file; expected an image ({', '.join(SUFFIXES)}).")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty (0 bytes); copy it again from its source.")
    suffix = next((s for s in READERS if path.name.lower().endswith(s)), ".nii")
    try:
        return READERS[suffix](path, room)
    except OSError as problem:
        if not problem.errno:
            raise
        raise ImageError(f"{path}: cannot be read now ({os.strerror(problem.errno)}); try again.") from problem
