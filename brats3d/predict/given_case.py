"""What Python users may pass as a case: a prepared or stored one, a `Case`, or the files of its modalities."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from brats3d.cases import MODALITIES, Case, Corpus, Facts, corpus_of, patient_of
from brats3d.cases.recognise import recognise
from brats3d.errors import OptionError, check_option
from brats3d.images import strip_suffix
from brats3d.predict.sources import ScansSource
from brats3d.store import CaseLike

Given = CaseLike | Case | Mapping[str, Path | str]
"""A case as a user may pass it."""


def case_of(given: Given, *, read_label: bool = True) -> CaseLike:
    """Return a case as a model takes it.

    Args:
        given: a prepared or stored case, which is returned as it is; a `Case`, such as `brats3d.cases.find_cases` returns; or
            modality → image file; the files' common name is the case's id (their folder's name if they have none in common).
        read_label: whether the label of a `Case` is read; it decides the mask's label set. A damaged one is ignored.

    Returns:
        The case itself, or one prepared in memory; scans are not normalised.

    Raises:
        OptionError: something else was given, there is no scan, a modality is unknown, or a file does not exist or is given
            twice.
        CaseError: the scans cannot be read, or are refused.
    """
    if isinstance(given, Mapping):
        given = _named(given)
    if isinstance(given, Case):
        return ScansSource(given, read_label=read_label).open()
    if not hasattr(given, "brain_box"):
        raise OptionError(
            f"the case is {given!r}; expected a prepared or stored case, one of find_cases, or modality → file, such as"
            " {'t1': 'p1_t1.nii.gz', 'flair': 'p1_flair.nii.gz'}."
        )
    return given


def _named(files: Mapping[str, Path | str]) -> Case:
    """Return the case of some files, as it would be found in their folder."""
    if not files:
        raise OptionError(f"the case has 0 scans; expected a file for at least one of {', '.join(MODALITIES)}.")
    for modality in files:
        check_option("a modality of the case", modality, MODALITIES)
    images = {modality: Path(files[modality]).absolute() for modality in MODALITIES if modality in files}
    owners: dict[Path, str] = {}
    for modality, path in images.items():
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist"
            raise OptionError(f"{modality} is {files[modality]}, which {kind}; expected an image file: correct the path.")
        if owners.setdefault(path, modality) != modality:
            raise OptionError(f"{path} is given as {owners[path]} and as {modality}; expected different files.")
    name, corpus = _common_name(list(images.values()))
    patient, timepoint = patient_of(name)
    facts = Facts(patient, timepoint, corpus.name)
    return Case(name, facts, images, None, corpus.label_sets, reason="given by its files")


def _common_name(paths: list[Path]) -> tuple[str, Corpus]:
    """Return the case that the names of files have in common, and its corpus."""
    readings = [{reading.case: reading.corpus for reading in recognise(str(path))} for path in paths]
    common = [case for case in readings[0] if case and all(case in other for other in readings)]
    if common:
        return common[0], readings[0][common[0]]
    folder = os.path.commonpath([path.parent for path in paths])
    name = os.path.basename(folder) or strip_suffix(paths[0].name)
    return name, corpus_of(name, folder)
