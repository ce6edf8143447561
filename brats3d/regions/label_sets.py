"""The table of label sets, and users' own label sets.

What a label's value means depends on the challenge and its year: 3 is non-enhancing tumour in 2015, nothing in 2018,
enhancing tumour in 2023. One table (`LABEL_SETS`) defines it; adding a year adds a row. A user's own label set is the same
content in a TOML or JSON file, and is accepted wherever a row's name is (`find_label_set`).

Sources: the challenges' own scoring scripts (rachitsaluja/BraTS-2023-Metrics ``get_TissueWiseSeg``,
BraTS-2024-Metrics ``metrics_*.py``), CaPTk ``cbicaITKUtilities.h``, nnU-Net ``regions_class_order``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from brats3d.errors import OptionError, check_option, nearest, system_words
from brats3d.regions.content import checked_content

MODALITIES = ("t1", "t1ce", "t2", "flair")
"""The four modalities of BraTS, in the order used everywhere."""

REGIONS = ("WT", "TC", "ET")
"""The three regions every BraTS year scores, in the order used everywhere: the default if no others are given."""


@dataclass(frozen=True)
class LabelSet:
    """One coding of tumour tissue in a label file.

    Two label sets are equal if their content is; ``used_by`` is a remark and is ignored.

    Attributes:
        name: short name, such as ``L17``.
        used_by: which challenges or users write it.
        tissues: label value → tissue.
        regions: region name → the values it unites; single tissues that a challenge scores are regions too.
        paint: (region, value) in the order in which regions are painted into a label.
    """

    name: str
    used_by: str = field(compare=False)
    tissues: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]]
    paint: tuple[tuple[str, int], ...]

    def __hash__(self) -> int:  # frozen mappings have none
        return hash((self.name, self.values, self.paint))

    @property
    def title(self) -> str:
        """The name and who used it, for messages."""
        return f"{self.name} ({self.used_by})"

    @property
    def values(self) -> tuple[int, ...]:
        """All values the coding uses, background first."""
        return (0, *sorted(self.tissues))

    @property
    def own(self) -> bool:
        """Whether it is a user's own: not a row of `LABEL_SETS`."""
        return LABEL_SETS.get(self.name) != self

    @property
    def plain(self) -> str | dict[str, Any]:
        """Its name if the table has it, else the content that counts, as plain values: equal for equal label sets."""
        return {key: value for key, value in self.as_dict().items() if key != "used_by"} if self.own else self.name

    @property
    def painted(self) -> tuple[str, ...]:
        """The regions that have a value of their own, in the order of painting: what a model can learn."""
        return tuple(region for region, _ in self.paint)

    def as_dict(self) -> dict[str, Any]:
        """Return the content as plain values for JSON or TOML, which `from_dict` reads."""
        return {
            "name": self.name,
            "used_by": self.used_by,
            "tissues": {str(value): tissue for value, tissue in self.tissues.items()},
            "regions": {region: list(values) for region, values in self.regions.items()},
            "paint": [[region, value] for region, value in self.paint],
        }

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> LabelSet:
        """Return the label set with some content, as a file of any version holds it.

        Users' label sets go through `find_label_set`, which also checks that their labels can be painted.

        Args:
            content: ``name``; ``tissues``, value from 1 to 255 → tissue; ``regions``, name → values; ``paint``, pairs of region
                and value in the order of painting, each value in its region; and optionally ``used_by``.

        Returns:
            The row of `LABEL_SETS` if it has this content.

        Raises:
            OptionError: says which part is missing or wrong.
        """
        made = _row(*checked_content(content))
        return made if made.own else LABEL_SETS[made.name]

    def __reduce__(self) -> tuple[Any, ...]:  # frozen mappings cannot be pickled, and cases are sent to other processes
        return _row, (self.name, self.used_by, dict(self.tissues), dict(self.regions), self.paint)


def _row(
    name: str,
    used_by: str,
    tissues: Mapping[int, str],
    regions: Mapping[str, tuple[int, ...]],
    paint: Sequence[tuple[str, int]],
) -> LabelSet:
    return LabelSet(name, used_by, MappingProxyType(tissues), MappingProxyType(regions), tuple(paint))


LABEL_SETS: Mapping[str, LabelSet] = MappingProxyType({
    row.name: row
    for row in (
        _row("L12", "BraTS 2012, first issue", {1: "edema", 2: "core"},
             {"WT": (1, 2), "TC": (2,)}, [("WT", 1), ("TC", 2)]),
        _row("L13", "BraTS 2012 re-issue to 2016", {1: "necrosis", 2: "edema", 3: "non-enhancing", 4: "enhancing"},
             {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}, [("WT", 2), ("TC", 1), ("ET", 4)]),
        _row("L17", "BraTS 2017 to 2022, TCIA", {1: "NCR+NET", 2: "ED", 4: "ET"},
             {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,), "NETC": (1,), "SNFH": (2,)}, [("WT", 2), ("TC", 1), ("ET", 4)]),
        _row("L23", "BraTS 2023; SSA and MET 2024", {1: "NCR", 2: "ED", 3: "ET"},
             {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,), "NETC": (1,), "SNFH": (2,)}, [("WT", 2), ("TC", 1), ("ET", 3)]),
        _row("L24", "BraTS 2024 GLI; 2025 GLI and MET", {1: "NETC", 2: "SNFH", 3: "ET", 4: "RC"},
             {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,), "RC": (4,), "NETC": (1,), "SNFH": (2,)},
             [("WT", 2), ("TC", 1), ("ET", 3), ("RC", 4)]),
        _row("LPED", "BraTS 2024 PED and later", {1: "ET", 2: "NETC", 3: "CC", 4: "ED"},
             {"WT": (1, 2, 3, 4), "TC": (1, 2, 3), "ET": (1,), "CC": (3,), "NETC": (2,), "ED": (4,)},
             [("WT", 4), ("TC", 2), ("CC", 3), ("ET", 1)]),
        _row("LMSD", "Medical Segmentation Decathlon, Task01", {1: "edema", 2: "non-enhancing", 3: "ET"},
             {"WT": (1, 2, 3), "TC": (2, 3), "ET": (3,)}, [("WT", 1), ("TC", 2), ("ET", 3)]),
        _row("GTV", "BraTS 2024 MEN-RT", {1: "gross tumour volume"}, {"WT": (1,), "GTV": (1,)}, [("WT", 1)]),
    )
})  # fmt: skip


def label_set(name: str) -> LabelSet:
    """Return the row of `LABEL_SETS` of that name.

    Raises:
        OptionError: no label set has the name; the message lists them.
    """
    check_option("label set", name, LABEL_SETS)
    return LABEL_SETS[name]


LABEL_SET_FILES = (".toml", ".json")
"""Suffixes of label set files."""


LabelSetLike: TypeAlias = str | Path | Mapping[str, Any] | LabelSet
"""What `find_label_set` takes: a name, a file, the content, or the label set."""


def find_label_set(given: LabelSetLike) -> LabelSet:
    """Return the label set given by name, file, content or as itself.

    Args:
        given: the name of a row of `LABEL_SETS`; the path of a ``.toml`` or ``.json`` file with the content that
            `LabelSet.from_dict` takes; that content; or a label set.

    Raises:
        OptionError: no row has the name and it is not such a file, the file cannot be read, its content is wrong (see
            `LabelSet.from_dict`), it has the name of a row but not its content, or painting the regions of a label does not
            restore the label: a value for which it does not is named.
    """
    if isinstance(given, LabelSet):
        return given
    if isinstance(given, Mapping):
        return _own(LabelSet.from_dict(given))
    if isinstance(given, str) and given in LABEL_SETS:
        return LABEL_SETS[given]
    if not isinstance(given, str | Path) or Path(given).suffix.lower() not in LABEL_SET_FILES:
        raise OptionError(
            f"label set is {str(given)!r}{nearest(str(given), LABEL_SETS)}; expected one of: {', '.join(LABEL_SETS)}; or a"
            f" file of your own ({' or '.join(LABEL_SET_FILES)})."
        )
    try:
        return _own(LabelSet.from_dict(_read(Path(given))))
    except OptionError as problem:
        raise OptionError(f"{given}: {problem}") from problem


def two_meanings(codings: Iterable[LabelSet]) -> str:
    """Return in words which two label sets share a name but differ in content; empty if there are none.

    Args:
        codings: label sets that come together in one place.
    """
    known: dict[str, LabelSet] = {}
    for coding in codings:
        other = known.setdefault(coding.name, coding)
        if other != coding:
            mine, theirs = other.as_dict(), coding.as_dict()
            parts = [f"{part} {mine[part]} and {theirs[part]}" for part in ("tissues", "regions", "paint")
                     if mine[part] != theirs[part]]  # fmt: skip
            return f"two label sets are called {coding.name}: {other.title} and {coding.title}, with {'; '.join(parts)}"
    return ""


def _read(path: Path) -> Any:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as problem:
        raise OptionError(f"the label set cannot be read ({system_words(problem)}).") from problem
    except (ValueError, RecursionError) as problem:  # also no UTF-8, no JSON, no TOML
        raise OptionError(f"not {path.suffix[1:].upper()} ({problem}); expected a label set: fix that line.") from problem


def _own(coding: LabelSet) -> LabelSet:
    if not coding.own:
        return coding  # also L13, which lacks a region needed to be painted
    _check_painting(coding)
    if coding.name in LABEL_SETS:
        raise OptionError(
            f"the label set is called {coding.name}, which is the name of {LABEL_SETS[coding.name].title} with other content;"
            " give it another name."
        )
    return coding


def _check_painting(coding: LabelSet) -> None:
    """Refuse a label set whose labels do not survive reading their regions and painting them again."""
    for value, tissue in coding.tissues.items():
        holding = [(region, painted) for region, painted in coding.paint if value in coding.regions[region]]
        if not holding:
            raise OptionError(
                f"value {value} ({tissue}) of label set {coding.name} cannot be painted: no region of paint holds it; add one"
                " that does, such as the whole tumour."
            )
        region, painted = holding[-1]
        if painted != value:
            raise OptionError(
                f"value {value} ({tissue}) of label set {coding.name} cannot be painted: {region}, the last region of paint"
                f" that holds it, is painted with {painted}; name outer regions first, and then a region that holds {value} and"
                f" not {painted}."
            )
