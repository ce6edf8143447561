"""Recognises a file by its name and the folders above it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from brats3d.cases.corpora import CORPORA, Corpus, FileName, corpus_of
from brats3d.cases.places import without_kinds
from brats3d.images import strip_suffix

PLAIN = CORPORA["plain"]
_BIDS_FOLDERS = re.compile(r"/(?:(?:rawdata|derivatives)(?:/.*)?|sub-[^/]+(?:/.*)?)$", re.IGNORECASE)
"""Folders between a BIDS data set and its files."""


@dataclass(frozen=True)
class Recognised:
    """A file recognised as part of a corpus.

    Attributes:
        case: name of the case; empty if neither the file nor its corpus gives it, but the folder may.
        corpus: the row that recognised it.
        folder: the file's folder, or the folder that represents the file.
        home: folder that the parts of the case have in common.
        name: what the file's name says.
    """

    case: str
    corpus: Corpus
    folder: str
    home: str
    name: FileName


def recognise(path: str, roots: Collection[str] = ()) -> Sequence[Recognised]:
    """Return all readings of a file's name, shortest case first; empty if unknown.

    Args:
        path: absolute path of a file; nothing is opened.
        roots: absolute paths of the sources.
    """
    folder, name = os.path.split(path)
    stem = strip_suffix(name)
    if stem == name:
        return []
    above, folder_name = os.path.split(folder)
    folder_stem = strip_suffix(folder_name)
    rows = CORPORA.values()
    odd = next((row for row in rows if stem.lower() in map(str.lower, row.odd_labels)), None)
    if odd:
        return [_recognised(folder_name, odd, folder, FileName(folder_name, "label", 0, None, ""), roots)]
    # Some mirrors have one folder per file, named as the file should be: then the folder's name counts. Without a suffix
    # only those years did so whose files do not name their case.
    likely = rows if folder_stem != folder_name else [row for row in rows if not row.case]
    for candidates, known_as, place in ((likely, folder_stem, above), (rows, stem, folder)):
        for corpus in candidates:
            found = [_named(corpus, match, place, roots) for match in corpus.readings(known_as, place)]
            readings = [reading for reading in found if reading is not None]
            if readings:
                return readings
    return []


def _named(corpus: Corpus, match: FileName, place: str, roots: Collection[str]) -> Recognised | None:
    """Return a reading of a name; None for a processed copy of what an official corpus has under its own names."""
    if corpus is PLAIN and match.case:
        corpus = corpus_of(match.case, place)
        if match.rank and corpus.binding:
            return None
        match = after_official(match, corpus)
    case = match.case if match.case or corpus is PLAIN else _folder_case(place)
    return _recognised(case, corpus, place, match, roots)


def after_official(name: FileName, corpus: Corpus) -> FileName:
    """Return what a free name says, ranked after the names that a corpus gives its files.

    Args:
        name: what was read from it.
        corpus: the row that recognised the case.
    """
    return name._replace(rank=name.rank + len(corpus.labels)) if corpus.binding else name


def _recognised(case: str, corpus: Corpus, folder: str, name: FileName, roots: Collection[str]) -> Recognised:
    home = folder
    if corpus.name == "BIDS":
        home = _BIDS_FOLDERS.sub("", home)
    elif not corpus.binding:
        home = without_kinds(home, roots)
    if case and os.path.basename(home).lower() == case.lower():
        home = os.path.dirname(home)
    if corpus.parts and re.fullmatch(corpus.parts, os.path.basename(home), re.IGNORECASE):
        home = os.path.dirname(home)
    return Recognised(case, corpus, folder, home, name)


def _folder_case(place: str) -> str:
    """Return the case name from a folder; 2013 counts from 0001 under HG and under LG, both for real and synthetic cases."""
    above, name = os.path.split(place)
    if not name.isdigit():
        return name
    higher, grade = os.path.split(above)
    return f"Synthetic_{grade}_{name}" if "synth" in os.path.basename(higher).lower() else f"{grade}_{name}"
