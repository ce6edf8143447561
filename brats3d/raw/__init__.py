"""Brings clinical scans with skull, as DICOM or NIfTI on any grids, to the BraTS grid; each step can be used alone.

`find_studies` recognises scans, `choose_series` picks them, `correct_bias`, `coregister`, `align_atlas` and `brain_by_atlas`
are the steps, and `prepare_study` runs them all. SimpleITK and nilearn (extra ``raw``) are imported when a step needs them.
"""

from brats3d.raw.atlas import BRATS_GRID, Atlas, load_atlas, make_atlas
from brats3d.raw.bias import correct_bias
from brats3d.raw.brain import METHODS, brain_by_program, choose_method
from brats3d.raw.brain_atlas import align_atlas, brain_by_atlas
from brats3d.raw.picture import study_figure
from brats3d.raw.quality import Quality, mutual_information
from brats3d.raw.registration import coregister, register
from brats3d.raw.series import Series, Study, choose_series
from brats3d.raw.studies import find_studies
from brats3d.raw.study import RawStudy, prepare_study

__all__ = [
    "BRATS_GRID",
    "METHODS",
    "Atlas",
    "Quality",
    "RawStudy",
    "Series",
    "Study",
    "align_atlas",
    "brain_by_atlas",
    "brain_by_program",
    "choose_method",
    "choose_series",
    "coregister",
    "correct_bias",
    "find_studies",
    "load_atlas",
    "make_atlas",
    "mutual_information",
    "prepare_study",
    "register",
    "study_figure",
]
__dir__ = __all__.copy
