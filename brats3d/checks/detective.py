"""The label detective: determines a label's coding from values, nesting, volumes and contrast together.

Every value of the label is compared with the kinds of tissue (`kinds`), and every coding says which kind each of its values
should be. The known codings have two rivals, so that the least bad of them does not win by default: every other assignment of
kinds to values (some programs number tissues their own way), and "normal brain" for all of them (the label is in the wrong
place, or the images are noise). Codings that put the values found into the same regions count as one reading.

A reading is *sure* if its probability against the other readings passes `SURE`. If names do not determine the coding, doubt
stops a case: a wrong coding gives masks that look right but are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brats3d.checks.kinds import KIND_OF_TISSUE, KINDS, NAMES, log_likelihood, seen_on_images, words
from brats3d.checks.tissue import CodingFeatures, coding_features
from brats3d.regions import LABEL_SETS, REGIONS, LabelSet, label_set, label_sets_with

SURE = 0.95
"""A reading needs this probability against all rivals."""
MOST_NORMAL = 0.9
"""Normal brain is not another reading of a label, and counts as a rival only if it is this likely."""
TEMPER = 0.5
"""The features of a value are not independent: their evidence counts half."""
NO_ENHANCEMENT = 0.1
"""Weight of a coding with enhancing tumour if that value is absent: about one glioma in ten has none."""
ONE_OF_MANY = 0.1
"""Weight of a coding of several tissues if the label has a single value."""
OEDEMA_ALONE = 0.01
"""The same if that value is oedema: oedema is hardly ever segmented without the core that causes it."""
UNEXPECTED = 0.1
"""Weight of a coding that the names do not suggest, against 1."""
RIVAL_PRIORS: Mapping[str, float] = {"other": 0.1, "normal": 0.02}
"""Weights against a known coding's 1: all other assignments of kinds to values together, and normal brain throughout."""
OWN_KINDS = ("oedema", "inner", "necrosis", "enhancing", "fluid")
"""Kinds that the values of an unknown coding may be, each a different one."""


@dataclass(frozen=True)
class Verdict:
    """Which coding a label has, and why.

    Attributes:
        label_set: name of the likeliest coding, or None if no known one has the values.
        evidence: what was seen, one clause per value.
        scores: coding → probability of its reading against all rivals; codings that read the values alike share one.
        sure: whether the reading is sure.
        doubt: why it is not, in words; empty if it is.
        stranger: whether not a known coding but another assignment of tissues to the values is sure.
        warning: what contradicts a requested coding; otherwise empty.
        own: the user's own label set, if the label follows one.
    """

    label_set: str | None
    evidence: tuple[str, ...]
    scores: Mapping[str, float]
    sure: bool
    doubt: str = ""
    stranger: bool = False
    warning: str = ""
    own: LabelSet | None = None

    @property
    def coding(self) -> LabelSet | None:
        """The label set itself."""
        return self.own or (None if self.label_set is None else label_set(self.label_set))

    def sentence(self) -> str:
        """Return the verdict with its evidence in words, without a full stop."""
        seen = "; ".join(self.evidence)
        if self.label_set is None or not self.sure:
            return self.doubt + (f" ({seen})" if seen else "")
        return label_set(self.label_set).title + (f": {seen}" if seen else "")


Reading = tuple[tuple[bool | None, ...], ...]
"""For each value found, whether it is in WT, TC, ET; None if a coding does not define the region."""


def reading(name: str, values: Iterable[int]) -> Reading:
    """Return how a coding reads values.

    Args:
        name: a label set's name.
        values: values of a label.
    """
    regions = LABEL_SETS[name].regions
    return tuple(tuple(value in regions[r] if r in regions else None for r in REGIONS) for value in values)


def kinds_of(name: str, values: Iterable[int]) -> dict[int, str]:
    """Return value → its kind of tissue in a coding.

    Args:
        name: a label set's name.
        values: values of a label, all defined by the coding, without 0.
    """
    return {value: KIND_OF_TISSUE.get(LABEL_SETS[name].tissues[value], "inner") for value in values}


def detect_coding(label: np.ndarray, images: Mapping[str, np.ndarray], candidates: Sequence[str] | None = None) -> Verdict:
    """Determine which coding a label has.

    Args:
        label: (X, Y, Z) uint8.
        images: modality → (X, Y, Z), 0 outside the brain; those of t1, t1ce, t2, flair available; none at all leaves doubt.
        candidates: names of label sets to choose from, likelier ones first; None is all. Other label sets remain rivals.

    Returns:
        The verdict; for an empty label the first candidate, which is sure.

    Raises:
        OptionError: a candidate is not a label set.
    """
    return detect_features(coding_features(label, images), candidates, expected=candidates or ())


def detect_features(
    features: CodingFeatures, candidates: Sequence[str] | None = None, *, expected: Sequence[str] = ()
) -> Verdict:
    """Determine a label's coding from the features of its values, as `detect_coding` does.

    Args:
        features: from `coding_features`.
        candidates: names of label sets to choose from, likelier ones first; None is all.
        expected: names of label sets that are likelier than the rest; may be empty.

    Returns:
        The verdict.

    Raises:
        OptionError: a candidate is not a label set.
    """
    names = list(LABEL_SETS) if candidates is None else [label_set(name).name for name in candidates]
    found = sorted(features)
    knowing = [coding.name for coding in label_sets_with(found)]
    fitting = [name for name in names if name in knowing]
    if candidates is None:  # among those that read the values alike, the one with the fewest unused values
        fitting.sort(key=lambda name: (name not in expected, len(LABEL_SETS[name].tissues)))
    if not fitting:
        return Verdict(None, (), {}, False, f"no label set of {', '.join(names)} has the values {found}{_nested_bits(found)}")
    if not found:
        return Verdict(fitting[0], ("the label is empty",), dict.fromkeys(fitting, 1.0), True)
    shares, own = _probabilities(features, knowing, expected)
    readings = {name: reading(name, found) for name in knowing}
    scores = {name: min(1.0, sum(shares[other] for other in knowing if readings[other] == readings[name])) for name in fitting}
    best = max(fitting, key=lambda name: scores[name])
    if not any(seen_on_images(f) for f in features.values()):
        doubt = f"no image shows what its values mark; only their nesting suggests {best} ({scores[best]:.0%})"
        return Verdict(best, evidence(features, own), scores, False, doubt)
    normal = shares.get("normal", 0.0)
    if normal < MOST_NORMAL and scores[best] >= SURE * (1 - normal):
        return Verdict(best, evidence(features, kinds_of(best, found)), scores, True)
    rivals = [name for name in shares if name not in knowing or readings[name] != readings[best]]
    rival = max(rivals, key=lambda name: shares[name])
    stranger = rival == "other" and normal < MOST_NORMAL and shares["other"] >= SURE * (1 - normal)
    return Verdict(best, evidence(features, own), scores, False, _doubt(best, scores[best], rival, own), stranger)


def evidence(features: CodingFeatures, kinds: Mapping[int, str]) -> tuple[str, ...]:
    """Describe what each value looks like.

    Args:
        features: from `coding_features`.
        kinds: value → the kind that it is taken for.
    """
    return tuple(f"{value} {words(features[value], kinds[value])}" for value in sorted(features))


def _probabilities(
    features: CodingFeatures, knowing: Sequence[str], expected: Sequence[str]
) -> tuple[dict[str, float], dict[int, str]]:
    """Return the probability of each coding and each rival, and value → the kind that it looks like on its own."""
    found = sorted(features)
    fit = {(value, kind): TEMPER * log_likelihood(features[value], kind) for value in found for kind in KINDS}

    def together(kinds: Sequence[str]) -> float:
        return sum(fit[value, kind] for value, kind in zip(found, kinds, strict=True))

    codings = {name: tuple(kinds_of(name, found).values()) for name in knowing}
    logs = {name: float(np.log(_prior(name, found, expected))) + together(kinds) for name, kinds in codings.items()}
    others = [kinds for kinds in itertools.permutations(OWN_KINDS, len(found)) if kinds not in codings.values()]
    normal = [("normal",) * len(found)] if any(seen_on_images(f) for f in features.values()) else []
    for rival, choices in (("other", others), ("normal", normal)):
        if choices:
            each = np.logaddexp.reduce([together(kinds) for kinds in choices])
            prior = RIVAL_PRIORS[rival] * (UNEXPECTED if expected and rival == "other" else 1.0)
            logs[rival] = float(np.log(prior / len(choices)) + each)
    weights = {name: float(np.exp(log - max(logs.values()))) for name, log in logs.items()}
    total = sum(weights.values())
    own = {value: max((*OWN_KINDS, "normal"), key=lambda kind: fit[value, kind]) for value in found}
    return {name: weight / total for name, weight in weights.items()}, own


def _prior(name: str, found: Sequence[int], expected: Sequence[str]) -> float:
    tissues = LABEL_SETS[name].tissues
    enhancing = [value for value, tissue in tissues.items() if KIND_OF_TISSUE.get(tissue) == "enhancing"]
    prior = UNEXPECTED if expected and name not in expected else 1.0
    if enhancing and not set(enhancing) & set(found):
        prior *= NO_ENHANCEMENT
    if len(found) == 1 < len(tissues):
        prior *= OEDEMA_ALONE if KIND_OF_TISSUE.get(tissues[found[0]]) == "oedema" else ONE_OF_MANY
    return prior


def _doubt(best: str, share: float, rival: str, own: Mapping[int, str]) -> str:
    against = {
        "other": "no label set matches how its values look: " + ", ".join(f"{v} {NAMES[kind]}" for v, kind in own.items()),
        "normal": "what it marks looks like normal brain",
    }
    if rival in against and share < 0.5:
        return against[rival]
    return f"{best} is most likely ({share:.0%}), but " + against.get(rival, f"{rival} fits nearly as well")


def _nested_bits(found: Sequence[int]) -> str:
    if set(found) <= {1, 3, 7} and 7 in found:
        return "; they are those of WT + 2·TC + 4·ET, which encode regions"
    return ""
