"""NIfTI and MetaImage in and out.

Every fault of a file is an `ImageError` that names it; nibabel's own exceptions never reach the user. Masks are written to a
temporary name, read back, compared with the grid they should lie on, and only then get their name.
"""

from brats3d.images.formats import READERS, read
from brats3d.images.nifti import nifti_bytes, write
from brats3d.images.stream import fingerprint
from brats3d.images.volume import MAX_VOXELS, SUFFIXES, SourceFile, Volume, check_finite, strip_suffix

__all__ = [
    "MAX_VOXELS",
    "READERS",
    "SUFFIXES",
    "SourceFile",
    "Volume",
    "check_finite",
    "fingerprint",
    "nifti_bytes",
    "read",
    "strip_suffix",
    "write",
]
