"""``dataset.json`` of the decathlon and of nnU-Net: which channel is which modality, and what the label's values are.

The decathlon has the channels along the fourth axis of one file in its own order, so a task can do without ``dataset.json``.
nnU-Net has one file per channel, in any order and with any labels, which only ``dataset.json`` explains. Its labels are values
with one name each, or regions with all of their values (``"whole tumor": [1, 2, 3]``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from brats3d.cases.corpora import Corpus
from brats3d.errors import OptionError, nearest
from brats3d.regions import LABEL_SETS, MODALITIES
from brats3d.spellings import EXAMPLES, read_part

NAME = "dataset.json"
_TISSUES = (
    (r"resect|cavity|\brc\b", "cavity"),
    (r"cyst|\bcc\b", "cyst"),
    (r"ncr|net|non|necro|core", "core"),
    (r"\bed\b|edema|snfh", "edema"),
    (r"\bet\b|enhanc", "enhancing"),
)
"""Pattern in a label's name → tissue; the first match counts, so "non-enhancing" is not enhancing tumour."""
_REGIONS = (
    (r"resect|cavity|\brc\b", "RC"),
    (r"cyst|\bcc\b", "CC"),
    (r"whole|\bwt\b", "WT"),
    (r"core|\btc\b", "TC"),
    (r"\bet\b|enhanc", "ET"),
)
"""Pattern in a region's name → region."""
_WHOLE = r"tumou?r|lesion|glioma|whole|gtv|\bwt\b"

Stack = tuple[Mapping[str, int], tuple[str, ...], str]


def read_stack(home: str, corpus: Corpus) -> Stack:
    """Return the channels of a task's 4-D files, the label sets its labels may have, and the source of both.

    Args:
        home: folder of the task, which may contain a ``dataset.json``.
        corpus: the task's row, which applies unless a file says otherwise.

    Returns:
        Modality → channel in the order of `MODALITIES`; candidates for the label set; the source in words.

    Raises:
        OptionError: ``dataset.json`` is damaged, names channels or labels that are not those of a brain tumour, or gives two
            channels the same name.
    """
    path = os.path.join(home, NAME)
    if not os.path.isfile(path):
        return (
            {m: corpus.stacked.index(m) for m in MODALITIES if m in corpus.stacked},
            corpus.label_sets,
            f"channels in the decathlon's order ({', '.join(corpus.stacked)}): no dataset.json gives another",
        )
    content = _content(path, "or remove it to use the decathlon's own order of channels")
    channels = _channels(path, content, ("modality", "channel_names"))
    return channels, _label_sets(path, content.get("labels"), corpus), _order(channels)


def read_numbered(home: str, corpus: Corpus, parts: Collection[str]) -> Stack:
    """Return what nnU-Net's ``dataset.json`` says: the channels, the label sets its labels may have, and the source of both.

    Args:
        home: folder of the data set.
        corpus: nnU-Net's row.
        parts: what is present, ``images`` or ``labels`` or both; the other is ignored.

    Returns:
        Modality → channel in the order of `MODALITIES`; candidates for the label set; the source in words.

    Raises:
        OptionError: ``dataset.json`` is missing or damaged, names channels or labels that are not those of a brain tumour, or
            gives two channels the same name.
    """
    path = os.path.join(home, NAME)
    if not os.path.isfile(path):
        raise OptionError(
            f"{home} has nnU-Net's numbered channels (CASE_0000) but no dataset.json, which explains channels and labels:"
            " copy it there, or name the files in a manifest."
        )
    content = _content(path, "or name the files in a manifest")
    channels = _channels(path, content, ("channel_names", "modality")) if "images" in parts else {}
    label_sets = _numbered_sets(path, content.get("labels")) if "labels" in parts else corpus.label_sets
    return channels, label_sets, _order(channels) if channels else "labels by dataset.json"


def _order(channels: Mapping[str, int]) -> str:
    return f"channels by dataset.json ({', '.join(sorted(channels, key=channels.__getitem__))})"


def _content(path: str, way_out: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError) as problem:
        raise OptionError(f"{path}: cannot be read as JSON ({problem}); fix it, {way_out}.") from problem
    if not isinstance(content, dict):
        raise OptionError(f"{path}: contains a {type(content).__name__}; expected the keys modality and labels.")
    return content


def _channels(path: str, content: Mapping[str, Any], keys: tuple[str, str]) -> dict[str, int]:
    """Return modality → channel, by the first of two keys that is present."""
    key = next((key for key in keys if key in content), keys[0])
    names = content.get(key)
    if not isinstance(names, dict) or not all(str(index).isdigit() for index in names):
        raise OptionError(f'{path}: {key} is {names!r}; expected a name per channel, such as {{"0": "FLAIR", "1": "T1w"}}.')
    channels: dict[str, int] = {}
    for index, name in names.items():
        part = read_part(str(name))
        if part is None or part.kind not in MODALITIES:
            raise OptionError(
                f"{path}: channel {index} is called {name!r}{nearest(str(name).lower(), EXAMPLES)}; expected one of:"
                f" {', '.join(EXAMPLES)}."
            )
        if part.kind in channels:
            raise OptionError(f"{path}: channels {channels[part.kind]} and {index} are both called {part.kind}; fix one.")
        channels[part.kind] = int(index)
    return {m: channels[m] for m in MODALITIES if m in channels}


def _label_sets(path: str, labels: Any, corpus: Corpus) -> tuple[str, ...]:
    """Return the codings that agree with the file's labels; those of the corpus if it says nothing."""
    if not isinstance(labels, dict):
        return corpus.label_sets
    said = {value: tissue for value, name in _single_values(labels).items() if (tissue := _first(_TISSUES, name))}
    fitting = _with_tissues(said)
    if not said or set(corpus.label_sets) <= set(fitting):
        return corpus.label_sets
    if not fitting:
        raise OptionError(
            f"{path}: labels are {labels!r}, which no known label set has; expected those of {' or '.join(corpus.label_sets)},"
            " or name files and label set of each case in a manifest."
        )
    return tuple(fitting)


def _numbered_sets(path: str, labels: Any) -> tuple[str, ...]:
    """Return the codings that agree with the values or regions in nnU-Net's file."""
    fitting: list[str] = []
    if isinstance(labels, dict):
        values, regions = _single_values(labels), _regions(labels)
        named = {value: _first(_TISSUES, name) for value, name in values.items() if value}
        if any(len(region) > 1 for region in regions.values()):
            fitting = _with_regions(regions)
        elif list(named) == [1] and not named[1] and re.search(_WHOLE, values[1], re.IGNORECASE):
            fitting = ["GTV"]
        elif None not in named.values():
            fitting = _with_tissues({value: tissue for value, tissue in named.items() if tissue})
    if not fitting:
        raise OptionError(
            f"{path}: labels are {labels!r}, which no known label set has; expected tissues or regions of a brain tumour, as in"
            f" one of {', '.join(LABEL_SETS)}: name files and label set of each case in a manifest."
        )
    return tuple(fitting)


def _single_values(labels: Mapping[Any, Any]) -> dict[int, str]:
    """Return value → name, whichever of the two is the key."""
    pairs = [(value, name) if str(value).isdigit() else (name, value) for value, name in labels.items()]
    return {int(value): str(name) for value, name in pairs if str(value).isdigit()}


def _regions(labels: Mapping[Any, Any]) -> dict[str, tuple[int, ...]]:
    """Return name → values of everything except the background."""
    lists = {str(name): value if isinstance(value, list) else [value] for name, value in labels.items()}
    whole = {name: tuple(sorted(int(v) for v in values)) for name, values in lists.items() if all(map(_is_number, values))}
    return {name: values for name, values in whole.items() if values != (0,)}


def _is_number(value: Any) -> bool:
    return str(value).isdigit()


def _with_tissues(said: Mapping[int, str]) -> list[str]:
    """Return the label sets with exactly these values for these tissues."""
    return [
        name for name, row in LABEL_SETS.items() if said and said == {v: _first(_TISSUES, t) for v, t in row.tissues.items()}
    ]


def _with_regions(regions: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return the label sets whose regions of these names have exactly these values."""
    values = {value for region in regions.values() for value in region}
    said = {_first(_REGIONS, name): region for name, region in regions.items()}
    if None in said or len(said) < len(regions):
        return []
    return [
        name
        for name, row in LABEL_SETS.items()
        if values == set(row.tissues) and all(row.regions.get(str(region)) == of for region, of in said.items())
    ]


def _first(table: tuple[tuple[str, str], ...], name: str) -> str | None:
    return next((meaning for pattern, meaning in table if re.search(pattern, name, re.IGNORECASE)), None)
