"""Finds, reads and writes files: whole files, file names, leftovers of killed writers, and the output folders of commands."""

from brats3d.files.file_names import check_name, name_limit
from brats3d.files.found_files import files_below, read_text
from brats3d.files.leftovers import remove_stale
from brats3d.files.output_folder import Contents, OutputFolder
from brats3d.files.whole_files import NO_SPACE, UNKNOWN, whole_file, write_file

__all__ = [
    "NO_SPACE",
    "UNKNOWN",
    "Contents",
    "OutputFolder",
    "check_name",
    "files_below",
    "name_limit",
    "read_text",
    "remove_stale",
    "whole_file",
    "write_file",
]
__dir__ = __all__.copy
