"""From a folder of cases to a store: one file per case, in any number of processes, and again where it stopped."""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from brats3d.cases import Case, find_cases, read_case_ids, select_ids
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, OutputExistsError, SpaceError, check_option
from brats3d.parallel import map_cases, worker_count
from brats3d.preprocess.prepare import prepare_case
from brats3d.regions import label_set as named_label_set
from brats3d.store import CODECS, StoredCase, case_path, write_case

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreReport:
    """What became of each case.

    Attributes:
        store: the store's folder.
        written: ids of the cases stored by this call.
        kept: ids of the cases that were stored before.
        refused: case id → why it was not stored.
    """

    store: str
    written: tuple[str, ...]
    kept: tuple[str, ...]
    refused: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def build_store(
    source: Path | str,
    *,
    out: Path | str,
    cases: str | None = None,
    label_set: str | None = None,
    codec: Literal["blosc2", "gzip"] = "blosc2",
    workers: int | None = 1,
    force: bool = False,
    progress: Progress = silent,
) -> StoreReport:
    """Stack the scans of every case under a folder into a store, one HDF5 file per case.

    Cases that are stored already are kept, so the same call goes on where it stopped. A script that asks for several workers
    calls this under ``if __name__ == "__main__":``, since spawned processes read the script again.

    Args:
        source: folder that holds cases of any BraTS year, nested in any way.
        out: the store's folder; made where it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test.
        label_set: what the labels' values mean, such as L17; settled from names and values where not given.
        codec: blosc2 reads three times faster, gzip is readable by any HDF5.
        workers: processes, each with one case in memory; by default the function starts none, and the command one per core
            (None).
        force: make the files of these cases again.
        progress: called as cases finish.

    Returns:
        What was written, kept and refused.

    Raises:
        NoCasesError: no case was recognised.
        OutputExistsError: all cases are stored already, they were stored with another label set or codec, or a file has the
            store's name.
        OptionError: a case asked for is not there, no label set or codec of that name, or fewer than one worker.
        SpaceError: the disk has too little room; finished cases stay.
        WorkerError: a worker process was killed; finished cases stay.
    """
    source, out = Path(source), Path(out)
    check_option("codec", codec, CODECS)
    _check_options(out, label_set)
    found = _asked_for(source, cases)
    kept, refused = ([], {}) if force else _stored_before(out, found, label_set, codec)
    if len(kept) == len(found):
        raise OutputExistsError(f"{out} holds all {len(kept)} cases of {source} already; use --force to make them again.")
    seen = {*kept, *refused}
    todo = [c for c in found if c.id not in seen]
    workers = worker_count(workers, len(todo))
    _check_space(out, todo)
    out.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    store_one = partial(_store_case, out=out, label_set=label_set, codec=codec)
    for done, (case, answer) in enumerate(map_cases(store_one, todo, workers=workers), 1):
        if isinstance(answer, CaseError):
            refused[case.id] = str(answer)
        else:
            written.append(case.id)
        progress("preprocess", done, len(todo))
    return StoreReport(str(out), tuple(sorted(written)), tuple(kept), dict(sorted(refused.items())))


def _check_options(out: Path, label_set: str | None) -> None:
    if label_set is not None:
        named_label_set(label_set)
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file; expected the folder of a store, or a name that is free.")


def _asked_for(source: Path, cases: str | None) -> list[Case]:
    found = find_cases(source)
    if cases is None:
        return found
    by_id = {c.id: c for c in found}
    return [by_id[name] for name in select_ids(read_case_ids(cases), by_id, str(source))]


def _stored_before(out: Path, found: list[Case], label_set: str | None, codec: str) -> tuple[list[str], dict[str, str]]:
    """Return the ids of the cases that are stored, and of those that are not stored as they should be what is wrong."""
    kept: list[str] = []
    refused: dict[str, str] = {}
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
    return [file for file in (*case.images.values(), case.label) if file is not None and file.exists()]


def _check_space(out: Path, todo: list[Case]) -> None:
    """Refuse to begin where the sources' own size does not fit: stored cases take about 0.8 of it."""
    files = [f for case in todo for f in _files(case)]
    needed = sum(f.stat().st_size * (1 if f.name.lower().endswith(".gz") else 0.3) for f in files)
    free = shutil.disk_usage(next(p for p in (out, *out.absolute().parents) if p.exists())).free
    if needed > free:
        raise SpaceError(f"{out}: about {needed / 1e9:.1f} GB are needed for {len(todo)} cases, {free / 1e9:.1f} GB are free.")


def _store_case(case: Case, *, out: Path, label_set: str | None, codec: str) -> str:
    return str(write_case(out, prepare_case(case, label_set), codec=codec))
