"""Phantoms written as BraTS case folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from brats3d import images
from brats3d.console import Progress, silent
from brats3d.errors import OutputExistsError, check_whole
from brats3d.geometry import Grid
from brats3d.phantom.fields import BOX_MM
from brats3d.phantom.phantom import BRATS_SHAPE, check_shape, make_phantom
from brats3d.regions import MODALITIES


def phantom_grid(shape: tuple[int, int, int] = BRATS_SHAPE) -> Grid:
    """Return the grid of a phantom: the BraTS grid for the BraTS shape, otherwise the same physical box in other voxels.

    Args:
        shape: voxels along the axes left, posterior, superior.

    Returns:
        A grid with axis codes L, P, S whose voxels fill 240 × 240 × 155 mm.
    """
    spacing = np.array(BOX_MM) / shape
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    # BraTS: the first voxel's centre is at (0, 239, 0); that of a larger voxel is further inside the box
    inside = (spacing - 1) / 2
    affine[:3, 3] = -inside[0], 239 - inside[1], inside[2]
    return Grid(shape, affine, affine.copy(), affine.copy())


def write_cohort(
    out: Path | str,
    *,
    cases: int,
    shape: tuple[int, int, int] = BRATS_SHAPE,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Path]:
    """Write synthetic cases as BraTS folders, ``Phantom_000/Phantom_000_t1.nii.gz`` to ``…_seg.nii.gz``.

    Case k depends only on (seed, k, shape), so a larger cohort begins with the cases of a smaller one. A folder gets its
    final name when it is complete.

    Args:
        out: folder to write into; created if missing.
        cases: number of cases.
        shape: voxels along the axes left, posterior, superior.
        seed: the cohort's seed.
        progress: called after each case.

    Returns:
        The case folders, in order.

    Raises:
        OptionError: fewer than one case, or the seed is not a whole number of at least 0; nothing is written.
        OutputExistsError: a case folder already exists; nothing is written.
        ArrayError: the shape is not three axes of at least 16 voxels; nothing is written.
        SpaceError: the disk is full; finished cases are kept.
        ImageError: a file does not read back as written (a failing disk).
    """
    check_whole("cases", cases, 1)
    check_whole("seed", seed, 0)
    check_shape(shape)
    folders = [Path(out) / f"Phantom_{number:03d}" for number in range(cases)]
    present = [folder for folder in folders if folder.exists()]
    if present:
        raise OutputExistsError(f"{present[0]} already exists; choose another folder for the phantoms, or delete it.")
    Path(out).mkdir(parents=True, exist_ok=True)
    for number, folder in enumerate(folders):
        _write_case(folder, np.random.default_rng([seed, number]), shape)
        progress("phantoms", number + 1, cases)
    return folders


def _write_case(folder: Path, rng: np.random.Generator, shape: tuple[int, int, int]) -> None:
    phantom, grid = make_phantom(rng, shape), phantom_grid(shape)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    unfinished.mkdir()
    try:
        for modality, image in zip(MODALITIES, phantom.images, strict=True):
            images.write(unfinished / f"{folder.name}_{modality}.nii.gz", image, grid)
        images.write(unfinished / f"{folder.name}_seg.nii.gz", phantom.label, grid)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
