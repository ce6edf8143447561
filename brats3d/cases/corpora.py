"""The corpora whose files are recognised: one table, one row a corpus.

A row says how a file is named, what its last part means, and which codings its label may have. Adding a corpus adds a row
(and a tree to the tests); nothing else asks for a year.

Rows are tried from top to bottom and the first that fits wins, so the ``plain`` row stands last. The label sets of a row are
candidates: `settle_label_set` picks one by the values found. Two facts shaped the table:

- A 2023 time point is below 100; from 2024 on ``BraTS-GLI-00005-100`` is post-treatment and coded otherwise, so it is not
  taken for 2023.
- The paediatric files of 2024 carry the names of 2023, and their values 1, 2 and 3 mean other tissue. Only a folder that
  says 2023 settles it; without one both codings are candidates, and what they read differently is refused as doubtful.

Sources of the names: public repositories of the challenges and their users, several a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_LEGACY = {"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair"}
_SINCE_2023 = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
_VSD = {"MR_T1": "t1", "MR_T1c": "t1ce", "MR_T2": "t2", "MR_Flair": "flair"}


@dataclass(frozen=True)
class Corpus:
    """How the files of one corpus are named, and what its labels may mean.

    Attributes:
        name: what the corpus is called in a `Case`, such as ``BraTS 2018``.
        case: regular expression of a case's name, case-insensitive; empty where the folder gives the name.
        example: a file name, for messages.
        modalities: last part of a file name → our name of the modality.
        label: last part of a label's file name.
        label_sets: candidate codings of the label, the likelier first.
        separator: regular expression between the case's name and the last part.
        tail: regular expression of what may follow the last part.
        folder: regular expression that the folders above a file must contain, or empty.
        odd_labels: label files without the case's name in theirs; the folder's name says the case.
        graded: whether HGG and LGG folders say the grade.
        binding: whether the name says the year, so that another label set contradicts it.
    """

    name: str
    case: str
    example: str
    modalities: Mapping[str, str]
    label: str
    label_sets: tuple[str, ...]
    separator: str = "_"
    tail: str = ""
    folder: str = ""
    odd_labels: tuple[str, ...] = ()
    graded: bool = False
    binding: bool = True
    _file: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _kinds: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = {**self.modalities, self.label: "label"}
        parts = "|".join(re.escape(k) for k in kinds)
        pattern = rf"(?P<case>{self.case}){self.separator}(?P<kind>{parts}){self.tail}"
        object.__setattr__(self, "_file", re.compile(pattern, re.IGNORECASE))
        object.__setattr__(self, "_kinds", {k.lower(): v for k, v in kinds.items()})

    def match(self, stem: str, folders: str) -> tuple[str, str] | None:
        """Return (case name, modality or ``label``) of a file, or None where it is not of this corpus.

        Args:
            stem: file name without its suffix.
            folders: absolute path of the folder that holds it.

        Returns:
            The case name is empty where the file's own does not hold it.
        """
        found = self._file.fullmatch(stem)
        if not found or (self.folder and not re.search(self.folder, folders, re.IGNORECASE)):
            return None
        return found["case"] if self.case else "", self._kinds[found["kind"].lower()]


def _row_2017_to_2019(year: str) -> Corpus:
    name = rf"BraTS{year}_\w+?_\w+?_\d+"
    example = f"Brats{year}_CBICA_ABM_1_t1.nii.gz"
    return Corpus(f"BraTS 20{year}", name, example, _LEGACY, "seg", ("L17",), graded=True)


def _row_2023(task: str, label_sets: tuple[str, ...] = ("L23",), folder: str = "", year: str = " 2023") -> Corpus:
    name = rf"BraTS-{task}-\d{{5}}-0\d\d"
    example = f"BraTS-{task}-00002-000-t1n.nii.gz"
    return Corpus(f"BraTS{year} {task}", name, example, _SINCE_2023, "seg", label_sets, separator="-", folder=folder)


_ROWS = (
    Corpus(
        "BraTS 2013-2016", "", "brats_2013_pat0001_1/VSD.Brain.XX.O.MR_T1c.54514.mha", _VSD, "OT", ("L13",),
        separator=r"(?:.*\.)?", tail=r"(?:\.\d+)?", graded=True,
    ),
    _row_2017_to_2019("17"),
    _row_2017_to_2019("18"),
    _row_2017_to_2019("19"),
    Corpus(
        "BraTS 2020", r"BraTS20_[a-z]+_\d+", "BraTS20_Training_001_t1.nii.gz", _LEGACY, "seg", ("L17",),
        odd_labels=("W39_1998.09.19_Segm",),
    ),
    Corpus("BraTS 2021", r"BraTS2021_\d+", "BraTS2021_00000_t1.nii.gz", _LEGACY, "seg", ("L17",)),
    _row_2023("GLI"),
    _row_2023("SSA"),
    _row_2023("MEN"),
    _row_2023("MET"),
    _row_2023("PED", folder="BraTS2023"),
    _row_2023("PED", ("L23", "LPED"), year=""),
    Corpus("plain", r".+", "CASE_t1.nii.gz", _LEGACY, "seg", ("L17", "L23"), binding=False),
)  # fmt: skip

CORPORA: Mapping[str, Corpus] = MappingProxyType({row.name: row for row in _ROWS})
"""Name → row, in the order in which rows are tried."""
