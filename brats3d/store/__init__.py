"""The store: a folder with one HDF5 file per case, schema 1.

A case file is written aside and renamed, so a file of the right name is complete: a kill only loses the cases in progress,
many processes can fill one store, and a damaged file does not affect others. Nothing is ever locked.
"""

from brats3d.store.audit import AuditReport, Leak, audit_split
from brats3d.store.checksums import case_checksums, file_stamp
from brats3d.store.duplicates import Duplicate, Duplicates, find_duplicates
from brats3d.store.listing import describe_store, write_listing
from brats3d.store.merge import MergeReport, merge_stores, unpack_store
from brats3d.store.pack import PackReport, pack_store
from brats3d.store.prepared import CaseHeader, CaseLike, HeadedCase, PreparedCase, TumourSample, summarise
from brats3d.store.read import StoredCase, verify_file
from brats3d.store.store_folder import Store, is_store, open_store, own_codings
from brats3d.store.write import CODECS, OPTIONAL_FACTS, SCHEMA, case_path, write_case

__all__ = [
    "CODECS",
    "OPTIONAL_FACTS",
    "SCHEMA",
    "AuditReport",
    "CaseHeader",
    "CaseLike",
    "Duplicate",
    "Duplicates",
    "HeadedCase",
    "Leak",
    "MergeReport",
    "PackReport",
    "PreparedCase",
    "Store",
    "StoredCase",
    "TumourSample",
    "audit_split",
    "case_checksums",
    "case_path",
    "describe_store",
    "file_stamp",
    "find_duplicates",
    "is_store",
    "merge_stores",
    "open_store",
    "own_codings",
    "pack_store",
    "summarise",
    "unpack_store",
    "verify_file",
    "write_case",
    "write_listing",
]
__dir__ = __all__.copy
