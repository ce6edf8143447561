"""From a folder of clinical studies to a store: `preprocess --raw`."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from brats3d.cases import read_case_ids, select_ids
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, OutputExistsError, SpaceError, check_option
from brats3d.figures import save
from brats3d.parallel import map_cases, worker_count
from brats3d.preprocess.raw_report import RawStoreReport
from brats3d.preprocess.study import prepared_study, study_sources
from brats3d.raw import Study, choose_method, find_studies, load_atlas, prepare_study, study_figure
from brats3d.regions import MODALITIES
from brats3d.store import CODECS, StoredCase, case_path, write_case

log = logging.getLogger(__name__)

CASE_BYTES = 40_000_000
"""About what a stored case takes at most."""


def build_raw_store(
    source: Path | str,
    *,
    out: Path | str,
    cases: str | None = None,
    atlas: Path | str | None = None,
    brain: Literal["auto", "atlas", "hd-bet", "synthstrip"] = "auto",
    codec: Literal["blosc2", "gzip"] = "blosc2",
    pictures: Path | str | None = None,
    workers: int | None = 1,
    force: bool = False,
    progress: Progress = silent,
) -> RawStoreReport:
    """Bring every clinical study under a folder to the BraTS grid and into a store, one HDF5 file per case.

    Cases that are stored already are kept, so the same call goes on where it stopped.

    Args:
        source: folder that holds studies as DICOM, or as NIfTI with skull, nested in any way; a folder a study.
        out: the store's folder; made where it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test.
        atlas: a T1-weighted head without skull; by default MNI152 as nilearn ships it.
        brain: how the brain is found: auto takes an installed HD-BET or SynthStrip, else the atlas.
        codec: blosc2 reads three times faster, gzip is readable by any HDF5.
        pictures: folder for a picture, <case id>.png, of each case that this call stores, before and after, for quality
            control; none by default.
        workers: processes, each with one case in memory; by default the function starts none, and the command one per core
            (None).
        force: make the files of these cases again.
        progress: called as cases finish.

    Returns:
        What was written, kept and refused, which series were chosen, and the numbers and flags of quality control.

    Raises:
        NoCasesError: no study was found.
        OutputExistsError: all cases are stored already, they were stored with another atlas, method or codec, or a file has
            the store's name.
        OptionError: a case asked for is not there, no such codec or method, its program is not installed, or fewer than one
            worker.
        ImageError: the atlas cannot be used.
        GridError: the atlas' axes are singular or sheared.
        MissingExtraError: SimpleITK or nilearn is not installed.
        SpaceError: the disk has too little room; finished cases stay.
        WorkerError: a worker process was killed; finished cases stay.
    """
    source, out = Path(source), Path(out)
    check_option("codec", codec, CODECS)
    method = choose_method(brain)
    load_atlas(atlas)  # what cannot be used ends the whole, not every case
    found = {study.id: study for study in find_studies(source)}
    chosen = list(found) if cases is None else select_ids(read_case_ids(cases), found, str(source))
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file; expected the folder of a store, or a name that is free.")
    if pictures is not None and Path(pictures).is_file():
        raise OutputExistsError(f"{pictures} is a file; expected a folder for pictures, or a name that is free.")
    paths = [None if path is None else Path(path) for path in (atlas, pictures)]
    settings = _Settings(out, paths[0], method, codec, paths[1])
    kept, refused = ([], {}) if force else _stored_before(settings, [found[name] for name in chosen])
    if len(kept) == len(chosen):
        raise OutputExistsError(f"{out} holds all {len(kept)} cases of {source} already; use --force to make them again.")
    todo = [found[name] for name in chosen if name not in {*kept, *refused}]
    _check_space(out, len(todo))
    for folder in (out, settings.pictures):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    report = RawStoreReport(str(out), (), tuple(kept), refused)
    done_cases = []
    jobs = map_cases(partial(_store_study, settings=settings), todo, workers=worker_count(workers, len(todo)))
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
    codec: str
    pictures: Path | None


@dataclass(frozen=True)
class _Outcome:
    """What is reported of one study that was stored."""

    modalities: tuple[str, ...]
    choice: str
    quality: dict[str, Any]


def _store_study(study: Study, *, settings: _Settings) -> _Outcome:
    raw = prepare_study(study, atlas=settings.atlas, brain=settings.brain)
    if settings.pictures is not None:
        save(study_figure(raw), settings.pictures / f"{study.id}.png")
    write_case(settings.out, prepared_study(raw, study_sources(study, settings.atlas, settings.brain)), codec=settings.codec)
    return _Outcome(tuple(raw.images), raw.describe_choice(), raw.quality.as_dict())


def _note(report: RawStoreReport, case: str, outcome: _Outcome) -> None:
    missing = tuple(m for m in MODALITIES if m not in outcome.modalities)
    if missing:
        report.missing[case] = missing
    report.choices[case] = outcome.choice
    report.quality[case] = outcome.quality
    if outcome.quality["flags"]:
        report.warnings[case] = tuple(outcome.quality["flags"])


def _stored_before(settings: _Settings, studies: list[Study]) -> tuple[list[str], dict[str, str]]:
    """Return the ids of the cases that are stored, and of those that are not stored as they should be what is wrong."""
    kept: list[str] = []
    refused: dict[str, str] = {}
    for study in studies:
        path = case_path(settings.out, study.id)
        if not path.exists():
            continue
        try:
            with StoredCase(path) as stored:
                _check_same(stored, study, settings)
        except CaseError as problem:
            refused[study.id] = str(problem)
        else:
            kept.append(study.id)
    if 0 < len(kept) < len(studies):
        log.warning("%s: going on, %d of %d cases are stored already.", settings.out, len(kept), len(studies))
    return kept, refused


def _check_same(stored: StoredCase, study: Study, settings: _Settings) -> None:
    """Refuse to go on in a store of other settings, and to keep a case of other scans."""
    before, now = list(stored.facts.sources), list(study_sources(study, settings.atlas, settings.brain))
    codec = "gzip" if stored.images.compression == "gzip" else "blosc2"
    was, wanted = (", ".join([*(s["name"] for s in made[-2:]), how]) for made, how in ((before, codec), (now, settings.codec)))
    if was != wanted:
        raise OutputExistsError(
            f"{stored.path} was stored with {was}, now {wanted} is asked for; use --force, or another --out."
        )
    if before != now:
        raise CaseError(
            f"{stored.path} was stored from other files ({', '.join(s['name'] for s in before[:-2])}) than {study.id} has now"
            f" ({', '.join(s['name'] for s in now[:-2])}, or other bytes); make it again with --force, or use another --out."
        )


def _check_space(out: Path, count: int) -> None:
    free = shutil.disk_usage(next(p for p in (out, *out.absolute().parents) if p.exists())).free
    if count * CASE_BYTES > free:
        raise SpaceError(
            f"{out}: {count * CASE_BYTES / 1e9:.1f} GB are needed for {count} cases, {free / 1e9:.1f} GB are free."
        )
