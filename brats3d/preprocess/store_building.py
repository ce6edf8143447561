"""From a folder of cases to a store: one file per case, in any number of processes, and again where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from brats3d import images
from brats3d.cases import Case, find_cases, read_case_ids, select_ids
from brats3d.checks.checked import check_names, checked
from brats3d.checks.coding import coding_outliers
from brats3d.checks.doubtful_codings import SAMPLE, doubtful_codings, without_overruled_names
from brats3d.checks.tissue import from_plain
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, check_option
from brats3d.parallel import map_cases, share, worker_count
from brats3d.preprocess.changes import check_codings, check_facts, check_sources
from brats3d.preprocess.prepare import prepare_case
from brats3d.preprocess.stored import check_room, check_settings, codec_of, store_folder, stored_before
from brats3d.regions import LabelSet, LabelSetLike, find_label_set
from brats3d.store import CODECS, CaseHeader, Store, StoredCase, case_path, find_duplicates, open_store, write_case


@dataclass(frozen=True)
class StoreReport:
    """What became of each case.

    Attributes:
        store: the store's folder.
        written: ids of the cases stored by this call.
        kept: ids of the cases that were stored before.
        refused: case id → why it was not stored.
        warnings: case id → what is odd about it, a sentence each, also of cases kept, and of others in the store that stand out
            beside those written; it is stored all the same.
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
    label_set: LabelSetLike | None = None,
    accept: Sequence[str] = (),
    codec: Literal["zstd", "gzip"] = "zstd",
    workers: int | None = 1,
    shard: str | None = None,
    scheduler: str | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> StoreReport:
    """Stack the scans of every case under a folder into a store, one HDF5 file per case.

    Cases that are stored already are kept, so the same call continues where it stopped. A script that asks for several workers
    calls this under ``if __name__ == "__main__":``, since spawned processes read the script again. Many machines fill one
    store by ``shard`` in the jobs of an array, or by a Dask ``scheduler``; source and store are folders that all of them see.

    Args:
        source: folders that hold cases of any BraTS year, nested in any way, or manifests (.csv, .json).
        out: the store's folder; made if it does not exist.
        cases: only these: a file of ids, one per line, or RUN/split.json:test.
        label_set: what the labels' values mean, such as L17, or a .toml or .json file with a label set of your own; by default
            settled from names, values and images.
        accept: names of checks, separated by blanks or commas, whose refusals become warnings; each refusal names its check.
        codec: zstd is read twice as fast; gzip can be read by any HDF5.
        workers: processes, each with one case in memory; None is one per core, the command's default.
        shard: I/N: only every N-th case, starting with the I-th; 1/8 to 8/8 in eight jobs do them all. Each job compares its
            labels' codings with those stored by then. Copies of one case are searched for only without a shard; afterwards
            python -m brats3d.store STORE --duplicates does so.
        scheduler: address of a Dask scheduler whose workers do the work instead.
        force: build these cases again, even if they are stored already.
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
    if label_set is not None:
        label_set = find_label_set(label_set)
    folder = store_folder(out, {"label set": label_set and label_set.plain, "codec": codec})
    accepted = check_names(accept)
    asked = _asked_for(source, cases)
    found = share(asked if label_set is None else without_overruled_names(asked, label_set), shard)
    by_id = {case.id: case for case in found}
    check_codings(out, found, label_set, force=force)

    def check(stored: StoredCase, name: str) -> None:
        check_settings(folder, stored, {"label set": stored.coding and stored.coding.plain, "codec": codec_of(stored)})
        try:
            check_sources(stored, by_id[name])
        except OSError as problem:
            raise CaseError(
                f"{problem.filename}: cannot be compared with what is stored ({problem.strerror}); make it readable,"
                " or leave the case out."
            ) from problem
        check_facts(stored, by_id[name])

    before = stored_before(folder, list(by_id), None if force else check, _named(source))
    refused, written = dict(before.refused), dict[str, CaseHeader]()
    todo = [c for c in found if not {c.id} & {*before.kept, *refused}]
    workers = worker_count(workers, len(todo))
    check_room(out, _most_bytes(todo), len(todo))
    out.mkdir(parents=True, exist_ok=True)
    # The workers of a cluster know nothing of the folder that the command was given in; the cases' files are absolute.
    store_one = partial(_store_case, out=out.absolute(), label_set=label_set, accept=accepted, codec=codec)
    for done, (case, answer) in enumerate(map_cases(store_one, todo, workers=workers, scheduler=scheduler), 1):
        if isinstance(answer, CaseError):
            refused[case.id] = str(answer)
        else:
            written[case.id] = answer
        progress("preprocess", done, len(todo))
    stored = {**before.kept, **written}
    warnings = {name: list(header.warnings) for name, header in stored.items()}
    if written:
        store = open_store(out)
        _add_outliers(warnings, {**_others(store, stored), **stored})
        if shard is None:  # else other jobs fill the store too, and the whole is not there to look at
            _add_duplicates(warnings, store, workers, progress)
    if label_set is None:
        pairs = [(by_id[name], header) for name, header in stored.items()]
        elsewhere = (case for case in asked if case.id not in by_id and not case_path(out, case.id).exists())
        beside = [*(by_id[name] for name in refused), *islice(elsewhere, SAMPLE)]  # of another shard
        for name, sentence in doubtful_codings(pairs, beside).items():
            warnings[name].append(sentence)
    said = {name: tuple(sentences) for name, sentences in sorted(warnings.items()) if sentences}
    return StoreReport(str(out), tuple(sorted(written)), tuple(before.kept), dict(sorted(refused.items())), said)


def _others(store: Store, asked: Mapping[str, CaseHeader]) -> dict[str, CaseHeader]:
    """Return what is known of the cases of a store that were not asked for, those that can be read."""
    found: dict[str, CaseHeader] = {}
    for name in store:
        if name not in asked:
            with suppress(CaseError), store[name] as case:
                found[name] = case.header
    return found


def _add_outliers(warnings: dict[str, list[str]], stored: Mapping[str, CaseHeader]) -> None:
    """Say where a label is coded otherwise than the others of its label set."""
    for coding in {header.coding for header in stored.values()}:
        cohort = {n: f.label_features for n, f in stored.items() if f.label_features and f.coding == coding}
        for name, sentence in coding_outliers({n: from_plain(features) for n, features in cohort.items()}).items():
            warnings.setdefault(name, []).append(sentence)


def _add_duplicates(warnings: dict[str, list[str]], store: Store, workers: int, progress: Progress) -> None:
    """Say which cases are copies of one another."""
    pairs = find_duplicates(store, workers=workers, progress=progress).pairs if len(store) > 1 else ()
    for pair in pairs:
        for name, other in ((pair.case_a, pair.case_b), (pair.case_b, pair.case_a)):
            if name in warnings:
                warnings[name].append(f"{name} and {other}: {pair.why}; leave one out, or keep both on one side of a split.")


def _asked_for(source: Sequence[Path | str] | Path | str, cases: str | None) -> list[Case]:
    found = find_cases(source)
    if cases is None:
        return found
    by_id = {c.id: c for c in found}
    return [by_id[name] for name in select_ids(read_case_ids(cases), by_id, _named(source))]


def _named(source: Sequence[Path | str] | Path | str) -> str:
    return str(source) if isinstance(source, Path | str) else ", ".join(str(each) for each in source)


def _files(case: Case) -> list[Path]:
    """Return a case's files; links that lead nowhere are left out, and found when read."""
    return [file for file in case.files if file.exists()]


def _most_bytes(todo: list[Case]) -> float:
    """Return what cases take at most once stored: about 0.8 of their sources' own size."""
    files = [f for case in todo for f in _files(case)]
    return sum(images.size_of(f) * (1 if f.name.lower().endswith("z") else 0.3) for f in files)


def _store_case(case: Case, *, out: Path, label_set: LabelSet | None, accept: tuple[str, ...], codec: str) -> CaseHeader:
    prepared = checked(prepare_case(case, label_set), accept)
    write_case(out, prepared, codec=codec)
    return prepared.header
