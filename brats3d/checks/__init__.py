"""What is odd about a case, and what the values of its label mean according to its images.

What is certain is refused by the caller; what is only suspected becomes a warning in the case's header.
"""

from brats3d.checks.checked import CHECKS, Check, Finding, check_case, check_names, checked
from brats3d.checks.coding import REGIONS_AS, regions_as_label, settle_coding, settle_features
from brats3d.checks.coding_outliers import coding_outliers
from brats3d.checks.detective import Verdict, detect_coding, reading
from brats3d.checks.doubtful_codings import SAMPLE, doubtful_codings, without_overruled_names
from brats3d.checks.tissue import CodingFeatures, ValueFeatures, as_plain, coding_features, from_plain

__all__ = [
    "CHECKS",
    "REGIONS_AS",
    "SAMPLE",
    "Check",
    "CodingFeatures",
    "Finding",
    "ValueFeatures",
    "Verdict",
    "as_plain",
    "check_case",
    "check_names",
    "checked",
    "coding_features",
    "coding_outliers",
    "detect_coding",
    "doubtful_codings",
    "from_plain",
    "reading",
    "regions_as_label",
    "settle_coding",
    "settle_features",
    "without_overruled_names",
]
__dir__ = __all__.copy
