"""Batches for Keras."""

from brats3d.data.dataset import EpochSetter, PatchDataset, check_batch

__all__ = ["EpochSetter", "PatchDataset", "check_batch"]
__dir__ = __all__.copy
