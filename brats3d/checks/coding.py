"""Determines the coding of a case's label from names, values and images together, and across a cohort.

`detective` says what the images suggest; here the names are added. What is certain is refused: values that no label set of the
name's year has. A name that gives the year decides, and images that contradict it only give a warning. If no name decides, the
images choose among the codings; if they leave the choice open, the case is refused with what would settle it.
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
from brats3d.regions import LABEL_SETS, LabelSetLike, find_label_set, whole_tumour_doubt

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
"""The label set whose values count the nested regions that contain a voxel."""
CONTRADICTED = 0.01
"""A coding is contradicted if its reading has at most this probability, and another is sure that reads at least two values
differently: a core without a rim looks like oedema, and some tumours barely enhance, but an exchange affects two values."""
LIKELY = 0.8
"""A plain name's usual coding is used, with a warning, from this probability on: a tumour without oedema leaves some doubt. Of
39 cases under plain names, 38 are sure and the last has 0.87; of labels in unknown codings, 3 % are in between."""


def settle_coding(
    case: Case,
    label: np.ndarray,
    images: Mapping[str, np.ndarray],
    requested: LabelSetLike | None = None,
    *,
    option: str = "--label-set",
) -> Verdict:
    """Settle the coding of a case's label from names, values and images together.

    A name that gives the year decides; if it allows several readings, or the name is plain, the images decide. A request
    settles every doubt. If the images clearly contradict what was decided without them or suggest an unknown coding, or a mask
    of the whole tumour may be taken for one tissue, the verdict's ``warning`` says so. For a user's own label set, only
    the values are checked.

    Args:
        case: the case; only its names count.
        label: (X, Y, Z) uint8.
        images: modality → (X, Y, Z), those available, on the label's grid.
        requested: label set requested by the user, or None.
        option: the command's option for it, for messages.

    Returns:
        The verdict; its ``label_set`` is never None.

    Raises:
        LabelError: the values contradict the names, or names, values and images leave a doubt; the message says what would
            settle it.
        OptionError: the requested label set does not exist.
    """
    return settle_features(case, coding_features(label, images), requested, option=option)


def settle_features(
    case: Case, features: CodingFeatures, requested: LabelSetLike | None = None, *, option: str = "--label-set"
) -> Verdict:
    """Settle the coding as `settle_coding` does, from the features of the label's values.

    Args:
        case: the case; only its names count.
        features: from `coding_features`; also used to compare a cohort, so worth keeping.
        requested: label set requested by the user, or None.
        option: the command's option for it, for messages.

    Returns:
        The verdict; its ``label_set`` is never None.

    Raises:
        LabelError: the values contradict the names, or names, values and images leave a doubt; the message says what would
            settle it.
        OptionError: the requested label set does not exist.
    """
    values = [0, *features]
    asked = None if requested is None else find_label_set(requested)
    if case.coding is not None or (asked is not None and asked.own):
        own = settle_label_set(case, values, asked, option=option)
        return Verdict(own.name, ("a label set of one's own",), {own.name: 1.0}, sure=True, own=own)
    named = [name for name in case.label_sets if set(features) <= set(LABEL_SETS[name].tissues)]
    if asked is not None:
        return _confirmed(settle_label_set(case, values, asked, option=option).name, features, "asked for")
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
            f" read as {named[0]}: inspect the case, and convert its label or leave it out",
        )
    single = whole_tumour_doubt(features, LABEL_SETS[named[0]])
    if single:
        return replace(
            verdict, warning=f"the label holds {single}; if it is a mask of the whole tumour, say so with {option} GTV"
        )
    return verdict


def _decided(case: Case, features: CodingFeatures, verdict: Verdict, option: str) -> Verdict:
    """Return a verdict that is sure, or likely and usual with a warning, or refuse the case."""
    if verdict.sure:
        return verdict
    likeliest = sorted(verdict.scores, key=lambda name: -verdict.scores[name])[:3]
    likeliest += ["GTV"] * (set(features) == {1} and "GTV" not in likeliest)
    settles = f"choose one with {option} {' or '.join(likeliest)}" if likeliest else "check that the file is a tumour label"
    usual = verdict.label_set if verdict.label_set in case.label_sets and not verdict.stranger else None
    if usual and verdict.scores[usual] >= LIKELY and any(seen_on_images(seen) for seen in features.values()):
        return replace(verdict, warning=f"the label is read as {usual}, but its name does not say, and {verdict.sentence()};"
                       f" if it is another coding, {settles}")  # fmt: skip
    raise LabelError(
        f"what the label of {case.id} means is in doubt, and its name does not say: {verdict.sentence()}; {settles}."
    )


def _refuse(case: Case, features: CodingFeatures, option: str) -> None:
    """Refuse values that no coding of a name's year has, with what the images suggest."""
    try:
        settle_label_set(case, [0, *features], option=option)
    except LabelError as problem:
        seen = detect_features(features)
        opinion = f" (by the images it is {seen.sentence()})" if seen.sure else ""
        raise LabelError(f"{str(problem).rstrip('.')}{opinion}.") from problem


def _confirmed(name: str, features: CodingFeatures, why: str) -> Verdict:
    """Return a verdict for a coding given by the user or a name, with a warning if the images clearly contradict it."""
    seen = detect_features(features)
    warning = ""
    if seen.sure and _differing(seen.label_set, name, features) > 1 and seen.scores.get(name, 0.0) <= CONTRADICTED:
        warning = f"the label is {seen.sentence()}"
    elif seen.stranger:
        warning = f"the label looks as if it were not {name}: {seen.sentence()}"
    said = (why, *evidence(features, kinds_of(name, features)))
    return Verdict(name, said, seen.scores, True, stranger=seen.stranger, warning=warning)


def _differing(first: str | None, second: str, values: Iterable[int]) -> int:
    """Return how many values two codings read differently: one may just look unusual, an exchange affects two."""
    if first is None:
        return 0
    return sum(a != b for a, b in zip(reading(first, values), reading(second, values), strict=True))


def regions_as_label(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the label for three nested region masks, in any order.

    Args:
        masks: three (X, Y, Z) arrays of 0 and one other value: the whole tumour, the core and the enhancing tumour.

    Returns:
        (X, Y, Z) uint8: in how many of the masks a voxel is, which is label set `REGIONS_AS`.

    Raises:
        ArrayError: they are not three of one shape.
        LabelError: they are not nested, one has several values (such as probabilities), or two are empty, so that the third
            may be one of several tissues instead of a region.
    """
    shapes = [mask.shape for mask in masks]
    if len(masks) != 3 or len(set(shapes)) != 1:
        raise ArrayError(f"found {len(masks)} masks of shapes {shapes}; expected three of one shape.")
    for mask in masks:
        inside = mask[mask != 0]
        if inside.size and inside.min() != inside.max():
            raise LabelError(
                f"a region mask has values from {inside.min():.3g} to {inside.max():.3g} besides 0; expected one value:"
                " threshold probabilities first."
            )
    inner, middle, outer = sorted((np.asarray(mask) != 0 for mask in masks), key=np.count_nonzero)
    if outer.any() and not middle.any():
        raise LabelError(
            f"only one of three region masks is not empty ({np.count_nonzero(outer)} voxels): it may be a whole tumour without"
            " core, or one of several tissues; expected one label with its values."
        )
    outside = [np.count_nonzero(small & ~large) for small, large in ((inner, middle), (middle, outer))]
    if any(outside):
        raise LabelError(
            f"the three masks are not nested: {outside[0]} voxels of the smallest are outside the next, and {outside[1]} of"
            " that outside the largest; expected whole tumour, core and enhancing tumour: give one label."
        )
    return inner.astype(np.uint8) + middle + outer
