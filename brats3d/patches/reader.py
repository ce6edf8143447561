"""From (epoch, index) to a finished sample: draw, read, normalise, average, change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from brats3d import geometry
from brats3d.errors import LabelError
from brats3d.intensity import Scaling
from brats3d.patches.augment import Change, apply_change, draw_change
from brats3d.patches.plan import PatchPlan
from brats3d.patches.positions import case_of, draw_corner, draw_target
from brats3d.patches.samples import Sample
from brats3d.regions import LabelSet
from brats3d.store import StoredCase, case_path

OPEN_CASES = 64
"""Case files a reader keeps open; a process may have 1,024 files open, BraTS 2021 has 1,251 cases."""


class _Coarse(NamedTuple):
    """A whole case on the model's grid, kept in memory: half precision is enough for averages."""

    images: np.ndarray
    masks: np.ndarray


class CaseReader:
    """Reads samples of a plan; keeps a limited number of case files open, and averaged cases in memory up to a limit.

    Threads may share one. HDF5 serialises their reading; normalising and augmenting run in parallel.

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
            OptionError: the target cannot be made from its label set.
        """
        plan = self.plan
        rng = np.random.default_rng([plan.seed, epoch, index])
        name = plan.cases[case_of(plan.seed, epoch, index, len(plan.cases))]
        case = self._case(name)
        groups = plan.target.values(_coding(case))
        factor = self._factor(case)
        target = draw_target(rng, case.tumour, groups) if rng.random() < plan.settings.foreground else None
        box = geometry.widen_box(case.brain_box, factor) // np.array(factor)[:, None]
        corner = draw_corner(rng, plan.settings.patch_size, box, None if target is None else target // factor)
        images, masks = self._cut(name, case, corner, factor)
        targets, available = plan.target.complete(masks), self._available(case)
        if plan.augmentation is None:
            return Sample(images, targets, Change(), available)
        change = draw_change(rng, plan.augmentation, len(images))
        return Sample(*apply_change(images, targets, change), change, available)

    def _cut(
        self, name: str, case: StoredCase, corner: np.ndarray, factor: tuple[int, int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a patch's images, with zeros for modalities that the case lacks, and the masks of its target."""
        plan, size = self.plan, self.plan.settings.patch_size
        if factor == (1, 1, 1):
            masks = plan.target.masks(case.label_patch(corner.tolist(), size), _coding(case))
            images = normalise(case.patch(corner.tolist(), size), scalings(case, plan.settings.normalisation))
            return self._arranged(images, case), masks.astype(np.uint8)
        coarse = self._coarse_case(name, case, factor)
        box = np.stack([corner, corner + np.array(size)], 1)
        images, masks = geometry.crop_padded(coarse.images, box), geometry.crop_padded(coarse.masks, box)
        return self._arranged(images.astype(np.float32), case), masks.astype(np.float32)

    def _available(self, case: StoredCase) -> np.ndarray:
        return np.array([modality in case.modalities for modality in self.plan.modalities or case.modalities])

    def _arranged(self, images: np.ndarray, case: StoredCase) -> np.ndarray:
        """Return a case's images in the plan's order of modalities, with zeros for those it lacks."""
        wanted = self.plan.modalities or case.modalities
        if wanted == case.modalities:
            return images
        out = np.zeros((len(wanted), *images.shape[1:]), images.dtype)
        for modality, image in zip(case.modalities, images, strict=True):
            out[wanted.index(modality)] = image
        return out

    def _coarse_case(self, name: str, case: StoredCase, factor: tuple[int, int, int]) -> _Coarse:
        if name in self._coarse:
            return self._coarse[name]
        whole, settings = ((0, 0, 0), case.grid.shape), self.plan.settings
        images = normalise(case.patch(*whole), scalings(case, settings.normalisation))
        masks = self.plan.target.masks(case.label_patch(*whole), _coding(case))
        coarse = _Coarse(*(geometry.block_average(a, factor).astype(np.float16) for a in (images, masks)))
        size = coarse.images.nbytes + coarse.masks.nbytes
        with self._lock:
            if name not in self._coarse and self._coarse_bytes + size <= settings.memory_mb * 1e6:
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
        """Close the case files; nothing may be read afterwards."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _factor(self, case: StoredCase) -> tuple[int, int, int]:
        spacing_mm = self.plan.settings.spacing_mm
        return (1, 1, 1) if spacing_mm is None else case.block_factor(spacing_mm)


def _coding(case: StoredCase) -> LabelSet:
    if case.coding is None:
        raise LabelError(f"case {case.id} in the store has no label; expected labelled cases for training: leave it out.")
    return case.coding


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
