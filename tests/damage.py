"""Ways to damage an image file, each drawn from a generator: bytes in, bytes out."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable

import numpy as np

HEADER = 348
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE = 40, 70, 76, 108, 112
"""Where NIfTI-1 keeps them."""

Damage = Callable[[bytes, np.random.Generator], bytes]


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def scatter(content: bytes, rng: np.random.Generator, first: int = 0, last: int | None = None, most: int = 8) -> bytes:
    """Overwrite a few bytes anywhere between two places."""
    changed = bytearray(content)
    places = rng.integers(first, min(len(content), last or len(content)), rng.integers(1, most + 1))
    for place in places:
        changed[place] = rng.integers(256)
    return bytes(changed)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(1, len(content))]


def lose(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave some bytes out of the middle."""
    first = int(rng.integers(0, len(content) - 1))
    return content[:first] + content[first + int(rng.integers(1, 50)) :]


def repeat(content: bytes, rng: np.random.Generator) -> bytes:
    """Have a part twice."""
    first, last = sorted(rng.integers(0, len(content), 2))
    return content[:last] + content[first:]


def put(content: bytes, place: int, form: str, *values: float) -> bytes:
    return content[:place] + struct.pack(form, *values) + content[place + struct.calcsize(form) :]


def absurd_dims(content: bytes, rng: np.random.Generator) -> bytes:
    """Ask for up to terabytes, or for less than there is."""
    axes = int(rng.integers(-1, 9))
    sizes = rng.choice([-1, 0, 1, 2, 7, 16, 24, 181, 600, 8192, 30000, 32767], 7)
    return put(content, DIM, "<8h", axes, *sizes.tolist())


def near_dims(content: bytes, rng: np.random.Generator) -> bytes:
    """Have one axis some voxels longer or shorter."""
    sizes = list(struct.unpack_from("<3h", content, DIM + 2))
    sizes[rng.integers(3)] += int(rng.choice([-3, -2, -1, 1, 2, 40]))
    return put(content, DIM + 2, "<3h", *sizes)


def other_type(content: bytes, rng: np.random.Generator) -> bytes:
    codes = [0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, 9999]
    return put(content, DATATYPE, "<h", int(rng.choice(codes)))


def other_numbers(content: bytes, rng: np.random.Generator) -> bytes:
    """Write an odd number where the header keeps a float: spacings, offset, scaling, affine."""
    place = int(rng.choice([*range(PIXDIM, PIXDIM + 32, 4), VOX_OFFSET, SLOPE, SLOPE + 4, *range(256, 328, 4)]))
    return put(content, place, "<f", float(rng.choice([0, -1, 1e-30, 3e38, np.nan, np.inf, 340, 353, 0.5, 1e9])))


def swapped_voxels(content: bytes, rng: np.random.Generator) -> bytes:
    """Turn the voxels' bytes over, and not the header's."""
    start = int(struct.unpack_from("<f", content, VOX_OFFSET)[0])
    return content[:start] + np.frombuffer(content[start:], "<i2").byteswap().tobytes()


def swapped_start(content: bytes, rng: np.random.Generator) -> bytes:
    """Turn over the four bytes that say the byte order, or the number of axes, which says it too."""
    return content[:4][::-1] + content[4:] if rng.random() < 0.5 else content[:40] + content[40:42][::-1] + content[42:]


def wrong_trailer(content: bytes, rng: np.random.Generator) -> bytes:
    """Change gzip's own checksum or length."""
    place = len(content) - int(rng.integers(1, 9))
    return content[:place] + bytes([content[place] ^ int(rng.integers(1, 256))]) + content[place + 1 :]


def bomb(content: bytes, rng: np.random.Generator) -> bytes:
    """Follow the scan with many zeros, which pack to nothing."""
    return content + bytes(int(rng.integers(1, 1 << 25)))


PLAIN: dict[str, Damage] = {
    "bytes": scatter,
    "header": lambda content, rng: scatter(content, rng, 0, HEADER),
    "cut": cut,
    "lost": lose,
    "twice": repeat,
    "dims": absurd_dims,
    "near dims": near_dims,
    "type": other_type,
    "numbers": other_numbers,
    "voxels swapped": swapped_voxels,
    "order unclear": swapped_start,
}
"""Damage to what a NIfTI file holds; gzip packs it without complaint."""
PACKED: dict[str, Damage] = {
    "packed bytes": scatter,
    "packed start": lambda content, rng: scatter(content, rng, 0, 12, 2),
    "packed cut": cut,
    "packed lost": lose,
    "trailer": wrong_trailer,
    "tail": lambda content, rng: content + rng.bytes(int(rng.integers(1, 99))),
    "two members": lambda content, rng: content + content,
}
"""Damage to the gzip file itself."""


def other_field(content: bytes, rng: np.random.Generator) -> bytes:
    """Give a line of a MetaImage header another value."""
    end = content.index(b"LOCAL") + 6
    lines = content[:end].split(b"\n")
    row = int(rng.integers(len(lines) - 1))
    values = [b"", b"0", b"-1", b"3 3", b"1e308 1 1", b"nan nan nan", b"99999 99999 99999", b"4294967296 1 1", b"2", b"\xff"]
    values += [
        b"MET_SHORT",
        b"MET_DOUBLE",
        b"MET_OTHER",
        b"True",
        b"False",
        b"/etc/passwd",
        b"LIST",
        b"7 6 8",
        b"0 0 0 0 0 0 0 0 0",
    ]
    lines[row] = lines[row].partition(b"=")[0] + b"= " + values[rng.integers(len(values))]
    return b"\n".join(lines) + content[end:]


META: dict[str, Damage] = {
    "bytes": scatter,
    "header": lambda content, rng: scatter(content, rng, 0, content.index(b"LOCAL") + 6),
    "voxels": lambda content, rng: scatter(content, rng, content.index(b"LOCAL") + 6),
    "field": other_field,
    "cut": cut,
    "lost": lose,
    "twice": repeat,
}
"""Damage to a MetaImage file."""
