"""Figures from arrays: a case with reference and prediction, a cohort, training curves, scores over many cases.

Functions return Matplotlib figures without global state (no pyplot); `save` writes them. Matplotlib is imported when a figure
is made, so importing this room costs nothing.
"""

from brats3d.figures.agreement import bland_altman_figure, reliability_figure
from brats3d.figures.alignment import AlignmentPicture, alignment_figure, checkerboard
from brats3d.figures.canvas import png_bytes, save
from brats3d.figures.curves import curves_figure
from brats3d.figures.overlay import CasePicture, cohort_figure, overlay_figure
from brats3d.figures.planes import PLANES, Plane, slice_centre
from brats3d.figures.spread import strip_figure
from brats3d.figures.thumbnail import thumbnail_figure

__all__ = [
    "PLANES",
    "AlignmentPicture",
    "CasePicture",
    "Plane",
    "alignment_figure",
    "bland_altman_figure",
    "checkerboard",
    "cohort_figure",
    "curves_figure",
    "overlay_figure",
    "png_bytes",
    "reliability_figure",
    "save",
    "slice_centre",
    "strip_figure",
    "thumbnail_figure",
]
__dir__ = __all__.copy
