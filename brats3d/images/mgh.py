"""Reads FreeSurfer's volumes (``.mgz``, ``.mgh``).

nibabel decodes the header, which uses 90 of its 284 bytes; big-endian voxels follow, then notes about the scan. Compressed
files are inflated to the end, so that gzip's checksum is verified.
"""

from __future__ import annotations

import zlib
from math import prod
from pathlib import Path

import numpy as np
from isal import isal_zlib

from brats3d.errors import ImageError
from brats3d.geometry import Grid
from brats3d.images.stream import GZIP, MOST_INFLATED
from brats3d.images.volume import MAX_BYTES, SourceFile, Volume, check_grid, check_size, decoding

FIELDS, HEADER = 90, 284
GOOD_RAS = slice(28, 30)
"""Bytes of goodRASFlag: whether the header knows the scan's orientation; nibabel fills in a default if not."""
MOST_NOTES = 1 << 24
"""Bytes allowed after the voxels."""


def read_mgh(path: Path, room: np.ndarray | None = None) -> Volume:
    """Read a ``.mgz`` or ``.mgh`` file; see `read`.

    Args:
        path: the file.
        room: ignored.

    Raises:
        ImageError: the file is truncated, damaged, of another kind, or absurdly large.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ImageError(f"{path}: the file has {path.stat().st_size} bytes; expected a brain scan of at most {MAX_BYTES}.")
    content = path.read_bytes()
    with decoding(path, "FreeSurfer's MGH"):
        array, grid = _decoded(path, content)
    return Volume(array, grid, SourceFile(path.name, len(content), isal_zlib.crc32(content)))


def _decoded(path: Path, content: bytes) -> tuple[np.ndarray, Grid]:
    from nibabel.freesurfer.mghformat import MGHHeader

    packed = content.startswith(GZIP)
    inflate = isal_zlib.decompressobj(zlib.MAX_WBITS | 16)
    start = inflate.decompress(content, HEADER) if packed else content[:HEADER]
    if len(start) < HEADER:
        raise EOFError(f"{len(start)} bytes; a header has {HEADER}")
    header = MGHHeader(start[:FIELDS])
    if not any(start[GOOD_RAS]):
        raise ImageError(
            f"{path}: does not give the scan's orientation (goodRASFlag is 0), so left and right are unknown; convert it"
            " again from the scanner's files."
        )
    shape = tuple(int(n) for n in header["dims"])
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    kind = header.get_data_dtype()
    check_size(path, shape, kind.itemsize)
    x, y, z = shape[:3]
    grid = check_grid(path, Grid((x, y, z), np.asarray(header.get_affine(), float)))
    count = prod(shape) * kind.itemsize
    if count > len(content) * MOST_INFLATED:
        raise EOFError(f"{count} bytes expected, more than a file of {len(content)} bytes can hold")
    rest = inflate.decompress(inflate.unconsumed_tail, count + MOST_NOTES) if packed else content[HEADER:]
    if len(rest) < count or (packed and not inflate.eof):
        raise EOFError(f"the voxels end after {len(rest)} of {count} bytes, or before the checksum")
    array = np.frombuffer(rest[:count], kind).reshape(shape, order="F").astype(kind.newbyteorder("="))
    return array, grid
