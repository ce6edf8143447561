"""Batches for Keras."""

from brats3d.data.dataset import EpochSetter, PatchDataset

__all__ = ["EpochSetter", "PatchDataset"]
