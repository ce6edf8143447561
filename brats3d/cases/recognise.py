"""What a file is by its name and the folders above it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from brats3d.cases.corpora import CORPORA, Corpus, FileName
from brats3d.images import strip_suffix


@dataclass(frozen=True)
class Recognised:
    """A file that a corpus knows.

    Attributes:
        case: name of the case.
        corpus: the row that knows it.
        folder: folder that holds the file, or the folder that stands for it.
        home: folder that the parts of the case have in common.
        name: what the file's name tells.
    """

    case: str
    corpus: Corpus
    folder: str
    home: str
    name: FileName


def recognise(path: str) -> Recognised | None:
    """Return what a file is by its name, or None where no corpus knows it.

    Args:
        path: absolute path of a file; nothing is opened.
    """
    folder, name = os.path.split(path)
    stem = strip_suffix(name)
    if stem == name:
        return None
    above, folder_name = os.path.split(folder)
    folder_stem = strip_suffix(folder_name)
    rows = CORPORA.values()
    # Some mirrors have a folder a file, named as the file should be: then the folder's name counts. Without a suffix
    # only the years did so whose files do not say their case.
    likely = rows if folder_stem != folder_name else [row for row in rows if not row.case]
    for candidates, known_as, place in ((likely, folder_stem, above), (rows, stem, folder)):
        for corpus in candidates:
            match = corpus.match(known_as, place)
            if match:
                return _recognised(match.case or _folder_case(place), corpus, place, match)
    odd = next((corpus for corpus in rows if stem in corpus.odd_labels), None)
    return _recognised(folder_name, odd, folder, FileName(folder_name, "label", 0, None, "")) if odd else None


def _recognised(case: str, corpus: Corpus, folder: str, name: FileName) -> Recognised:
    home = folder
    if os.path.basename(home).lower() == case.lower():
        home = os.path.dirname(home)
    if corpus.parts and re.fullmatch(corpus.parts, os.path.basename(home), re.IGNORECASE):
        home = os.path.dirname(home)
    return Recognised(case, corpus, folder, home, name)


def _folder_case(place: str) -> str:
    """Return the case name that a folder gives; 2013 counts from 0001 under HG and under LG, of patients and synthetic."""
    above, name = os.path.split(place)
    if not name.isdigit():
        return name
    higher, grade = os.path.split(above)
    return f"Synthetic_{grade}_{name}" if "synth" in os.path.basename(higher).lower() else f"{grade}_{name}"
