"""From a folder of cases to a store: one file per case, in any number of processes, resumable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from brats3d import images
from brats3d.cases import Case, CaseIds, find_cases, read_case_ids, select_ids
from brats3d.checks.checked import checked
from brats3d.checks.coding import coding_outliers
from brats3d.checks.doubtful_codings import SAMPLE, doubtful_codings, without_overruled_names
from brats3d.checks.tissue import from_plain
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, check_kind
from brats3d.files import OutputFolder
from brats3d.parallel import Sharing, map_cases, share
from brats3d.preprocess.changes import check_codings, check_facts, check_sources
from brats3d.preprocess.prepare import prepare_case
from brats3d.preprocess.store_settings import StoreSettings
from brats3d.preprocess.stored import check_room, check_settings, codec_of, store_folder, stored_before
from brats3d.store import CaseHeader, Store, StoredCase, case_path, find_duplicates, open_store, write_case


@dataclass(frozen=True)
class StoreReport:
    """The outcome of each case.

    Attributes:
        store: the store's folder.
        written: ids of the cases stored by this call.
        kept: ids of the cases that were stored before.
        refused: case id → why it was not stored.
        warnings: case id → what is odd about it, one sentence each, also for cases kept, and for others in the store that stand
            out beside those written; it is stored nevertheless.
    """

    store: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    refused: dict[str, str]
    warnings: dict[str, tuple[str, ...]]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def build_store(
    source: Sequence[Path | str] | Path | str,
    *,
    out: Path | str,
    cases: CaseIds | None = None,
    settings: StoreSettings = StoreSettings(),
    sharing: Sharing = Sharing(),
    force: bool = False,
    progress: Progress = silent,
) -> StoreReport:
    """Stack the scans of every case under a folder into a store, one HDF5 file per case.

    Cases that are already stored are kept, so the same call continues where it stopped. A script that uses several workers
    calls this under ``if __name__ == "__main__":``, since spawned processes run the script again. Many machines can fill one
    store with ``Sharing(shard=…)`` in the jobs of an array, or with a Dask scheduler; all of them must see source and store.
    Each job of an array compares its labels' codings with those stored so far, and does not look for copies of a case:
    afterwards ``python -m brats3d.store STORE --duplicates`` does.

    Args:
        source: folders that hold cases of any BraTS year, nested in any way, or manifests (.csv, .json).
        out: the store's folder; made if it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test; from Python a list of ids too.
        settings: what the labels mean, which checks are waived, and the codec.
        sharing: in how many processes, or jobs.
        force: build these cases again, even if they are already stored.
        progress: called as cases finish.

    Returns:
        What was written, kept and refused, and what is odd.

    Raises:
        NoCasesError: no case was recognised.
        OutputExistsError: all cases are already stored, they were stored with another label set or codec, or a file has the
            store's name.
        OptionError: a requested case does not exist, or the scheduler cannot be used.
        MissingExtraError: a scheduler is given, but Dask is not installed.
        SpaceError: the disk has too little room; finished cases stay.
        WorkerError: a worker process was killed, or a scheduler has none; finished cases stay.
    """
    check_kind("settings", settings, StoreSettings)
    check_kind("sharing", sharing, Sharing)
    out = Path(out)
    folder = store_folder(out, {"label set": settings.coding and settings.coding.plain, "codec": settings.codec})
    asked = _asked_for(source, cases)
    meant = asked if settings.coding is None else without_overruled_names(asked, settings.coding)
    found = {case.id: case for case in share(meant, sharing.shard)}
    check_codings(out, found.values(), settings.coding, force=force)
    check = None if force else partial(_check_stored, found=found, folder=folder)
    before = stored_before(folder, list(found), check, _named(source))
    todo = [case for case in found.values() if not {case.id} & {*before.kept, *before.refused}]
    written, refused = _store_cases(out, todo, settings, sharing, progress)
    refused = dict(sorted({**before.refused, **refused}.items()))
    stored = {**before.kept, **written}
    warnings = {name: list(header.warnings) for name, header in stored.items()}
    if written:
        _compare(warnings, open_store(out), stored, sharing, progress)
    if settings.coding is None:
        beside = [*(found[name] for name in refused), *_unstored(asked, found, out)]
        for name, sentence in doubtful_codings([(found[name], header) for name, header in stored.items()], beside).items():
            warnings[name].append(sentence)
    said = {name: tuple(sentences) for name, sentences in sorted(warnings.items()) if sentences}
    return StoreReport(str(out), tuple(sorted(written)), tuple(before.kept), refused, said)


def _asked_for(source: Sequence[Path | str] | Path | str, cases: CaseIds | None) -> list[Case]:
    found = find_cases(source)
    if cases is None:
        return found
    by_id = {c.id: c for c in found}
    return [by_id[name] for name in select_ids(read_case_ids(cases), by_id, _named(source))]


def _named(source: Sequence[Path | str] | Path | str) -> str:
    return str(source) if isinstance(source, Path | str) else ", ".join(str(each) for each in source)


def _check_stored(stored: StoredCase, name: str, *, found: Mapping[str, Case], folder: OutputFolder) -> None:
    """Refuse to continue in a store of other settings, and to keep a case of other files or facts."""
    check_settings(folder, stored, {"label set": stored.coding and stored.coding.plain, "codec": codec_of(stored)})
    try:
        check_sources(stored, found[name])
    except OSError as problem:
        raise CaseError(
            f"{problem.filename}: cannot be compared with what is stored ({problem.strerror}); make it readable,"
            " or leave the case out."
        ) from problem
    check_facts(stored, found[name])


def _store_cases(
    out: Path, todo: Sequence[Case], settings: StoreSettings, sharing: Sharing, progress: Progress
) -> tuple[dict[str, CaseHeader], dict[str, str]]:
    """Store cases, and return the headers of those written and why the others are refused."""
    check_room(out, _most_bytes(todo), len(todo))
    out.mkdir(parents=True, exist_ok=True)
    written, refused = dict[str, CaseHeader](), dict[str, str]()
    # The workers of a cluster do not know the folder in which the command was given; the cases' files are absolute.
    store_one = partial(_store_case, out=out.absolute(), settings=settings)
    jobs = map_cases(store_one, todo, workers=sharing.workers, scheduler=sharing.scheduler)
    for done, (case, answer) in enumerate(jobs, 1):
        if isinstance(answer, CaseError):
            refused[case.id] = str(answer)
        else:
            written[case.id] = answer
        progress("preprocess", done, len(todo))
    return written, refused


def _store_case(case: Case, *, out: Path, settings: StoreSettings) -> CaseHeader:
    prepared = checked(prepare_case(case, settings.coding), settings.accept)
    write_case(out, prepared, codec=settings.codec)
    return prepared.header


def _compare(
    warnings: dict[str, list[str]], store: Store, stored: Mapping[str, CaseHeader], sharing: Sharing, progress: Progress
) -> None:
    """Report which cases stand out from the others of the store, and which are copies."""
    _add_outliers(warnings, {**_others(store, stored), **stored})
    if sharing.shard is None:  # otherwise other jobs fill the store too, and it is incomplete
        _add_duplicates(warnings, store, sharing.workers, progress)


def _others(store: Store, asked: Mapping[str, CaseHeader]) -> dict[str, CaseHeader]:
    """Return what is known of the readable cases of a store that were not requested."""
    found: dict[str, CaseHeader] = {}
    for name in store:
        if name not in asked:
            with suppress(CaseError), store[name] as case:
                found[name] = case.header
    return found


def _add_outliers(warnings: dict[str, list[str]], stored: Mapping[str, CaseHeader]) -> None:
    """Report labels that are coded differently from the others of their label set."""
    for coding in {header.coding for header in stored.values()}:
        cohort = {n: f.label_features for n, f in stored.items() if f.label_features and f.coding == coding}
        for name, sentence in coding_outliers({n: from_plain(features) for n, features in cohort.items()}).items():
            warnings.setdefault(name, []).append(sentence)


def _add_duplicates(warnings: dict[str, list[str]], store: Store, workers: int | None, progress: Progress) -> None:
    """Report which cases are copies of one another."""
    pairs = find_duplicates(store, workers=workers, progress=progress).pairs if len(store) > 1 else ()
    for pair in pairs:
        for name, other in ((pair.case_a, pair.case_b), (pair.case_b, pair.case_a)):
            if name in warnings:
                warnings[name].append(f"{name} and {other}: {pair.why}; leave one out, or keep both on one side of a split.")


def _unstored(asked: Sequence[Case], found: Mapping[str, Case], out: Path) -> list[Case]:
    """Return a sample of the cases of other shards that are not stored yet."""
    elsewhere = (case for case in asked if case.id not in found and not case_path(out, case.id).exists())
    return list(islice(elsewhere, SAMPLE))


def _files(case: Case) -> list[Path]:
    """Return a case's files; broken links are left out here, and found when read."""
    return [file for file in case.files if file.exists()]


def _most_bytes(todo: Sequence[Case]) -> float:
    """Return the most that cases take once stored: about 0.8 of their sources' own size."""
    files = [f for case in todo for f in _files(case)]
    return sum(images.size_of(f) * (1 if f.name.lower().endswith("z") else 0.3) for f in files)
