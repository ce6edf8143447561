"""``python -m brats3d.preprocess``: from a folder of scans to a store; or list what is there, or start from raw scans."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from brats3d.console import Action, call_action, run
from brats3d.preprocess.case_listing import CaseListing, list_cases
from brats3d.preprocess.raw_building import RawStoreReport, build_raw_store
from brats3d.preprocess.store_building import StoreReport, build_store

SHOWN = 40
"""Warnings that are printed; ``--json`` has them all."""


def _show(report: StoreReport) -> str:
    return "\n".join([*_warnings(report.warnings), *_counts(report)])


def _show_raw(report: RawStoreReport) -> str:
    choices = [f"{case}: {words}" for case, words in sorted(report.choices.items())]
    lacking = [f"{case}: without {', '.join(names)}" for case, names in sorted(report.missing.items()) if names]
    return "\n".join([*choices, *lacking, *_warnings(report.warnings), *_counts(report)])


def _warnings(warnings: Mapping[str, Sequence[str]]) -> list[str]:
    lines = [
        f"warning {case}: {sentence.removeprefix(f'case {case}: ')}"
        for case, sentences in sorted(warnings.items())
        for sentence in sentences
    ]
    left = len(lines) - SHOWN
    return lines[:SHOWN] + [f"{left} more warnings, listed with --json"] * (left > 0)


def _counts(report: StoreReport | RawStoreReport) -> list[str]:
    odd = f", {len(report.warnings)} with warnings" if report.warnings else ""
    done = f"{report.store}: {len(report.written)} cases written, {len(report.kept)} kept, {len(report.refused)} refused{odd}"
    return [done] + [f"list them: python -m brats3d.store {report.store}"] * bool(report.written or report.kept)


ACTIONS = {
    "": Action(build_store, _show),
    "list": Action(list_cases, CaseListing.as_text, example="python -m brats3d.preprocess FOLDER --list"),
    "raw": Action(build_raw_store, _show_raw, example="python -m brats3d.preprocess STUDIES --raw --out STORE"),
}
"""Option → what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Build a store, or do what an option says."""
    return call_action(
        ACTIONS,
        argv,
        example="python -m brats3d.preprocess MICCAI_BraTS2020_TrainingData --out STORE",
        prog="python -m brats3d.preprocess",
        defaults={"workers": None},  # one per core: here, unlike in a caller's script, a spawned process finds a guarded main
    )


if __name__ == "__main__":
    sys.exit(run(main))
