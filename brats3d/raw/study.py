"""One clinical study, from its original scans to images on the stored grid.

N4, registration of the other scans to the reference and of the reference to the atlas, one interpolation through the composed
transforms, brain extraction. Each step is a separate function; this module is their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brats3d.errors import CaseError, ImageError, first_line
from brats3d.geometry import Grid
from brats3d.images import Volume
from brats3d.raw.atlas import BRATS_GRID, Atlas, load_atlas
from brats3d.raw.bias import correct_bias
from brats3d.raw.brain import brain_by_program, choose_method
from brats3d.raw.brain_atlas import align_atlas, brain_by_atlas
from brats3d.raw.heads import near_mask
from brats3d.raw.quality import Quality, measure
from brats3d.raw.registration import coregister
from brats3d.raw.series import Series, Study, choose_series
from brats3d.transforms import Transforms, resample

REFERENCES = ("t1ce", "t1", "t2", "flair")
"""The first of these present is the scan that the others are registered to and masks are returned to."""
COMPARE_MM = 10.0
"""Scans of one head are compared in the atlas's brain and this far around it."""


@dataclass(frozen=True, eq=False)
class RawStudy:
    """A clinical study on the stored grid.

    Attributes:
        id: name of the case.
        images: modality → (X, Y, Z) float32 with skull, bias-corrected, interpolated once; those present, in the order of
            `regions.MODALITIES`; 0 where the scan does not reach.
        before: the same, with the scans aligned only by their headers.
        brain: (X, Y, Z) bool.
        grid: the stored grid.
        transforms: the scans' grids and their transforms; masks are on the reference's grid.
        series: modality → the chosen series.
        left_out: (name, why) of the others.
        quality: measurements and flags.
    """

    id: str
    images: Mapping[str, np.ndarray]
    before: Mapping[str, np.ndarray]
    brain: np.ndarray
    grid: Grid
    transforms: Transforms
    series: Mapping[str, Series]
    left_out: tuple[tuple[str, str], ...]
    quality: Quality

    @property
    def scan_grid(self) -> Grid:
        """The grid of the reference scan, on which masks are written."""
        return self.transforms.scans[self.transforms.reference]

    def describe_choice(self) -> str:
        """Describe which series was chosen for each modality and why, and which were left out."""
        taken = "; ".join(f"{m} is {s.name!r} by {s.why}" for m, s in self.series.items())
        left = "; ".join(f"{name!r} is {why}" for name, why in self.left_out)
        return taken + (f"; left out: {left}" if left else "")


def prepare_study(
    study: Study, *, atlas: Atlas | Path | str | None = None, brain: str = "auto", grid: Grid = BRATS_GRID
) -> RawStudy:
    """Register the scans of a study to one another, to the atlas and to the stored grid, and find the brain.

    Args:
        study: from `find_studies`, or built by the caller.
        atlas: a skull-stripped T1-weighted head, as a file or from `load_atlas`; None is MNI152 as shipped with nilearn.
        brain: how to find the brain, one of `brain.METHODS`; ``auto`` uses an installed program, else the atlas.
        grid: the grid to resample to.

    Returns:
        Images, brain mask, transforms, the choice of series, and measurements that show whether it is right.

    Raises:
        CaseError: no series is recognised, two fit one modality equally well, or an installed program finds no brain.
        ImageError: a scan or the atlas is damaged, empty, or not a 3-D volume.
        GridError: a series has missing or unequal slices or a singular orientation, or a registration fails.
        OptionError: there is no such method, or its program is not installed.
        MissingExtraError: SimpleITK or nilearn is not installed.
    """
    method = choose_method(brain)
    template = atlas if isinstance(atlas, Atlas) else load_atlas(atlas, grid)
    chosen, left_out = choose_series(study)
    try:
        scans = {modality: series.read() for modality, series in chosen.items()}
        heads = {m: Volume(correct_bias(scan.array, scan.grid), scan.grid) for m, scan in scans.items()}
        reference = next(m for m in REFERENCES if m in heads)
        to_head = align_atlas(template, heads[reference])
        to_stored = _rigid_chain(heads, reference, template, to_head)
    except CaseError as problem:
        raise type(problem)(f"case {study.id}: {problem}") from problem
    except RuntimeError as problem:  # from SimpleITK; its message is meant for programmers
        raise ImageError(
            f"case {study.id}: a scan cannot be processed ({first_line(problem)}); inspect the scans."
        ) from problem
    straight = to_stored[reference]
    images = {m: resample(head.array, head.grid, grid, to_stored[m]) for m, head in heads.items()}
    before = {m: resample(head.array, head.grid, grid, straight) for m, head in heads.items() if m != reference}
    before = {m: before.get(m, image) for m, image in images.items()}
    if method == "atlas":
        mask = brain_by_atlas(images, grid, template, template.to_stored)
    else:
        mask = brain_by_program(method, Volume(images[reference], grid))
    moves = {m: matrix @ np.linalg.inv(straight) for m, matrix in to_stored.items()}
    quality = measure(images, before, mask, grid, moves, brain_method=method)
    transforms = Transforms(reference, to_stored, {m: scan.grid for m, scan in scans.items()})
    return RawStudy(study.id, images, before, mask, grid, transforms, chosen, tuple(left_out), quality)


def _rigid_chain(heads: Mapping[str, Volume], reference: str, template: Atlas, to_head: np.ndarray) -> dict[str, np.ndarray]:
    """Return modality → rigid matrix, world of its scan → world of the stored grid."""
    fixed = heads[reference]
    straight = template.to_stored @ np.linalg.inv(to_head)
    brain = resample(template.brain.astype(np.uint8), template.grid, fixed.grid, to_head, order=0) > 0
    near = near_mask(brain, fixed.grid, COMPARE_MM)
    chain = {}
    for modality, head in heads.items():
        chain[modality] = straight if modality == reference else straight @ coregister(fixed, head, near)
    return chain
