"""What folders say of a case whose files are only called what they are: ``pat1/t1.nii.gz``.

The folder's name is the case's. If it says what kind of file it holds (``anat``, ``1_T1``, ``NIFTI``), the folder above names
the case, up to the source; and if it says when (``visit2``, ``week-004``), it is a time point of the patient above.
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
    """Whom the files of a folder belong to.

    Attributes:
        case: name of the case.
        folder: folder that has its name.
        home: folder above it.
        patient: the person, if the folder above says so, else None.
        timepoint: name of a folder that says when, or None.
    """

    case: str
    folder: str
    home: str
    patient: str | None
    timepoint: str | None


def without_kinds(folder: str, roots: Collection[str] = ()) -> str:
    """Return a folder, or the first above it whose name says more than what kind of file it holds.

    Args:
        folder: absolute path.
        roots: absolute paths beyond which not to look.
    """
    while folder not in roots:
        above, name = os.path.split(folder)
        if above == folder or not (_KIND.fullmatch(name) or read_part(re.sub(r"^\d+[-_. ]+", "", name))):
            break
        folder = above
    return folder


def place_of(folder: str, roots: Collection[str]) -> Place:
    """Return whom the files of a folder belong to, by the folder's name.

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
