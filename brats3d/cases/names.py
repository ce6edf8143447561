"""What a file name says: one reader for each kind of name too varied for a list of endings.

The official corpora are regular, and their rows are sufficient. All other names are read here: plain ones (``pat1_T1-post``),
BIDS, and nnU-Net's, whose channels are only explained by a ``dataset.json``.

BIDS: the label of a tumour is a derivative (``_dseg``, or a ``_mask`` whose ``label`` or ``desc`` says tumour or lesion). Masks
of the brain and of tissues have the same suffixes, and no other entity distinguishes them from a tumour, so those that say
something else, or nothing, are ignored; so are outputs of pipelines that segment healthy brains.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from brats3d.spellings import is_contrast, is_plain, name_readings, normalise, read_part

STACK = "stack"
"""Kind of a file with several modalities along its fourth axis, instead of a modality."""
CHANNEL = "channel "
"""Kind of nnU-Net's files, instead of a modality, followed by the channel's number."""

_BIDS = re.compile(r"(?P<case>sub-[a-z0-9]+(?:_ses-[a-z0-9]+)?)_(?:(?P<entities>.+)_)?(?P<suffix>[^_]+)", re.IGNORECASE)
_PIPELINES = re.compile(
    r"/derivatives/(?:[^/]+/)*?(?:fmriprep|smriprep|freesurfer|fastsurfer|synthseg|samseg|qsiprep|mriqc|xcp_?d|aslprep|cat12)",
    re.IGNORECASE,
)
_TUMOUR = re.compile(r"tumou?r|lesion|glioma|gbm|metasta|meningioma|whole|gtv|\bwt\b")
_NO_TUMOUR = re.compile(
    r"brain(?! ?(?:tumou?r|met|lesion))|skull|head|face|tissue|carpet|aseg|aparc|ribbon|vessel|ventricle|hippo"
    r"|\b(?:gm|wm|csf|et|tc|ncr|net|netc|ed|rc)\b"
    r"|edema|oedema|necro|core|enhanc|cavity|resect"
)
"""Entities of a mask of something other than the whole tumour; a single tissue of it is not a label either."""
IMAGES, LABELS = ("imagestr", "imagests", "imagesval"), ("labelstr", "labelsts", "labelsval")
"""nnU-Net's folders, in lower case."""


class FileName(NamedTuple):
    """What a file name says: the case (empty if the folder names it), the kind of file, and the grade.

    ``kind`` is a modality, ``label``, `STACK` or `CHANNEL` with its number; of several files, the one with the lowest ``rank``
    counts.
    """

    case: str
    kind: str
    rank: int
    grade: str | None
    note: str


def read_plain(stem: str, folders: str) -> Sequence[FileName]:
    """Return all ways to read a name of no known corpus, shortest case first.

    Args:
        stem: file name without its suffix.
        folders: absolute path of its folder.
    """
    if _PIPELINES.search(folders):
        return []
    return [FileName(reading.case, reading.part.kind, reading.part.rank, None, "") for reading in name_readings(stem)]


def read_bids(stem: str, folders: str) -> Sequence[FileName]:
    """Return what a BIDS name says.

    Args:
        stem: file name without its suffix.
        folders: absolute path of its folder.
    """
    found = _BIDS.fullmatch(stem)
    if not found or _PIPELINES.search(folders):
        return []
    entities = [part.partition("-") for part in (found["entities"] or "").split("_") if part]
    kind = _bids_image(entities, found["suffix"]) or _bids_label(entities, found["suffix"], folders)
    return [FileName(found["case"], kind, 0, None, "")] if kind else []


def _bids_image(entities: Sequence[tuple[str, str, str]], suffix: str) -> str | None:
    part = read_part(suffix)
    if part is None or part.kind == "label" or not all(value for _, _, value in entities):
        return None
    said = {key.lower(): value for key, _, value in entities}
    agent = said.get("ce", "")
    given = bool(agent) and agent.lower() != "none" and not is_plain(agent)
    if part.kind == "t1" and (given or any(is_contrast(said.get(key, "")) for key in ("acq", "desc", "rec"))):
        return "t1ce"
    return part.kind


def _bids_label(entities: Sequence[tuple[str, str, str]], suffix: str, folders: str) -> str | None:
    kind, _, of = suffix.lower().partition("-")
    if kind not in ("dseg", "seg", "mask", "roi", "label"):
        return None
    said = normalise(" ".join([*(value for key, _, value in entities if key.lower() in ("label", "desc", "acq")), of]))
    if _NO_TUMOUR.search(said):
        return None
    derived = folders.lower().partition("/derivatives/")[2]
    sure = kind in ("dseg", "seg") or _TUMOUR.search(said) or _TUMOUR.search(derived)
    return "label" if sure else None


def read_nnunet(stem: str, folders: str) -> Sequence[FileName]:
    """Return what a name in nnU-Net's folders says.

    Args:
        stem: file name without its suffix.
        folders: absolute path of its folder.
    """
    folder = os.path.basename(folders).lower()
    channel = re.fullmatch(r"(?P<case>.+)_(?P<number>\d{4})", stem)
    if folder in IMAGES and channel:
        return [FileName(channel["case"], f"{CHANNEL}{int(channel['number'])}", 0, None, "")]
    return [FileName(stem, "label", 0, None, "")] if folder in LABELS else []
