"""What a batch is: the keys of a recipe's ``[data]``, which are also keywords of `PatchDataset`."""

from __future__ import annotations

from dataclasses import dataclass

from brats3d.errors import OptionError, check_option, check_range, check_whole, check_wholes
from brats3d.geometry import per_axis
from brats3d.intensity import NORMALISATIONS

SPACING_MM = (0.1, 20.0)
"""Smallest and largest edge of a model's voxels."""


@dataclass(frozen=True)
class BatchSettings:
    """What a batch is. A new key of sampling is a field here and nowhere else.

    Attributes:
        patch_size: voxels of the model's grid along X, Y, Z; patches may overhang the volume, with zeros outside it.
        batch_size: samples per step, over all replicas.
        batches: steps per epoch; None (not in recipes) gives every case once per epoch, and at least one batch.
        spacing_mm: edges of the model's voxels along X, Y, Z, or one number for all three; blocks of stored voxels are averaged
            to it, and 1 is the BraTS grid. None (not in recipes) keeps each case's stored grid, whatever it is.
        normalisation: a name of `intensity.NORMALISATIONS`.
        foreground: share of patches with a tumour voxel in their middle half, balanced over the regions (or labels).
        may_be_absent: modalities that a case may lack; it has zeros there.
        readers: 0 reads in threads, N in N processes; the batches are the same.
        memory_mb: limit of the averaged cases kept in memory, divided among the readers (used only if they are averaged).

    Raises:
        OptionError: a value of another type, or out of range.
    """

    patch_size: tuple[int, int, int] = (128, 128, 128)
    batch_size: int = 2
    batches: int | None = 100
    spacing_mm: float | tuple[float, float, float] | None = 1.0
    normalisation: str = "clamped_zscore"
    foreground: float = 1 / 3
    may_be_absent: tuple[str, ...] = ()
    readers: int = 0
    memory_mb: float = 4000.0

    def __post_init__(self) -> None:
        check_wholes("patch_size", self.patch_size, 1, count=3)
        object.__setattr__(self, "patch_size", tuple(int(n) for n in self.patch_size))
        check_whole("batch_size", self.batch_size, 1, 1024)
        if self.batches is not None:
            check_whole("batches", self.batches, 1, 1_000_000)
            object.__setattr__(self, "batches", int(self.batches))  # NumPy's small integer types would overflow
        if self.spacing_mm is not None:
            object.__setattr__(self, "spacing_mm", per_axis("spacing_mm", self.spacing_mm, *SPACING_MM))
        check_option("normalisation", self.normalisation, NORMALISATIONS)
        check_range("foreground", self.foreground, 0, 1)
        names = self.may_be_absent
        if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
            raise OptionError(f"may_be_absent is {names!r}; expected different names of modalities, such as ('t2',).")
        object.__setattr__(self, "may_be_absent", tuple(names))
        check_whole("readers", self.readers, 0, 1024)
        check_range("memory_mb", self.memory_mb, 0, 1e9)
        for name in ("batch_size", "readers"):
            object.__setattr__(self, name, int(getattr(self, name)))
