"""Finds and names cases, settles what their labels mean, and splits them by patient.

Only names, tables and manifests are read here; no images are opened.
"""

from brats3d.cases.case import Case
from brats3d.cases.corpora import CORPORA, MANIFEST, Corpus, corpus_of
from brats3d.cases.facts import Facts, KnownFacts
from brats3d.cases.find import find_cases, look_for_cases
from brats3d.cases.finding import Finding, refuse_conflicts, warn_of_unused
from brats3d.cases.letters import differing_in_case, letter_case_ignored, match_ids
from brats3d.cases.manifest import read_manifest
from brats3d.cases.patients import patient_of
from brats3d.cases.selection import CaseIds, read_case_ids, select_ids
from brats3d.cases.servers import ServerGrid
from brats3d.cases.settle import binds, settle_label_set, settle_together, told_by
from brats3d.cases.splits import Fold, Split, load_split, make_split
from brats3d.regions import MODALITIES

__all__ = [
    "CORPORA",
    "MANIFEST",
    "MODALITIES",
    "Case",
    "CaseIds",
    "Corpus",
    "Facts",
    "Finding",
    "Fold",
    "KnownFacts",
    "ServerGrid",
    "Split",
    "binds",
    "corpus_of",
    "differing_in_case",
    "find_cases",
    "letter_case_ignored",
    "load_split",
    "look_for_cases",
    "make_split",
    "match_ids",
    "patient_of",
    "read_case_ids",
    "read_manifest",
    "refuse_conflicts",
    "select_ids",
    "settle_label_set",
    "settle_together",
    "told_by",
    "warn_of_unused",
]
__dir__ = __all__.copy
