"""Read and check one case: what cannot be read correctly is refused, by name.

The label never influences the crop or the statistics: images are read, checked and summarised first, and the label is only
laid beside them. In some releases its origin is not that of its scans, so that is taken with a warning; a label of another
orientation or spacing is refused, since voxel by voxel it would lie mirrored or turned on the scan.
"""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from brats3d import geometry, images, regions
from brats3d.cases import MODALITIES, Case, settle_label_set
from brats3d.errors import ALL_ZERO, CaseError, GridError, ImageError
from brats3d.geometry import Grid
from brats3d.images import Volume
from brats3d.store import CaseFacts, PreparedCase, summarise

log = logging.getLogger(__name__)


def prepare_case(case: Case, label_set: str | None = None) -> PreparedCase:
    """Read a case's files, check them, and bring them to the stored orientation.

    Args:
        case: from `find_cases`; all four modalities must be there, a label may be.
        label_set: what the label's values mean; None settles it from names and values.

    Returns:
        The prepared case: images (4, X, Y, Z) in the order t1, t1ce, t2, flair, orientation L, P, S, values as they came.

    Raises:
        CaseError: a modality is missing.
        ImageError: a file is damaged, empty, holds NaN or only zeros, or is no 3-D image.
        GridError: the files do not lie on one grid, of which a label may have another origin; both grids are shown.
        LabelError: the label holds what its label set does not know, or fractions.
        OptionError: no label set of that name.
    """
    if case.missing:
        there = ", ".join(case.images) or "none"
        raise CaseError(
            f"case {case.id} lacks {', '.join(case.missing)} (found: {there}); all of {', '.join(MODALITIES)} are needed."
        )
    volumes = {m: _read_scan(case.images[m]) for m in MODALITIES}
    first = MODALITIES[0]
    source = volumes[first].grid
    for modality, volume in volumes.items():
        different = source.differences(volume.grid)
        if different:
            raise GridError(
                f"case {case.id}: {first} and {modality} do not lie on one grid ({different});"
                " register the scans to one grid first."
            )
    label = None
    settled = None
    if case.label is not None:
        label = _read_label(case.label, source)
        settled = settle_label_set(case, np.flatnonzero(np.bincount(label.ravel())).tolist(), label_set)
        label, _ = geometry.to_stored(label, source)
        label = np.ascontiguousarray(label)
    stacked = np.stack([v.array for v in volumes.values()])
    stacked, grid = geometry.to_stored(stacked, source)
    files = [*(case.images[m] for m in MODALITIES), *([case.label] if case.label else [])]
    facts = CaseFacts(
        case.id,
        case.patient,
        case.timepoint,
        case.corpus,
        case.grade,
        settled,
        MODALITIES,
        tuple(_fingerprint(f) for f in files),
    )
    return summarise(facts, np.ascontiguousarray(stacked), label, grid, source)


def _read_scan(path: Path) -> Volume:
    volume = images.read(path)
    if volume.array.ndim != 3:
        raise ImageError(f"{path}: the image has shape {volume.array.shape}; expected one 3-D volume per modality.")
    array = stored_type(volume.array)  # checked as it will be stored: a double may overflow on the way, or vanish
    images.check_finite(path, array)
    if not array.any():
        raise ImageError(f"{path}: {ALL_ZERO}")
    return Volume(array, volume.grid)


def _read_label(path: Path, source: Grid) -> np.ndarray:
    volume = images.read(path)
    if volume.array.shape != source.shape:
        raise GridError(f"{path}: the label has shape {volume.array.shape}; expected the images' shape {source.shape}.")
    different = source.differences(volume.grid)
    turned = np.abs(source.affine[:3, :3] - volume.grid.affine[:3, :3]).max()
    if not turned <= geometry.AFFINE_TOLERANCE:
        raise GridError(
            f"{path}: the label's voxels are turned, mirrored or spaced otherwise than the images' ({different}); only another"
            " origin is taken: bring the label to the images' grid, or leave it out."
        )
    if different:
        log.warning("%s: the label's header differs from the images' (%s); taken voxel by voxel.", path, different)
    images.check_finite(path, volume.array)
    try:
        return regions.whole_numbers(volume.array)
    except regions.LabelError as problem:
        raise regions.LabelError(f"{path}: {problem}") from problem


def stored_type(array: np.ndarray) -> np.ndarray:
    """Return an image as int16 where that loses nothing, else as float32."""
    if array.dtype == np.int16:
        return array
    limits = np.iinfo(np.int16)
    if array.min() >= limits.min and array.max() <= limits.max:
        whole = array.astype(np.int16)
        if np.issubdtype(array.dtype, np.integer) or np.array_equal(whole, array):
            return whole
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _fingerprint(path: Path) -> dict[str, Any]:
    """Name (without folders), size and CRC-32 of a source file's bytes."""
    content = path.read_bytes()
    return {"name": path.name, "bytes": len(content), "crc32": zlib.crc32(content)}
