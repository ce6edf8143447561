"""``python -m brats3d.store``: list, verify, pack or merge a store, or look for copies in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from brats3d.console import Action, call_action, run, text_table
from brats3d.store.audit import AuditReport, audit_split
from brats3d.store.duplicates import Duplicates, find_duplicates
from brats3d.store.listing import LISTING_NAME, StoreListing, describe_store, write_listing
from brats3d.store.merge import MergeReport, merge_stores, unpack_store
from brats3d.store.pack import PackReport, pack_store


def _show_listing(listing: StoreListing) -> str:
    rows = [
        [name, r["corpus"], r["grade"], "×".join(map(str, r["shape"])), r["label_set"],
         " ".join(f"{v}:{ml:g}" for v, ml in r["label_ml"].items()), r["megabytes"]]
        for name, r in listing.cases.items()
    ]  # fmt: skip
    table = text_table(["case", "corpus", "grade", "shape", "label set", "label values: ml", "MB"], rows)
    return f"{table}\n{len(listing.cases)} cases, {len(listing.refused)} damaged"


def _show_written(listing: StoreListing) -> str:
    return f"{_show_listing(listing)}\nsaved as {listing.store}/{LISTING_NAME}"


def _show_packed(report: PackReport) -> str:
    return f"{report.out}: {len(report.cases)} cases of {report.store} in {report.megabytes:g} MB"


def _show_merged(report: MergeReport) -> str:
    return f"{report.store}: {len(report.added)} cases added, {len(report.kept)} already there, {len(report.refused)} refused"


def _show_audit(report: AuditReport) -> str:
    rows = [
        *([leak.case_a, leak.part_a, leak.case_b, leak.part_b, leak.why] for leak in report.leaks),
        *([pair.case_a, "same part", pair.case_b, "same part", pair.why] for pair in report.duplicates),
    ]
    table = text_table(["case", "in", "case", "in", "one patient because"], rows) + "\n" if rows else ""
    return (
        f"{table}{report.cases} cases of {report.split}: {len(report.leaks)} leaks, {len(report.duplicates)} duplicates in one"
        f" part, {len(report.damaged)} damaged"
    )


def _show_duplicates(found: Duplicates) -> str:
    rows = [[pair.case_a, pair.case_b, pair.why] for pair in found.pairs]
    table = text_table(["case", "and", "one patient because"], rows) + "\n" if rows else ""
    return f"{table}{len(found.pairs)} pairs of cases show the same scans, {len(found.refused)} damaged"


ACTIONS = {
    "": Action(describe_store, _show_listing),
    "write": Action(write_listing, _show_written, example="python -m brats3d.store STORE --write"),
    "pack": Action(pack_store, _show_packed, "out", "python -m brats3d.store STORE --pack STORE.h5"),
    "unpack": Action(unpack_store, _show_merged, "out", "python -m brats3d.store STORE.h5 --unpack STORE"),
    "merge": Action(merge_stores, _show_merged, "others", "python -m brats3d.store STORE --merge OTHER_STORE"),
    "duplicates": Action(find_duplicates, _show_duplicates, example="python -m brats3d.store STORE --duplicates"),
    "audit": Action(audit_split, _show_audit, "split", "python -m brats3d.store STORE --audit RUN/split.json"),
}
"""Option → what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """List the cases of a store, or do what an option says."""
    return call_action(
        ACTIONS,
        argv,
        example="python -m brats3d.store STORE --verify",
        prog="python -m brats3d.store",
        defaults={"workers": None},  # as in brats3d.preprocess
    )


if __name__ == "__main__":
    sys.exit(run(main))
