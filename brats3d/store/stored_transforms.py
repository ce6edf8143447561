"""The group ``transforms/`` of a case file: where the scans of a raw clinical case are.

One group per modality: ``to_stored`` (4, 4), world of the scan → world of the stored grid in mm RAS+, and the scan's ``affine``
and ``shape``. The root attribute ``reference`` names the scan that masks are returned to; its full grid is the case's
``source``.
"""

from __future__ import annotations

import h5py
import numpy as np

from brats3d.errors import GridError
from brats3d.geometry import Grid
from brats3d.transforms import Transforms


def write_transforms(file: h5py.File | h5py.Group, transforms: Transforms) -> None:
    """Write a case's transforms.

    Args:
        file: the case's file, open for writing.
        transforms: the case's transforms.
    """
    file.attrs["reference"] = transforms.reference
    for modality, matrix in transforms.to_stored.items():
        scan = transforms.scans[modality]
        arrays = {
            "to_stored": np.asarray(matrix, float),
            "affine": np.asarray(scan.affine, float),
            "shape": np.array(scan.shape),
        }
        for name, array in arrays.items():
            file.create_dataset(f"transforms/{modality}/{name}", data=array, fletcher32=True)


def read_transforms(file: h5py.File | h5py.Group, source: Grid) -> Transforms | None:
    """Return a case's transforms; None if it was not made from raw scans.

    Args:
        file: the case's file.
        source: grid of the reference scan.

    Raises:
        ValueError: the group is damaged.
    """
    if "transforms" not in file:
        return None
    reference, matrices, scans = str(file.attrs["reference"]), {}, {}
    for modality, group in file["transforms"].items():
        matrices[modality] = group["to_stored"][:]
        x, y, z = (int(n) for n in group["shape"][:])
        scans[modality] = source if modality == reference else Grid((x, y, z), group["affine"][:])
    try:
        return Transforms(reference, matrices, scans)
    except GridError as problem:
        raise ValueError(str(problem)) from problem
