"""Which coding a case's label has: names, values and images together, and across a cohort.

`detective` says what the images speak for; here the names join in. What is certain is refused: values that no label set of
the name's year has. A name that says the year decides, and images that contradict it give a warning: they only suggest. Where
no name decides, the images choose among the codings; if they leave the choice open, a refusal says what settles it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from brats3d.cases import Case, binds, settle_label_set, told_by
from brats3d.checks.coding_outliers import coding_outliers
from brats3d.checks.detective import Verdict, detect_coding, detect_features, evidence, kinds_of, reading
from brats3d.checks.kinds import seen_on_images
from brats3d.checks.tissue import CodingFeatures, ValueFeatures, coding_features
from brats3d.errors import ArrayError, LabelError
from brats3d.regions import LABEL_SETS, whole_tumour_doubt

__all__ = [
    "REGIONS_AS",
    "CodingFeatures",
    "ValueFeatures",
    "Verdict",
    "coding_features",
    "coding_outliers",
    "detect_coding",
    "regions_as_label",
    "settle_coding",
    "settle_features",
]

REGIONS_AS = "LMSD"
"""The label set that counts in how many of three nested regions a voxel lies."""
CONTRADICTED = 0.01
"""A coding is contradicted where its reading has no more probability than this, and another one is sure that reads two values
or more differently: a core without a rim looks like oedema, and some tumour barely enhances, but exchanged values are two."""
LIKELY = 0.8
"""A plain name's usual coding is taken, with a warning, from this probability on: a tumour without oedema leaves some doubt. Of
39 cases under plain names, 38 are sure and the last has 0.87; of labels in codings that nobody knows, 3 % lie between."""


def settle_coding(
    case: Case,
    label: np.ndarray,
    images: Mapping[str, np.ndarray],
    requested: str | None = None,
    *,
    option: str = "--label-set",
) -> Verdict:
    """Settle the coding of a case's label from names, values and images together.

    A name that says the year decides; where it allows several readings, or the name is plain, the images decide. A request
    settles every doubt. If the images surely contradict what was decided without them or speak for a coding that nobody knows,
    or a mask of the whole tumour may be taken for one tissue, the verdict's ``warning`` says so.

    Args:
        case: the case; only its names count.
        label: (X, Y, Z) uint8.
        images: modality → (X, Y, Z), those at hand, on the label's grid.
        requested: label set that the user asks for, or None.
        option: the command's option for it, for messages.

    Returns:
        The verdict; its ``label_set`` is never None.

    Raises:
        LabelError: the values contradict the names, or names, values and images leave a doubt; says what would settle it.
        OptionError: the requested label set does not exist.
    """
    return settle_features(case, coding_features(label, images), requested, option=option)


def settle_features(
    case: Case, features: CodingFeatures, requested: str | None = None, *, option: str = "--label-set"
) -> Verdict:
    """Settle the coding as `settle_coding` does, from what the label's values look like.

    Args:
        case: the case; only its names count.
        features: from `coding_features`; what a cohort is compared by, so worth keeping.
        requested: label set that the user asks for, or None.
        option: the command's option for it, for messages.

    Returns:
        The verdict; its ``label_set`` is never None.

    Raises:
        LabelError: the values contradict the names, or names, values and images leave a doubt; says what would settle it.
        OptionError: the requested label set does not exist.
    """
    values = [0, *features]
    named = [name for name in case.label_sets if set(features) <= set(LABEL_SETS[name].tissues)]
    if requested is not None:
        return _confirmed(settle_label_set(case, values, requested, option=option), features, "asked for")
    if not binds(case):
        return _decided(case, features, detect_features(features, expected=case.label_sets), option)
    if not named:
        _refuse(case, features, option)
    if len({reading(name, features) for name in named}) > 1:
        return _decided(case, features, detect_features(features, named, expected=named), option)
    said_by = told_by(case)
    verdict = _confirmed(named[0], features, said_by or f"{case.corpus} by its name")
    if verdict.warning and not verdict.stranger:
        expected = f"{said_by}, which says" if said_by else f"its name: {case.corpus} labels follow"
        return replace(
            verdict,
            warning=f"the label contradicts {expected} {LABEL_SETS[named[0]].title}, but by the images {verdict.warning}; it is"
            f" read as {named[0]}: look at the case, and convert its label or leave it out",
        )
    single = whole_tumour_doubt(features, LABEL_SETS[named[0]])
    if single:
        return replace(
            verdict, warning=f"the label holds {single}; if it is a mask of the whole tumour, say so with {option} GTV"
        )
    return verdict


def _decided(case: Case, features: CodingFeatures, verdict: Verdict, option: str) -> Verdict:
    """Return a verdict that is sure, or likely and usual, which its warning then says; or refuse the case."""
    if verdict.sure:
        return verdict
    likeliest = sorted(verdict.scores, key=lambda name: -verdict.scores[name])[:3]
    likeliest += ["GTV"] * (set(features) == {1} and "GTV" not in likeliest)
    settles = (
        f"say which it is with {option} {' or '.join(likeliest)}" if likeliest else "check that the file is a tumour label"
    )
    usual = verdict.label_set if verdict.label_set in case.label_sets and not verdict.stranger else None
    if usual and verdict.scores[usual] >= LIKELY and any(seen_on_images(seen) for seen in features.values()):
        return replace(verdict, warning=f"the label is read as {usual}, but its name does not tell, and {verdict.sentence()};"
                       f" if it is another, {settles}")  # fmt: skip
    raise LabelError(
        f"what the label of {case.id} means is in doubt, and its name does not tell: {verdict.sentence()}; {settles}."
    )


def _refuse(case: Case, features: CodingFeatures, option: str) -> None:
    """Refuse values that no coding of a name's year knows, with what the images say."""
    try:
        settle_label_set(case, [0, *features], option=option)
    except LabelError as problem:
        seen = detect_features(features)
        opinion = f" (by the images it is {seen.sentence()})" if seen.sure else ""
        raise LabelError(f"{str(problem).rstrip('.')}{opinion}.") from problem


def _confirmed(name: str, features: CodingFeatures, why: str) -> Verdict:
    """Return a verdict for a coding that somebody or a name says, with a warning where the images surely contradict it."""
    seen = detect_features(features)
    warning = ""
    if seen.sure and _differing(seen.label_set, name, features) > 1 and seen.scores.get(name, 0.0) <= CONTRADICTED:
        warning = f"the label is {seen.sentence()}"
    elif seen.stranger:
        warning = f"the label looks as if it were not {name}: {seen.sentence()}"
    said = (why, *evidence(features, kinds_of(name, features)))
    return Verdict(name, said, seen.scores, True, stranger=seen.stranger, warning=warning)


def _differing(first: str | None, second: str, values: Iterable[int]) -> int:
    """Return how many values two codings read differently: one may look otherwise by nature, exchanged ones are two."""
    if first is None:
        return 0
    return sum(a != b for a, b in zip(reading(first, values), reading(second, values), strict=True))


def regions_as_label(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the label that three nested masks mean: regions already, in any order.

    Args:
        masks: three (X, Y, Z) arrays of 0 and anything else, each the whole tumour, the core or the enhancing tumour.

    Returns:
        (X, Y, Z) uint8: in how many of the masks a voxel lies, which is label set `REGIONS_AS`.

    Raises:
        ArrayError: they are not three of one shape.
        LabelError: they do not lie within one another, one holds several values (probabilities, say), or two are empty, so
            that the third may be one tissue of several and no region.
    """
    shapes = [mask.shape for mask in masks]
    if len(masks) != 3 or len(set(shapes)) != 1:
        raise ArrayError(f"found {len(masks)} masks of shapes {shapes}; expected three of one shape.")
    for mask in masks:
        inside = mask[mask != 0]
        if inside.size and inside.min() != inside.max():
            raise LabelError(
                f"a region mask holds values from {inside.min():.3g} to {inside.max():.3g} besides 0; expected one value:"
                " threshold probabilities first."
            )
    inner, middle, outer = sorted((np.asarray(mask) != 0 for mask in masks), key=np.count_nonzero)
    if outer.any() and not middle.any():
        raise LabelError(
            f"of three region masks only one holds anything ({np.count_nonzero(outer)} voxels): a whole tumour without a core,"
            " or one tissue of several? Give one label with its values."
        )
    outside = [np.count_nonzero(small & ~large) for small, large in ((inner, middle), (middle, outer))]
    if any(outside):
        raise LabelError(
            f"three masks do not lie within one another: {outside[0]} voxels of the smallest lie outside the next, and"
            f" {outside[1]} of that outside the largest; expected whole tumour, core and enhancing tumour: give one label."
        )
    return inner.astype(np.uint8) + middle + outer
