"""Patches: which ones, where, changed how, and read by whom. No framework here.

All randomness of a sample comes from ``default_rng([seed, epoch, index])``, so a batch is the same in whatever order it is
read, with one reader or many, on one device or several, in a resumed run or not.
"""

from brats3d.patches.augment import TRANSFORMS, Change, Transform, apply_change, draw_change, undo_moves
from brats3d.patches.augmentation import Augmentation
from brats3d.patches.batch_settings import BatchSettings
from brats3d.patches.plan import PatchPlan, plan_patches
from brats3d.patches.pool import ReaderPool
from brats3d.patches.positions import case_of, draw_corner
from brats3d.patches.reader import CaseReader
from brats3d.patches.samples import Batch, Sample
from brats3d.patches.targets import (
    BACKGROUND,
    SHARED,
    TARGETS,
    LabelTarget,
    Learnt,
    RegionTarget,
    Target,
    meant_coding,
    target_of,
)

__all__ = [
    "BACKGROUND",
    "SHARED",
    "TARGETS",
    "TRANSFORMS",
    "Augmentation",
    "Batch",
    "BatchSettings",
    "CaseReader",
    "Change",
    "LabelTarget",
    "Learnt",
    "PatchPlan",
    "ReaderPool",
    "RegionTarget",
    "Sample",
    "Target",
    "Transform",
    "apply_change",
    "case_of",
    "draw_change",
    "draw_corner",
    "meant_coding",
    "plan_patches",
    "target_of",
    "undo_moves",
]
__dir__ = __all__.copy
