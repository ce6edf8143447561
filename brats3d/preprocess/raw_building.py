"""From a folder of clinical studies to a store: `preprocess --raw`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from brats3d.cases import read_case_ids, select_ids
from brats3d.checks.checked import check_names, checked
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, check_option
from brats3d.figures import save
from brats3d.files import Contents, OutputFolder, check_name
from brats3d.parallel import map_cases, share, worker_count
from brats3d.preprocess.prepared_study import prepared_study, study_sources
from brats3d.preprocess.raw_report import RawStoreReport
from brats3d.preprocess.stored import check_room, check_settings, codec_of, store_folder, stored_before
from brats3d.raw import Study, choose_method, find_studies, load_atlas, prepare_study, study_figure
from brats3d.regions import MODALITIES
from brats3d.store import CODECS, StoredCase, case_path, write_case

log = logging.getLogger(__name__)

PICTURES = Contents("pictures", option="--pictures")
CASE_BYTES = 40_000_000
"""About what a stored case takes at most."""


def build_raw_store(
    source: Path | str,
    *,
    out: Path | str,
    cases: str | None = None,
    atlas: Path | str | None = None,
    brain: Literal["auto", "atlas", "hd-bet", "synthstrip"] = "auto",
    accept: Sequence[str] = (),
    codec: Literal["zstd", "gzip"] = "zstd",
    pictures: Path | str | None = None,
    workers: int | None = 1,
    shard: str | None = None,
    scheduler: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> RawStoreReport:
    """Bring every clinical study under a folder to the BraTS grid and into a store, one HDF5 file per case.

    Cases that are stored already are kept, so the same call continues where it stopped. Many machines fill one store by
    ``shard`` in the jobs of an array, or by a Dask ``scheduler``; source, atlas and store are then seen by all of them.

    Args:
        source: folder of studies, DICOM or NIfTI with skull, nested in any way; one folder per study.
        out: the store's folder; made if it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test.
        atlas: a T1-weighted head without skull; by default MNI152 as nilearn ships it.
        brain: how the brain is extracted: auto uses HD-BET or SynthStrip if installed, else the atlas.
        accept: names of checks, separated by blanks or commas, whose refusals become warnings; each refusal names its check.
        codec: zstd is read twice as fast; gzip can be read by any HDF5.
        pictures: folder for quality control: a picture of each case before and after, refused ones too, as <case id>.png; none
            by default.
        workers: processes, each with one case in memory; None is one per core, the command's default.
        shard: I/N: only every N-th study, starting with the I-th.
        scheduler: address of a Dask scheduler whose workers do the work instead.
        force: build these cases again, even if they are stored already.
        progress: called as cases finish.

    Returns:
        What was written, kept and refused, which series were chosen, and the numbers and flags of quality control.

    Raises:
        NoCasesError: no study was found.
        OutputExistsError: all cases are stored already, they were stored with another atlas, method or codec, or a file has
            the store's name.
        OptionError: a case asked for is not there, no such codec, check or method, its program is not installed, fewer than
            one worker, or a shard or scheduler that cannot be used.
        ImageError: the atlas cannot be used.
        GridError: the atlas' axes are singular or sheared.
        MissingExtraError: SimpleITK or nilearn is not installed, or Dask where a scheduler is given.
        SpaceError: the disk has too little room; finished cases stay.
        WorkerError: a worker process was killed, or a scheduler has none; finished cases stay.
    """
    source, out = Path(source), Path(out)
    check_option("codec", codec, CODECS)
    accepted = check_names(accept)
    method = choose_method(brain)
    load_atlas(atlas)  # what cannot be used ends the whole, not every case
    found = {study.id: study for study in find_studies(source)}
    chosen = share(list(found) if cases is None else select_ids(read_case_ids(cases), found, str(source)), shard)
    folder = store_folder(out, {})
    if pictures is not None:
        OutputFolder(Path(pictures), PICTURES).names()  # refuses a file
    # the workers of a cluster know nothing of the folder that the command was given in
    paths = [None if path is None else Path(path).absolute() for path in (atlas, pictures)]
    settings = _Settings(out.absolute(), paths[0], method, accepted, codec, paths[1])

    def check(stored: StoredCase, name: str) -> None:
        _check_same(folder, stored, found[name], settings)

    before = stored_before(folder, chosen, None if force else check, str(source))
    refused = dict(before.refused)
    todo = [found[name] for name in chosen if name not in {*before.kept, *refused}]
    check_room(out, len(todo) * CASE_BYTES, len(todo))
    for place in (out, settings.pictures):
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
    report = RawStoreReport(str(out), (), tuple(before.kept), refused)
    report.warnings.update({name: header.warnings for name, header in before.kept.items() if header.warnings})
    done_cases = []
    count, one = worker_count(workers, len(todo)), partial(_store_study, settings=settings)
    jobs = map_cases(one, todo, workers=count, scheduler=scheduler)
    for done, (study, answer) in enumerate(jobs, 1):
        if isinstance(answer, CaseError):
            refused[study.id] = str(answer)
        else:
            done_cases.append(study.id)
            _note(report, study.id, answer)
        progress("preprocess", done, len(todo))
    return replace(report, written=tuple(sorted(done_cases)), refused=dict(sorted(refused.items())))


@dataclass(frozen=True)
class _Settings:
    """What is the same for all studies."""

    out: Path
    atlas: Path | None
    brain: str
    accept: tuple[str, ...]
    codec: str
    pictures: Path | None


@dataclass(frozen=True)
class _Outcome:
    """What is reported of one study that was stored."""

    modalities: tuple[str, ...]
    choice: str
    quality: dict[str, Any]
    warnings: tuple[str, ...]


def _store_study(study: Study, *, settings: _Settings) -> _Outcome:
    picture = None if settings.pictures is None else settings.pictures / f"{study.id}.png"
    for path in (case_path(settings.out, study.id), picture):
        if path is not None:
            check_name(path)  # before minutes of work
    raw = prepare_study(study, atlas=settings.atlas, brain=settings.brain)
    if picture is not None:
        save(study_figure(raw), picture)
    sources = study_sources(study, settings.atlas, settings.brain)
    prepared = checked(prepared_study(raw, sources), settings.accept)
    write_case(settings.out, prepared, codec=settings.codec)
    return _Outcome(tuple(raw.images), raw.describe_choice(), raw.quality.as_dict(), prepared.header.warnings)


def _note(report: RawStoreReport, case: str, outcome: _Outcome) -> None:
    missing = tuple(m for m in MODALITIES if m not in outcome.modalities)
    if missing:
        report.missing[case] = missing
    report.choices[case] = outcome.choice
    report.quality[case] = outcome.quality
    if outcome.warnings:
        report.warnings[case] = outcome.warnings


def _check_same(folder: OutputFolder, stored: StoredCase, study: Study, settings: _Settings) -> None:
    """Refuse to continue in a store of other settings, and to keep a case of other scans."""
    before, now = list(stored.header.sources), list(study_sources(study, settings.atlas, settings.brain))
    asked = replace(folder, settings={**_named(now), "codec": settings.codec})
    check_settings(asked, stored, {**_named(before), "codec": codec_of(stored)})
    if before != now:
        raise CaseError(
            f"{stored.path} was stored from other files ({', '.join(s['name'] for s in before[:-2])}) than {study.id} has now"
            f" ({', '.join(s['name'] for s in now[:-2])}, or other bytes); make it again with --force, or use another --out."
        )


def _named(sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the last two sources of a raw case name: its atlas, and how its brain was found."""
    return {what: name for what, _, name in (str(source["name"]).partition(": ") for source in sources[-2:])}
