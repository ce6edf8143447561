"""Matches predictions to references by case id, ignoring letter case if that is unambiguous."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brats3d.cases import letter_case_ignored, match_ids
from brats3d.errors import NoCasesError
from brats3d.evaluate.label_files import LabelFile, Side


@dataclass(frozen=True)
class Labels:
    """The labels of one side: what `find_labels` found, and how to describe it."""

    side: Side
    files: Mapping[str, LabelFile]

    def __str__(self) -> str:
        return f"{self.side.folder} has {len(self.files)} ({_some(list(self.files))})"


@dataclass(frozen=True)
class Matches:
    """The cases that two sides have in common.

    Attributes:
        pairs: the reference's case id → the prediction's id in its folder.
        refused: case id → why it cannot be compared.
        warning: which ids are spelt differently on one side; may be empty.
    """

    pairs: Mapping[str, str]
    refused: Mapping[str, str]
    warning: str = ""


def match_cases(mine: Labels, theirs: Labels, wanted: Sequence[str] | None) -> Matches:
    """Return the cases on both sides, and why the others cannot be compared.

    Args:
        mine: the predictions.
        theirs: the references.
        wanted: the requested ids, or None for all.

    Raises:
        NoCasesError: the sides have no case in common; the message shows some ids of each.
    """
    alike = match_ids(mine.files, theirs.files)
    ids = sorted({*theirs.files, *(case for case in mine.files if case not in alike)}) if wanted is None else list(wanted)
    of_mine, of_theirs = match_ids(ids, mine.files), match_ids(ids, theirs.files)
    both = [case for case in ids if case in of_mine and case in of_theirs]
    if not both:
        asked = "" if wanted is None else f" among the {len(ids)} requested ({_some(ids)})"
        raise NoCasesError(
            f"no case has both a prediction and a reference{asked}: {mine}, {theirs}; name the masks after their cases,"
            " CASE.nii.gz."
        )
    ignored = letter_case_ignored(
        {case if of_mine[case] == of_theirs[case] else of_mine[case]: of_theirs[case] for case in both}
    )
    return Matches(
        {of_theirs[case]: of_mine[case] for case in both},
        {case: _alone(of_mine.get(case), of_theirs.get(case), mine, theirs) for case in ids if case not in both},
        f"predictions of {mine.side.folder} and references are {ignored}." if ignored else "",
    )


def _alone(prediction: str | None, reference: str | None, mine: Labels, theirs: Labels) -> str:
    if prediction is not None:
        return f"there is a prediction, but no reference in {theirs.side.folder}; add it, or choose cases with --cases."
    if reference is not None:
        return f"there is a reference, but no prediction in {mine.side.folder}; predict it, or choose cases with --cases."
    return f"neither {mine.side.folder} nor {theirs.side.folder} has the case; check the list of --cases."


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
