"""Read and check one case: what cannot be read correctly is refused, by name.

The label never influences the crop or the statistics: images are read, checked and summarised first, and the label is only
added to them. In some releases its origin is not that of its scans, which is accepted with a warning; a label of another
orientation or spacing is refused, since voxel by voxel it would be mirrored or turned on the scan.

Arrays keep the files' order in memory, X fastest: transposing 71 MB would take as long as decompressing them. They are
transposed block by block when written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from brats3d import geometry, images
from brats3d.cases import MODALITIES, Case, binds
from brats3d.checks.coding import REGIONS_AS, CodingFeatures, Verdict, coding_features, regions_as_label, settle_features
from brats3d.checks.tissue import as_plain
from brats3d.errors import ALL_ZERO, CaseError, GridError, ImageError, LabelError
from brats3d.geometry import Grid
from brats3d.images import SourceFile, Volume
from brats3d.regions import LabelSet, LabelSetLike, find_label_set, whole_numbers
from brats3d.store import CaseHeader, PreparedCase, summarise


def prepare_case(case: Case, label_set: LabelSetLike | None = None) -> PreparedCase:
    """Read a case's files, check them, and bring them to the stored orientation.

    Args:
        case: from `find_cases`; modalities may be missing, but not all. A file that holds several is read once.
        label_set: what the label's values mean (see `regions.find_label_set`); None decides it by names, values and images.

    Returns:
        The prepared case: images (M, X, Y, Z) of the available modalities (order t1, t1ce, t2, flair), orientation L, P, S,
        values unchanged; anything odd about its files is in its ``header.warnings``.

    Raises:
        CaseError: there is no image.
        ImageError: a file is damaged, empty, holds NaN or only zeros, or is not a 3-D image.
        GridError: the files are not on one grid (a label may have another origin); both grids are shown.
        LabelError: the label holds values that its label set does not know, or fractions, its coding is in doubt, or its region
        masks are not nested.
        OptionError: no label set of that name.
    """
    scans = _read_scans(case)
    source = next(iter(scans.values())).grid
    files = _files(scans.values())
    label, settled, warnings = None, None, (*_missing(case), *header_warnings({m: v.grid for m, v in scans.items()}))
    features: CodingFeatures = {}
    if case.label is not None:
        label, file, odd, known = _read_label(case.label, source)
        features = coding_features(label, {m: volume.array for m, volume in scans.items()})
        verdict = _settled(case, features, known, None if label_set is None else find_label_set(label_set))
        settled, warnings = (
            verdict.coding,
            (*warnings, *odd, *_odd_label(features, verdict, bound=binds(case) or label_set is not None)),
        )
        files += [file] if file else []
        label, _ = geometry.to_stored(label, source)
    stacked, grid = geometry.to_stored(_stack(scans), source)
    header = CaseHeader(
        id=case.id,
        facts=case.facts,
        modalities=tuple(scans),
        coding=settled,
        sources=tuple(asdict(file) for file in files),
        warnings=warnings,
        label_features=as_plain(features),
    )
    return summarise(header, stacked, label, grid, source)


def _missing(case: Case) -> tuple[str, ...]:
    if not case.missing:
        return ()
    there = ", ".join(m for m in MODALITIES if m in case.images)
    return (f"{', '.join(case.missing)} is missing; stored with only {there}, for models that take these.",)


def _read_scans(case: Case) -> dict[str, Volume]:
    """Return modality → scan as it will be stored, except in the source's orientation, all on one grid."""
    scans = dict(_each_scan(case))
    if not scans:
        raise CaseError(f"case {case.id} has no image; expected one or more of {', '.join(MODALITIES)}: leave it out.")
    first = next(iter(scans))
    for modality, volume in scans.items():
        different = scans[first].grid.differences(volume.grid)
        if different:
            raise GridError(
                f"case {case.id}: {first} and {modality} are not on one grid ({different});"
                " register the scans to one grid first."
            )
    return scans


def _each_scan(case: Case) -> Iterator[tuple[str, Volume]]:
    """Yield the available modalities with their scans; a file that holds several is read once.

    Most files of a case are alike: those like the first are read into rows of one array, which `_stack` can then use as it is.
    """
    path, whole, stacked = None, None, None
    there = [m for m in MODALITIES if m in case.images]
    for row, modality in enumerate(there):
        if whole is None or case.images[modality] != path:
            path = case.images[modality]
            whole = images.read(path, None if stacked is None else stacked[row])
        channel = _channel(path, whole.array, case.channels.get(modality))
        array = stored_type(channel)  # checked as it will be stored: a double may overflow or underflow
        images.check_finite(path, array)
        if not (array[::8, ::8, ::8].any() or array.any()):  # a few voxels usually show that it is not empty
            raise ImageError(f"{path}: {ALL_ZERO}")
        if stacked is None and not case.channels:
            stacked = _rows(len(there), array.shape, array.dtype)
            stacked[0] = array
            array = stacked[0]
        yield modality, Volume(array, whole.grid, whole.source)


def _channel(path: Path, array: np.ndarray, index: int | None) -> np.ndarray:
    if index is None and array.ndim != 3:
        raise ImageError(f"{path}: the image has shape {array.shape}; expected one 3-D volume per modality.")
    if index is None or (array.ndim == 3 and index == 0):
        return array
    channels = array.shape[3] if array.ndim == 4 else 1
    if index >= channels:
        raise ImageError(f"{path}: the image has {channels} channels {array.shape}; expected {index + 1} or more.")
    return array[..., index]


def _stack(scans: Mapping[str, Volume]) -> np.ndarray:
    """Return the scans as (M, X, Y, Z), X fastest in memory; int16, or float32 if one of them is."""
    arrays = [volume.array for volume in scans.values()]
    room = arrays[0].base
    if room is not None and room.shape == (len(arrays), *arrays[0].shape[::-1]):
        ready = room.transpose(0, 3, 2, 1)
        if all(np.may_share_memory(row, array) for row, array in zip(ready, arrays, strict=True)):
            return ready
    stacked = _rows(len(arrays), arrays[0].shape, np.result_type(*arrays))
    for row, array in zip(stacked, arrays, strict=True):
        row[:] = array
    return stacked


def _rows(count: int, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """Return an empty array for ``count`` volumes, (M, X, Y, Z), X fastest in memory."""
    return np.empty((count, *shape[::-1]), kind).transpose(0, 3, 2, 1)


def _settled(case: Case, features: CodingFeatures, known: str | None, requested: LabelSet | None) -> Verdict:
    """Return which label set a label follows: region masks decide it themselves, whatever names say about single labels."""
    if known is None:
        return settle_features(case, features, requested)
    said = {"--label-set": requested, "the manifest's label_set": case.coding}
    for option, coding in said.items():
        if coding is not None and (coding.own or coding.name != known):
            raise LabelError(
                f"the label of {case.id} holds region masks, which are read as {known}; found {option} {coding.name}: leave it"
                " out for this case."
            )
    return Verdict(known, ("region masks",), {known: 1.0}, sure=True)


def _odd_label(features: CodingFeatures, verdict: Verdict, *, bound: bool) -> list[str]:
    """Return what is odd about a label's values, one sentence each."""
    odd = [f"{verdict.warning}."] if verdict.warning else []
    if not features:
        odd.append("the label is empty; expected a tumour, or no label if there is none to draw.")
    if verdict.label_set == "GTV" and features and not bound:
        odd.append("the label has one value, taken as the whole tumour; if it marks something else, leave it out.")
    return odd


ABOUT_HEADER = "the header of "
"""How `header_warnings` begin."""


def header_warnings(grids: Mapping[str, Grid]) -> list[str]:
    """Return what is doubtful about where images are, one sentence each.

    Args:
        grids: name of an image, such as its modality → the grid in its header.
    """
    odd: dict[str, list[str]] = {}
    for name, grid in grids.items():
        nowhere = f"has no orientation; taken as {grid.axes}: compare left and right"
        for doubt in (*([nowhere] if grid.qform_code <= 0 and grid.sform_code <= 0 else []), *grid.doubts):
            odd.setdefault(doubt, []).append(name)
    return [f"{ABOUT_HEADER}{', '.join(names)} {doubt}." for doubt, names in odd.items()]


def _read_label(path: Path, source: Grid) -> tuple[np.ndarray, SourceFile | None, tuple[str, ...], str | None]:
    """Return the label (X, Y, Z) uint8 in the source's orientation, its file, what is odd about it, and its set if known.

    Three channels are region masks, whose meaning is not in doubt.
    """
    volume = images.read(path)
    known = None
    if volume.array.shape == (*source.shape, 3):
        images.check_finite(path, volume.array)
        try:
            volume, known = replace(volume, array=regions_as_label([*np.moveaxis(volume.array, -1, 0)])), REGIONS_AS
        except LabelError as problem:
            raise LabelError(f"{path}: {problem}") from problem
    if volume.array.shape != source.shape:
        raise GridError(
            f"{path}: the label has shape {volume.array.shape}; expected the images' shape {source.shape}, or three region"
            " masks of it."
        )
    different = source.differences(volume.grid)
    if different and not source.differs_in_origin_alone(volume.grid):
        raise GridError(
            f"{path}: the label's voxels are turned, mirrored or spaced unlike the images' ({different}); only another"
            " origin is accepted: resample the label to the images' grid, or leave it out."
        )
    inside = geometry.box_slices(geometry.bounding_box(volume.array))  # NaN is not zero either
    images.check_finite(path, volume.array[inside])
    try:
        whole = whole_numbers(volume.array[inside], volume.step)
    except LabelError as problem:
        raise LabelError(f"{path}: {problem}") from problem
    label = np.zeros(source.shape[::-1], np.uint8).transpose(2, 1, 0)
    label[inside] = whole
    odd = header_warnings({"the label": volume.grid}) if volume.grid.doubts else []
    if different:
        odd.append(f"the label's header differs from the images' ({different}); taken voxel by voxel.")
    return label, volume.source, tuple(odd), known


def stored_type(array: np.ndarray) -> np.ndarray:
    """Return an image as int16 if that is lossless, else as float32."""
    if array.dtype == np.int16:
        return array
    limits = np.iinfo(np.int16)
    if array.min() >= limits.min and array.max() <= limits.max:
        whole = array.astype(np.int16)
        if np.issubdtype(array.dtype, np.integer) or np.array_equal(whole, array):
            return whole
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _files(scans: Iterable[Volume]) -> list[SourceFile]:
    """Return what the scans were read from, each file once."""
    return list(dict.fromkeys(volume.source for volume in scans if volume.source is not None))
