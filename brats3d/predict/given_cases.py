"""A case given as files, made ready for a model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

from brats3d.cases import MODALITIES, Case, Facts, corpus_of, patient_of
from brats3d.errors import CaseError, OptionError, check_keys
from brats3d.images import strip_suffix
from brats3d.preprocess import prepare_case
from brats3d.store import CaseLike


def case_of(given: CaseLike | Case | Mapping[str, Path | str]) -> CaseLike:
    """Return a case that a model can be run on.

    Args:
        given: a prepared or stored case, which is returned as it is; a case that was found, whose scans are read, not its
            label; or modality → file.

    Raises:
        OptionError: an unknown modality (the nearest is offered), or no scan.
        CaseError: a file does not exist, cannot be read, or the scans do not fit together.
    """
    if isinstance(given, Mapping):
        given = _named(given)
    if isinstance(given, Case):
        return prepare_case(Case(given.id, given.facts, given.images, None, given.label_sets, given.channels, given.reason))
    return given


def _named(files: Mapping[str, Path | str]) -> Case:
    """Return the case of some files: its name is what theirs have in common, or else the folder's."""
    check_keys("the case", files, MODALITIES)
    if not files:
        raise OptionError(f"the case has 0 scans; expected a file for at least one of {', '.join(MODALITIES)}.")
    images = {m: Path(files[m]).absolute() for m in MODALITIES if m in files}
    for modality, path in images.items():
        if not path.exists():
            raise CaseError(f"{modality} is {path}, and there is no such file; correct the path.")
    folder = next(iter(images.values())).parent
    stems = [strip_suffix(path.name) for path in images.values()]
    alike = [letters[0] for letters in itertools.takewhile(lambda each: len(set(each)) == 1, zip(*stems, strict=False))]
    common = "".join(alike).rstrip("-_. ")
    name = common if len(images) > 1 and len(common) > 1 else folder.name or "case"
    patient, timepoint = patient_of(name)
    row = corpus_of(name, str(folder))
    return Case(name, Facts(patient, timepoint, row.name), images, None, row.label_sets, reason="given by its files")
