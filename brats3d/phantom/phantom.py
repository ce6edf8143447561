"""One synthetic case, as a pure function of a random generator and a shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brats3d.errors import ArrayError, are_whole
from brats3d.geometry import bounding_box, box_slices
from brats3d.phantom.drawn_lesions import confine, draw_lesions, label_of, tumour
from brats3d.phantom.fields import Lattice
from brats3d.phantom.head import anatomy, brain_depth, draw_head
from brats3d.phantom.scanner import acquire, draw_scan, layers

BRATS_SHAPE = (240, 240, 155)
MIN_VOXELS = 16
"""Along each axis; fewer cannot show a head."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic head with a tumour.

    Attributes:
        images: (4, X, Y, Z) int16 in the order t1, t1ce, t2, flair; 0 outside the brain, at least 1 inside.
        label: (X, Y, Z) uint8 of label set L17.
    """

    images: np.ndarray
    label: np.ndarray


def check_shape(shape: tuple[int, int, int]) -> None:
    """Refuse a shape too small to show a head.

    Raises:
        ArrayError: the shape is not three axes of at least 16 voxels.
    """
    if not are_whole(shape, MIN_VOXELS, count=3):
        raise ArrayError(f"the phantom's shape is {shape!r}; expected three axes of at least {MIN_VOXELS} voxels.")


def make_phantom(rng: np.random.Generator, shape: tuple[int, int, int] = BRATS_SHAPE) -> Phantom:
    """Make a synthetic head in four contrasts with one to three tumours.

    The head fills the same physical box (240 × 240 × 155 mm) at every shape, so fewer voxels give a coarser scan of the same
    head; only the noise differs, and rims thinner than about two voxels are thickened. About one case in six has no
    enhancing tumour.

    Args:
        rng: source of everything random; equal generators give equal phantoms.
        shape: voxels along the axes left, posterior, superior; at least 16 each.

    Returns:
        The phantom, in the stored orientation L, P, S.

    Raises:
        ArrayError: the shape is not three axes of at least 16 voxels.

    Example:
        >>> phantom = make_phantom(np.random.default_rng(0), (48, 48, 31))
        >>> phantom.images.shape
        (4, 48, 48, 31)
    """
    check_shape(shape)
    head = draw_head(rng)
    lesions = draw_lesions(rng, head)
    scan = draw_scan(rng)
    lattice = Lattice.of_shape(shape)
    depth = brain_depth(head, lattice)
    # only the brain's box needs computing: less than half of the volume
    box = bounding_box(depth > 0)
    slices = box_slices(box)
    lattice, depth = lattice.crop(box), depth[slices]
    tissue, healthy = confine(tumour(lesions, lattice), anatomy(head, lattice, depth), depth)
    covers = layers(healthy, tissue, lattice)
    brain = depth > 0
    images = np.zeros((4, *shape), np.int16)
    label = np.zeros(shape, np.uint8)
    images[(slice(None), *slices)] = acquire(rng, scan, covers, depth, lattice) * brain
    label[slices] = label_of(tissue)
    return Phantom(images, label)
