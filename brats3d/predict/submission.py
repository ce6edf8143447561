"""Masks packed for a challenge's validation server: the case's id as name, ``.nii.gz``, one zip, no folders.

The rule is that of the 2023 server (Sage-Bionetworks-Challenges/brats2023, ``evaluation/lesionwise/validate.py``), which asks
most: the shape, and exactly one qform. Later servers ask for the shape alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from brats3d.errors import GridError
from brats3d.files import whole_file
from brats3d.geometry import AFFINE_TOLERANCE, Grid
from brats3d.predict.folder import ARCHIVE_NAME

SERVER_SHAPE = (240, 240, 155)
SERVER_QFORM = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


def check_server_grid(case: str, grid: Grid) -> None:
    """Refuse a grid that the validation server refuses.

    Args:
        case: case id, for the message.
        grid: the grid of the case's source, on which its mask lies.

    Raises:
        GridError: another shape, or another qform.
    """
    if grid.shape != SERVER_SHAPE:
        raise GridError(
            f"case {case}: its grid has shape {grid.shape}; the validation server takes {SERVER_SHAPE} alone:"
            " predict the scans as the challenge issued them, or leave out --submission."
        )
    qform = grid.affine if grid.qform is None else grid.qform
    if not np.abs(qform - SERVER_QFORM).max() <= AFFINE_TOLERANCE:
        raise GridError(
            f"case {case}: its qform is {np.round(qform, 3).tolist()}; the validation server takes"
            f" {SERVER_QFORM.tolist()} alone: predict the scans as the challenge issued them, or leave out --submission."
        )


def packed_cases(folder: Path) -> set[str] | None:
    """Return the ids of the cases whose masks are in a folder's zip; None where there is none that can be read.

    Args:
        folder: where the masks and the zip are.
    """
    try:
        with zipfile.ZipFile(folder / ARCHIVE_NAME) as archive:
            return {name.removesuffix(".nii.gz") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return None


def pack(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the masks of a folder into one zip, whole or not at all.

    Args:
        folder: where the masks are; the zip is written there too.
        files: case id → mask, relative to the folder.

    Returns:
        The zip's path.

    Raises:
        SpaceError: the disk is full.
    """
    path = folder / ARCHIVE_NAME
    megabytes = sum((folder / name).stat().st_size for name in files.values()) / 1e6
    with (
        whole_file(path, megabytes=megabytes) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,  # the masks are compressed already
    ):
        for case in sorted(files):
            archive.write(folder / files[case], f"{case}.nii.gz")
    return path
