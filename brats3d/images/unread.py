"""Image files that cannot be read, recognised by name or first bytes, so that none is skipped silently."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

AS_DICOM = "DICOM is read by preprocess --raw"
_CONVERT = "is not read; convert it to .nii.gz"
UNREAD: Mapping[str, str] = MappingProxyType(
    {
        **{suffix: f"{suffix} {_CONVERT}" for suffix in (
            ".nrrd", ".nhdr", ".mhd", ".mnc", ".brik", ".brik.gz", ".nii.bz2", ".nii.xz", ".nii.zst", ".nii.zip", ".par",
        )},
        **dict.fromkeys((".dcm", ".ima", ".dicom"), AS_DICOM),
    }
)  # fmt: skip
"""Suffix of an image → what to do with it."""


def why_unread(name: str) -> str | None:
    """Return why an image of this name is not read, and what to do; None if the name is not that of such an image.

    Args:
        name: file name.
    """
    return next((why for suffix, why in UNREAD.items() if name.lower().endswith(suffix)), None)


def is_dicom(path: Path | str) -> bool:
    """Return whether a file starts as DICOM files do: 128 arbitrary bytes, then ``DICM``; False if it cannot be read.

    Args:
        path: the file.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
