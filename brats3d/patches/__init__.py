"""Patches: which ones, where, changed how, and read by whom. No framework here.

All randomness of a sample comes from ``default_rng([seed, epoch, index])``, so a batch is the same whoever reads it, in
whatever order, with one reader or many, on one device or several, in a run that was resumed or not.
"""

from brats3d.patches.augment import Augmentation, Change, apply_change, draw_change, undo_flips
from brats3d.patches.pool import ReaderPool
from brats3d.patches.positions import case_of, draw_corner
from brats3d.patches.reader import CaseReader, PatchPlan, Sample

__all__ = [
    "Augmentation",
    "CaseReader",
    "Change",
    "PatchPlan",
    "ReaderPool",
    "Sample",
    "apply_change",
    "case_of",
    "draw_change",
    "draw_corner",
    "undo_flips",
]
