"""Finding and reading the labels of one side, predictions or references, whatever kind of folder holds them.

A folder is a store (``*.h5``), has a list (``predictions.json``), or holds case folders and plain masks, told by their names.
What a label's values mean comes from the store or the list if there is one, else from names and values together, of all
labels of the folder at once (`brats3d.evaluate.shared_coding`); the option settles what is in doubt and must not contradict
what is recorded. A reference's name binds the option too (names say the year, and the year says the coding); a prediction
bears the name of its scan and may be coded in any way.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brats3d import images
from brats3d.cases import (
    Case,
    Finding,
    corpus_of,
    look_for_cases,
    patient_of,
    refuse_conflicts,
    settle_label_set,
    warn_of_unused,
)
from brats3d.errors import GridError, ImageError, LabelError, NoCasesError, OptionError
from brats3d.geometry import bounding_box, box_slices, from_stored
from brats3d.images import Volume
from brats3d.regions import LABEL_SETS, check_values, whole_numbers
from brats3d.store import StoredCase, case_path, is_store, open_store

LIST_NAME = "predictions.json"
LIST_SCHEMA = 1


@dataclass(frozen=True)
class Side:
    """One of the two sides of a comparison.

    Attributes:
        what: ``prediction`` or ``reference``.
        folder: where its labels are.
        option: the command's option for its label set.
        requested: the label set asked for, or None.
        names_bind: whether a name that says the year may contradict the option.
    """

    what: str
    folder: Path
    option: str
    requested: str | None
    names_bind: bool


@dataclass(frozen=True)
class LabelFile:
    """Where a case's label is, and what tells its label set.

    Attributes:
        case: case id.
        side: the side it belongs to.
        path: the mask, or the store's case file; None where there are scans without a label.
        recorded: label set that the list says.
        named: the case as its names tell it; None where a store or a list knows more.
        probabilities: the file of the regions' probabilities that the list names, if any.
        regions: its channels, in order, as the list records them; None if it does not.
        trained_on: whether the list says that the model was trained on the patient.
        settled: label set that the labels of its folder share, if that is found out.
    """

    case: str
    side: Side
    path: Path | None
    recorded: str | None = None
    named: Case | None = None
    probabilities: Path | None = None
    regions: tuple[str, ...] | None = None
    trained_on: bool = False
    settled: str | None = None

    @property
    def stored(self) -> bool:
        """Whether it is in a store."""
        return self.path is not None and self.path.suffix == ".h5"

    def fingerprint(self, *, probabilities: bool = False) -> list[Any]:
        """Return what identifies the label and what is recorded of it: the content counts, not names or times.

        Sizes and times are not enough: an archive that is unpacked keeps its times, and uncompressed masks have one size.

        Args:
            probabilities: whether the file of the regions' probabilities is looked at too.

        Raises:
            StoreError: the store's case file is damaged.
        """
        if self.path is not None and self.path.suffix == ".h5":
            volume, recorded = _read_stored(self.path)
            content: list[Any] = [zlib.crc32(volume.array.tobytes()), volume.grid.affine.tolist(), recorded]
        else:
            content = [*_file_content(self.path), self.recorded]
        if probabilities:
            content += [*_file_content(self.probabilities), self.regions and list(self.regions)]
        return content


@dataclass(frozen=True, eq=False)
class Label:
    """A label that was read.

    Attributes:
        volume: uint8, on its file's (or its scan's) grid.
        label_set: what its values mean.
        doubts: what is doubtful about its file's header, as words that follow "the header".
    """

    volume: Volume
    label_set: str
    doubts: tuple[str, ...] = ()


def _file_content(path: Path | None) -> list[int]:
    """Return size and CRC-32 of a file; nothing of one that is not there or cannot be read, which whoever reads it says."""
    try:
        found = None if path is None else images.fingerprint(path)
    except OSError:
        found = None
    return [] if found is None else [found.bytes, found.crc32]


def find_labels(side: Side) -> dict[str, LabelFile]:
    """Return case id → where its label is, sorted by id.

    Args:
        side: which folder, and how its label set is told.

    Raises:
        NoCasesError: the folder does not exist, or holds nothing that is recognised.
        OptionError: two files claim to be the label of one case, or ``predictions.json`` cannot be read.
    """
    folder = side.folder
    stored = is_store(folder)
    if not stored and not folder.is_dir():
        raise NoCasesError(f"{folder}: no such folder; expected the {side.what}s: masks, case folders or a store.")
    if stored:
        found = {case: LabelFile(case, side, case_path(folder, case)) for case in open_store(folder)}
    elif (folder / LIST_NAME).is_file():
        found = _listed(side)
    else:
        found = _named(side)
    if not found:
        there = sorted(p.name for p in folder.iterdir())
        raise NoCasesError(
            f"{folder}: no {side.what} found among {len(there)} entries ({', '.join(there[:3])}); expected masks such as"
            " CASE.nii.gz or CASE_seg.nii.gz, case folders, or a store."
        )
    return dict(sorted(found.items()))


def _listed(side: Side) -> dict[str, LabelFile]:
    path = side.folder / LIST_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema, entries = content["schema"], content["cases"]
        regions = tuple(map(str, content["regions"])) if "regions" in content else None
        found = {
            case: LabelFile(
                case, side, side.folder / entry["file"], recorded=entry["label_set"],
                probabilities=side.folder / entry["probabilities"] if "probabilities" in entry else None,
                regions=regions, trained_on=bool(entry.get("trained_on", False)),
            )
            for case, entry in entries.items()
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise OptionError(
            f"{path}: cannot be read ({type(problem).__name__}: {problem}); predict again, or remove it."
        ) from problem
    if schema != LIST_SCHEMA:
        raise OptionError(f"{path}: has schema {schema!r}; expected {LIST_SCHEMA}: predict again with this version.")
    for case, file in found.items():
        if file.recorded not in LABEL_SETS:
            raise OptionError(f"{path}: says label set {file.recorded!r} of {case}; expected one of: {', '.join(LABEL_SETS)}.")
    return found


def _named(side: Side) -> dict[str, LabelFile]:
    finding = Finding((), (), {}, {})
    with suppress(NoCasesError):
        finding = look_for_cases(side.folder)
    refuse_conflicts(finding)
    cases = finding.cases
    found = {case.id: LabelFile(case.id, side, case.label, named=case) for case in cases}
    known = {path.name for case in cases for path in (*case.images.values(), case.label) if path is not None}
    for path in sorted(side.folder.iterdir()):
        stem = images.strip_suffix(path.name)
        if stem == path.name or path.name.startswith(".") or path.name in known or not path.is_file():
            continue
        if images.is_voxel_file(path):
            continue  # its header stands for both
        case = stem[: -len("_seg")] if stem.lower().endswith(("_seg", "-seg")) else stem
        other = found.get(case)
        if other is not None and other.path is not None:
            raise OptionError(
                f"{side.folder} holds two masks of case {case}, {other.path.name} and {path.name}; leave one out."
            )
        found[case] = LabelFile(case, side, path, named=_case_of_mask(case, path))
    warn_of_unused(finding, {str(file.path.absolute()) for file in found.values() if file.path is not None})
    return found


def _case_of_mask(case: str, path: Path) -> Case:
    """Return what the name of a plain mask tells, as if it were the label in a case folder."""
    folder = str(path.parent.absolute())
    row = corpus_of(case, folder)
    patient, timepoint = patient_of(case)
    return Case(case, patient, timepoint, row.name, None, {}, path, row.label_sets)


def read_label(file: LabelFile) -> Label:
    """Read a label and settle what its values mean.

    Args:
        file: where it is.

    Raises:
        ImageError: the file is missing, damaged, no 3-D image, or holds NaN.
        LabelError: there is no label, its values are no whole numbers or not of its label set, or the label set is in doubt.
        StoreError: the store's case file is damaged.
        GridError: the scans of a stored case have sheared axes.
    """
    path = _path(file)
    volume, recorded = _read_stored(path) if file.stored else (_read_mask(path), file.recorded)
    values = _values(volume.array)
    try:
        settled = _settle(file, recorded, values)
        check_values(values, LABEL_SETS[settled])
    except LabelError as problem:
        raise LabelError(f"{path}: {problem}") from problem
    return Label(volume, settled, volume.grid.doubts)


def label_values(file: LabelFile) -> list[int]:
    """Return the values of a mask, sorted.

    Args:
        file: where it is; not in a store.

    Raises:
        ImageError: the file is missing, damaged, no 3-D image, or holds NaN.
        LabelError: there is no label, or its values are no whole numbers.
    """
    return [int(value) for value in _values(_read_mask(_path(file)).array)]


def _path(file: LabelFile) -> Path:
    if file.path is None:
        raise LabelError(f"{file.named.describe() if file.named else file.case}; expected a label (seg) to compare.")
    return file.path


def _values(label: np.ndarray) -> np.ndarray:
    """Return the values of a label, sorted. Outside the box around the tumour all are 0, and counting takes memory."""
    inside = label[box_slices(bounding_box(label != 0))]
    found = np.flatnonzero(np.bincount(inside.ravel(order="K")))
    return found if inside.size == label.size else np.union1d(found, [0])


def _settle(file: LabelFile, recorded: str | None, values: np.ndarray) -> str:
    requested = file.side.requested
    if recorded is not None:
        if requested not in (None, recorded):
            raise LabelError(
                f"the {file.side.what} is recorded as {recorded}, {file.side.option} says {requested}; leave the option out, or"
                " mend the record."
            )
        return recorded
    if file.settled is not None:
        return file.settled
    if requested is not None and (file.named is None or not file.side.names_bind):
        return requested
    if file.named is None:
        raise LabelError(f"the store does not record the label set of {file.case}; say it with {file.side.option} NAME.")
    return settle_label_set(file.named, values.tolist(), requested, option=file.side.option)


def _read_stored(path: Path) -> tuple[Volume, str | None]:
    with StoredCase(path) as stored:
        if stored.label is None:
            raise LabelError(f"{path}: the stored case has no label; expected one to compare.")
        if stored.source.shear():  # stores of earlier versions took such scans
            raise GridError(f"{path}: {stored.source.shear()}; expected right angles, as distances need: resample the scans.")
        # the stored orientation is not the source's: masks are compared where they were drawn
        return Volume(
            from_stored(stored.label_patch((0, 0, 0), stored.grid.shape), stored.source), stored.source
        ), stored.label_set


def _read_mask(path: Path) -> Volume:
    volume = images.read(path)
    if volume.array.ndim != 3:
        raise ImageError(f"{path}: the mask has shape {volume.array.shape}; expected one 3-D label volume.")
    images.check_finite(path, volume.array)
    try:
        return Volume(whole_numbers(volume.array, volume.step), volume.grid)
    except LabelError as problem:
        raise LabelError(f"{path}: {problem}") from problem
