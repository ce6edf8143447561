"""A folder of predicted masks and the list beside them, ``predictions.json``: only written and read here."""

from brats3d.masks.list_schema import SCHEMA, list_as_json, list_from_json
from brats3d.masks.mask_folder import (
    ARCHIVE_NAME,
    LIST_NAME,
    MaskFolder,
    open_mask_folder,
    read_mask_list,
)
from brats3d.masks.mask_list import Kind, MaskEntry, MaskList, MaskModel, MaskSettings, MemberFile

__all__ = [
    "ARCHIVE_NAME",
    "LIST_NAME",
    "SCHEMA",
    "Kind",
    "MaskEntry",
    "MaskFolder",
    "MaskList",
    "MaskModel",
    "MaskSettings",
    "MemberFile",
    "list_as_json",
    "list_from_json",
    "open_mask_folder",
    "read_mask_list",
]
__dir__ = __all__.copy
