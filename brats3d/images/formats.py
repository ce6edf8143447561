"""Choose the reader from the file's name."""

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
"""Suffix → reader. A file with none of these suffixes is tried as NIfTI."""


def read(path: Path | str, room: np.ndarray | None = None) -> Volume:
    """Read an image file with its grid; values as NIfTI defines them (``scl_slope`` 0 or NaN means none).

    The file is read once, to its end: its checksum is verified if it has one, and a header that does not match the rest of the
    file is refused.

    Args:
        path: a file whose name ends in one of `SUFFIXES`, of either byte order; gzip is recognised whatever the suffix. For a
            pair, either file: both are read.
        room: array to read into if its shape and type match the file's, X fastest in memory; saves a copy.

    Returns:
        The volume; its array has the file's type, in this machine's byte order, or a float type if scaling applies.

    Raises:
        ImageError: the file is missing, empty, truncated, damaged, of another kind or absurdly large, or its axes are sheared.
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
        raise ImageError(f"{path}: could not be read ({os.strerror(problem.errno)}); try again.") from problem
