"""Pictures of arrays: a case with reference and prediction, a cohort, training curves.

Functions return Matplotlib figures that belong to nobody's global state (no pyplot); `save` writes them. Matplotlib is imported
when a figure is made, so that importing this room costs nothing.
"""

from brats3d.figures.canvas import save
from brats3d.figures.curves import curves_figure
from brats3d.figures.overlay import CasePicture, cohort_figure, overlay_figure
from brats3d.figures.planes import PLANES, Plane, slice_centre

__all__ = ["PLANES", "CasePicture", "Plane", "cohort_figure", "curves_figure", "overlay_figure", "save", "slice_centre"]
