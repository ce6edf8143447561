"""What a reader should know besides the scores, said once for all cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from brats3d.evaluate.label_files import Side
from brats3d.evaluate.scored_case import CaseResult
from brats3d.masks import LIST_NAME
from brats3d.scores import TASKS, OtherReading, Scoring

SHOWN = 3
"""Cases named in a message."""


def unscored(results: Collection[CaseResult], scorings: Sequence[Scoring]) -> list[str]:
    """Return, as sentences, which regions of the labels a protocol does not score, such as RC of 2024.

    Args:
        results: the result of each case.
        scorings: the protocols.
    """
    counts = {s.protocol: Counter(r for result in results for r in result.unscored.get(s.protocol, ())) for s in scorings}
    sentences = []
    for region in dict.fromkeys(region for found in counts.values() for region in found):
        silent = [protocol for protocol, found in counts.items() if found[region]]
        scored = [s.protocol for s in scorings if s.protocol not in silent]
        cases = max(found[region] for found in counts.values())
        sentences.append(
            f"{_joined(silent)} {'do' if silent[1:] else 'does'} not score {region}, which {cases} of {len(results)} cases"
            f" contain{_scored_by(region, scored)}."
        )
    return sentences


def _scored_by(region: str, asked_for: Sequence[str]) -> str:
    """Say which protocol scores a region: one of those used, or else the first that does."""
    tasks = [(protocol, task) for protocol, rows in TASKS.items() for task, row in rows.items() if region in row.regions]
    if asked_for:
        return f"; {_joined(asked_for)} {'do' if asked_for[1:] else 'does'}"
    return f"; --protocol {tasks[0][0]} --task {tasks[0][1]} does" if tasks else ""


def untold(side: Side, regions: Sequence[str], results: Collection[CaseResult]) -> list[str]:
    """Return, as a sentence, which regions have no scores because the model of the predictions does not predict them.

    Args:
        side: the predictions.
        regions: the regions of their model.
        results: the result of each case.
    """
    missing = [*dict.fromkeys(region for result in results for region in result.untold)]
    if not missing:
        return []
    verb = "are" if missing[1:] else "is"
    return [
        f"{side.folder}: {_joined(missing)} {verb} not scored, as the model predicts only {_joined(regions)} ({LIST_NAME})."
    ]


def swapped(side: Side, results: Mapping[str, CaseResult]) -> list[str]:
    """Return, as sentences, which cases look as if prediction and reference were coded differently.

    Args:
        side: the predictions.
        results: case id → its result.
    """
    groups: dict[tuple[str, str, str], dict[str, OtherReading]] = {}
    for case, result in results.items():
        if result.reading is not None:
            read_as = result.label_sets[result.reading.side == "reference"]
            groups.setdefault((result.reading.side, read_as, result.reading.label_set), {})[case] = result.reading
    sentences = []
    for (which, read_as, other), cases in groups.items():
        named = ", ".join([*cases][:SHOWN]) + (", …" if len(cases) > SHOWN else "")
        first = next(iter(cases.values()))
        better = f", as {other} {first.other_dice:.2f}" if other else ""
        sentences.append(
            f"{side.folder}: in {len(cases)} of {len(results)} cases ({named}) WT agrees with the reference but TC does"
            f" not, as if the {which} were coded differently: in the first, TC Dice is {first.dice:.2f} as {read_as}{better};"
            " check --label-set and --reference-label-set."
        )
    return sentences


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
