"""Masks packed for a challenge's validation server: the case's id as name, ``.nii.gz``, one zip, no folders.

What a server takes is a fact of the corpus (`brats3d.cases.ServerGrid`). If it compares qforms, it does so number by number
(``header.get_qform()``), to the last bit; a scan's header may be right and still differ: written by a program that sets only
the sform, or with a rounded origin. So a packed mask whose scan is on the challenge's own grid gets that grid's own header,
and the packed bytes are compared as the server will. The mask in the folder stays on its scan's grid.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from brats3d import images
from brats3d.cases import CORPORA, ServerGrid
from brats3d.errors import GridError
from brats3d.files import whole_file
from brats3d.geometry import Grid
from brats3d.masks import ARCHIVE_NAME

HEADER_BYTES = 348
ADVICE = "predict the scans as the challenge issued them, or leave out --submission."


def server_of(corpus: str) -> ServerGrid | None:
    """Return what the validation server of a corpus takes; None if it has no known server.

    Args:
        corpus: row of the table of corpora, or ``raw``.
    """
    row = CORPORA.get(corpus)
    return row.server if row else None


def check_server_grid(case: str, corpus: str, grid: Grid, server: ServerGrid | None) -> None:
    """Refuse a grid that the validation server refuses.

    Args:
        case: case id, for the message.
        corpus: the corpus the case is of, for the message.
        grid: the grid of the case's source, which its mask is on.
        server: what the corpus' server takes; None if no server is known.

    Raises:
        GridError: another shape, or another qform.
    """
    if server is None or server.compared == "nothing":
        return
    if grid.shape != server.shape:
        raise GridError(
            f"case {case}: its grid has shape {grid.shape}; masks of {corpus} are scored only on a grid of {server.shape}:"
            f" {ADVICE}"
        )
    if server.compared == "qform" and not _is_official(grid, server):
        qform = grid.affine if grid.qform is None else grid.qform
        raise GridError(_other_qform(case, corpus, qform, server))


def packed_mask(case: str, corpus: str, mask: Path, server: ServerGrid | None) -> bytes:
    """Return a mask as the file to be packed.

    Args:
        case: case id, for messages.
        corpus: the corpus the case is of, for messages.
        mask: the mask, a ``.nii.gz`` file.
        server: what the corpus' server takes; None if no server is known.

    Returns:
        The file itself, or its voxels with the header of the challenge's own files if it is on their grid.

    Raises:
        GridError: the server does not accept masks on its grid.
        ImageError: the mask cannot be read.
    """
    volume = images.read(mask)
    check_server_grid(case, corpus, volume.grid, server)
    content = mask.read_bytes()
    if server is None or server.affine is None or not _is_official(volume.grid, server):
        return content
    official = np.array(server.affine, float)
    if not np.array_equal(_written_header(content)[1], official):
        content = images.nifti_bytes(volume.array, Grid(volume.grid.shape, official, official, official))
    shape, qform = _written_header(content)
    if shape != server.shape or not np.array_equal(qform, official):
        raise GridError(_other_qform(case, corpus, qform, server))
    return content


def packed_checksums(folder: Path) -> dict[str, int] | None:
    """Return case id → CRC-32 of the masks in a folder's zip; None if there is no readable one.

    Args:
        folder: where the masks and the zip are.
    """
    try:
        with zipfile.ZipFile(folder / ARCHIVE_NAME) as archive:
            return {info.filename.removesuffix(".nii.gz"): info.CRC for info in archive.infolist()}
    except (OSError, zipfile.BadZipFile):
        return None


def pack(folder: Path, masks: Mapping[str, bytes]) -> Path:
    """Write masks into one zip, whole or not at all.

    Args:
        folder: where the zip is written.
        masks: case id → content of its file.

    Returns:
        The zip's path.

    Raises:
        SpaceError: the disk is full.
    """
    path = folder / ARCHIVE_NAME
    with (
        whole_file(path, megabytes=sum(map(len, masks.values())) / 1e6) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,  # the masks are compressed already
    ):
        for case in sorted(masks):
            archive.writestr(f"{case}.nii.gz", masks[case])
    return path


def _is_official(grid: Grid, server: ServerGrid) -> bool:
    """Return whether a grid is the challenge's own, by its affine or by its qform, except for rounding."""
    if server.shape is None or server.affine is None:
        return False
    official = Grid(server.shape, np.array(server.affine, float))
    forms = [grid.affine, *([] if grid.qform is None else [grid.qform])]
    return any(not replace(grid, affine=form).differences(official) for form in forms)


def _written_header(content: bytes) -> tuple[tuple[int, ...], np.ndarray]:
    """Return shape and qform of a ``.nii.gz`` file's content as a server reads them, whatever the qform's code."""
    import nibabel as nib

    with gzip.open(io.BytesIO(content)) as stream:
        header = nib.Nifti1Header(stream.read(HEADER_BYTES))
    return tuple(header.get_data_shape()), np.asarray(header.get_qform())


def _other_qform(case: str, corpus: str, qform: np.ndarray, server: ServerGrid) -> str:
    return (
        f"case {case}: its qform is {np.round(qform, 3).tolist()}; the validation server of {corpus} takes"
        f" {np.array(server.affine, float).tolist()} alone: {ADVICE}"
    )
