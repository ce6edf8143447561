"""The two scores of the project this one started from, as its code defines them; for comparison only.

They are not region scores: the channels are the tissues of labels 1, 2 and 4 (not WT, TC, ET), and predictions are
probabilities without a threshold. Its "0.78" is the first score, its "0.67" the second.

References:
    Jack-Etheredge/Brain-Tumor-Segmentation-3D-UNet-CNN, the metrics its model is compiled with.
"""

from __future__ import annotations

import numpy as np

from brats3d.errors import check_shapes_equal

POOLED_SMOOTH = 1.0
CHANNEL_SMOOTH = 1e-5


def origin_pooled_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return one Dice over all voxels of all channels and cases together, smoothed by 1.

    Args:
        prediction: (B, C, X, Y, Z) or (C, X, Y, Z) probabilities.
        reference: masks of the same shape.

    Returns:
        (2·ΣPR + 1) / (ΣP + ΣR + 1). All empty: 1.

    Raises:
        ArrayError: the shapes differ.
    """
    return float(_smoothed(prediction, reference, None, POOLED_SMOOTH))


def origin_mean_channel_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the mean, over cases and channels, of the soft Dice of each channel, smoothed by 1e-5.

    Args:
        prediction: (B, C, X, Y, Z) or (C, X, Y, Z) probabilities.
        reference: masks of the same shape.

    Returns:
        The mean of (2·ΣPR + 1e-5) / (ΣP + ΣR + 1e-5), sums over the last three axes. A channel empty in both counts as 1.

    Raises:
        ArrayError: the shapes differ.
    """
    return float(_smoothed(prediction, reference, (-3, -2, -1), CHANNEL_SMOOTH).mean())


def _smoothed(prediction: np.ndarray, reference: np.ndarray, axes: tuple[int, ...] | None, smooth: float) -> np.ndarray:
    check_shapes_equal(prediction=np.shape(prediction), reference=np.shape(reference))
    predicted, wanted = np.asarray(prediction, float), np.asarray(reference, float)
    both = (predicted * wanted).sum(axes)
    return (2 * both + smooth) / (predicted.sum(axes) + wanted.sum(axes) + smooth)
