"""From a folder of clinical studies to a store: `preprocess --raw`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from brats3d.cases import CaseIds, read_case_ids, select_ids
from brats3d.checks.checked import check_names, checked
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, check_kind
from brats3d.figures import save
from brats3d.files import Contents, OutputFolder, check_name
from brats3d.parallel import Sharing, map_cases, share
from brats3d.preprocess.prepared_study import prepared_study, study_sources
from brats3d.preprocess.raw_report import RawStoreReport
from brats3d.preprocess.store_settings import RawSettings
from brats3d.preprocess.stored import check_room, check_settings, codec_of, store_folder, stored_before
from brats3d.raw import Study, choose_method, find_studies, load_atlas, prepare_study, study_figure
from brats3d.regions import MODALITIES
from brats3d.store import StoredCase, case_path, write_case

log = logging.getLogger(__name__)

PICTURES = Contents("pictures", option="--pictures")
CASE_BYTES = 40_000_000
"""About the most that a stored case takes."""


def build_raw_store(
    source: Path | str,
    *,
    out: Path | str,
    cases: CaseIds | None = None,
    settings: RawSettings = RawSettings(),
    sharing: Sharing = Sharing(),
    force: bool = False,
    progress: Progress = silent,
) -> RawStoreReport:
    """Bring every clinical study under a folder to the BraTS grid and into a store, one HDF5 file per case.

    Cases that are already stored are kept, so the same call continues where it stopped. Many machines can fill one store with
    ``Sharing(shard=…)`` in the jobs of an array, or with a Dask scheduler; all of them must see source, atlas and store.

    Args:
        source: folder of studies, DICOM or NIfTI with skull, nested in any way; one folder per study.
        out: the store's folder; made if it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test; from Python a list of ids too.
        settings: atlas, brain extraction, waived checks, codec, and where to put pictures for quality control.
        sharing: in how many processes, or jobs.
        force: build these cases again, even if they are already stored.
        progress: called as cases finish.

    Returns:
        What was written, kept and refused, which series were chosen, and the numbers and flags of quality control.

    Raises:
        NoCasesError: no study was found.
        OutputExistsError: all cases are already stored, they were stored with another atlas, method or codec, or a file has
            the store's name.
        OptionError: a requested case does not exist, the brain extraction is unknown or its program not installed, or the
            scheduler cannot be used.
        ImageError: the atlas cannot be used.
        GridError: the atlas' axes are singular or sheared.
        MissingExtraError: SimpleITK or nilearn is not installed, or Dask if a scheduler is given.
        SpaceError: the disk has too little room; finished cases stay.
        WorkerError: a worker process was killed, or a scheduler has none; finished cases stay.
    """
    check_kind("settings", settings, RawSettings)
    check_kind("sharing", sharing, Sharing)
    source, out = Path(source), Path(out)
    work = _work(out, settings)
    found = {study.id: study for study in find_studies(source)}
    asked = list(found) if cases is None else select_ids(read_case_ids(cases), found, str(source))
    chosen = share(asked, sharing.shard)
    check = None if force else partial(_check_same, found=found, work=work)
    before = stored_before(work.folder, chosen, check, str(source))
    report = RawStoreReport(str(out), (), tuple(before.kept), dict(before.refused))
    report.warnings.update({name: header.warnings for name, header in before.kept.items() if header.warnings})
    todo = [found[name] for name in chosen if name not in {*before.kept, *before.refused}]
    written = _store_studies(todo, work, sharing, report, progress)
    return replace(report, written=tuple(sorted(written)), refused=dict(sorted(report.refused.items())))


@dataclass(frozen=True)
class _Work:
    """Settings shared by all studies; paths are absolute.

    The workers of a cluster do not know the folder in which the command was given.
    """

    out: Path
    folder: OutputFolder
    atlas: Path | None
    method: str
    accept: tuple[str, ...]
    codec: str
    pictures: Path | None


def _work(out: Path, settings: RawSettings) -> _Work:
    """Settle how studies are processed; what cannot be used stops the call, not each case."""
    method = choose_method(settings.brain)
    load_atlas(settings.atlas)
    folder = store_folder(out, {})
    if settings.pictures is not None:
        OutputFolder(Path(settings.pictures), PICTURES).names()  # refuses a file
    atlas, pictures = (None if path is None else Path(path).absolute() for path in (settings.atlas, settings.pictures))
    return _Work(out.absolute(), folder, atlas, method, check_names(settings.accept), settings.codec, pictures)


def _store_studies(
    todo: Sequence[Study], work: _Work, sharing: Sharing, report: RawStoreReport, progress: Progress
) -> list[str]:
    """Store studies, record the outcome of each in the report, and return the ids of those stored."""
    check_room(Path(report.store), len(todo) * CASE_BYTES, len(todo))
    for folder in (work.out, work.pictures):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    written = []
    jobs = map_cases(partial(_store_study, work=work), todo, workers=sharing.workers, scheduler=sharing.scheduler)
    for done, (study, answer) in enumerate(jobs, 1):
        if isinstance(answer, CaseError):
            report.refused[study.id] = str(answer)
        else:
            written.append(study.id)
            _note(report, study.id, answer)
        progress("preprocess", done, len(todo))
    return written


@dataclass(frozen=True)
class _Outcome:
    """The report of one stored study."""

    modalities: tuple[str, ...]
    choice: str
    quality: dict[str, Any]
    warnings: tuple[str, ...]


def _store_study(study: Study, *, work: _Work) -> _Outcome:
    picture = None if work.pictures is None else work.pictures / f"{study.id}.png"
    for path in (case_path(work.out, study.id), picture):
        if path is not None:
            check_name(path)  # before spending minutes on it
    raw = prepare_study(study, atlas=work.atlas, brain=work.method)
    if picture is not None:
        save(study_figure(raw), picture)
    sources = study_sources(study, work.atlas, work.method)
    prepared = checked(prepared_study(raw, sources), work.accept)
    write_case(work.out, prepared, codec=work.codec)
    return _Outcome(tuple(raw.images), raw.describe_choice(), raw.quality.as_dict(), prepared.header.warnings)


def _note(report: RawStoreReport, case: str, outcome: _Outcome) -> None:
    missing = tuple(m for m in MODALITIES if m not in outcome.modalities)
    if missing:
        report.missing[case] = missing
    report.choices[case] = outcome.choice
    report.quality[case] = outcome.quality
    if outcome.warnings:
        report.warnings[case] = outcome.warnings


def _check_same(stored: StoredCase, name: str, *, found: Mapping[str, Study], work: _Work) -> None:
    """Refuse to continue in a store of other settings, and to keep a case of other scans."""
    study = found[name]
    before, now = list(stored.header.sources), list(study_sources(study, work.atlas, work.method))
    asked = replace(work.folder, settings={**_named(now), "codec": work.codec})
    check_settings(asked, stored, {**_named(before), "codec": codec_of(stored)})
    if before != now:
        raise CaseError(
            f"{stored.path} was stored from other files ({', '.join(s['name'] for s in before[:-2])}) than {study.id} has now"
            f" ({', '.join(s['name'] for s in now[:-2])}, or other bytes); make it again with --force, or use another --out."
        )


def _named(sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the atlas and the brain's method, named by the last two sources of a raw case."""
    return {what: name for what, _, name in (str(source["name"]).partition(": ") for source in sources[-2:])}
