"""From (epoch, index) to a finished sample: draw, read, normalise, average, change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from brats3d import geometry, regions
from brats3d.errors import ArrayError, LabelError, OptionError, are_whole, check_option, check_range, check_whole
from brats3d.intensity import NORMALISATIONS, Scaling
from brats3d.patches.augment import Augmentation, apply_change, draw_change
from brats3d.patches.positions import case_of, draw_corner, draw_target
from brats3d.store import StoredCase, case_path

OPEN_CASES = 64
"""Case files a reader keeps open; a process may have 1,024 files open, BraTS 2021 has 1,251 cases."""


@dataclass(frozen=True)
class PatchPlan:
    """Everything that decides what a sample is, besides its number.

    Attributes:
        store: folder of the store.
        cases: ids of the cases to draw from.
        patch_size: voxels of the model's grid along X, Y, Z.
        regions: names of the target channels.
        spacing_mm: the model's grid; blocks of stored voxels are averaged to it. None keeps the stored grid.
        normalisation: key of `intensity.NORMALISATIONS`.
        foreground: share of the patches with a tumour voxel in their middle half, balanced over the regions.
        augmentation: None changes nothing.
        seed: of all randomness.
        memory_mb: how much of the averaged cases a reader may keep in memory (used only where they are averaged).

    Raises:
        OptionError: a setting has a value or a type that cannot be used.
        ArrayError: the patch size is not three whole numbers of at least 1.
    """

    store: Path
    cases: tuple[str, ...]
    patch_size: tuple[int, int, int]
    regions: tuple[str, ...] = regions.REGIONS
    spacing_mm: float | None = None
    normalisation: str = "clamped_zscore"
    foreground: float = 1 / 3
    augmentation: Augmentation | None = None
    seed: int = 0
    memory_mb: float = 4000.0

    def __post_init__(self) -> None:
        if not are_whole(self.patch_size, 1, count=3):
            raise ArrayError(f"patch_size is {self.patch_size!r}; expected three numbers of voxels, such as (128, 128, 128).")
        object.__setattr__(self, "patch_size", tuple(int(n) for n in self.patch_size))
        names = self.regions if isinstance(self.regions, list | tuple) else ()
        if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise OptionError(f"regions is {self.regions!r}; expected different names of regions, such as ('WT', 'TC').")
        object.__setattr__(self, "regions", tuple(names))
        if self.spacing_mm is not None:
            check_range("spacing_mm", self.spacing_mm, 0.1, 20)
        check_option("normalisation", self.normalisation, NORMALISATIONS)
        check_range("foreground", self.foreground, 0, 1)
        if self.augmentation is not None and not isinstance(self.augmentation, Augmentation):
            raise OptionError(f"augmentation is {self.augmentation!r}; expected None or an Augmentation.")
        check_whole("seed", self.seed, 0)
        check_range("memory_mb", self.memory_mb, 0)


class Sample(NamedTuple):
    """A finished sample: images (M, x, y, z) float32, targets (R, x, y, z) uint8 (float32 on an averaged grid)."""

    images: np.ndarray
    targets: np.ndarray


class _Coarse(NamedTuple):
    """A whole case on the model's grid, kept in memory: half precision, which the averages do not miss."""

    images: np.ndarray
    targets: np.ndarray


class CaseReader:
    """Reads samples of a plan; keeps a bounded set of case files open, and averaged cases in memory within a bound.

    Threads may share one. HDF5 serialises their reading; normalising and changing go in parallel.

    Args:
        plan: what to read.
    """

    def __init__(self, plan: PatchPlan) -> None:
        self.plan = plan
        self._open: OrderedDict[str, StoredCase] = OrderedDict()
        self._coarse: dict[str, _Coarse] = {}
        self._coarse_bytes = 0
        self._lock = Lock()

    def sample(self, epoch: int, index: int) -> Sample:
        """Return the sample of that number, always the same for the same plan, epoch and index.

        Args:
            epoch: epoch number from 0.
            index: sample number within the epoch from 0.

        Raises:
            StoreError: a case file is damaged.
            LabelError: a case has no label.
            ImageError: a modality cannot be normalised.
            GridError: the case's voxels do not make whole blocks of the plan's spacing.
            OptionError: its label set lacks a region.
        """
        plan = self.plan
        rng = np.random.default_rng([plan.seed, epoch, index])
        name = plan.cases[case_of(plan.seed, epoch, index, len(plan.cases))]
        case = self._case(name)
        coding = self._coding(case)
        factor = self._factor(case)
        target = draw_target(rng, case.tumour, coding, plan.regions) if rng.random() < plan.foreground else None
        box = geometry.widen_box(case.brain_box, factor) // np.array(factor)[:, None]
        corner = draw_corner(rng, plan.patch_size, box, None if target is None else target // factor)
        sample = self._cut(name, case, corner, factor)
        if plan.augmentation is None:
            return sample
        images, targets = sample
        return Sample(*apply_change(images, targets, draw_change(rng, plan.augmentation, len(images))))

    def _cut(self, name: str, case: StoredCase, corner: np.ndarray, factor: tuple[int, int, int]) -> Sample:
        plan = self.plan
        if factor == (1, 1, 1):
            raw = case.patch(corner.tolist(), plan.patch_size)
            label = case.label_patch(corner.tolist(), plan.patch_size)
            masks = regions.region_masks(label, self._coding(case), plan.regions)
            return Sample(normalise(raw, scalings(case, plan.normalisation)), masks.astype(np.uint8))
        coarse = self._coarse_case(name, case, factor)
        box = np.stack([corner, corner + np.array(plan.patch_size)], 1)
        images, targets = geometry.crop_padded(coarse.images, box), geometry.crop_padded(coarse.targets, box)
        return Sample(images.astype(np.float32), targets.astype(np.float32))

    def _coarse_case(self, name: str, case: StoredCase, factor: tuple[int, int, int]) -> _Coarse:
        if name in self._coarse:
            return self._coarse[name]
        whole = (0, 0, 0), case.grid.shape
        images = normalise(case.patch(*whole), scalings(case, self.plan.normalisation))
        masks = regions.region_masks(case.label_patch(*whole), self._coding(case), self.plan.regions)
        coarse = _Coarse(*(geometry.block_average(a, factor).astype(np.float16) for a in (images, masks)))
        size = coarse.images.nbytes + coarse.targets.nbytes
        with self._lock:
            if name not in self._coarse and self._coarse_bytes + size <= self.plan.memory_mb * 1e6:
                self._coarse[name] = coarse
                self._coarse_bytes += size
        return coarse

    def _case(self, name: str) -> StoredCase:
        with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name]
            case = StoredCase(case_path(self.plan.store, name))
            self._open[name] = case
            while len(self._open) > OPEN_CASES:
                # Dropped, not closed: another thread may be reading from it; the file closes with its last reference.
                self._open.popitem(last=False)
            return case

    def close(self) -> None:
        """Close the case files; nothing is to be read after."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    @staticmethod
    def _coding(case: StoredCase) -> regions.LabelSet:
        if case.label_set is None:
            raise LabelError(f"case {case.id} in the store has no label; expected labelled cases for training: leave it out.")
        return regions.label_set(case.label_set)

    def _factor(self, case: StoredCase) -> tuple[int, int, int]:
        if self.plan.spacing_mm is None:
            return 1, 1, 1
        return case.block_factor(self.plan.spacing_mm)


def scalings(case: StoredCase, normalisation: str) -> list[Scaling]:
    """Return a case's scaling per modality, in the order of its channels.

    Raises:
        OptionError: unknown normalisation.
        ImageError: a modality cannot be normalised.
    """
    return [case.scaling(m, normalisation) for m in case.modalities]


def normalise(images: np.ndarray, by: Sequence[Scaling]) -> np.ndarray:
    """Return (M, x, y, z) float32 of raw intensities, each modality by its own scaling; zeros stay zero."""
    normalised = np.empty(images.shape, np.float32)
    for scaling, channel, out in zip(by, images, normalised, strict=True):
        scaling.apply(channel, out)
    return normalised
