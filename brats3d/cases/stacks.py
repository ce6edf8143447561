"""The decathlon's ``dataset.json``: which channel of a 4-D file is which modality, and what the label's values are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from brats3d.cases.corpora import Corpus
from brats3d.errors import OptionError, nearest
from brats3d.regions import LABEL_SETS, MODALITIES

_CHANNEL_NAMES = {
    "t1": "t1", "t1w": "t1", "t1n": "t1", "t1ce": "t1ce", "t1c": "t1ce", "t1gd": "t1ce", "t2": "t2", "t2w": "t2",
    "flair": "flair", "t2f": "flair",
}  # fmt: skip
_TISSUES = (
    (r"ncr|net|non|necro|core", "core"),
    (r"\bed\b|edema|snfh", "edema"),
    (r"\bet\b|enhanc", "enhancing"),
)
"""What a label's name holds → tissue; the first that fits counts, so that "non-enhancing" is no enhancing tumour."""

Stack = tuple[Mapping[str, int], tuple[str, ...], str]


def read_stack(home: str, corpus: Corpus) -> Stack:
    """Return the channels of a task's 4-D files, the label sets its labels may have, and where that is said.

    Args:
        home: folder of the task, which may hold a ``dataset.json``.
        corpus: the task's row: what holds where no file says otherwise.

    Returns:
        Modality → channel in the order of `MODALITIES`; candidates for the label set; the same as words.

    Raises:
        OptionError: ``dataset.json`` is damaged, names channels or labels that are not those of a brain tumour, or two
            channels alike.
    """
    path = os.path.join(home, "dataset.json")
    if not os.path.isfile(path):
        return (
            {m: corpus.stacked.index(m) for m in MODALITIES if m in corpus.stacked},
            corpus.label_sets,
            f"channels in the decathlon's order ({', '.join(corpus.stacked)}): no dataset.json says another",
        )
    content = _content(path)
    channels = _channels(path, content.get("modality", content.get("channel_names")))
    order = ", ".join(sorted(channels, key=channels.__getitem__))
    return channels, _label_sets(path, content.get("labels"), corpus), f"channels by dataset.json ({order})"


def _content(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError) as problem:
        raise OptionError(
            f"{path}: cannot be read as JSON ({problem}); repair it, or take it away: then the decathlon's own order of"
            " channels holds."
        ) from problem
    if not isinstance(content, dict):
        raise OptionError(f"{path}: holds a {type(content).__name__}; expected the keys modality and labels.")
    return content


def _channels(path: str, names: Any) -> dict[str, int]:
    if not isinstance(names, dict) or not all(str(index).isdigit() for index in names):
        raise OptionError(f'{path}: modality is {names!r}; expected a channel each, such as {{"0": "FLAIR", "1": "T1w"}}.')
    channels: dict[str, int] = {}
    for index, name in names.items():
        modality = _CHANNEL_NAMES.get(re.sub(r"[^a-z0-9]", "", str(name).lower()))
        if modality is None:
            raise OptionError(
                f"{path}: channel {index} is called {name!r}{nearest(str(name).lower(), _CHANNEL_NAMES)}; expected one of:"
                f" {', '.join(_CHANNEL_NAMES)}."
            )
        if modality in channels:
            raise OptionError(f"{path}: channels {channels[modality]} and {index} are both called {modality}; correct one.")
        channels[modality] = int(index)
    return {m: channels[m] for m in MODALITIES if m in channels}


def _label_sets(path: str, labels: Any, corpus: Corpus) -> tuple[str, ...]:
    """Return the codings that agree with what the file says of the labels; the corpus' own where it says nothing."""
    if not isinstance(labels, dict):
        return corpus.label_sets
    pairs = [(value, name) if str(value).isdigit() else (name, value) for value, name in labels.items()]
    said = {int(value): tissue for value, name in pairs if str(value).isdigit() and (tissue := _tissue(str(name)))}
    fitting = [name for name, row in LABEL_SETS.items() if said == {v: _tissue(t) for v, t in row.tissues.items()}]
    if not said or set(corpus.label_sets) <= set(fitting):
        return corpus.label_sets
    if not fitting:
        raise OptionError(
            f"{path}: labels are {labels!r}, which no known label set has; expected those of {' or '.join(corpus.label_sets)},"
            " or name files and label set of each case in a manifest."
        )
    return tuple(fitting)


def _tissue(name: str) -> str | None:
    return next((tissue for pattern, tissue in _TISSUES if re.search(pattern, name, re.IGNORECASE)), None)
