"""``predictions.json``: how it is written (schema 2), and how it is read (schemas 1 and 2).

Schema 2, for the years::

    {"schema": 2,
     "model": {"file", "checksum", "members": [{"file", "checksum"}, …], "combine", "label_set"},
     "kind": "regions" | "labels",      what the channels of the probabilities are
     "channels": [name, …],             in the order of the files' fourth axis
     "regions": [name, …],              those that the model gives; others are not scored
     "inference": {name: value, …},     how the model was applied
     "options": {"label_set", "probabilities"},
     "label_sets": {key: {"name", "used_by", "tissues", "regions", "paint"}, …},
     "cases": {id: {"file", "bytes", "crc32", "label_set", "passes", "sources": [{"name", "bytes", "crc32"}, …],
                    "probabilities"?, "trained_on"?}, …}}

Every other ``label_set`` is a key of ``label_sets`` (or null), which holds each coding by content: later changes of the table
do not affect masks. The key is the coding's name, followed by a number if two codings share a name.

Schema 1 names the label sets of `brats3d.regions.LABEL_SETS`, has no ``members``, ``kind``, ``channels`` and ``inference``
(channels were regions, and inference as the model's card said), and its earliest lists lack ``regions``, and each
case's ``bytes``, ``crc32``, ``sources`` and ``passes``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar, get_args

from brats3d.errors import OptionError, first_line
from brats3d.images import SourceFile
from brats3d.masks.mask_list import Kind, MaskEntry, MaskList, MaskModel, MaskSettings, MemberFile
from brats3d.regions import LABEL_SETS, LabelSet

SCHEMA = 2
"""What is written."""
_TYPES = {str: "text", bool: "true or false", int: "a whole number", list: "a list", dict: "an object"}
T = TypeVar("T")


def list_as_json(masks: MaskList) -> str:
    """Return a list as JSON text of schema 2.

    Args:
        masks: what is recorded.
    """
    model, settings = masks.model, masks.settings
    codings = [model.label_set, settings.label_set, *(entry.label_set for entry in masks.cases.values())]
    keys = _keyed(coding for coding in codings if coding is not None)

    def key(coding: LabelSet | None) -> str | None:
        return next((key for key, known in keys.items() if known == coding), None)

    content = {
        "schema": SCHEMA,
        "model": {
            "file": model.file,
            "checksum": model.checksum,
            "members": [asdict(member) for member in model.members or ()],
            "combine": model.combine,
            "label_set": key(model.label_set),
        },
        "kind": model.kind,
        "channels": None if model.channels is None else list(model.channels),
        "regions": None if model.regions is None else list(model.regions),
        "inference": settings.inference,
        "options": {"label_set": key(settings.label_set), "probabilities": settings.probabilities},
        "label_sets": {key: coding.as_dict() for key, coding in keys.items()},
        "cases": {case: _entry_as_dict(entry, key(entry.label_set)) for case, entry in masks.cases.items()},
    }
    return json.dumps(content, indent=2) + "\n"


def _keyed(codings: Iterable[LabelSet]) -> dict[str, LabelSet]:
    """Return key → label set: its name, followed by a number if another label set has that name."""
    keys: dict[str, LabelSet] = {}
    for coding in codings:
        key, number = coding.name, 1
        while keys.get(key, coding) != coding:
            number += 1
            key = f"{coding.name} ({number})"
        keys[key] = coding
    return keys


def _entry_as_dict(entry: MaskEntry, label_set: str | None) -> dict[str, Any]:
    content: dict[str, Any] = {"file": entry.file}
    if entry.written is not None:
        content |= {"bytes": entry.written.bytes, "crc32": entry.written.crc32}
    content["label_set"] = label_set
    if entry.passes is not None:
        content["passes"] = entry.passes
    if entry.sources is not None:
        content["sources"] = [asdict(source) for source in entry.sources]
    if entry.probabilities is not None:
        content["probabilities"] = entry.probabilities
    return content | ({"trained_on": True} if entry.trained_on else {})


def list_from_json(text: str, where: str) -> MaskList:
    """Read a list of any schema.

    Args:
        text: content of the file.
        where: the file, for messages.

    Raises:
        OptionError: it is not JSON, lacks something, has values that cannot be used, or is of a newer schema.
    """
    try:
        content = json.loads(text)
        schema = content["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise OptionError(
                f"{where}: has schema {schema}; this version of brats3d reads schemas up to {SCHEMA}: use the version that"
                " wrote the folder, or a newer one."
            )
        if schema not in _READERS:
            raise ValueError(f"schema is {schema!r}")
        return _READERS[schema](content, where)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        if isinstance(problem, OptionError):
            raise
        raise OptionError(
            f"{where}: cannot be read ({type(problem).__name__}: {first_line(problem)}); remove it, or start over with predict"
            " --force."
        ) from problem


def _read_first(content: Mapping[str, Any], where: str) -> MaskList:
    regions = _names(content, "regions") if "regions" in content else None
    model, options = content["model"], content["options"]
    read = _Reader(where, LABEL_SETS)
    return MaskList(
        MaskModel(_of(str, model.get("file", "")), _of(str, model.get("checksum", "")), channels=regions, regions=regions),
        MaskSettings(None, read.coding_or_none(options.get("label_set"), "options"), bool(options.get("probabilities"))),
        {case: read.entry(case, entry) for case, entry in content["cases"].items()},
    )


def _read_second(content: Mapping[str, Any], where: str) -> MaskList:
    model, options, inference = content["model"], content["options"], content["inference"]
    read = _Reader(where, _codings(content["label_sets"], where))
    if content["kind"] not in get_args(Kind):
        raise ValueError(f"kind is {content['kind']!r}; expected one of: {', '.join(get_args(Kind))}")
    return MaskList(
        MaskModel(
            _of(str, model["file"]), _of(str, model["checksum"]),
            tuple(MemberFile(_of(str, m["file"]), _of(str, m["checksum"])) for m in _of(list, model["members"])) or None,
            _of(str, model["combine"]), content["kind"], _names(content, "channels"), _names(content, "regions"),
            read.coding_or_none(model["label_set"], "model"),
        ),
        MaskSettings(
            None if inference is None else _of(dict, inference), read.coding_or_none(options["label_set"], "options"),
            _of(bool, options["probabilities"]),
        ),
        {case: read.entry(case, entry) for case, entry in content["cases"].items()},
    )  # fmt: skip


_READERS: Mapping[int, Callable[[Mapping[str, Any], str], MaskList]] = {1: _read_first, 2: _read_second}


class _Reader:
    """Reads cases; knows the label sets that a list may name."""

    def __init__(self, where: str, codings: Mapping[str, LabelSet]) -> None:
        self.where, self.codings = where, codings

    def coding(self, key: Any, of: str) -> LabelSet:
        if not isinstance(key, str) or key not in self.codings:
            raise OptionError(f"{self.where}: says label set {key!r} of {of}; expected one of: {', '.join(self.codings)}.")
        return self.codings[key]

    def coding_or_none(self, key: Any, of: str) -> LabelSet | None:
        return None if key is None else self.coding(key, of)

    def entry(self, case: str, entry: Mapping[str, Any]) -> MaskEntry:
        file, sources = _of(str, entry["file"]), entry.get("sources")
        whole = "bytes" in entry and "crc32" in entry
        return MaskEntry(
            file,
            self.coding(entry["label_set"], case),
            SourceFile(file, _of(int, entry["bytes"]), _of(int, entry["crc32"])) if whole else None,
            None if sources is None else tuple(map(_source, _of(list, sources))),
            _of(str, entry["passes"]) if "passes" in entry else None,
            _of(str, entry["probabilities"]) if "probabilities" in entry else None,
            _of(bool, entry.get("trained_on", False)),
        )


def _codings(contents: Mapping[str, Any], where: str) -> dict[str, LabelSet]:
    try:
        return {key: LabelSet.from_dict(content) for key, content in contents.items()}
    except OptionError as problem:
        raise OptionError(f"{where}: label_sets: {problem}") from problem


def _source(source: Mapping[str, Any]) -> SourceFile:
    return SourceFile(_of(str, source["name"]), _of(int, source["bytes"]), _of(int, source["crc32"]))


def _of(kind: type[T], value: Any) -> T:
    """Return a value if it is of the type that is written; True is no number."""
    if type(value) is not kind:
        raise TypeError(f"found {value!r}; expected {_TYPES[kind]}")
    return value


def _names(content: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    names = content[key]
    if names is None:  # an earlier version did not record them
        return None
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise ValueError(f"{key} is {names!r}; expected a list of names")
    return tuple(names)
