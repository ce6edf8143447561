"""The store: a folder with one HDF5 file a case, schema 1.

A case file is written aside and renamed, so what has the right name is whole: a kill costs the cases in work and nothing
else, many processes can fill one store, and a damaged file harms no other. Nothing is ever locked.
"""

from brats3d.store.case import CaseFacts, PreparedCase, TumourSample, summarise
from brats3d.store.folder import Store, describe_store, open_store
from brats3d.store.read import StoredCase, verify_file
from brats3d.store.write import CODECS, SCHEMA, case_path, write_case

__all__ = [
    "CODECS",
    "SCHEMA",
    "CaseFacts",
    "PreparedCase",
    "Store",
    "StoredCase",
    "TumourSample",
    "case_path",
    "describe_store",
    "open_store",
    "summarise",
    "verify_file",
    "write_case",
]
