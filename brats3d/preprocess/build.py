"""From a folder of cases to a store: one file a case, in any number of processes, and again where it stopped."""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from brats3d.cases import Case, find_cases, read_case_ids, select_ids
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, OutputExistsError, SpaceError
from brats3d.parallel import map_cases, worker_count
from brats3d.preprocess.prepare import prepare_case
from brats3d.regions import label_set as named_label_set
from brats3d.store import StoredCase, case_path, write_case

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
    workers: int | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> StoreReport:
    """Stack the scans of every case under a folder into a store, one HDF5 file a case.

    Cases that are stored already are kept, so the same call goes on where it stopped.

    Args:
        source: folder that holds cases of any BraTS year, nested in any way.
        out: the store's folder; made where it does not exist.
        cases: only these: a file of ids, one a line, or RUN/split.json:test.
        label_set: what the labels' values mean, such as L17; settled from names and values where not given.
        codec: blosc2 reads three times faster, gzip is readable by any HDF5.
        workers: processes, each with one case in memory; one a core where none is given.
        force: make the files of these cases again.
        progress: called as cases finish.

    Returns:
        What was written, kept and refused.

    Raises:
        NoCasesError: no case was recognised.
        OutputExistsError: all cases are stored already, or a file has the store's name.
        OptionError: a case asked for is not there, no label set of that name, or fewer than one worker.
        SpaceError: the disk has too little room; finished cases stay.
    """
    source, out = Path(source), Path(out)
    if label_set is not None:
        named_label_set(label_set)
    found = find_cases(source)
    if cases is not None:
        by_id = {c.id: c for c in found}
        found = [by_id[name] for name in select_ids(read_case_ids(cases), by_id, str(source))]
    if out.exists() and not out.is_dir():
        raise OutputExistsError(f"{out} is a file; expected the folder of a store, or a name that is free.")
    kept, refused = ([], {}) if force else _stored_before(out, found, label_set)
    seen = {*kept, *refused}
    todo = [c for c in found if c.id not in seen]
    if len(kept) == len(found):
        raise OutputExistsError(f"{out} holds all {len(kept)} cases of {source} already; use --force to make them again.")
    if kept:
        log.warning("%s: going on, %d of %d cases are stored already.", out, len(kept), len(found))
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


def _stored_before(out: Path, found: list[Case], label_set: str | None) -> tuple[list[str], dict[str, str]]:
    """Return the ids of the cases whose files are there, and of the files that cannot be read what is wrong."""
    kept: list[str] = []
    damaged: dict[str, str] = {}
    for case in found:
        path = case_path(out, case.id)
        if not path.exists():
            continue
        try:
            with StoredCase(path) as stored:
                settled = stored.label_set
        except CaseError as problem:
            damaged[case.id] = str(problem)
            continue
        if label_set and settled and settled != label_set:
            raise OutputExistsError(
                f"{path} was stored with label set {settled}, now {label_set} is asked for; use --force, or another --out."
            )
        kept.append(case.id)
    return kept, damaged


def _check_space(out: Path, todo: list[Case]) -> None:
    """Refuse to begin where the sources' own size does not fit: stored cases take about 0.8 of it."""
    files = [f for c in todo for f in (*c.images.values(), *([c.label] if c.label else []))]
    needed = sum(f.stat().st_size * (1 if f.name.lower().endswith(".gz") else 0.3) for f in files)
    free = shutil.disk_usage(next(p for p in (out, *out.absolute().parents) if p.exists())).free
    if needed > free:
        raise SpaceError(f"{out}: about {needed / 1e9:.1f} GB are needed for {len(todo)} cases, {free / 1e9:.1f} GB are free.")


def _store_case(case: Case, *, out: Path, label_set: str | None, codec: str) -> str:
    return str(write_case(out, prepare_case(case, label_set), codec=codec))
