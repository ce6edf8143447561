"""Finding cases in a folder, however it is nested.

One walk lists all files; each file's name (or that of the folder that stands for it) says corpus, case and modality; files
of one case lie in one folder. Nothing is opened.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brats3d.cases.corpora import CORPORA, Corpus
from brats3d.cases.patients import patient_of
from brats3d.errors import NoCasesError, OptionError
from brats3d.images import SUFFIXES, strip_suffix
from brats3d.regions import MODALITIES

log = logging.getLogger(__name__)

_GRADES = {"hgg": "HGG", "hg": "HGG", "lgg": "LGG", "lg": "LGG"}


@dataclass(frozen=True)
class Case:
    """One study of one patient: where its files are, and what their names tell.

    Attributes:
        id: name of the case, as its files spell it.
        patient: the person; equal for all known names and time points of one patient.
        timepoint: last field of the name where it counts studies, or None.
        corpus: name of a row of `CORPORA`.
        grade: ``HGG``, ``LGG``, or None where the folders do not say.
        images: modality → file, in the order of `MODALITIES`; only those at hand.
        label: file of the label, or None.
        label_sets: codings that the names allow for the label, the likelier first.
    """

    id: str
    patient: str
    timepoint: str | None
    corpus: str
    grade: str | None
    images: Mapping[str, Path]
    label: Path | None
    label_sets: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Modalities without a file."""
        return tuple(m for m in MODALITIES if m not in self.images)

    def describe(self) -> str:
        """Return what was found of the case and what is missing, as words."""
        found = ", ".join([*self.images, *(["label"] if self.label else [])]) or "nothing"
        return f"{self.id} ({self.corpus}): found {found}" + (f"; missing {', '.join(self.missing)}" if self.missing else "")


@dataclass
class _Files:
    """What was found so far of one case."""

    name: str
    corpus: Corpus
    folder: str
    paths: dict[str, str] = field(default_factory=dict)


def find_cases(source: Path | str | Sequence[Path | str]) -> list[Case]:
    """Find the cases below one folder or several, whatever their nesting.

    Recognised are the rows of `CORPORA`: a folder a case, files lying flat, a folder a file, wrapping folders, any case
    of letters, ``.nii``, ``.nii.gz`` and ``.mha``. Hidden files and files of no known name are passed over. Where a file
    is there twice with different suffixes, ``.nii.gz`` comes before ``.nii``, and that before ``.mha``.

    Args:
        source: a folder, or several.

    Returns:
        All cases, sorted by id, incomplete and unlabelled ones too (`Case.missing`).

    Raises:
        NoCasesError: a folder does not exist, or nothing in all of them is recognised; says what was looked for and
            what is there.
        OptionError: one case lies in two folders, or two files say they are the same modality of a case.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    for folder in sources:
        if not os.path.isdir(folder):
            what = "is a file" if os.path.exists(folder) else "does not exist"
            raise NoCasesError(f"{folder} {what}; expected a folder of scans.")
    found: dict[str, _Files] = {}
    strangers: list[str] = []
    for path in _walk(sources):
        recognised = _recognise(path)
        if recognised:
            _add(found, recognised, path)
        else:
            strangers.append(os.path.basename(path))
    if not found:
        raise NoCasesError(_nothing(sources, strangers))
    return sorted((_case(files) for files in found.values()), key=lambda case: case.id)


def _walk(sources: Sequence[Path | str]) -> Iterator[str]:
    """Yield the absolute path of every file that is not hidden; links are followed, each folder is visited once."""
    seen: set[tuple[int, int]] = set()
    for source in sources:
        for folder, subfolders, names in os.walk(os.path.abspath(source), onerror=_passed_over, followlinks=True):
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                subfolders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            subfolders[:] = sorted(s for s in subfolders if not s.startswith(".") and s != "__MACOSX")
            yield from (os.path.join(folder, name) for name in sorted(names) if not name.startswith("."))


def _passed_over(problem: OSError) -> None:
    log.warning("%s cannot be listed (%s); its cases are passed over.", problem.filename, problem.strerror)


@dataclass(frozen=True)
class _Recognised:
    """What a file's name tells: of which case, of which corpus, in which folder, which modality (or ``label``)."""

    case: str
    corpus: Corpus
    folder: str
    kind: str


def _recognise(path: str) -> _Recognised | None:
    """Return what a file is by its name, or None where no corpus knows it."""
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
                return _Recognised(match[0] or _folder_case(place), corpus, place, match[1])
    odd = next((corpus for corpus in rows if stem in corpus.odd_labels), None)
    return _Recognised(folder_name, odd, folder, "label") if odd else None


def _folder_case(place: str) -> str:
    """Return the case name that a folder gives; 2013 counts from 0001 under HG and under LG."""
    above, name = os.path.split(place)
    return f"{os.path.basename(above)}_{name}" if name.isdigit() else name


def _add(found: dict[str, _Files], recognised: _Recognised, path: str) -> None:
    case, folder, kind = recognised.case, recognised.folder, recognised.kind
    files = found.setdefault(case.lower(), _Files(case, recognised.corpus, folder))
    if files.folder != folder:
        raise OptionError(f"case {case} lies in two folders, {files.folder} and {folder}; leave one of them out.")
    known = files.paths.get(kind)
    if known is None or _rank(path) < _rank(known):
        files.paths[kind] = path
    elif _rank(path) == _rank(known):
        raise OptionError(f"case {case} has two files for its {kind}, {known} and {path}; leave one of them out.")


def _rank(path: str) -> int:
    return next(i for i, suffix in enumerate(SUFFIXES) if path.lower().endswith(suffix))


def _case(files: _Files) -> Case:
    patient, timepoint = patient_of(files.name)
    images = {m: Path(files.paths[m]) for m in MODALITIES if m in files.paths}
    label = files.paths.get("label")
    return Case(
        id=files.name,
        patient=patient,
        timepoint=timepoint,
        corpus=files.corpus.name,
        grade=_grade(files.folder) if files.corpus.graded else None,
        images=images,
        label=Path(label) if label else None,
        label_sets=files.corpus.label_sets,
    )


def _grade(folder: str) -> str | None:
    parts = reversed(Path(folder).parts)
    return next((_GRADES[part.lower()] for part in parts if part.lower() in _GRADES), None)


def _nothing(sources: Sequence[Path | str], strangers: Sequence[str]) -> str:
    where = ", ".join(str(s) for s in sources)
    examples = ", ".join(dict.fromkeys(row.example for row in CORPORA.values()))
    names = ", ".join(strangers[:3])
    there = f"{len(strangers)} files, such as {names}" if strangers else "no files"
    return (
        f"no case found in {where}, where there are {there}; expected names like {examples}"
        f" (or {', '.join(SUFFIXES[1:])}): rename the files, or name another folder."
    )
