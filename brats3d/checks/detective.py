"""The label detective: which coding a label has, from values, nesting, volumes and contrast together.

Every value of the label is compared with the kinds of tissue (`kinds`), and every coding says which kind each of its values
should be. Beside the known codings stand two rivals, so that the least bad of them does not win by default: every other
assignment of kinds to values (some programs number tissue their own way), and "normal brain" for all of them (the label
lies elsewhere, or the images are noise). Codings that put the values found into the same regions count as one reading.

A reading is *sure* if its probability against the other readings passes `SURE`. Where names do not tell the coding, doubt
stops a case: a wrong coding gives masks that look right and are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brats3d.checks.kinds import KIND_OF_TISSUE, KINDS, NAMES, log_likelihood, seen_on_images, words
from brats3d.checks.tissue import CodingFeatures, coding_features
from brats3d.regions import LABEL_SETS, REGIONS, label_set, label_sets_with

SURE = 0.95
"""A reading needs this probability against all rivals."""
MOST_NORMAL = 0.9
"""That a label marks normal brain is no other reading of it, and counts as a rival only where it is so likely."""
TEMPER = 0.5
"""The features of a value are not independent: their evidence counts half."""
NO_ENHANCEMENT = 0.1
"""What a coding counts that knows enhancing tumour where its value is absent: about one glioma in ten has none."""
ONE_OF_MANY = 0.1
"""What a coding of several tissues counts where the label has a single value."""
OEDEMA_ALONE = 0.01
"""The same where that value is oedema: what a tumour's core makes is hardly ever drawn without the core."""
UNEXPECTED = 0.1
"""What a coding that the names do not lead to expect counts, against 1."""
RIVAL_PRIORS: Mapping[str, float] = {"other": 0.1, "normal": 0.02}
"""Against a known coding's 1: all other assignments of kinds to values together, and normal brain throughout."""
OWN_KINDS = ("oedema", "inner", "necrosis", "enhancing", "fluid")
"""What the values of an unknown coding may be, each another."""


@dataclass(frozen=True)
class Verdict:
    """Which coding a label has, and why.

    Attributes:
        label_set: name of the likeliest coding, or None where no known one has the values.
        evidence: what was seen, one clause a value.
        scores: coding → probability of its reading against all rivals; codings that read the values alike share one.
        sure: whether the reading passes.
        doubt: why it does not, as words; empty where it does.
        stranger: whether no known coding, but another assignment of tissues to the values, is as sure as a reading has to be.
        warning: what contradicts a coding that was asked for; else empty.
    """

    label_set: str | None
    evidence: tuple[str, ...]
    scores: Mapping[str, float]
    sure: bool
    doubt: str = ""
    stranger: bool = False
    warning: str = ""

    def sentence(self) -> str:
        """Return the verdict with its evidence as words, without a full stop."""
        seen = "; ".join(self.evidence)
        if self.label_set is None or not self.sure:
            return self.doubt + (f" ({seen})" if seen else "")
        return label_set(self.label_set).title + (f": {seen}" if seen else "")


Reading = tuple[tuple[bool | None, ...], ...]
"""For each value found, whether it is in WT, TC, ET; None where a coding does not define the region."""


def reading(name: str, values: Iterable[int]) -> Reading:
    """Return what a coding makes of these values.

    Args:
        name: of a label set.
        values: values of a label.
    """
    regions = LABEL_SETS[name].regions
    return tuple(tuple(value in regions[r] if r in regions else None for r in REGIONS) for value in values)


def kinds_of(name: str, values: Iterable[int]) -> dict[int, str]:
    """Return value → kind of tissue that it is in a coding.

    Args:
        name: of a label set.
        values: values of a label, all known to the coding, without 0.
    """
    return {value: KIND_OF_TISSUE.get(LABEL_SETS[name].tissues[value], "inner") for value in values}


def detect_coding(label: np.ndarray, images: Mapping[str, np.ndarray], candidates: Sequence[str] | None = None) -> Verdict:
    """Say which coding a label has.

    Args:
        label: (X, Y, Z) uint8.
        images: modality → (X, Y, Z), 0 outside the brain; of t1, t1ce, t2, flair those at hand, none at all leaves doubt.
        candidates: names of label sets to choose from, the likelier first; None takes all. Other label sets stay rivals.

    Returns:
        The verdict; an empty label is surely the first candidate's.

    Raises:
        OptionError: a candidate is no label set.
    """
    return detect_features(coding_features(label, images), candidates, expected=candidates or ())


def detect_features(
    features: CodingFeatures, candidates: Sequence[str] | None = None, *, expected: Sequence[str] = ()
) -> Verdict:
    """Say which coding a label has from what its values look like, as `detect_coding` does.

    Args:
        features: from `coding_features`.
        candidates: names of label sets to choose from, the likelier first; None takes all.
        expected: names of label sets that are likelier than the rest; none are, where it is empty.

    Returns:
        The verdict.

    Raises:
        OptionError: a candidate is no label set.
    """
    names = list(LABEL_SETS) if candidates is None else [label_set(name).name for name in candidates]
    found = sorted(features)
    knowing = [coding.name for coding in label_sets_with(found)]
    fitting = [name for name in names if name in knowing]
    if candidates is None:  # of those that read the values alike, the one that leaves the fewest values unused
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
        doubt = f"no image tells what its values mark; their nesting alone speaks for {best} ({scores[best]:.0%})"
        return Verdict(best, evidence(features, own), scores, False, doubt)
    normal = shares.get("normal", 0.0)
    if normal < MOST_NORMAL and scores[best] >= SURE * (1 - normal):
        return Verdict(best, evidence(features, kinds_of(best, found)), scores, True)
    rivals = [name for name in shares if name not in knowing or readings[name] != readings[best]]
    rival = max(rivals, key=lambda name: shares[name])
    stranger = rival == "other" and normal < MOST_NORMAL and shares["other"] >= SURE * (1 - normal)
    return Verdict(best, evidence(features, own), scores, False, _doubt(best, scores[best], rival, own), stranger)


def evidence(features: CodingFeatures, kinds: Mapping[int, str]) -> tuple[str, ...]:
    """Return what each value looks like, as words.

    Args:
        features: from `coding_features`.
        kinds: value → the kind that it is held for.
    """
    return tuple(f"{value} {words(features[value], kinds[value])}" for value in sorted(features))


def _probabilities(
    features: CodingFeatures, knowing: Sequence[str], expected: Sequence[str]
) -> tuple[dict[str, float], dict[int, str]]:
    """Return the probability of each coding and of each rival, and value → the kind that it looks like by itself."""
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
        "other": "no label set has its values as they look: " + ", ".join(f"{v} {NAMES[kind]}" for v, kind in own.items()),
        "normal": "what it marks looks like normal brain",
    }
    if rival in against and share < 0.5:
        return against[rival]
    return f"{best} is likeliest ({share:.0%}), but " + against.get(rival, f"{rival} fits nearly as well")


def _nested_bits(found: Sequence[int]) -> str:
    if set(found) <= {1, 3, 7} and 7 in found:
        return "; they are those of WT + 2·TC + 4·ET, regions already"
    return ""
