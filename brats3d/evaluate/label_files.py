"""The labels of one side, predictions or references, read from a mask or a store.

What a label's values mean comes from the store or the list if there is one, else from names and values of all labels of the
folder together (`brats3d.evaluate.shared_coding`); the option settles doubts and must not contradict what is recorded. A
reference's name binds the option too (the name gives the year, and the year the coding); a prediction has the name of its scan
and may have any coding.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from brats3d import images
from brats3d.cases import Case, settle_label_set
from brats3d.errors import GridError, ImageError, LabelError
from brats3d.geometry import bounding_box, box_slices, from_stored
from brats3d.images import Volume
from brats3d.masks import MaskModel
from brats3d.regions import LabelSet, LabelSetLike, check_values, find_label_set, two_meanings, whole_numbers
from brats3d.store import StoredCase


@dataclass(frozen=True)
class Side:
    """One of the two sides of a comparison.

    Attributes:
        what: ``prediction`` or ``reference``.
        folder: where its labels are.
        option: the command's option for its label set.
        requested: the requested label set (its name, file, content or itself), or None.
        names_bind: whether a name that gives the year may contradict the option.
    """

    what: str
    folder: Path
    option: str
    requested: LabelSetLike | None
    names_bind: bool

    @cached_property
    def asked(self) -> LabelSet | None:
        """The label set asked for.

        Raises:
            OptionError: there is no such label set.
        """
        return None if self.requested is None else find_label_set(self.requested)


@dataclass(frozen=True)
class LabelFile:
    """Where a case's label is, and what determines its label set.

    Attributes:
        id: case id.
        side: the side it belongs to.
        path: the mask, or the store's case file; None if there are scans without a label.
        recorded: label set recorded in the list.
        named: the case according to its names; None if a store or a list knows more.
        probabilities: the file of the probabilities named in the list, if any.
        model: the model that predicted it, as the list records it; None without a list.
        trained_on: whether the list says that the model was trained on the patient.
        settled: label set that the labels of its folder share, once determined.
    """

    id: str
    side: Side
    path: Path | None
    recorded: LabelSet | None = None
    named: Case | None = None
    probabilities: Path | None = None
    model: MaskModel | None = None
    trained_on: bool = False
    settled: LabelSet | None = None

    @property
    def regions(self) -> tuple[str, ...] | None:
        """The regions that the model predicts; None if they are not recorded."""
        return self.model.regions if self.model else None

    @property
    def stored(self) -> bool:
        """Whether it is in a store."""
        return self.path is not None and self.path.suffix == ".h5"

    def fingerprint(self, *, probabilities: bool = False) -> list[Any]:
        """Return what identifies the label and what is recorded about it: the content counts, not names or times.

        Sizes and times are not sufficient: unpacking an archive preserves times, and uncompressed masks all have one size.

        Args:
            probabilities: whether the file of the probabilities is included.

        Raises:
            StoreError: the store's case file is damaged.
        """
        if self.path is not None and self.path.suffix == ".h5":
            volume, recorded = _read_stored(self.path)
            content: list[Any] = [zlib.crc32(volume.array.tobytes()), volume.grid.affine.tolist(), _content(recorded)]
        else:
            content = [*_file_content(self.path), _content(self.recorded), self.regions and list(self.regions)]
        if probabilities:
            content += [*_file_content(self.probabilities), *_channels(self.model)]
        return content


@dataclass(frozen=True, eq=False)
class Label:
    """A label that was read.

    Attributes:
        volume: uint8, on its file's (or its scan's) grid.
        coding: what its values mean.
        doubts: what is doubtful about its file's header, as words that follow "the header".
    """

    volume: Volume
    coding: LabelSet
    doubts: tuple[str, ...] = ()


def _content(coding: LabelSet | None) -> dict[str, Any] | None:
    return None if coding is None else coding.as_dict()


def _channels(model: MaskModel | None) -> list[Any]:
    return [] if model is None else [model.kind, model.channels and list(model.channels), _content(model.label_set)]


def _file_content(path: Path | None) -> list[int]:
    """Return size and CRC-32 of a file; empty if it is missing or unreadable, which reading it will report."""
    try:
        found = None if path is None else images.fingerprint(path)
    except OSError:
        found = None
    return [] if found is None else [found.bytes, found.crc32]


def read_label(file: LabelFile) -> Label:
    """Read a label and settle what its values mean.

    Args:
        file: where it is.

    Raises:
        ImageError: the file is missing, damaged, not a 3-D image, or contains NaN.
        LabelError: there is no label, its values are not whole numbers or not of its label set, or the label set is in doubt.
        StoreError: the store's case file is damaged.
        GridError: the scans of a stored case have sheared axes.
    """
    path = _path(file)
    volume, recorded = _read_stored(path) if file.stored else (_read_mask(path), file.recorded)
    values = _values(volume.array)
    try:
        settled = _settle(file, recorded, values)
        check_values(values, settled)
    except LabelError as problem:
        raise LabelError(f"{path}: {problem}") from problem
    return Label(volume, settled, volume.grid.doubts)


def label_values(file: LabelFile) -> list[int]:
    """Return the values of a mask, sorted.

    Args:
        file: where it is; not in a store.

    Raises:
        ImageError: the file is missing, damaged, not a 3-D image, or contains NaN.
        LabelError: there is no label, or its values are not whole numbers.
    """
    return [int(value) for value in _values(_read_mask(_path(file)).array)]


def _path(file: LabelFile) -> Path:
    if file.path is None:
        raise LabelError(f"{file.named.describe() if file.named else file.id}; expected a label (seg) to compare.")
    return file.path


def _values(label: np.ndarray) -> np.ndarray:
    """Return the values of a label, sorted. Only the box around the tumour is counted, which takes less memory."""
    inside = label[box_slices(bounding_box(label != 0))]
    found = np.flatnonzero(np.bincount(inside.ravel(order="K")))
    return found if inside.size == label.size else np.union1d(found, [0])


def _settle(file: LabelFile, recorded: LabelSet | None, values: np.ndarray) -> LabelSet:
    requested = file.side.asked
    if recorded is not None:
        if requested not in (None, recorded):
            both = two_meanings([recorded, requested])
            raise LabelError(
                f"the {file.side.what} is recorded as {recorded.name}, {file.side.option} says {requested.name}"
                f"{f' ({both})' if both else ''}; leave the option out, or fix the record."
            )
        return recorded
    if file.settled is not None:
        return file.settled
    if requested is not None and (file.named is None or not file.side.names_bind):
        return requested
    if file.named is None:
        raise LabelError(f"the store does not record the label set of {file.id}; give it with {file.side.option} NAME.")
    return settle_label_set(file.named, values.tolist(), requested, option=file.side.option)


def _read_stored(path: Path) -> tuple[Volume, LabelSet | None]:
    with StoredCase(path) as stored:
        if stored.label is None:
            raise LabelError(f"{path}: the stored case has no label; expected one to compare.")
        if stored.source.shear():  # stores of earlier versions accepted such scans
            raise GridError(f"{path}: {stored.source.shear()}; expected right angles, for distances: resample the scans.")
        # the stored orientation is not the source's: masks are compared in their original one
        return Volume(
            from_stored(stored.label_patch((0, 0, 0), stored.grid.shape), stored.source), stored.source
        ), stored.coding


def _read_mask(path: Path) -> Volume:
    volume = images.read(path)
    if volume.array.ndim != 3:
        raise ImageError(f"{path}: the mask has shape {volume.array.shape}; expected one 3-D label volume.")
    images.check_finite(path, volume.array)
    try:
        return Volume(whole_numbers(volume.array, volume.step), volume.grid)
    except LabelError as problem:
        raise LabelError(f"{path}: {problem}") from problem
