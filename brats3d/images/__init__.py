"""NIfTI, MetaImage and FreeSurfer's volumes in, NIfTI out.

Every fault of a file raises an `ImageError` that names the file; nibabel's own exceptions never reach the user. Masks are
written under a temporary name, read back, compared with the grid they belong to, and only then renamed.
"""

from brats3d.images.formats import READERS, read
from brats3d.images.nifti import nifti_bytes, write
from brats3d.images.pairs import content_of, fingerprint, is_voxel_file, parts_of, size_of
from brats3d.images.unread import AS_DICOM, is_dicom, why_unread
from brats3d.images.volume import MAX_VOXELS, SUFFIXES, SourceFile, Volume, check_finite, strip_suffix

__all__ = [
    "AS_DICOM",
    "MAX_VOXELS",
    "READERS",
    "SUFFIXES",
    "SourceFile",
    "Volume",
    "check_finite",
    "content_of",
    "fingerprint",
    "is_dicom",
    "is_voxel_file",
    "nifti_bytes",
    "parts_of",
    "read",
    "size_of",
    "strip_suffix",
    "why_unread",
    "write",
]
__dir__ = __all__.copy
