"""Where the cases to predict come from: folders of scans, read one by one, and stores."""

from __future__ import annotations

import dataclasses
import logging
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from brats3d import images
from brats3d.cases import MODALITIES, Case, differing_in_case, find_cases, patient_of, settle_label_set
from brats3d.errors import CaseError, ImageError, OptionError
from brats3d.images import SourceFile
from brats3d.preprocess import ABOUT_HEADER, prepare_case
from brats3d.regions import LabelSet, whole_numbers
from brats3d.store import CaseLike, PreparedCase, Store, StoredCase, is_store, open_store

log = logging.getLogger(__name__)


class CaseSource(Protocol):
    """A case to predict, not yet read."""

    @property
    def patient(self) -> str:
        """Patient id.

        Raises:
            StoreError: the stored case is damaged.
        """

    @property
    def corpus(self) -> str:
        """Row of the table of corpora.

        Raises:
            StoreError: the stored case is damaged.
        """

    def made_from(self) -> tuple[SourceFile, ...]:
        """Return what identifies the case's scans, not its label.

        Raises:
            CaseError: they cannot be read.
        """

    def open(self) -> CaseLike:
        """Read the case.

        Raises:
            CaseError: it cannot be read, or is refused.
        """


@dataclass(frozen=True)
class ScansSource:
    """A case of scans.

    Attributes:
        case: the case.
        read_label: whether the case's label is read; it decides the mask's label set.
    """

    case: Case
    read_label: bool = True

    @property
    def patient(self) -> str:
        """Patient id."""
        return self.case.patient

    @property
    def corpus(self) -> str:
        """Row of the table of corpora."""
        return self.case.corpus

    def made_from(self) -> tuple[SourceFile, ...]:
        """Return what identifies the case's scans; all of them are read.

        Names, sizes and times of files are not enough: uncompressed scans of a challenge all have the same size, and unpacking
        an archive keeps its times.

        Raises:
            ImageError: a scan cannot be read.
        """
        paths = dict.fromkeys(self.case.images[m] for m in MODALITIES if m in self.case.images)
        try:
            return tuple(dict.fromkeys(images.fingerprint(path) for path in paths))
        except OSError as problem:
            raise ImageError(
                f"{problem.filename}: cannot be compared with what the mask was predicted from ({problem.strerror}); make it"
                " readable, or leave the case out."
            ) from problem

    def open(self) -> PreparedCase:
        """Read the case's scans. Its label only decides the label set of the mask, so it is not read if one is given.

        Doubts about where the scans are in space are logged, since their masks inherit them.

        Raises:
            CaseError: the scans cannot be read, or are refused.
        """
        prepared = self._read()
        for warning in prepared.header.warnings:
            if warning.startswith(ABOUT_HEADER):
                log.warning("case %s: %s", self.case.id, warning)
        return prepared

    def _read(self) -> PreparedCase:
        """Read the scans.

        A label that training must not use, damaged or of doubtful coding, does not harm the mask; if possible, its values still
        decide the mask's label set.
        """
        scans = dataclasses.replace(self.case, label=None)
        if not self.read_label or self.case.label is None:
            return prepare_case(scans)
        try:
            return prepare_case(self.case)
        except CaseError as doubt:
            prepared = prepare_case(scans)  # if the scans are at fault, this raises the same
            likely = _by_values(self.case, self.case.label)
            log.warning(
                "%s: the mask is written in %s, though %s",
                self.case.id,
                likely.name if likely else "no label set of its own",
                doubt,
            )
            return dataclasses.replace(prepared, header=dataclasses.replace(prepared.header, coding=likely))


class _Known(NamedTuple):
    """What is remembered of a stored case."""

    patient: str
    corpus: str
    made_from: tuple[SourceFile, ...]


@dataclass(frozen=True)
class StoreSource:
    """A case of a store.

    Attributes:
        store: the store.
        id: the case.
    """

    store: Store
    id: str

    @cached_property
    def _known(self) -> _Known:
        with self.open() as case:
            return _Known(case.patient, case.corpus, scans_of(case))

    @property
    def patient(self) -> str:
        """Patient id.

        Raises:
            StoreError: the case's file is damaged.
        """
        return self._known.patient

    @property
    def corpus(self) -> str:
        """Row of the table of corpora.

        Raises:
            StoreError: the case's file is damaged.
        """
        return self._known.corpus

    def made_from(self) -> tuple[SourceFile, ...]:
        """Return what identifies the scans that the case was stored from, as the store recorded it.

        Raises:
            StoreError: the case's file is damaged.
        """
        return self._known.made_from

    def open(self) -> StoredCase:
        """Open the case.

        Raises:
            StoreError: the case's file is damaged.
        """
        return self.store[self.id]


def open_sources(sources: Sequence[Path], *, read_labels: bool = True) -> dict[str, CaseSource]:
    """Return case id → where it comes from, of all sources together, sorted by id.

    Args:
        sources: folders of scans, nested in any way, or stores (a folder, or a packed file ``.h5``).
        read_labels: whether labels beside scans are read; they decide the masks' label sets.

    Raises:
        OptionError: there are no sources, or one case is in two of them.
        NoCasesError: a folder does not exist, or nothing in it is recognised.
    """
    if not sources:
        raise OptionError(f"sources is {list(sources)}; expected folders of scans, or a store.")
    stores = [open_store(s) for s in sources if is_store(s)]
    scans = [s for s in sources if not is_store(s)]
    pairs: list[tuple[str, CaseSource]] = [(case, StoreSource(store, case)) for store in stores for case in store]
    if scans:
        pairs += [(case.id, ScansSource(case, read_labels)) for case in find_cases(scans)]
    found: dict[str, CaseSource] = {}
    for case, source in pairs:
        if case in found:
            raise OptionError(f"case {case} is in two of {', '.join(map(str, sources))}; leave one of them out.")
        found[case] = source
    for sentence in dict.fromkeys(differing_in_case(found).values()):
        log.warning("cases %s", sentence)
    return dict(sorted(found.items()))


def scans_of(case: CaseLike) -> tuple[SourceFile, ...]:
    """Return what identifies the scans that a case was made from; the label, the last of its sources, is left out.

    A case stored by other software may record no sources; its histograms identify it then.

    Args:
        case: a prepared or stored case.

    Raises:
        StoreError: the case's file is damaged.
    """
    sources = tuple(SourceFile(source["name"], source["bytes"], source["crc32"]) for source in case.header.sources)
    scans = sources[:-1] if case.labelled else sources
    if scans:
        return scans
    crc, size = 0, 0
    for modality in case.modalities:
        for _, values in sorted(case.histograms[modality].arrays().items()):
            content = np.ascontiguousarray(values).tobytes()
            crc, size = zlib.crc32(content, crc), size + len(content)
    return (SourceFile(f"histograms of {', '.join(case.modalities)}", size, crc),)


def trained_on(sources: Mapping[str, CaseSource], training_cases: Iterable[str]) -> set[str]:
    """Return the ids of the cases of patients that a model was trained on.

    Args:
        sources: case id → where it comes from.
        training_cases: ids of the cases that the model was trained on, as its card names them.
    """
    training_cases = set(training_cases)
    patients = {patient_of(case)[0] for case in training_cases}

    def known(case: str) -> bool:
        if case in training_cases or patient_of(case)[0] in patients:
            return True
        try:
            return sources[case].patient in patients  # a table may know the case by another name
        except CaseError:
            return False  # it is refused later

    return {case for case in sources if patients and known(case)}


def _by_values(case: Case, label: Path) -> LabelSet | None:
    """Return the label set that a label's name and values indicate, or None."""
    try:
        volume = images.read(label)
        values = np.unique(whole_numbers(volume.array, volume.step))
        return settle_label_set(case, [int(value) for value in values])
    except CaseError:
        return None
