"""Small DICOM series written by SimpleITK, with any tag and any fault."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

PATIENT = "DOE^JANE"


def write_series(
    folder: Path,
    description: str,
    *,
    array: np.ndarray | None = None,
    turn: tuple[float, float, float] = (0, 0, 0),
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 5.0),
    study: str = "1.2.3",
    leave_out: tuple[int, ...] = (),
    tags: dict[str, str] | None = None,
    slice_tags: dict[int, dict[str, str]] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Write a series, a file a slice, last slice first; returns its voxels (columns, rows, slices) and RAS affine."""
    import SimpleITK

    if array is None:
        array = np.random.default_rng(len(description)).integers(0, 900, (12, 10, 9)).astype(np.int16)
    folder.mkdir(parents=True, exist_ok=True)
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    origin = np.array([-30.0, -20, 5])
    colour = array.ndim == 4
    series = f"{study}.{zlib.crc32((str(folder) + description).encode())}"
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(array.shape[2]):
        if k in leave_out:
            continue
        plane = np.ascontiguousarray(np.swapaxes(array[:, :, k], 0, 1))
        image = SimpleITK.GetImageFromArray(plane, isVector=colour)
        image.SetSpacing(spacing_mm[:2])
        position = origin + axes @ [0, 0, k * spacing_mm[2]]
        values = {
            "0008|0060": "MR", "0008|0008": "ORIGINAL\\PRIMARY", "0008|103e": description, "0010|0010": PATIENT,
            "0010|0030": "19700101", "0010|0020": "12345", "0020|000d": study,
            "0020|000e": series, "0008|0018": f"{series}.{k}",
            "0020|0032": "\\".join(f"{p:.6f}" for p in position),
            "0020|0037": "\\".join(f"{c:.8f}" for c in (*axes[:, 0], *axes[:, 1])),
            "0020|0013": str(k), **(tags or {}), **(slice_tags or {}).get(k, {}),
        }  # fmt: skip
        for tag, value in values.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{PATIENT.replace('^', '_')}-{array.shape[2] - k:03d}.dcm"))
        writer.Execute(image)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing_mm
    affine[:3, 3] = origin
    return array, np.diag([-1.0, -1, 1, 1]) @ affine
