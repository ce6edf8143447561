"""From a case's files to a prepared case, and from a folder of cases to a store."""

from brats3d.preprocess.case_listing import CaseListing, list_cases
from brats3d.preprocess.prepare import ABOUT_HEADER, prepare_case
from brats3d.preprocess.prepared_study import prepare_raw_case
from brats3d.preprocess.raw_building import build_raw_store
from brats3d.preprocess.raw_report import RawStoreReport
from brats3d.preprocess.store_building import StoreReport, build_store
from brats3d.preprocess.store_settings import RawSettings, StoreSettings

__all__ = [
    "ABOUT_HEADER",
    "CaseListing",
    "RawSettings",
    "RawStoreReport",
    "StoreReport",
    "StoreSettings",
    "build_raw_store",
    "build_store",
    "list_cases",
    "prepare_case",
    "prepare_raw_case",
]
__dir__ = __all__.copy
