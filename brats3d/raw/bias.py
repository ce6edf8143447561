"""N4 bias correction: removes the smooth shading by the receive coils before scans are compared.

References:
    Tustison et al., N4ITK: improved N3 bias correction, IEEE TMI 29(6), 2010.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from brats3d.errors import ALL_ZERO, ImageError
from brats3d.geometry import Grid, from_stored
from brats3d.raw.itk import image_of, toolkit

if TYPE_CHECKING:
    import SimpleITK

COARSE_MM = 4.0
"""The field is estimated on voxels of about this size (a 1 mm scan shrunk by 4): full resolution takes many times as long and
gives as smooth a field."""
ITERATIONS = (30, 25, 20)
"""Most iterations at each fitting level, coarse to fine."""


def correct_bias(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Divide a scan by its bias field.

    Args:
        array: (X, Y, Z) magnitudes; negative values count as zero. Not modified.
        grid: the grid it is on.

    Returns:
        (X, Y, Z) float32; zeros stay zero, and the mean inside the head does not change.

    Raises:
        ImageError: all voxels are zero.
        MissingExtraError: SimpleITK is not installed.
    """
    sitk = toolkit()
    image = np.maximum(np.asarray(array, np.float32), 0)
    if not image.any():
        raise ImageError(ALL_ZERO)
    whole = image_of(image, grid)
    head = sitk.OtsuThreshold(whole, 0, 1, 200)
    sizes = zip(whole.GetSpacing(), whole.GetSize(), strict=True)
    factors = [max(1, min(round(COARSE_MM / mm), n // 8)) for mm, n in sizes]  # thick slices are not merged
    small, small_head = sitk.Shrink(whole, factors), sitk.Shrink(head, factors)
    filter_ = sitk.N4BiasFieldCorrectionImageFilter()
    filter_.SetNumberOfThreads(1)  # the same field whatever the number of processors
    filter_.SetMaximumNumberOfIterations(ITERATIONS)
    filter_.Execute(small, small_head)
    # the field is smooth: interpolating it from the small grid takes a tenth of the time and is as exact
    coarse = filter_.GetLogBiasFieldAsImage(small)
    field = sitk.GetArrayFromImage(_interpolated(coarse, whole)).T
    inside = sitk.GetArrayFromImage(head).T > 0
    turned = sitk.GetArrayFromImage(whole).T
    corrected = turned / np.exp(field - field[inside].mean())
    corrected *= turned[inside].mean() / max(float(corrected[inside].mean()), 1e-6)
    return np.ascontiguousarray(from_stored(corrected.astype(np.float32), grid))


def _interpolated(field: SimpleITK.Image, whole: SimpleITK.Image) -> SimpleITK.Image:
    sitk = toolkit()
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(whole)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetUseNearestNeighborExtrapolator(True)
    return resampler.Execute(field)
