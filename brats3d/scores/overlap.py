"""Voxel counts: how far two masks agree, whatever their shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brats3d.errors import ArrayError, check_shapes_equal


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of a prediction against a reference, over the whole grid.

    Attributes:
        true_positive: voxels in both.
        false_positive: voxels only in the prediction.
        false_negative: voxels only in the reference.
        true_negative: voxels in neither.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def predicted(self) -> int:
        """Voxels of the prediction."""
        return self.true_positive + self.false_positive

    @property
    def reference(self) -> int:
        """Voxels of the reference."""
        return self.true_positive + self.false_negative

    @property
    def background(self) -> int:
        """Voxels outside the reference."""
        return self.true_negative + self.false_positive

    @property
    def union(self) -> int:
        """Voxels in either mask."""
        return self.true_positive + self.false_positive + self.false_negative


def count_overlap(prediction: np.ndarray, reference: np.ndarray, voxels: int | None = None) -> Overlap:
    """Count the voxels where two masks agree and where they do not.

    Args:
        prediction: bool array of any shape.
        reference: bool array of the same shape.
        voxels: number of voxels of the whole grid, if the arrays are a part of it that contains both masks.
    """
    both = int(np.count_nonzero(prediction & reference))
    predicted, wanted = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    rest = (prediction.size if voxels is None else voxels) - predicted - wanted + both
    return Overlap(both, predicted - both, wanted - both, rest)


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return the Dice coefficient, 2·|A∩B| / (|A|+|B|), of two masks.

    Args:
        prediction: mask of any shape, bool or 0 and 1.
        reference: mask of the same shape.

    Returns:
        0 to 1. Both empty: 1. One empty: 0.

    Raises:
        ArrayError: the shapes differ, or a mask has values other than 0 and 1.
    """
    overlap = count_overlap(*check_masks(prediction, reference))
    total = overlap.predicted + overlap.reference
    return 2 * overlap.true_positive / total if total else 1.0


def check_masks(prediction: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks as bool arrays, refusing anything that is not a pair of masks.

    Args:
        prediction: bool, or any numeric type with only 0 and 1.
        reference: the same.

    Raises:
        ArrayError: the shapes differ, or a mask has values other than 0 and 1.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    check_shapes_equal(prediction=prediction.shape, reference=reference.shape)
    return _binary("prediction", prediction), _binary("reference", reference)


def _binary(name: str, mask: np.ndarray) -> np.ndarray:
    if mask.dtype == bool:
        return mask
    as_bool = mask.astype(bool)
    wrong = as_bool != mask  # also true for NaN
    if wrong.any():
        raise ArrayError(
            f"the {name} holds {mask[wrong].flat[0]!s} in {int(wrong.sum())} of {mask.size} places; expected a mask of 0 and 1:"
            " threshold probabilities, and take the regions of a label (regions.region_masks), first."
        )
    return as_bool


def joint_box(*masks: np.ndarray) -> tuple[slice, ...]:
    """Return the smallest box that contains every non-zero value of arrays of one shape.

    Args:
        masks: arrays of the same shape; non-zero counts.

    Returns:
        One slice per axis; all empty (0 to 0) if every array is zero.
    """
    box = [slice(None)] * masks[0].ndim
    for axis in reversed(range(masks[0].ndim)):  # each axis examines only what the previous ones left
        others = tuple(a for a in range(masks[0].ndim) if a != axis)
        used = np.logical_or.reduce([(mask[tuple(box)] != 0).any(axis=others) for mask in masks])
        hits = np.flatnonzero(used)
        if len(hits) == 0:
            return (slice(0, 0),) * masks[0].ndim
        box[axis] = slice(int(hits[0]), int(hits[-1]) + 1)
    return tuple(box)


def widened_box(masks: Sequence[np.ndarray], margin: int) -> tuple[slice, ...]:
    """Return the joint box of masks, widened on every side within the array.

    Args:
        masks: arrays of one shape; non-zero counts.
        margin: voxels on every side.
    """
    box = joint_box(*masks)
    return tuple(slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, masks[0].shape, strict=True))
