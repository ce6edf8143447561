"""Image files that are not read here, known by their names or first bytes, so that none is passed over without a word."""

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
"""Suffix of an image → what is to be done with it."""


def why_unread(name: str) -> str | None:
    """Return why an image is not read by its suffix, and what to do; None if the name is not that of such an image.

    Args:
        name: file name.
    """
    return next((why for suffix, why in UNREAD.items() if name.lower().endswith(suffix)), None)


def is_dicom(path: Path | str) -> bool:
    """Return whether a file begins as DICOM files do: 128 bytes of anything, then ``DICM``.

    Args:
        path: the file; False if it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
