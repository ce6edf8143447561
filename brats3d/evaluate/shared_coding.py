"""Settles what the values of the labels of one folder mean, for all of them before any is scored.

A folder of predictions comes from one program, and a folder of references from one release, so their labels share one coding. A
single label does not always show which: a prediction of 1 and 2 fits every year, although others beside it may have the 3 of
2023 under the names of 2021. On its own, it would be scored in another coding than the rest. So the values are read first, in
about 5 % of the time that scoring takes, unless a store, a list or the option says what they mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from brats3d.cases import Case, settle_together
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, LabelError, OptionError
from brats3d.evaluate.label_files import LabelFile, Side, label_values
from brats3d.parallel import map_cases
from brats3d.regions import LabelSet, whole_tumour_doubt

MANY = 200
"""From this many labels on, reading takes seconds: it is worth starting processes and showing progress."""


@dataclass(frozen=True)
class Codings:
    """What is known about the codings of one side.

    Attributes:
        files: case id → where its label is; ``settled`` is the label set if names and values decide it.
        refused: case id → why its label cannot be read in any possible label set.
        warnings: what is odd about the side as a whole.
    """

    files: Mapping[str, LabelFile]
    refused: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def settle_codings(side: Side, files: Mapping[str, LabelFile], *, workers: int = 1, progress: Progress = silent) -> Codings:
    """Settle what the values of a side's labels mean; all share one coding, unless it is known that they differ.

    Args:
        side: predictions or references.
        files: case id → where its label is.
        workers: processes to read labels with.
        progress: called as labels are read, if there are many.

    Raises:
        OptionError: values contradict the names or one another; the message says how many labels have which values, and the
            option that settles it.
        WorkerError: a worker process was killed.
    """
    open_ones = {case: file for case, file in files.items() if _open(file)}
    values: dict[str, list[int]] = {}
    refused: dict[str, str] = {}
    many = len(open_ones) >= MANY
    jobs = map_cases(_case_values, list(open_ones.items()), workers=workers if many else 1)
    for done, ((case, _), answer) in enumerate(jobs, 1):
        if isinstance(answer, CaseError):
            refused[case] = str(answer)
        else:
            values[case] = answer
        if many:
            progress(f"values of {side.what}s", done, len(open_ones))
    labels = {case: (file.named, values[case]) for case, file in open_ones.items() if case in values and file.named}
    try:
        settled = settle_together(labels, side.asked, option=side.option)
    except LabelError as doubt:
        raise OptionError(f"{side.folder}: what the values of the {side.what}s mean is in doubt: {doubt}") from doubt
    refused |= {case: f"{files[case].path}: {why}" for case, why in settled.items() if isinstance(why, LabelError)}
    known = {case: coding for case, coding in settled.items() if isinstance(coding, LabelSet)}
    files = {case: replace(file, settled=known.get(case)) for case, file in files.items()}
    return Codings(files, refused, _whole_tumours(side, known, labels) if side.requested is None else ())


def _open(file: LabelFile) -> bool:
    """Return whether names and values must settle what a label means, or whether its name agrees with the option."""
    decided = file.side.requested is not None and not file.side.names_bind
    return not decided and file.recorded is None and file.named is not None and file.path is not None and not file.stored


def _case_values(item: tuple[str, LabelFile]) -> list[int]:
    return label_values(item[1])


def _whole_tumours(
    side: Side, settled: Mapping[str, LabelSet], labels: Mapping[str, tuple[Case, Collection[int]]]
) -> tuple[str, ...]:
    """Warn that masks of the whole tumour may be taken for one tissue, if all labels of a coding contain only 1."""
    doubted: list[str] = []
    doubts: list[str] = []
    for coding in dict.fromkeys(settled.values()):
        cases = [case for case, known in settled.items() if known == coding]
        doubt = whole_tumour_doubt({value for case in cases for value in labels[case][1]}, coding)
        doubted += cases if doubt else []
        doubts += [doubt] if doubt else []
    if not doubts:
        return ()
    return (
        f"{side.folder}: {len(doubted)} of {len(settled)} {side.what}s (such as {doubted[0]}) contain {doubts[0]}; if they"
        f" are masks of the whole tumour, use {side.option} GTV.",
    )
