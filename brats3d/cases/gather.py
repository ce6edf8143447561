"""Walks through the sources once, and determines which files belong to one case.

A name with several readings is settled by the other files: a case that is named beyond doubt, or like its folder, wins over the
shortest reading. Files named only by modality (``t1.nii.gz``) are the case of their folder, as long as no other case is there.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from brats3d.cases.corpora import CORPORA, corpus_of
from brats3d.cases.corpus_tables import Table, read_table
from brats3d.cases.finding import NO_IMAGE
from brats3d.cases.letters import other_letter_case
from brats3d.cases.names import IMAGES
from brats3d.cases.places import Place, place_of
from brats3d.cases.recognise import PLAIN, Recognised, after_official, recognise
from brats3d.files import files_below
from brats3d.images import AS_DICOM, SUFFIXES, is_dicom, is_voxel_file, parts_of, strip_suffix, why_unread
from brats3d.regions import MODALITIES

File = tuple[str, Recognised]
"""A file's path and what it is."""


@dataclass
class CaseFiles:
    """The files of one case.

    Attributes:
        first: its first image as recognised, or its label if it has none.
        paths: kind → file.
        place: its folder, if the case is named after it.
    """

    first: Recognised
    paths: dict[str, File]
    place: Place | None


@dataclass
class Gathered:
    """The content of the sources.

    Attributes:
        cases: the files of each case.
        tables: file → table.
        passed_over: file → why it belongs to no case.
        conflicts: case → why its files contradict each other; it has those that were found first.
    """

    cases: list[CaseFiles] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)


def gather(folders: Sequence[Path | str], manifests: Mapping[str, Collection[Path]] = MappingProxyType({})) -> Gathered:
    """Return the files below folders, sorted into cases.

    Files named in a manifest are left to it, and so are files beside and below it whose names give no case.

    Args:
        folders: the sources.
        manifests: absolute path of a manifest → the files that it names.
    """
    gathered = Gathered()
    roots = {os.path.abspath(folder) for folder in folders}
    taken = {os.path.realpath(part) for files in manifests.values() for file in files for part in parts_of(file)}
    found = _recognised(gathered, folders, roots)
    if taken:
        found = [file for file in found if os.path.realpath(file[0]) not in taken]
        gathered.passed_over = {p: why for p, why in gathered.passed_over.items() if os.path.realpath(p) not in taken}
    files, places = _with_places(_without_series(list(_settled(found, gathered)), gathered), roots, gathered)
    for path in [path for path in places if any(path.startswith(os.path.dirname(m) + os.sep) for m in manifests)]:
        gathered.passed_over[path] = "its name gives no case, and the manifest does not name it"
    files = [file for file in files if file[0] not in gathered.passed_over]
    with_images = {os.path.dirname(os.path.dirname(path)) for path in (*gathered.passed_over, *dict(files)) if _in_images(path)}
    groups: dict[str, list[File]] = defaultdict(list)
    for path, recognised in files:
        groups[recognised.case.lower()].append((path, recognised))
    for group in list(groups.values()):
        if _is_another_label(group, groups):
            _pass_over(gathered, group, "its name says more than that it is a label")
        elif own := _of_one_home(group, with_images, gathered):
            paths = _one_per_kind(own, gathered)
            first = next((file for kind, file in paths.items() if kind != "label"), own[0])[1]
            gathered.cases.append(CaseFiles(first, paths, places.get(own[0][0])))
    return gathered


def _recognised(gathered: Gathered, folders: Iterable[Path | str], roots: set[str]) -> list[tuple[str, Sequence[Recognised]]]:
    """Return every file that may be of a corpus, with all readings; note the tables and the others."""
    found = []
    for path in files_below(folders):
        readings = [] if is_voxel_file(path) else recognise(path, roots)
        table = read_table(path) if path.lower().endswith(".csv") else None
        if readings:
            found.append((path, readings))
        elif table:
            gathered.tables[path] = table
        elif not is_voxel_file(path):
            gathered.passed_over[path] = _why_not(path)
    return found


def _why_not(path: str) -> str:
    name = os.path.basename(path)
    stem = strip_suffix(name)
    if stem == name:
        bare = re.fullmatch(r"(?:\.\d+)?", os.path.splitext(name)[1])  # as scanners name DICOM files
        return why_unread(name) or (AS_DICOM if bare and is_dicom(path) else NO_IMAGE)
    if re.search(r"_\d{4}$", stem):
        return "named like nnU-Net's numbered channels; expected in a folder imagesTr or imagesTs, beside a dataset.json"
    return "no corpus has such image names"


def _settled(files: Sequence[tuple[str, Sequence[Recognised]]], gathered: Gathered) -> Iterator[File]:
    """Yield each file with the reading that the others confirm: first unambiguous scans, then other scans, then labels."""
    sure = {_key(readings[0]) for _, readings in files if len(readings) == 1}
    taken = {path: reading for path, readings in files if (reading := _borne_out(readings, sure))}
    for path, readings in files:
        if path not in taken and {reading.name.kind for reading in readings} in [{kind} for kind in MODALITIES]:
            taken[path] = readings[0]
    sure |= {_key(reading) for reading in taken.values()}
    for path, readings in files:
        alike = len({reading.name.kind for reading in readings}) == 1
        reading = taken.get(path) or _borne_out(readings, sure) or (readings[0] if alike else None)
        if reading:
            yield path, reading
        else:
            ways = " or ".join(f"{reading.name.kind} of {reading.case or 'its folder'}" for reading in readings)
            gathered.passed_over[path] = f"may be {ways}: rename it, or name it in a manifest"


def _borne_out(readings: Sequence[Recognised], sure: Collection[tuple[str, str]]) -> Recognised | None:
    """Return the reading with the longest case that another file or the folder's name confirms, or None."""
    return next(
        (r for r in reversed(readings) if _key(r) in sure or os.path.basename(r.folder).lower() == r.case.lower()), None
    )


def _key(reading: Recognised) -> tuple[str, str]:
    return (reading.case.lower(), "" if reading.case else reading.folder)


def _without_series(files: Sequence[File], gathered: Gathered) -> list[File]:
    """Return the files without those numbered by series: in one folder each number has one file, and all differ in kind."""
    numbered: dict[str, list[File]] = defaultdict(list)
    for path, recognised in files:
        if recognised.corpus is PLAIN and re.fullmatch(r"\d{1,3}", recognised.case):
            numbered[recognised.folder].append((path, recognised))
    series = set()
    for group in numbered.values():
        cases, kinds = {file.case for _, file in group}, {file.name.kind for _, file in group}
        if 1 < len(group) == len(cases) == len(kinds):
            series |= {path for path, _ in group}
            _pass_over(
                gathered, group, "its number seems to be that of a series, not of a case: rename it, or see preprocess --raw"
            )
    return [file for file in files if file[0] not in series]


def _with_places(found: Sequence[File], roots: set[str], gathered: Gathered) -> tuple[list[File], dict[str, Place]]:
    """Return the files, with unnamed ones as the case of their folder, and path → folder of these.

    If another case is in or below the folder, they belong to no case; nor do labels on their own below a case's scans.
    """
    places = {path: place_of(recognised.folder, roots) for path, recognised in found if not recognised.case}
    folders = {path: places[path].folder if path in places else recognised.folder for path, recognised in found}
    scans = {folders[path] for path, recognised in found if recognised.name.kind != "label"}
    inside: dict[str, set[str]] = defaultdict(set)
    files = []
    for path, recognised in found:
        above = list(_up_to(folders[path], roots))
        if path in places and above[0] not in scans and scans & set(above):
            gathered.passed_over[path] = "a label without a case's name, in its own folder below scans"
            continue
        files.append((path, recognised))
        for folder in above:
            inside[folder].add((places[path].case if path in places else recognised.case).lower())
    result = []
    for path, recognised in files:
        place = places.get(path)
        if place is None:
            result.append((path, recognised))
        elif inside[place.folder] - {place.case.lower()}:
            gathered.passed_over[path] = "its name gives no case, and other cases are in its folder"
        else:
            corpus = corpus_of(place.case, place.folder)
            name = after_official(recognised.name, corpus)
            own = replace(recognised, case=place.case, corpus=corpus, folder=place.folder, home=place.home, name=name)
            result.append((path, own))
    return result, places


def _up_to(folder: str, roots: Collection[str]) -> Iterator[str]:
    """Yield a folder and those above it, up to the source."""
    while True:
        yield folder
        above = os.path.dirname(folder)
        if folder in roots or above == folder:
            return
        folder = above


def _is_another_label(group: Sequence[File], groups: Mapping[str, Sequence[File]]) -> bool:
    """Return whether a case with only a label is a further segmentation, with a longer name, beside another case."""
    first = group[0][1]
    if first.corpus.binding or any(recognised.name.kind != "label" for _, recognised in group):
        return False
    ends = [found.start() for found in re.finditer(r"[-_. ]", first.case)]
    return any(
        other.folder == first.folder and other.name.kind != "label"
        for end in ends
        for _, other in groups.get(first.case[:end].lower(), ())
    )


def _of_one_home(group: Sequence[File], with_images: Collection[str], gathered: Gathered) -> list[File]:
    """Return the files of a case in one home; nnU-Net's labels only if the case's scans, or no scans at all, are there."""
    homes = {recognised.home for _, recognised in group if not _is_nnunet_label(recognised)}
    first = next((recognised for _, recognised in group if recognised.home in homes), group[0][1])
    own = []
    for path, recognised in group:
        if recognised.home == first.home and (homes or recognised.home not in with_images):
            own.append((path, recognised))
        elif _is_nnunet_label(recognised):
            gathered.passed_over[path] = "no scan of its name in imagesTr"
        else:
            gathered.passed_over[path] = "the case is also in another folder"
            gathered.conflicts.setdefault(recognised.case, _two_folders(first, recognised))
    return own


def _is_nnunet_label(recognised: Recognised) -> bool:
    return recognised.corpus is CORPORA["nnU-Net"] and recognised.name.kind == "label"


def _in_images(path: str) -> bool:
    return os.path.basename(os.path.dirname(path)).lower() in IMAGES


def _two_folders(first: Recognised, other: Recognised) -> str:
    return (
        f"case {other.case} is in two folders, {first.folder} and {other.folder}{other_letter_case(first.case, other.case)};"
        " leave one of them out."
    )


def _one_per_kind(group: Sequence[File], gathered: Gathered) -> dict[str, File]:
    """Return kind → file of a case: the lowest rank wins, then the first suffix; two equal files are a conflict.

    If a scan exists only in processed form (``t2_reg``), processed ones count for the others too: native scans are elsewhere.
    """
    kinds: dict[str, list[File]] = defaultdict(list)
    for file in group:
        kinds[file[1].name.kind].append(file)
    processed = not group[0][1].corpus.binding and any(all(file.name.rank for _, file in files) for files in kinds.values())
    paths = {}
    for kind, files in kinds.items():
        taken = min(files, key=lambda file: _rank(file, int(processed)))
        paths[kind] = taken
        for path, recognised in files:
            if path == taken[0]:
                continue
            if _alike(taken, (path, recognised)):
                gathered.passed_over[path] = f"the case has another {kind}"
                gathered.conflicts.setdefault(
                    recognised.case,
                    f"case {recognised.case} has two files for its {kind}, {taken[0]} and {path}"
                    f"{other_letter_case(taken[1].case, recognised.case)}; leave one of them out.",
                )
            else:
                gathered.passed_over[path] = f"{os.path.basename(taken[0])} is used"
    return paths


def _alike(taken: File, other: File) -> bool:
    """Return whether nothing decides between two files: neither a rank, nor a suffix after the same name."""
    (path, recognised), (other_path, other_recognised) = taken, other
    if recognised.name.rank != other_recognised.name.rank:
        return False
    return strip_suffix(path).lower() != strip_suffix(other_path).lower() or _suffix(path) == _suffix(other_path)


def _rank(file: File, wanted: int) -> tuple[int, int]:
    path, recognised = file
    return abs(recognised.name.rank - wanted), _suffix(path)


def _suffix(path: str) -> int:
    return next(i for i, suffix in enumerate(SUFFIXES) if path.lower().endswith(suffix))


def _pass_over(gathered: Gathered, group: Iterable[File], why: str) -> None:
    gathered.passed_over.update({path: why for path, _ in group})
