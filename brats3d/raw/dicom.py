"""DICOM files: which of them form a series, what each series is, and its voxels.

SimpleITK's GDCM reads the tags, and only those in `TAGS` and `PATIENT`: a patient's id and name are needed to tell patients
apart, and are replaced at once by digests that mean nothing outside this process. Multi-frame files (enhanced MR) are left
out and named; dcm2niix converts them to NIfTI.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

import numpy as np

from brats3d.errors import GridError, ImageError, first_line
from brats3d.images import Volume
from brats3d.raw.itk import toolkit
from brats3d.raw.slices import Slice, stack

log = logging.getLogger(__name__)

TAGS: Mapping[str, str] = MappingProxyType({
    "study": "0020|000d", "series": "0020|000e", "kind": "0008|0060", "image_type": "0008|0008", "description": "0008|103e",
    "protocol": "0018|1030", "contrast": "0018|0010", "echo_ms": "0018|0081", "repetition_ms": "0018|0080",
    "inversion_ms": "0018|0082", "position": "0020|0032", "orientation": "0020|0037", "spacing": "0028|0030",
    "samples": "0028|0002", "frames": "0028|0008", "rows": "0028|0010", "columns": "0028|0011", "instance": "0008|0018",
})  # fmt: skip
"""The tags read. Only sizes and positions are stored."""
PATIENT = ("0010|0020", "0010|0010")
"""Id and name of the patient."""
_KEY = os.urandom(16)
"""Makes patients' digests useless to other processes: there are too few names for a plain digest to hide one."""
SCAN_VALUES = 16
"""A slice from the middle of a scan has more distinct values than this; one of a drawing has fewer."""


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One DICOM file.

    Attributes:
        path: the file.
        tags: those of `TAGS` that it has, as text.
        patient: digests of the patient's id and name, comparable within this process; empty if it has none.
    """

    path: Path
    tags: Mapping[str, str]
    patient: tuple[str, str] = ("", "")

    def number(self, tag: str) -> float | None:
        """Return a tag's first number, or None if it has none."""
        numbers = self.numbers(tag)
        return numbers[0] if numbers else None

    def numbers(self, tag: str) -> list[float]:
        """Return a tag's numbers; empty if it has none."""
        try:
            return [float(part) for part in self.tags.get(tag, "").split("\\") if part.strip()]
        except ValueError:
            return []


def read_tags(path: Path) -> DicomFile | None:
    """Return a DICOM image's tags; None, with a log message, if the file contains no readable image.

    Args:
        path: a file for which `is_dicom` holds.

    Raises:
        MissingExtraError: SimpleITK is not installed.
    """
    reader = toolkit().ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        log.info("%s: no image in this DICOM file; skipped.", path)
        return None
    there = {name: reader.GetMetaData(tag).strip() for name, tag in TAGS.items() if reader.HasMetaDataKey(tag)}
    number, name = (_digest(reader.GetMetaData(tag)) if reader.HasMetaDataKey(tag) else "" for tag in PATIENT)
    return DicomFile(path, there, (number, name))


def _digest(text: str) -> str:
    """Return the digest of a patient's id or name, ignoring spacing and case; empty if it is empty."""
    plain = " ".join(re.sub(r"[\^=\s\0]+", " ", text).split()).upper()
    return blake2b(plain.encode("utf-8", "surrogateescape"), key=_KEY, digest_size=16).hexdigest() if plain else ""


def by_patient(files: Iterable[DicomFile]) -> list[list[DicomFile]]:
    """Return files grouped by patient: some programs give the studies of all patients the same UID.

    A file whose header lacks the patient's id or name belongs to the only patient that it does not contradict.

    Args:
        files: the files of one study according to their headers.
    """
    groups: dict[tuple[str, str], list[DicomFile]] = defaultdict(list)
    for file in files:
        groups[file.patient].append(file)
    for vague in sorted(groups, key=lambda patient: -sum(map(bool, patient))):
        fitting = [p for p in groups if p != vague and all(not a or a == b for a, b in zip(vague, p, strict=True))]
        if len(fitting) == 1:
            groups[fitting[0]] += groups.pop(vague)
    return list(groups.values())


def group_series(files: Iterable[DicomFile]) -> list[list[DicomFile]]:
    """Return the files of each series, in the order of their paths."""
    groups: dict[str, list[DicomFile]] = defaultdict(list)
    for file in sorted(files, key=lambda f: str(f.path)):
        groups[file.tags.get("series") or str(file.path.parent)].append(file)
    return list(groups.values())


def without_copies(files: Sequence[DicomFile]) -> list[DicomFile]:
    """Return the files of a series without the copies of images that were exported more than once.

    Copies are images at the same position with the same voxels, whatever their UIDs: anonymisers assign new ones. If images
    at one position differ, as echoes and time points do, all files are returned.

    Args:
        files: all files of one series.
    """
    places: dict[tuple[float, ...], list[DicomFile]] = defaultdict(list)
    for file in files:
        places[tuple(np.round(file.numbers("position") + file.numbers("orientation"), 2))].append(file)
    copies: set[Path] = set()
    for twins in places.values():
        if len(twins) > 1:
            first, *others = twins
            if not all(_same_voxels(first, other) for other in others):
                return list(files)
            copies.update(other.path for other in others)
    return [file for file in files if file.path not in copies]


def _same_voxels(one: DicomFile, other: DicomFile) -> bool:
    try:
        return np.array_equal(_pixels([one.path]), _pixels([other.path]))
    except ImageError:  # reading the series will report it
        return False


def why_no_scan(files: Sequence[DicomFile]) -> str:
    """Describe why a series is not a stack of slices of a head; empty if it may be one.

    Args:
        files: all files of one series.
    """
    first = files[0]
    kind = first.tags.get("kind", "MR")
    if kind != "MR":
        return f"not an MR image ({kind})"
    if (first.number("samples") or 1) != 1:
        return "a colour picture"
    if (first.number("frames") or 1) > 1:
        return "a multi-frame file (convert it to NIfTI with dcm2niix)"
    if "LOCALIZER" in first.tags.get("image_type", "").upper():
        return "a localiser (image type)"
    orientations = {tuple(np.round(f.numbers("orientation"), 2)) for f in files}
    if len(orientations) > 1:
        return f"a localiser (slices in {len(orientations)} directions)"
    echoes = sorted({f.number("echo_ms") or 0.0 for f in files})
    if len(echoes) > 1 and echoes[-1] - echoes[0] > 1:
        return "multi-echo (TE " + ", ".join(f"{e:g}" for e in echoes) + " ms)"
    if "DERIVED" in first.tags.get("image_type", "").upper() and "SECONDARY" in first.tags.get("image_type", "").upper():
        return "derived from other images (image type)"
    return f"only {len(files)} slices" if len(files) < 8 else ""


def is_drawing(files: Sequence[DicomFile]) -> bool:
    """Return whether the slices of a series have so few values that it is a drawn mask, not a scan.

    Three slices are examined, since any one may show only air. An unreadable slice does not count as a drawing; reading the
    series will report it.

    Args:
        files: all files of one series.
    """
    for quarter in (2, 1, 3):
        try:
            if len(np.unique(_pixels([files[quarter * len(files) // 4].path]))) > SCAN_VALUES:
                return False
        except ImageError:
            return False
    return True


def slices_of(name: str, files: Sequence[DicomFile]) -> list[Slice]:
    """Return the positions of the slices of a series.

    Args:
        name: the series, for messages.
        files: all files of one series.

    Raises:
        GridError: a file lacks its position, orientation or spacing.
    """
    found = []
    for file in files:
        position, orientation, spacing = (file.numbers(tag) for tag in ("position", "orientation", "spacing"))
        if len(position) != 3 or len(orientation) != 6 or len(spacing) != 2 or min(spacing) <= 0:
            raise GridError(
                f"series {name!r}: a slice has no place (position {position}, orientation {orientation}, spacing {spacing});"
                " convert the series again from its source."
            )
        rows, columns = int(file.number("rows") or 0), int(file.number("columns") or 0)
        place = np.array(position), np.array(orientation)
        found.append(Slice(file.path, *place, (spacing[0], spacing[1]), rows, columns, file.tags.get("instance", "")))
    return found


def read_series(name: str, files: Sequence[DicomFile]) -> Volume:
    """Return the voxels of a series and their grid.

    Args:
        name: the series, for messages.
        files: all files of one series, in any order.

    Returns:
        The volume, (columns, rows, slices), rescaled as the files say.

    Raises:
        GridError: the slices do not form a grid; see `stack`.
        ImageError: a file cannot be read.
    """
    ordered, grid = stack(name, slices_of(name, files))
    array = _pixels([s.path for s in ordered])
    if array.shape != grid.shape:
        raise ImageError(f"series {name!r}: the voxels have shape {array.shape}; the tags say {grid.shape}: copy it again.")
    return Volume(array, grid)


def _pixels(paths: Sequence[Path]) -> np.ndarray:
    """Return files as (columns, rows, files)."""
    sitk = toolkit()
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    planes = []
    for path in paths:
        reader.SetFileName(str(path))
        try:
            planes.append(np.squeeze(sitk.GetArrayFromImage(reader.Execute())).T)
        except RuntimeError as problem:
            raise ImageError(
                f"{path}: cannot be read as DICOM ({first_line(problem)}); copy it again from its source."
            ) from problem
    if len({plane.shape for plane in planes}) > 1:
        raise ImageError(f"{paths[0].parent}: the images have shapes {sorted({p.shape for p in planes})}; expected one.")
    return np.stack(planes, -1)
