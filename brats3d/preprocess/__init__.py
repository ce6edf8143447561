"""From a case's files to a prepared case, and from a folder of cases to a store."""

from brats3d.preprocess.build import StoreReport, build_store
from brats3d.preprocess.prepare import prepare_case

__all__ = ["StoreReport", "build_store", "prepare_case"]
