"""Reads NIfTI pairs (``.hdr`` with ``.img``).

Both files together are the image: either may be named, and its fingerprint covers the bytes of both. Analyze 7.5, which has
the same two suffixes, is refused: its header cannot say which side is left, and programs disagree about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import isal_zlib

from brats3d.errors import ImageError
from brats3d.images.nifti_header import (
    FIRST,
    TOO_BAD,
    Faults,
    fitting_room,
    grid_of,
    is_nifti2,
    layout_of,
    scaled,
    sizes,
    step_of,
)
from brats3d.images.stream import BUFFER, Stream, opened
from brats3d.images.volume import SourceFile, Volume, decoding

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1PairHeader

HEADERS, VOXELS = (".hdr", ".hdr.gz"), (".img", ".img.gz")


def parts_of(path: Path | str) -> tuple[Path, ...]:
    """Return the files of an image: header and voxels of a pair, as far as they exist, otherwise the file itself.

    Args:
        path: the image, or one file of a pair.
    """
    path = Path(path)
    suffix = next((s for s in (*HEADERS, *VOXELS) if path.name.lower().endswith(s)), None)
    if suffix is None:
        return (path,)
    found = [path if suffix in suffixes else _beside(path, suffix, suffixes) for suffixes in (HEADERS, VOXELS)]
    return tuple(part for part in found if part is not None)


def fingerprint(path: Path | str) -> SourceFile:
    """Return what identifies an image's content, as `read` does, without decoding it.

    Args:
        path: the image; every byte is read, for a pair those of both files.

    Raises:
        OSError: a file cannot be read.
    """
    return content_of(Path(path).name, parts_of(path))


def content_of(name: str, files: Iterable[Path]) -> SourceFile:
    """Return what identifies the content of the files that make up one image, in their order.

    Args:
        name: the image's name.
        files: its files; every byte is read.

    Raises:
        OSError: a file cannot be read.
    """
    crc, size = 0, 0
    for path in files:
        with path.open("rb") as file:
            while block := file.read(BUFFER):
                crc, size = isal_zlib.crc32(block, crc), size + len(block)
    return SourceFile(name, size, crc)


def size_of(path: Path | str) -> int:
    """Return an image's size on disk in bytes, for a pair that of both files.

    Raises:
        OSError: a file cannot be examined.
    """
    return sum(part.stat().st_size for part in parts_of(path))


def is_voxel_file(path: Path | str) -> bool:
    """Return whether a file holds only the voxels of a header beside it, so that the header represents both."""
    parts = parts_of(path)
    return len(parts) == 2 and parts[1] == Path(path)


def _beside(path: Path, suffix: str, others: tuple[str, ...]) -> Path | None:
    """Return the other file of a pair; its suffix may be in lower or upper case, the case of the given one first."""
    stem, written = path.name[: -len(suffix)], path.name[-len(suffix) :]
    order = sorted(others, key=lambda other: other.endswith(".gz") != suffix.endswith(".gz"))
    cases = (str.upper, str.lower) if written.isupper() else (str.lower, str.upper)
    candidates = (path.with_name(stem + change(other)) for other in order for change in cases)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_pair(path: Path, room: np.ndarray | None = None) -> Volume:
    """Read a NIfTI pair; see `read`.

    Args:
        path: the header, or the file of voxels.
        room: memory for the voxels, used if it fits.

    Raises:
        ImageError: one of the two is missing, truncated, damaged or absurdly large, or the header is Analyze's.
    """
    parts = parts_of(path)
    if len(parts) < 2:
        other = "file of voxels (.img)" if parts[0].name.lower().endswith(HEADERS) else "header (.hdr)"
        raise ImageError(f"{path}: no {other} of the same name beside it; expected both files of a NIfTI pair: copy both.")
    with decoding(path, "a NIfTI pair", "one of its two files is"):
        return _read(path, parts[0], parts[1], room)


def _read(path: Path, header_file: Path, voxel_file: Path, room: np.ndarray | None) -> Volume:
    with opened(header_file) as stream:
        header, faults = _pair_header(header_file, stream)
        first = stream.finish()
    shape, kind = layout_of(path, header)
    grid = grid_of(path, header, shape, faults)
    with opened(voxel_file) as stream:
        stream.skip(int(header["vox_offset"]))
        raw = stream.take(prod(shape) * kind.itemsize, fitting_room(room, shape, kind))
        second = stream.finish()
    source = SourceFile(path.name, first.bytes + second.bytes, isal_zlib.crc32_combine(first.crc32, second.crc32, second.bytes))
    return Volume(scaled(raw.view(kind).reshape(shape, order="F"), header), grid, source, step_of(header, kind))


def _pair_header(path: Path, stream: Stream) -> tuple[Nifti1PairHeader, list[str]]:
    """Read the header and the extensions after it, which do not affect where voxels are.

    Returns:
        The header as nibabel corrects it, and what it corrected.
    """
    from nibabel.nifti1 import Nifti1PairHeader
    from nibabel.nifti2 import Nifti2PairHeader

    block = stream.take(FIRST).tobytes()
    longer = is_nifti2(block)
    kind: Any = Nifti2PairHeader if longer else Nifti1PairHeader
    magic = block[4:7] if longer else block[344:347]
    if magic in (b"n+1", b"n+2"):
        raise ImageError(f"{path}: the header says that its voxels are in the same file; rename it to .nii.")
    if magic not in (b"ni1", b"ni2"):
        if FIRST not in sizes(block):
            raise ValueError(f"its first bytes {block[:4]!r} are not those of a NIfTI or Analyze header")
        raise ImageError(
            f"{path}: an Analyze 7.5 header (no ni1 at its end), which does not say which side is left; expected a NIfTI"
            " pair: convert it with the program that wrote it, and check left and right."
        )
    block += stream.take(kind.sizeof_hdr - FIRST).tobytes()
    stream.skip_rest()
    header, faults = kind(block, check=False), Faults()
    header.check_fix(faults, TOO_BAD)
    return header, faults
