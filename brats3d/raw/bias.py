"""N4 bias correction: the slow brightening that receive coils leave on a scan, taken off before anything is compared.

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
"""The field is estimated on voxels of about this size, as if a scan of 1 mm were shrunk by 4: at full resolution it takes many
times as long and is as smooth."""
ITERATIONS = (30, 25, 20)
"""At most so many on each of the fitting levels, coarse to fine."""


def correct_bias(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Divide a scan by its bias field.

    Args:
        array: (X, Y, Z) magnitudes; below zero counts as zero. Not modified.
        grid: where it lies.

    Returns:
        (X, Y, Z) float32; zeros stay zero, and the mean inside the head stays what it was.

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
    factors = [max(1, min(round(COARSE_MM / mm), n // 8)) for mm, n in sizes]  # thick slices keep their number
    small, small_head = sitk.Shrink(whole, factors), sitk.Shrink(head, factors)
    filter_ = sitk.N4BiasFieldCorrectionImageFilter()
    filter_.SetNumberOfThreads(1)  # the same field however many processors there are
    filter_.SetMaximumNumberOfIterations(ITERATIONS)
    filter_.Execute(small, small_head)
    # the field is smooth: evaluated on the small grid it is interpolated in a tenth of the time, and no less exactly
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
