"""What folders say about a case whose files are named only by modality: ``pat1/t1.nii.gz``.

The case is named after the folder. If the folder's name is a kind of file (``anat``, ``1_T1``, ``NIFTI``), the folder above
names the case, up to the source; if it is a time (``visit2``, ``week-004``), it is a time point of the patient above.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import NamedTuple

from brats3d.spellings import read_part

_KIND = re.compile(
    r"anat|nifti\w*|niis?|mri?s?|scans?|images?|imaging|volumes?|labels?|masks?|segmentations?|segs?|raw|native|registered|reg"
    r"|coreg\w*|processed|preproc\w*|stripped|skull_?stripped",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"(?:ses(?:sion)?|visit|time_?point|tp|week|month|fu|follow[-_ ]?up)[-_ ]?\d[\w-]*|baseline|follow[-_ ]?up"
    r"|(?:pre|post)[-_ ]?op\w*"
    r"|(?:19|20)\d\d([-_.]?)[01]\d\1[0-3]\d",
    re.IGNORECASE,
)


class Place(NamedTuple):
    """The case and patient that the files of a folder belong to.

    Attributes:
        case: name of the case.
        folder: folder it is named after.
        home: folder above it.
        patient: the patient, if the folder above gives it, else None.
        timepoint: name of a folder that gives the time, or None.
    """

    case: str
    folder: str
    home: str
    patient: str | None
    timepoint: str | None


def without_kinds(folder: str, roots: Collection[str] = ()) -> str:
    """Return a folder, or the first above it whose name is not just a kind of file.

    Args:
        folder: absolute path.
        roots: absolute paths at which to stop.
    """
    while folder not in roots:
        above, name = os.path.split(folder)
        if above == folder or not (_KIND.fullmatch(name) or read_part(re.sub(r"^\d+[-_. ]+", "", name))):
            break
        folder = above
    return folder


def place_of(folder: str, roots: Collection[str]) -> Place:
    """Return which case and patient the files of a folder belong to, by its name.

    Args:
        folder: absolute path.
        roots: absolute paths of the sources.
    """
    folder = without_kinds(folder, roots)
    home, name = os.path.split(folder)
    if not _TIME.fullmatch(name):
        return Place(name, folder, home, None, None)
    above, patient = os.path.split(without_kinds(home))
    return Place(f"{patient}_{name}", folder, above, patient, name) if patient else Place(name, folder, home, None, None)
