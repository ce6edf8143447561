"""What a series description or a file name says: the modality, or why the series is left out.

Descriptions are free text that differs between vendors, sites and languages, so the rules look for words that scanners and
people use; those of the modalities are in `brats3d.spellings`. A series whose words say nothing may still be identified by
its timing (`by_timing`).
"""

from __future__ import annotations

import re

from brats3d.spellings import normalise, weighting

_START, _END = r"(?<![a-z0-9])", r"(?![a-z0-9])"


def _words(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(f"{_START}(?:{word}){_END}" for word in words))


LEFT_OUT: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a localiser", _words("locali[sz]er?s?", "loc", "scouts?", "aahscout", "survey", r"3 ?(?:plane|pl)", "topogram")),
    ("a calibration", _words("calib\\w*", "asset", "smartbrain", "shim\\w*", "field ?map\\w*", "coil ?sens\\w*")),
    ("a mask or a drawing", _words("masks?", "seg", "segm\\w*", "label\\w*", "roi", "brainmask", "contour\\w*")),
    ("diffusion", _words("e?adc\\w*", "e?dwi", "diff\\w*", "dti", "trace\\w*", "tensor", "fa", r"b[01]?0{2,3}", "tracew")),
    ("perfusion", _words("perf\\w*", "dsc", "dce", "r?cb[vf]", "mtt", "ttp", "tmax", "asl", "pasl", "pcasl")),
    (
        "susceptibility",
        _words(
            "swi", "swan", "susc\\w*", "t2star\\w*", "t2 (?:gre|ffe)", "(?:gre|ffe) t2", "hemo\\w*", "mip|minip", "pha|phase"
        ),
    ),
    ("an angiography", _words("mr[av]", "tof", "angio\\w*", "venogra\\w*", "pc3?d?a")),
    (
        "functional or spectroscopic",
        _words("fmri", "bold", "rest(?:ing)?(?: ?state)?", "svs", "csi", "mrs", "press", "spectro\\w*"),
    ),
    (
        "a derived map",
        _words("t[12] ?maps?", r"sub(?! (?!t[12])\w*\d)", "subtract\\w*", "mpr ?(?:range|thick)", "reformat\\w*", "report"),
    ),
    (
        "another part of the body",
        _words("[clt] ?spine", "spine", "lws|hws|bws", "iac", "orbits?", "sella\\w*", "pituitary", "neck"),
    ),
    ("proton density", _words("pd\\w*", "proton")),
)
"""Why a series is left out → the words that say so; the first match counts."""


def by_words(text: str) -> tuple[str | None, str]:
    """Return the modality that a description names, and why; None with the reason if it is none of the four.

    Args:
        text: series description, protocol or file name, unchanged.

    Returns:
        One of ``t1, t1ce, t2, flair`` and the words that say so; or None and why the series is left out. The reason is empty
        if the words say nothing at all.
    """
    words = normalise(text)
    for reason, pattern in LEFT_OUT:
        found = pattern.search(words)
        if found:
            return None, f"{reason} ({found[0]!r})"
    return weighting(words)


def by_timing(echo_ms: float | None, repetition_ms: float | None, inversion_ms: float | None) -> tuple[str | None, str]:
    """Return the modality that a spin echo's timing suggests, and why; None if it suggests none.

    Args:
        echo_ms: echo time, or None.
        repetition_ms: repetition time, or None.
        inversion_ms: inversion time, or None or 0 without inversion.
    """
    if echo_ms is None or repetition_ms is None:
        return None, ""
    said = f"TE {echo_ms:g} ms, TR {repetition_ms:g} ms" + (f", TI {inversion_ms:g} ms" if inversion_ms else "")
    if echo_ms >= 70 and inversion_ms and inversion_ms >= 1500:
        return "flair", said
    if echo_ms >= 70 and repetition_ms >= 2000 and not inversion_ms:
        return "t2", said
    if echo_ms <= 30 and repetition_ms <= 1000 and not inversion_ms:
        return "t1", said
    return None, ""
