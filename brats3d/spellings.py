"""How people spell the four modalities and a tumour's label: one table for file names and for series descriptions.

A file name ends in what the file is: ``pat1_t1ce``, ``P-7-T1w-post``, ``x.flair``. A name may be read in several ways
(``p_t2_flair`` is a FLAIR of ``p`` or of ``p_t2``), so `name_readings` returns all of them, and the caller, who knows the
other files, decides. `weighting` says what the words mean, also in the free text of scanners.

Words such as ``post`` before a modality may belong to it, or say when the patient was scanned: again two readings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["EXAMPLES", "Part", "Reading", "is_contrast", "is_plain", "name_readings", "normalise", "read_part", "weighting"]
__dir__ = __all__.copy

_START, _END = r"(?<![a-z0-9])", r"(?![a-z0-9])"
_AGENT = "c|ce|gd|gad|gado|post|km|contrast|k"
_SEQUENCE = "w|wi|se|tse|fse|tfe|gre|ir|mprage|mpr|spgr|vibe|cube|space|blade"

_FLAIR = re.compile(rf"flair|{_START}fla{_END}|{_START}t2f{_END}|dark ?fluid|tirm")
_T1 = re.compile(rf"{_START}[a-z]{{0,2}}t1(?![0-9])|mp ?rage|{_START}(?:bravo|f?spgr|ir ?fspgr|3d ?tfe){_END}")
_T2 = re.compile(rf"{_START}[a-z]{{0,2}}t2(?![0-9])")
_CONTRAST = re.compile(
    rf"{_START}t1(?:w|se|tse|tfe|mprage)*(?:{_AGENT})(?:w)?{_END}|{_START}(?:ce|c|gd)t1w?{_END}"
    rf"|{_START}(?:gd|gado?\w*|contrast|kontrast|ce|c|km|enhanced|post ?(?:contrast|gad\w*|gd|c|km)?){_END}(?! ?op)"
)
_PLAIN = re.compile(
    rf"{_START}(?:pre|non|no|none|without|wo|w o|ohne|native|nativ|vor|before|sans|sin|senza|avant|pre ?contrast){_END}"
)

EXAMPLES = ("t1", "t1w", "t1n", "t1ce", "t1c", "t1gd", "t1post", "t2", "t2w", "flair", "t2f")
"""Spellings to suggest when one is not understood."""

_WORDS = {
    "t1": rf"(?:ce|c|gd|s|e|w)?t1(?:{_SEQUENCE})*(?:n|pre|nat|native|{_AGENT})?w?|mprage|bravo|(?:ir)?f?spgr",
    "t2": rf"[sew]?t2(?:{_SEQUENCE}|frfse)*",
    "flair": r"(?:t2)?w?flairw?|fla|t2f|tirm|darkfluid",
    "label": r"seg|segm|segmentations?|labels?|truth|groundtruth|gt|(?:tumou?r|lesion|glioma)_?(?:seg|segmentation|mask|label)",
    "area": "masks?|roi",
    "tumour": "tumou?rs?|lesions?|glioma|gbm|brats|ground|manual|expert|final|consensus",
    "plane": "ax|axial|sag|sagittal|cor|coronal|tra|trans|transversal|transverse|3d|2d|iso",
    "bare": "brain",
    "lead": "brain|ce|gd|gad|gado\\w*|km|contrast|postcontrast|precontrast|post|pre|native",
    "qualifier": rf"{_AGENT}|gado\w+|kontrast|enhanced|postcontrast|postgd|postgad|pre|precontrast|non|no|without|wo|native"
    rf"|nativ|weighted|image|scan|mp|rage|ffe|fspgr|bravo|frfse|p[2-4]|dark|fluid|fs|fatsat|{_SEQUENCE}",
    "processed": "bet|r2s|hdbet|ss|stripped|skullstripped|reg|registered|coreg|coregistered|n4|bias|biascorrected|corrected"
    "|norm|normali[sz]ed|resampled|1mm|1x1x1|sri|sri24|mni|mni152|defaced|cropped|preproc|preprocessed|brain",
}  # fmt: skip
"""Kind of word → regular expression of such words; a word may be of several kinds."""
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _WORDS.items()}

_COMBINED = {("t1",), ("t2",), ("flair",), ("t1", "t1"), ("t1", "flair"), ("t2", "flair"), ("flair", "flair")}
"""Modalities that may occur together in one name: a FLAIR is T2- or T1-weighted; other orders are ambiguous."""
_NO_CASE = re.compile("|".join(_WORDS[kind] for kind in ("t1", "t2", "flair", "plane")))
"""A name made up of these words only is not a case's."""
_OTHER_LABEL = re.compile(r"brain|skull|head|face|tissues?|[wg]m|csf|aseg|aparc|vessels?|ventricles?|pred|prediction|predicted")
"""Words for labels of something else, or by someone else, than a reference segmentation of a tumour."""

_DRAWN = re.compile(rf"{_WORDS['area']}|{_WORDS['label']}|tumou?rs?|lesions?")
"""First word of a mask's name (``mask_GTV_T1``), unless a number makes it a patient's."""
_REGISTERED = re.compile("to|in|on|onto|reg|registered|coreg|2")
"""Words after which a modality names the scan that another was registered to."""
MODALITY_WORDS = ("flair", "t1", "t2")
_SEPARATOR = re.compile(r"[-_. +()]+")
_BEFORE_PART = "-_. +("
"""Separators after a case's name; a closing bracket belongs to the name: ``pat (1)_t1``."""


class Part(NamedTuple):
    """What a file is.

    Attributes:
        kind: a modality, or ``label``.
        rank: 0, or 1 for a processed scan (``t1_brain``), which is used only if there is no other.
    """

    kind: str
    rank: int


class Reading(NamedTuple):
    """One way to read a file name: the case (may be empty) and what the file is."""

    case: str
    part: Part


def normalise(text: str) -> str:
    """Return a description as lower-case words separated by one space; ``T2*`` becomes ``t2star``, ``+C`` becomes ``gd``."""
    text = re.sub(r"t2\s*\*", "t2star", text.lower())
    text = re.sub(r"\+\s*(?:ce?|gd|km|gad)(?![a-z])|(?<![a-z])c\s*\+", " gd ", text)
    return " ".join(re.sub(r"[^a-z0-9]+", " ", text).split())


def is_plain(text: str) -> bool:
    """Return whether a description says that no contrast agent was given."""
    return _PLAIN.search(normalise(text)) is not None


def is_contrast(text: str) -> bool:
    """Return whether a description says that a contrast agent was given."""
    return _CONTRAST.search(normalise(text)) is not None and not is_plain(text)


def weighting(words: str) -> tuple[str | None, str]:
    """Return the modality that words name, and those words; None if they name none, with the reason if they name two.

    Args:
        words: from `normalise`.
    """
    t1, flair, t2 = _T1.search(words), _FLAIR.search(words), _T2.search(words)
    if t1 and t2 and not flair:
        return None, f"both {t1[0]!r} and {t2[0]!r}"
    if t1 and not (flair and t2):  # T1 FLAIR is T1-weighted
        contrast, plain = _CONTRAST.search(words), _PLAIN.search(words)
        if contrast and not plain:
            return "t1ce", repr(contrast[0]) if t1[0] in contrast[0] else f"{t1[0]!r} and {contrast[0]!r}"
        return "t1", repr(t1[0])
    if flair:
        return "flair", repr(flair[0])
    return ("t2", repr(t2[0])) if t2 else (None, "")


def read_part(text: str) -> Part | None:
    """Return what a file is, from the end of its name; None if it contains an unknown word.

    Args:
        text: such as ``t1ce``, ``T1w_post``, ``ax-flair`` or ``tumor_seg``.
    """
    words = normalise(text).split()
    return (_label(words) or _modality(words)) if words else None


def name_readings(stem: str) -> list[Reading]:
    """Return all ways to split a file name into a case and what the file is, shortest case first.

    Args:
        stem: file name without its suffix.
    """
    readings = []
    for start in (0, *(found.end() for found in _SEPARATOR.finditer(stem))):
        case = _SEPARATOR.sub(" ", stem[:start]).split()
        part = read_part(stem[start:])
        if part is None or (start and not _may_be_case([word.lower() for word in case])):
            continue
        if part.kind == "label" and case and _OTHER_LABEL.fullmatch(case[-1].lower()):
            return []
        readings.append(Reading(stem[:start].rstrip(_BEFORE_PART), part))
    return readings


def _may_be_case(words: Sequence[str]) -> bool:
    """Return whether the words before a file's part can name a case, and not a scan, a mask or a registered scan."""
    modality = any(_is(word, kind) for word in words for kind in MODALITY_WORDS)
    names = [word for word in words if not any(_is(word, kind) for kind in ("lead", "plane", "processed"))]
    numbered = any(re.search(r"\d", word) and not _NO_CASE.fullmatch(word) for word in words)
    if names and (_is(names[-1], "area") or _is(names[-1], "label") or (not numbered and _DRAWN.fullmatch(names[0]))):
        return False
    return not all(_NO_CASE.fullmatch(word) for word in words) and not (modality and _REGISTERED.fullmatch(words[-1]))


def _is(word: str, kind: str) -> bool:
    return _PATTERNS[kind].fullmatch(word) is not None


def _label(words: Sequence[str]) -> Part | None:
    known = (*MODALITY_WORDS, "label", "area", "tumour")
    if not all(any(_is(word, kind) for kind in known) for word in words):
        return None
    of_tumour = any(_is(word, "tumour") for word in words)
    said = any(_is(word, "label") or (_is(word, "area") and of_tumour) for word in words)
    return Part("label", 0) if said else None


def _modality(words: Sequence[str]) -> Part | None:
    """Return the modality that words name: leading words, the modality and its qualifiers, then processing steps."""
    kinds = [next((kind for kind in MODALITY_WORDS if _is(word, kind)), "") for word in words]
    first = next((i for i, kind in enumerate(kinds) if kind), len(words))
    end = next((i for i in range(first, len(words)) if not kinds[i] and _is(words[i], "processed")), len(words))
    named = tuple(kind for kind in kinds[:end] if kind)
    leads = ("plane", "lead") if named[:1] == ("t1",) else ("plane", "bare")
    rest = [word for word, kind in zip(words[first:end], kinds[first:], strict=False) if not kind]
    known = all(
        any(_is(word, kind) for kind in allowed)
        for part, allowed in ((words[:first], leads), (rest, ("qualifier", "plane")), (words[end:], ("processed",)))
        for word in part
    )
    if not known or named not in _COMBINED or sum("t1" in word for word in words[first:end]) > 1:
        return None
    modality, _ = weighting(" ".join(words[:end]))
    return Part(modality, int(end < len(words))) if modality else None
