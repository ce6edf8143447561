"""Analytic heads: synthetic brains with tumours in four MR contrasts, for tests, demonstrations and teaching.

They resemble BraTS cases in kind (four contrasts, skull-stripped, label set L17), not in statistics: a network trained on
them knows nothing about patients.
"""

from brats3d.phantom.cohort import phantom_grid, write_cohort
from brats3d.phantom.phantom import BRATS_SHAPE, Phantom, make_phantom

__all__ = ["BRATS_SHAPE", "Phantom", "make_phantom", "phantom_grid", "write_cohort"]
__dir__ = __all__.copy
