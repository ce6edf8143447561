"""The corpora whose files are recognised: one table, one row per corpus.

A row says how a file is named, what the last part of its name means, and which codings its label may have. Adding a corpus
adds a row (and a tree to the tests); nothing else depends on the year.

Rows are tried from top to bottom and the first match wins, so free names (``BIDS``, ``nnU-Net``, ``plain``) come last. The
label sets of a row are candidates: `settle_label_set` picks one by the values found. What shaped the table:

- Several years share names but differ in the coding. A pre-operative glioma of 2023 has a time point below 100, a
  post-treatment one of 2024 and 2025 has one from 100 on, and another coding: there the name settles it. The paediatric files
  of 2024 have the names of 2023, metastases of 2025 those of 2023 and 2024: there only a folder that names the year does (the
  deepest of several). Without one all of the codings are candidates, and values that they read differently are refused as
  doubtful.
- BraTS 2012 was released twice under the same names, first with 1 for edema, later with the coding of 2013.
- The decathlon has a case's modalities in one 4-D file, and images and labels in two folders; UPENN-GBM also has its labels
  in a separate folder.
- The TCIA's collections of TCGA name the day of the scan. It is not part of a case's name here: ids end up in file names.

Sources of the names: public repositories of the challenges and their users, several per row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from brats3d.cases.names import STACK, FileName, read_bids, read_nnunet, read_plain
from brats3d.cases.servers import MNI152, OWN, SRI24, SRI24_EXACTLY, SRI24_OF_ANY_AFFINE, SRI24_OR_OWN, ServerGrid

_LEGACY = {"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair"}
_SINCE_2023 = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
_VSD = {"MR_T1": "t1", "MR_T1c": "t1ce", "MR_T2": "t2", "MR_Flair": "flair"}
_SEG = MappingProxyType({"seg": ""})
_BY_PROGRAM = "made by a program"

MANIFEST = "manifest"
"""Row of the cases named in a manifest."""


@dataclass(frozen=True)
class Corpus:
    """How the files of one corpus are named, and what its labels may mean.

    Attributes:
        name: name of the corpus in a `Case`, such as ``BraTS 2018``.
        case: regular expression of a case's name, case-insensitive; empty if the folder gives the name. A group named
            ``grade`` in it gives the grade.
        example: a file name, for messages; empty if no files are recognised by the row.
        modalities: last part of a file name → our name of the modality.
        labels: last part of a label's file name → a note on such labels; the first one present counts.
        label_sets: candidate codings of the label, likelier ones first.
        separator: regular expression between the case's name and the last part.
        tail: regular expression of what may follow the last part.
        layout: how these make up a file name; a ``/`` in it is preceded by the name of the file's folder.
        folder: regular expression that the folders above a file must contain, or empty.
        parts: regular expression of folders that contain a part of every case, such as all labels.
        stacked: modalities along the fourth axis of a file, if no ``dataset.json`` says so; or empty.
        odd_labels: label files without the case's name in theirs; the folder's name gives the case.
        graded: whether HGG and LGG folders give the grade.
        grade: grade of all cases, or None.
        binding: whether the name gives the year, so that another label set contradicts it.
        server: the grid on which the challenge's validation server accepts masks; None if there is no server, or nothing is
            known about it.
        reader: (stem, folders) → all ways to read a name, shortest case first, if names are too free for the above.
    """

    name: str
    case: str
    example: str
    modalities: Mapping[str, str]
    labels: Mapping[str, str]
    label_sets: tuple[str, ...]
    separator: str = "_"
    tail: str = ""
    layout: str = "{case}{separator}{kind}{tail}"
    folder: str = ""
    parts: str = ""
    stacked: tuple[str, ...] = ()
    odd_labels: tuple[str, ...] = ()
    graded: bool = False
    grade: str | None = None
    binding: bool = True
    server: ServerGrid | None = None
    reader: Callable[[str, str], Sequence[FileName]] | None = None
    _file: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _kinds: Mapping[str, tuple[str, int, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = {part: (modality, 0, "") for part, modality in self.modalities.items()}
        kinds |= {part: ("label", rank, note) for rank, (part, note) in enumerate(self.labels.items())}
        parts = "|".join(re.escape(k) for k in kinds)
        pattern = self.layout.format(
            case=f"(?P<case>{self.case})", separator=self.separator, kind=f"(?P<kind>{parts})", tail=self.tail
        )
        object.__setattr__(self, "_file", re.compile(pattern, re.IGNORECASE))
        object.__setattr__(self, "_kinds", {k.lower(): v for k, v in kinds.items()})

    def readings(self, stem: str, folders: str) -> Sequence[FileName]:
        """Return what the name of a file says, in all possible readings; empty if it is not of this corpus.

        Args:
            stem: file name without its suffix.
            folders: absolute path of its folder.
        """
        if not self.lies_in(folders):
            return []
        if self.reader is not None:
            return self.reader(stem, folders)
        found = self._file.fullmatch(f"{os.path.basename(folders)}/{stem}" if "/" in self.layout else stem)
        if not found:
            return []
        kind, rank, note = self._kinds[found["kind"].lower()]
        return [FileName(found["case"] if self.case else "", kind, rank, found.groupdict().get("grade"), note)]

    def lies_in(self, folders: str) -> bool:
        """Return whether the folders above a file may be those of this corpus.

        Args:
            folders: absolute path of the file's folder.
        """
        return not self.folder or re.search(self.folder, folders, re.IGNORECASE) is not None


def _row_2017_to_2019(year: str) -> Corpus:
    name = rf"BraTS{year}_\w+?_\w+?_\d+"
    example = f"Brats{year}_CBICA_ABM_1_t1.nii.gz"
    return Corpus(f"BraTS 20{year}", name, example, _LEGACY, _SEG, ("L17",), graded=True, server=SRI24)


def _since_2023(year: str, task: str, label_sets: tuple[str, ...] = ("L23",), *, server: ServerGrid,
                number: str = r"\d{5}-\d{3}", folder: str = "", example: str = "00002-000") -> Corpus:  # fmt: skip
    """Return the row of a task; ``year`` is empty if only the task is known."""
    name = " ".join(["BraTS", *([year] if year else []), task])
    example = f"BraTS-{task}-{example}-t1n.nii.gz"
    case = f"BraTS-{task}-{number}"
    return Corpus(name, case, example, _SINCE_2023, _SEG, label_sets, separator="-", folder=folder, server=server)


def _folder_of(years: str) -> str:
    """Return the expression for a path whose deepest folder that names a BraTS year names one of these."""
    return rf"brats[^/]*(?<!\d)(?:{years})(?!\d)(?!.*brats[^/]*(?<!\d)20[12]\d(?!\d))"  # not part of a case's number


def _tcga(name: str, folder: str, grade: str | None) -> Corpus:
    return Corpus(
        name, r"TCGA-\w\w-\w{4}", "TCGA-02-0006_1996.08.23_t1Gd.nii.gz",
        {"t1": "t1", "t1Gd": "t1ce", "t2": "t2", "flair": "flair"},
        {"GlistrBoost_ManuallyCorrected": "", "GlistrBoost": _BY_PROGRAM}, ("L17",),
        separator=r"_\d{4}\.\d\d\.\d\d_", folder=folder, grade=grade,
    )  # fmt: skip


_ROWS = (
    Corpus(
        "BraTS 2012", r"(?:Sim)?BRATS_(?P<grade>HG|LG)\d{4}", "BRATS_HG0001_FLAIR.mha",
        {"T1": "t1", "T1C": "t1ce", "T2": "t2", "FLAIR": "flair"}, {"truth": "", "complete_truth": ""}, ("L12", "L13"),
        tail=r"(?: ?\(\d+\))?",  # a browser's second copy
    ),
    Corpus(
        "BraTS 2013-2016", "", "brats_2013_pat0001_1/VSD.Brain.XX.O.MR_T1c.54514.mha", _VSD, {"OT": ""}, ("L13",),
        separator=r"(?:.*\.)?", tail=r"(?:\.\d+)?", graded=True,
    ),
    _row_2017_to_2019("17"),
    _row_2017_to_2019("18"),
    _row_2017_to_2019("19"),
    Corpus(
        "BraTS 2020", r"BraTS20_[a-z]+_\d+", "BraTS20_Training_001_t1.nii.gz", _LEGACY, _SEG, ("L17",),
        odd_labels=("W39_1998.09.19_Segm",), server=SRI24,
    ),
    Corpus("BraTS 2021", r"BraTS2021_\d+", "BraTS2021_00000_t1.nii.gz", _LEGACY, _SEG, ("L17",), server=SRI24),
    _since_2023("2023", "GLI", server=SRI24_EXACTLY, number=r"\d{5}-0\d\d"),
    _since_2023("2024-2025", "GLI", ("L24",), server=MNI152, number=r"\d{5}-[1-9]\d\d", example="00005-100"),
    Corpus(
        "BraTS-Africa", r"BraTS-SSA-\d{5}-\d{3}", "95_Glioma/BraTS-SSA-00002-000/BraTS-SSA-00002-000-t1n.nii.gz",
        _SINCE_2023, _SEG, ("L23",), separator="-", folder=r"brats-africa|/95_glioma|/51_otherneoplasms",
        server=SRI24_OF_ANY_AFFINE,
    ),
    _since_2023("2023", "SSA", server=SRI24_EXACTLY),
    _since_2023("2023", "MEN", server=SRI24_EXACTLY),
    Corpus(
        "BraTS 2024 MEN-RT", r"BraTS-MEN-RT-\d{4}-\d+", "BraTS-MEN-RT-0004-1_t1c.nii.gz", {"t1c": "t1ce"}, {"gtv": ""},
        ("GTV",), server=OWN,
    ),
    _since_2023("2023", "MET", server=SRI24_EXACTLY, folder=_folder_of("2023")),
    _since_2023("2024", "MET", server=SRI24, folder=_folder_of("2024")),
    _since_2023("2025", "MET", ("L24",), server=OWN, folder=_folder_of("2025")),
    _since_2023("", "MET", ("L23", "L24"), server=SRI24_OR_OWN),
    _since_2023("2023", "PED", server=SRI24_EXACTLY, folder=_folder_of("2023")),
    _since_2023("2024-2025", "PED", ("LPED",), server=SRI24, folder=_folder_of("2024|2025")),
    _since_2023("", "PED", ("L23", "LPED"), server=SRI24),
    _since_2023("2024", "GoAT", server=SRI24_EXACTLY, number=r"\d{5}", example="02235"),
    Corpus(
        "UPENN-GBM", r"UPENN-GBM-\d{5}_\d\d", "UPENN-GBM-00001_11_T1GD.nii.gz",
        {"T1": "t1", "T1GD": "t1ce", "T2": "t2", "FLAIR": "flair"}, {"segm": "", "automated_approx_segm": _BY_PROGRAM},
        ("L17",), parts="images_structural|images_segm|automated_segm", grade="HGG",
    ),
    Corpus(
        "UCSF-PDGM", r"UCSF-PDGM-\d{3,4}(?:_FU\d+d)?", "UCSF-PDGM-0004_T1c.nii.gz",
        {"T1": "t1", "T1c": "t1ce", "T2": "t2", "FLAIR": "flair"}, {"tumor_segmentation": ""}, ("L17",),
    ),
    _tcga("TCGA-GBM", r"(?:^|/)(?![^/]*lgg)[^/]*tcga[-_]gbm", "HGG"),
    _tcga("TCGA-LGG", r"(?:^|/)(?![^/]*gbm)[^/]*tcga[-_]lgg", "LGG"),
    _tcga("TCGA", "", None),
    Corpus(
        "MSD Task01", r"BRATS_\d{3}", "imagesTr/BRATS_001.nii.gz", {"imagesTr": STACK, "imagesTs": STACK}, {"labelsTr": ""},
        ("LMSD",), layout="{kind}/{case}", parts="imagesTr|imagesTs|labelsTr", stacked=("flair", "t1", "t1ce", "t2"),
    ),
    # Masks with such names, in a folder that does not say whose they are, may have the decathlon's coding or not.
    Corpus(
        "BRATS_nnn", r"BRATS_\d{3}", "", {}, _SEG, ("LMSD", "L17", "L23"), layout="(?!){case}{kind}", binding=False,
    ),
    Corpus("synthetic heads", r"Phantom_\d+", "Phantom_000_t1.nii.gz", _LEGACY, _SEG, ("L17",)),
    Corpus(MANIFEST, "(?!)", "", {}, _SEG, ("L17", "L23"), binding=False),
    Corpus(
        "BIDS", r"sub-[a-z0-9]+(?:_ses-[a-z0-9]+)?", "sub-01/anat/sub-01_ce-gadolinium_T1w.nii.gz", {}, {}, ("L17", "L23"),
        binding=False, reader=read_bids,
    ),
    # Its dataset.json says what channels and labels are.
    Corpus(
        "nnU-Net", r".+", "imagesTr/CASE_0000.nii.gz", {}, {}, ("L23", "LMSD", "L17"), layout="{kind}/{case}",
        parts="images(?:Tr|Ts|Val)|labels(?:Tr|Ts|Val)", binding=False, reader=read_nnunet,
    ),
    Corpus("plain", r".+", "CASE_t1.nii.gz", {}, {}, ("L17", "L23"), binding=False, reader=read_plain),
)  # fmt: skip

CORPORA: Mapping[str, Corpus] = MappingProxyType({row.name: row for row in _ROWS})
"""Name → row, in the order in which rows are tried."""


def corpus_of(case_id: str, folders: str) -> Corpus:
    """Return the corpus of a case by its name, for a mask on its own with nothing else in its name.

    Args:
        case_id: name of a case.
        folders: absolute path of the mask's folder.

    Returns:
        A row of `CORPORA`; ``plain`` if the name gives none.
    """
    rows = (row for row in _ROWS if row.case and "/" not in row.layout and row.lies_in(folders))
    return next(row for row in rows if re.fullmatch(row.case, case_id, re.IGNORECASE) or row is _ROWS[-1])
