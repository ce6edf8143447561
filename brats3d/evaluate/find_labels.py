"""Finds the labels of one side, predictions or references, in any kind of folder.

A folder is a store (``*.h5``), has a list (``predictions.json``), or contains case folders and plain masks, recognised by name.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from brats3d import images
from brats3d.cases import Case, Facts, Finding, corpus_of, look_for_cases, patient_of, refuse_conflicts, warn_of_unused
from brats3d.errors import NoCasesError, OptionError
from brats3d.evaluate.label_files import LabelFile, Side
from brats3d.masks import MaskList, read_mask_list
from brats3d.store import case_path, is_store, open_store


def find_labels(side: Side) -> dict[str, LabelFile]:
    """Return case id → where its label is, sorted by id.

    Args:
        side: which folder, and how its label set is determined.

    Raises:
        NoCasesError: the folder does not exist, or nothing in it is recognised.
        OptionError: two files claim to be the label of one case, or ``predictions.json`` cannot be read.
    """
    folder = side.folder
    stored = is_store(folder)
    if not stored and not folder.is_dir():
        raise NoCasesError(f"{folder}: no such folder; expected the {side.what}s: masks, case folders or a store.")
    if stored:
        found = {case: LabelFile(case, side, case_path(folder, case)) for case in open_store(folder)}
    else:
        masks = read_mask_list(folder)
        found = _named(side) if masks is None else _listed(side, masks)
    if not found:
        there = sorted(p.name for p in folder.iterdir())
        raise NoCasesError(
            f"{folder}: no {side.what} found among {len(there)} entries ({', '.join(there[:3])}); expected masks such as"
            " CASE.nii.gz or CASE_seg.nii.gz, case folders, or a store."
        )
    return dict(sorted(found.items()))


def _listed(side: Side, masks: MaskList) -> dict[str, LabelFile]:
    return {
        case: LabelFile(
            case, side, side.folder / entry.file, entry.label_set,
            probabilities=None if entry.probabilities is None else side.folder / entry.probabilities,
            model=masks.model, trained_on=entry.trained_on,
        )
        for case, entry in masks.cases.items()
    }  # fmt: skip


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
            continue  # its header represents both
        case = stem[: -len("_seg")] if stem.lower().endswith(("_seg", "-seg")) else stem
        other = found.get(case)
        if other is not None and other.path is not None:
            raise OptionError(
                f"{side.folder} contains two masks of case {case}, {other.path.name} and {path.name}; leave one out."
            )
        found[case] = LabelFile(case, side, path, named=_case_of_mask(case, path))
    warn_of_unused(finding, {str(file.path.absolute()) for file in found.values() if file.path is not None})
    return found


def _case_of_mask(case: str, path: Path) -> Case:
    """Return what the name of a plain mask says, as if it were the label in a case folder."""
    folder = str(path.parent.absolute())
    row = corpus_of(case, folder)
    patient, timepoint = patient_of(case)
    return Case(case, Facts(patient, timepoint, row.name), {}, path, row.label_sets)
