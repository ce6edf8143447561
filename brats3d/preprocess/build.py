"""From a folder of cases to a store: one file per case, in any number of processes, and again where it stopped."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from brats3d.cases import Case, find_cases, read_case_ids, select_ids
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, OutputExistsError, SpaceError, check_option
from brats3d.files import remove_stale_among
from brats3d.parallel import map_cases, share, worker_count
from brats3d.preprocess.checks import CHECKS, check_case
from brats3d.preprocess.coding import CodingFeatures, coding_outliers
from brats3d.preprocess.prepare import examine_case
from brats3d.regions import label_set as named_label_set
from brats3d.store import CODECS, StoredCase, case_path, find_duplicates, open_store, write_case

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreReport:
    """What became of each case.

    Attributes:
        store: the store's folder.
        written: ids of the cases stored by this call.
        kept: ids of the cases that were stored before.
        refused: case id → why it was not stored.
        warnings: case id → what is odd about it, a sentence each; it is stored all the same.
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
    cases: str | None = None,
    label_set: str | None = None,
    accept: Sequence[str] = (),
    codec: Literal["blosc2", "gzip"] = "blosc2",
    workers: int | None = 1,
    shard: str | None = None,
    scheduler: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> StoreReport:
    """Stack the scans of every case under a folder into a store, one HDF5 file per case.

    Cases that are stored already are kept, so the same call goes on where it stopped. A script that asks for several workers
    calls this under ``if __name__ == "__main__":``, since spawned processes read the script again. Many machines fill one
    store by ``shard`` in the jobs of an array, or by a Dask ``scheduler``; source and store are folders that all of them see.

    Args:
        source: folders that hold cases of any BraTS year, nested in any way, or manifests (.csv, .json).
        out: the store's folder; made where it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test.
        label_set: what the labels' values mean, such as L17; settled from names and values where not given.
        accept: names of checks, also as NAME,NAME, whose refusals become warnings; each refusal says its name.
        codec: blosc2 reads three times faster, gzip is readable by any HDF5.
        workers: processes, each with one case in memory; by default the function starts none, and the command one per core
            (None).
        shard: I/N, only every N-th of the cases, from the I-th: the same call with 1/8 to 8/8 in eight jobs does them all.
        scheduler: address of a Dask scheduler, whose workers do the cases instead.
        force: make the files of these cases again.
        progress: called as cases finish.

    Returns:
        What was written, kept and refused, and what is odd.

    Raises:
        NoCasesError: no case was recognised.
        OutputExistsError: all cases are stored already, they were stored with another label set or codec, or a file has the
            store's name.
        OptionError: a case asked for is not there, no label set, codec or check of that name, fewer than one worker, or a
            shard or scheduler that cannot be used.
        MissingExtraError: a scheduler is given, and Dask is not installed.
        SpaceError: the disk has too little room; finished cases stay.
        WorkerError: a worker process was killed, or a scheduler has none; finished cases stay.
    """
    out = Path(out)
    check_option("codec", codec, CODECS)
    _check_options(out, label_set)
    accepted = tuple(name.strip() for names in accept for name in names.split(","))
    for name in accepted:
        check_option("accept", name, CHECKS)
    found = share(_asked_for(source, cases), shard)
    kept, refused = ([], {}) if force else _stored_before(out, found, label_set, codec)
    if found and len(kept) == len(found):
        raise OutputExistsError(
            f"{out} holds all {len(kept)} cases of {_named(source)} already; use --force to make them again."
        )
    seen = {*kept, *refused}
    todo = [c for c in found if c.id not in seen]
    workers = worker_count(workers, len(todo))
    _check_space(out, todo)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, _Stored] = {}
    # The workers of a cluster know nothing of the folder that the command was given in; the cases' files are absolute.
    store_one = partial(_store_case, out=out.absolute(), label_set=label_set, accept=accepted, codec=codec)
    for done, (case, answer) in enumerate(map_cases(store_one, todo, workers=workers, scheduler=scheduler), 1):
        if isinstance(answer, CaseError):
            refused[case.id] = str(answer)
        else:
            written[case.id] = answer
        progress("preprocess", done, len(todo))
    warnings = _warnings(out, written, alone=shard is None)
    return StoreReport(str(out), tuple(sorted(written)), tuple(kept), dict(sorted(refused.items())), warnings)


def _warnings(out: Path, written: Mapping[str, _Stored], *, alone: bool) -> dict[str, tuple[str, ...]]:
    """Return case id → what is odd about it, by itself and beside the others.

    Args:
        out: the store.
        written: what this call stored.
        alone: whether no other job fills the store, so that it is all there to look for duplicates in.
    """
    found: dict[str, list[str]] = {name: list(stored.warnings) for name, stored in sorted(written.items())}
    for label_set in {stored.label_set for stored in written.values()}:
        cohort = {n: s.features for n, s in written.items() if s.features is not None and s.label_set == label_set}
        for name, sentence in coding_outliers(cohort).items():
            found[name].append(sentence)
    if written and alone and len(store := open_store(out)) > 1:
        for pair in find_duplicates(store).pairs:
            for name, other in ((pair.case_a, pair.case_b), (pair.case_b, pair.case_a)):
                if name in found:
                    found[name].append(f"{name} and {other}: {pair.why}; leave one out, or keep both on one side of a split.")
    return {name: tuple(sentences) for name, sentences in found.items() if sentences}


def _check_options(out: Path, label_set: str | None) -> None:
    if label_set is not None:
        named_label_set(label_set)
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file; expected the folder of a store, or a name that is free.")


def _asked_for(source: Sequence[Path | str] | Path | str, cases: str | None) -> list[Case]:
    found = find_cases(source)
    if cases is None:
        return found
    by_id = {c.id: c for c in found}
    return [by_id[name] for name in select_ids(read_case_ids(cases), by_id, _named(source))]


def _named(source: Sequence[Path | str] | Path | str) -> str:
    return str(source) if isinstance(source, Path | str) else ", ".join(str(each) for each in source)


def _stored_before(out: Path, found: list[Case], label_set: str | None, codec: str) -> tuple[list[str], dict[str, str]]:
    """Return the ids of the cases that are stored, and of those that are not stored as they should be what is wrong."""
    kept: list[str] = []
    refused: dict[str, str] = {}
    remove_stale_among(out, [case_path(out, case.id).name for case in found])  # also of those that are not made again
    for case in found:
        path = case_path(out, case.id)
        if not path.exists():
            continue
        try:
            with StoredCase(path) as stored:
                _check_settings(stored, label_set, codec)
                _check_sources(stored, case)
        except CaseError as problem:
            refused[case.id] = str(problem)
        else:
            kept.append(case.id)
    if 0 < len(kept) < len(found):
        log.warning("%s: going on, %d of %d cases are stored already.", out, len(kept), len(found))
    return kept, refused


def _check_settings(stored: StoredCase, label_set: str | None, codec: str) -> None:
    used = "gzip" if stored.images.compression == "gzip" else "blosc2"
    for what, before, now in (("label set", stored.label_set, label_set), ("codec", used, codec)):
        if before and now and before != now:
            raise OutputExistsError(
                f"{stored.path} was stored with {what} {before}, now {now} is asked for; use --force, or another --out."
            )


def _check_sources(stored: StoredCase, case: Case) -> None:
    """Refuse a case whose files are not those, by name and size, that it was stored from: some were issued again."""
    before = [(source["name"], source["bytes"]) for source in stored.facts.sources]
    now = [(file.name, file.stat().st_size) for file in _files(case)]
    for was, found in zip_longest(before, now):
        if before and was != found:  # a file of somebody's own making may not say its sources
            raise CaseError(
                f"{stored.path} was stored from {_file(was)}, where now {case.id} has {_file(found)}; make it again with"
                " --force, or use another --out."
            )


def _file(facts: tuple[str, int] | None) -> str:
    return "{} of {} bytes".format(*facts) if facts else "no such file"


def _files(case: Case) -> list[Path]:
    """Return a case's files as they are recorded in order; links that lead nowhere are left out, and found when read."""
    return [file for file in case.files if file.exists()]


def _check_space(out: Path, todo: list[Case]) -> None:
    """Refuse to begin where the sources' own size does not fit: stored cases take about 0.8 of it."""
    files = [f for case in todo for f in _files(case)]
    needed = sum(f.stat().st_size * (1 if f.name.lower().endswith(".gz") else 0.3) for f in files)
    free = shutil.disk_usage(next(p for p in (out, *out.absolute().parents) if p.exists())).free
    if needed > free:
        raise SpaceError(f"{out}: about {needed / 1e9:.1f} GB are needed for {len(todo)} cases, {free / 1e9:.1f} GB are free.")


@dataclass(frozen=True)
class _Stored:
    """What a worker says of a case it stored."""

    warnings: tuple[str, ...]
    label_set: str | None
    features: CodingFeatures | None


def _store_case(case: Case, *, out: Path, label_set: str | None, accept: tuple[str, ...], codec: str) -> _Stored:
    examined = examine_case(case, label_set)
    findings = check_case(examined.prepared, accept)
    write_case(out, examined.prepared, codec=codec)
    return _Stored(
        (*examined.warnings, *(finding.sentence for finding in findings)), examined.prepared.label_set, examined.features
    )
