"""Reads MetaImage (``.mha``, BraTS 2012 to 2016).

A header of ``Key = value`` lines, then the voxels, raw or as one zlib stream. Read here rather than by SimpleITK, so that a
base installation can read it and a damaged file gives a clear message.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np
from isal import isal_zlib

from brats3d.errors import ImageError, first_line
from brats3d.geometry import Grid
from brats3d.images.stream import MOST_INFLATED
from brats3d.images.volume import MAX_BYTES, SourceFile, Volume, check_grid, check_size

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
        "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
    }
)  # fmt: skip
"""ElementType → NumPy type. MET_LONG is left out: its size differs between machines."""
LONGEST_HEADER = 1 << 16
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's world is LPS, NIfTI's RAS."""
ONE_NAME: Mapping[str, str] = MappingProxyType(
    {
        "Rotation": "TransformMatrix", "Orientation": "TransformMatrix", "Origin": "Offset", "Position": "Offset",
        "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
    }
)  # fmt: skip
"""Synonym → the name used here."""
NOT_READ: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "NDims": ("3", "three axes"),
        "BinaryData": ("True", "binary voxels"),
        "ElementNumberOfChannels": ("1", "one value per voxel"),
        "ElementToIntensityFunctionSlope": ("1", "voxels that need no scaling"),
        "ElementToIntensityFunctionOffset": ("0", "voxels that need no scaling"),
        "ElementDataFile": ("LOCAL", "voxels in the same file"),
    }
)
"""Key → the only value supported, and what it means."""


def read_metaimage(path: Path, room: np.ndarray | None = None) -> Volume:
    """Read a ``.mha`` file; see `read`.

    Args:
        path: the file.
        room: ignored.

    Raises:
        ImageError: the file is truncated, damaged, of another kind, or absurdly large.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ImageError(f"{path}: the file has {path.stat().st_size} bytes; expected a brain scan of at most {MAX_BYTES}.")
    content = path.read_bytes()
    try:
        fields, start = _fields(content)
        shape = _numbers(fields, "DimSize", int)
        kind = np.dtype(TYPES[fields["ElementType"]]).newbyteorder(">" if _true(fields, "BinaryDataByteOrderMSB") else "<")
        check_size(path, shape, kind.itemsize)
        x, y, z = shape
        grid = check_grid(path, Grid((x, y, z), _affine(fields)))
        count = prod(shape) * kind.itemsize
        voxels = _inflated(content[start:], count) if _true(fields, "CompressedData") else content[start:]
        if len(voxels) != count:
            raise ValueError(f"{len(voxels)} bytes of voxels; the header says {count}")
    except ImageError:
        raise
    except (ValueError, LookupError, OverflowError, EOFError, MemoryError, isal_zlib.error) as problem:  # type: ignore[misc]
        raise ImageError(
            f"{path}: cannot be read as MetaImage ({type(problem).__name__}: {first_line(problem)}); the file is damaged,"
            " truncated or of another kind: copy it again from its source."
        ) from problem
    array = np.frombuffer(voxels, kind).reshape(shape, order="F").astype(kind.newbyteorder("="))
    return Volume(array, grid, SourceFile(path.name, len(content), isal_zlib.crc32(content)))


def _fields(content: bytes) -> tuple[dict[str, str], int]:
    """Return the header's keys and values, and the offset of the voxels."""
    fields: dict[str, str] = {}
    start = 0
    while "ElementDataFile" not in fields:
        end = content.find(b"\n", start, LONGEST_HEADER)
        if end < 0:
            raise ValueError(f"the header has no line ElementDataFile in its first {min(len(content), LONGEST_HEADER)} bytes")
        key, equals, value = content[start:end].decode("ascii").partition("=")
        if not equals:
            raise ValueError(f"the header has a line {key.strip()[:40]!r} without =")
        key = ONE_NAME.get(key.strip(), key.strip())
        if key in fields:
            raise ValueError(f"the header says {key} twice")
        fields[key] = value.strip()
        start = end + 1
    for key, (expected, meaning) in NOT_READ.items():
        if fields.get(key, expected) != expected:
            raise ValueError(f"{key} is {fields[key]!r}; expected {expected}, {meaning}")
    return fields, start


def _true(fields: Mapping[str, str], key: str) -> bool:
    value = fields.get(key, "False")
    if value.lower() not in ("true", "false"):
        raise ValueError(f"{key} is {value!r}; expected True or False")
    return value.lower() == "true"


def _numbers(fields: Mapping[str, str], key: str, kind: type, count: int = 3) -> tuple:
    found = tuple(kind(number) for number in fields[key].split())
    if len(found) != count:
        raise ValueError(f"{key} is {fields[key]!r}; expected {count} numbers")
    return found


def _affine(fields: Mapping[str, str]) -> np.ndarray:
    spacing = _numbers(fields, "ElementSpacing", float)
    if not min(spacing) > 0:
        raise ValueError(f"ElementSpacing is {fields['ElementSpacing']!r}; expected distances above 0")
    affine = np.eye(4)
    if "TransformMatrix" in fields:  # one row per array axis, in world coordinates
        affine[:3, :3] = np.reshape(_numbers(fields, "TransformMatrix", float, 9), (3, 3)).T
    affine[:3, :3] *= spacing
    if "Offset" in fields:
        affine[:3, 3] = _numbers(fields, "Offset", float)
    return LPS_TO_RAS @ affine


def _inflated(packed: bytes, count: int) -> bytes:
    """Return ``count`` bytes of a zlib stream (one more if the stream is longer) after verifying its checksum."""
    if count > len(packed) * MOST_INFLATED:
        raise EOFError(f"{count} bytes expected, more than {len(packed)} compressed bytes can hold")
    inflate = isal_zlib.decompressobj()
    voxels = inflate.decompress(packed, count + 1)
    if len(voxels) <= count and not inflate.eof:
        raise EOFError(f"the voxels end after {len(voxels)} bytes, before the checksum")
    return voxels
