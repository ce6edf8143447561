"""Finds clinical studies in a folder.

A study is the content of one folder: NIfTI files whose names say what they are, or the series of one DICOM study of one
patient, nested in any way. Its id is the folder's path below the source, so that nothing from a DICOM header gets into a name;
a folder named after a person gives the case that name.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path

from brats3d.errors import NoCasesError
from brats3d.files import files_below
from brats3d.images import is_dicom, is_voxel_file, strip_suffix
from brats3d.raw.dicom import (
    DicomFile,
    by_patient,
    group_series,
    is_drawing,
    read_tags,
    why_no_scan,
    without_copies,
)
from brats3d.raw.series import Series, Study
from brats3d.raw.words import by_timing, by_words
from brats3d.spellings import is_plain

_DAY = re.compile(r"(?<!\d)(?:(?:19|20)\d\d[-._]?[01]\d[-._]?[0-3]\d|[0-3]?\d[-._][0-3]?\d[-._](?:19|20)\d\d)(?!\d)")
"""A date in a folder's name, which is left out of the case's."""


def find_studies(source: Path | str) -> list[Study]:
    """Find the clinical studies below a folder: DICOM series and NIfTI files, with skull, on any grids.

    Args:
        source: a folder of studies, or one study.

    Returns:
        All studies, sorted by id, including those in which only series of other kinds were found.

    Raises:
        NoCasesError: the folder does not exist, or holds neither NIfTI files nor DICOM images.
        MissingExtraError: there are DICOM files, and SimpleITK is not installed.
    """
    source = Path(source)
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise NoCasesError(f"{source} {what}; expected a folder of clinical scans (DICOM, or NIfTI with skull).")
    root = Path(os.path.abspath(source))
    scans: dict[Path, list[Series]] = defaultdict(list)
    strangers: dict[Path, list[tuple[str, str]]] = defaultdict(list)
    dicom: dict[str, list[DicomFile]] = defaultdict(list)
    for path in map(Path, files_below([root])):
        if is_voxel_file(path):
            continue  # its header represents both
        if strip_suffix(path.name) != path.name:
            _add_nifti(path, root, scans, strangers)
        elif path.name != "DICOMDIR" and is_dicom(path):
            tags = read_tags(path)
            if tags is not None:
                # without a UID, files of one study are in one folder, or in subfolders of one folder
                dicom[tags.tags.get("study") or f"below {path.parent.parent if path.parent != root else root}"].append(tags)
    found = [
        (folder, Study(_name(folder, root), tuple(series), tuple(strangers.get(folder, ()))))
        for folder, series in scans.items()
    ]
    found += [_dicom_study(group, root) for files in dicom.values() for group in by_patient(files)]
    if not found:
        raise NoCasesError(
            f"no series recognised in {source}; expected DICOM images, or NIfTI files whose names say t1, t1ce, t2 or flair"
            f"{_examples(strangers)}."
        )
    return sorted(_apart(found), key=lambda study: study.id)


def _add_nifti(path: Path, root: Path, scans: dict[Path, list[Series]], strangers: dict[Path, list[tuple[str, str]]]) -> None:
    """Add a file to the study of its folder, or of the parent folder if only its own folder says what it is."""
    folder = path.parent
    modality, why = by_words(strip_suffix(path.name))
    if not modality and not why and folder != root:
        modality, why = by_words(folder.name)
        folder = folder.parent if modality else folder
    if modality:
        scans[folder].append(Series(path.name, modality, why, (path,)))
    else:
        strangers[folder].append((path.name, why or "of no known name"))


def _dicom_study(files: Sequence[DicomFile], root: Path) -> tuple[Path, Study]:
    """Return the folder and the study for the files of one study of one patient."""
    folder, copied = _common_folder(files), 0
    scans, left_out = [], []
    for exported in group_series(files):
        modality, why = _recognise(exported[0])
        series = without_copies(exported) if modality else exported  # perfusion and the like have thousands of images
        tags = series[0].tags
        name = tags.get("description") or tags.get("protocol") or series[0].path.parent.name
        why_not = why_no_scan(series) or ("" if modality else why or "of no known description")
        if not why_not and is_drawing(series):
            why_not = f"a drawing (its slices have few values, in {series[0].path.parent.name})"
        if why_not or modality is None:
            left_out.append((name, why_not))
        else:
            scans.append(Series(name, modality, why, tuple(f.path for f in series), tuple(series)))
            if len(series) < len(exported):
                copied += len(exported) - len(series)
                left_out.append((name, f"exported more than once ({len(exported) - len(series)} images are copies)"))
    if folder == root and copied:  # they may be beside the study's own folder
        folder = _common_folder([file for series in scans for file in series.dicom])
    return folder, Study(_name(folder, root), tuple(scans), tuple(left_out))


def _common_folder(files: Sequence[DicomFile]) -> Path:
    return Path(os.path.commonpath([str(f.path.parent) for f in files]))


def _recognise(file: DicomFile) -> tuple[str | None, str]:
    """Identify a DICOM series by its description, else its protocol, its folder's name, or its timing."""
    for text in (file.tags.get("description", ""), file.tags.get("protocol", ""), file.path.parent.name):
        modality, why = by_words(text)
        if modality or why:
            break
    else:
        modality, why = by_timing(*(file.number(tag) for tag in ("echo_ms", "repetition_ms", "inversion_ms")))
    agent = file.tags.get("contrast", "").strip().lower()
    if modality == "t1" and agent and not agent.startswith(("no", "without")) and not is_plain(text):
        return "t1ce", f"{why} and the contrast agent named in its header"
    return modality, why


def _name(folder: Path, root: Path) -> str:
    """Return a study's id: the folder's path below the source, or the source's own name."""
    parts = [_DAY.sub("", part) for part in folder.relative_to(root).parts or (root.name,)]  # no dates in a store
    return re.sub(r"[^A-Za-z0-9.-]+", "_", "_".join(parts)).strip("_.") or "study"


def _apart(found: Sequence[tuple[Path, Study]]) -> list[Study]:
    """Return studies with unique ids.

    Studies whose folders differ only in a date or in characters left out of ids are numbered in the order of their folders.
    Several studies in one folder become one with a problem, since it is not clear which files belong together.
    """
    by_id: dict[str, dict[Path, list[Study]]] = defaultdict(lambda: defaultdict(list))
    for folder, study in found:
        by_id[study.id][folder].append(study)
    studies: list[Study] = []
    for name, folders in by_id.items():
        for number, folder in enumerate(sorted(folders), 1):
            own = name if len(folders) == 1 else _free(f"{name}_{number}", by_id)
            many = f"{own} has {len(folders[folder])} studies in one folder; put each into its own folder."
            studies.append(Study(own, (), (), many) if len(folders[folder]) > 1 else replace(folders[folder][0], id=own))
    return studies


def _free(name: str, taken: Container[str]) -> str:
    """Return a name, lengthened until it is unique."""
    while name in taken:
        name += "_"
    return name


def _examples(strangers: dict[Path, list[tuple[str, str]]]) -> str:
    names = [f"{name} ({why})" for files in strangers.values() for name, why in files]
    return f" (found {', '.join(names[:3])})" if names else ""
