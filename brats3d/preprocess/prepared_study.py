"""From a clinical study with skull to a prepared case.

Stored cases look like the challenges': without skull, on the BraTS grid, whole numbers. The transforms are stored too, to
bring masks back to the scan's own grid, and a case's sources name the atlas and how the brain was found.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from brats3d.cases import Facts, patient_of
from brats3d.errors import ImageError
from brats3d.images import content_of, parts_of
from brats3d.preprocess.prepare import header_warnings
from brats3d.raw import RawStudy, Series, Study, choose_method, choose_series, prepare_study
from brats3d.store import CaseHeader, PreparedCase, summarise

CORPUS = "raw"
"""The corpus of cases made here."""
ENOUGH_STEPS = 256
"""A scan whose 99th percentile is above this loses nothing that matters by rounding to whole numbers."""


def prepare_raw_case(study: Study, *, atlas: Path | str | None = None, brain: str = "auto") -> PreparedCase:
    """Bring the scans of a clinical study to the BraTS grid without skull.

    Args:
        study: from `raw.find_studies`, or made by hand; modalities it does not have are left out.
        atlas: a T1-weighted head without skull; None means MNI152 as nilearn ships it.
        brain: how the brain is found: auto, atlas, hd-bet or synthstrip.

    Returns:
        The prepared case with its ``transforms``; its ``source`` is the reference scan's own grid.

    Raises:
        CaseError: no series is recognised, two are alike for one modality, or an installed program finds no brain.
        ImageError: a scan or the atlas is damaged, empty, or not a 3-D volume; or there is no brain where a scan is.
        GridError: a series has missing or unequal slices or a singular orientation, or a registration fails.
        OptionError: no such method, or its program is not installed.
        MissingExtraError: SimpleITK or nilearn is not installed.
    """
    sources = study_sources(study, atlas, choose_method(brain))
    return prepared_study(prepare_study(study, atlas=atlas, brain=brain), sources)


def prepared_study(raw: RawStudy, sources: tuple[dict[str, Any], ...]) -> PreparedCase:
    """Return the prepared case of a study on the stored grid: without skull, with its transforms.

    Args:
        raw: from `raw.prepare_study`.
        sources: from `study_sources`.

    Raises:
        ImageError: a scan shows nothing of the brain that was found.
    """
    patient, timepoint = patient_of(raw.id)
    stacked = [whole_where_enough(image, raw.brain) for image in raw.images.values()]
    kind = np.result_type(*stacked)
    warnings = (*raw.quality.flags, *header_warnings(raw.transforms.scans))
    header = CaseHeader(raw.id, Facts(patient, timepoint, CORPUS), tuple(raw.images), sources=sources, warnings=warnings)
    try:
        prepared = summarise(header, np.stack(stacked).astype(kind, copy=False), None, raw.grid, raw.scan_grid)
    except ImageError as problem:
        raise ImageError(f"{problem} The brain was not found where the scan is: inspect the scan.") from problem
    return replace(prepared, transforms=raw.transforms)


def whole_where_enough(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Return an image within the brain as int16, or as float32 if whole numbers would be too coarse.

    Within the brain, whole numbers are at least 1, so that zero still means "not there".

    Args:
        image: (X, Y, Z) float32, 0 where the scan does not reach.
        brain: (X, Y, Z) bool.
    """
    shown = image[brain & (image > 0)]
    if not shown.size or np.percentile(shown, 99) < ENOUGH_STEPS or shown.max() > np.iinfo(np.int16).max:
        return np.where(brain, image, 0).astype(np.float32)
    whole = np.rint(image).astype(np.int16)
    return np.where(brain & (image > 0), np.maximum(whole, 1), 0).astype(np.int16)


def study_sources(study: Study, atlas: Path | str | None, brain: str) -> tuple[dict[str, Any], ...]:
    """Return a case's sources: one mapping per series, without DICOM's file names, then the atlas and the brain's method.

    Args:
        study: the study.
        atlas: file of the atlas, or None for the default.
        brain: how the brain is found.

    Raises:
        CaseError: no series is recognised, or two are alike for one modality.
        GridError: the only series of a modality do not form a grid.
        ImageError: a file that has to be inspected cannot be read.
    """
    chosen, _ = choose_series(study)
    series = [_fingerprint(modality, one) for modality, one in chosen.items()]
    template = {"name": "atlas: MNI152 (nilearn)", "bytes": 0, "crc32": 0}
    if atlas is not None:
        template = asdict(content_of(f"atlas: {Path(atlas).name}", [Path(atlas)]))
    return (*series, template, {"name": f"brain: {brain}", "bytes": 0, "crc32": 0})


def _fingerprint(modality: str, series: Series) -> dict[str, Any]:
    if series.dicom:
        return asdict(content_of(f"{modality}: DICOM series of {len(series.files)} files", series.files))
    return asdict(content_of(f"{modality}: NIfTI file", parts_of(series.files[0])))
