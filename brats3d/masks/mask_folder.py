"""A folder of predicted masks: what may be written to it, what is kept, and what is removed to start over.

The list is written before the first mask and rewritten (aside, then renamed) after every case, so that it never names an
incomplete mask.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brats3d.errors import OptionError, OutputExistsError
from brats3d.files import Contents, OutputFolder, write_file
from brats3d.masks.list_schema import list_as_json, list_from_json
from brats3d.masks.mask_list import MaskEntry, MaskList, MaskSettings
from brats3d.regions import LABEL_SETS, LabelSet

LIST_NAME = "predictions.json"
ARCHIVE_NAME = "submission.zip"
MASKS = Contents("masks", "predicted", beside="use --force to write beside what is there")


def read_mask_list(folder: Path | str) -> MaskList | None:
    """Return what is recorded of a folder of masks; None if there is no list, as with masks of other software.

    Args:
        folder: the folder.

    Raises:
        OptionError: the list cannot be read, or is of a newer schema.
    """
    path = Path(folder) / LIST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeError) as problem:
        raise OptionError(f"{path}: cannot be read ({problem}); make it readable, or remove it.") from problem
    return list_from_json(text, str(path))


@dataclass(frozen=True)
class MaskFolder:
    """A folder of predicted masks that is being written.

    Attributes:
        output: the folder, and the settings that its masks are made with.
        masks: its content.
    """

    output: OutputFolder
    masks: MaskList

    @property
    def path(self) -> Path:
        """The folder."""
        return self.output.path

    def save(self) -> None:
        """Write the list, and make the folder if it does not exist.

        Raises:
            SpaceError: the disk is full.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        write_file(self.path / LIST_NAME, list_as_json(self.masks))

    def with_case(self, case: str, entry: MaskEntry) -> MaskFolder:
        """Return the folder with one more mask, whose files exist; the list on the disk names it too.

        Args:
            case: case id.
            entry: what is recorded of its mask.

        Raises:
            SpaceError: the disk is full.
        """
        folder = replace(self, masks=self.masks.with_case(case, entry))
        folder.save()
        return folder

    def marked(self, cases: Collection[str]) -> MaskFolder:
        """Return the folder with the masks of patients that the model was trained on marked; nothing is written.

        Args:
            cases: ids of cases of such patients.
        """
        entries = {c: replace(e, trained_on=True) if c in cases else e for c, e in self.masks.cases.items()}
        return replace(self, masks=replace(self.masks, cases=entries))

    def clear(self) -> None:
        """Remove what an earlier call wrote: the files that its list names, the list, and the zip; nothing else.

        Without a readable list, nothing is removed.
        """
        try:
            found = read_mask_list(self.path)
        except OptionError:
            return
        if found is not None:
            self.output.remove([*(n for e in found.cases.values() for n in e.files), LIST_NAME, ARCHIVE_NAME])


def open_mask_folder(
    path: Path, wanted: MaskList, own_inference: Mapping[str, Any] = MappingProxyType({}), *, force: bool = False
) -> MaskFolder:
    """Return the folder to write masks to, with those it has; nothing is written or removed.

    Args:
        path: the folder, which need not exist.
        wanted: the model and the settings, without cases.
        own_inference: how the model is applied unless the user changes it; assumed of a folder whose list does not record it.
        force: existing content may be overwritten.

    Returns:
        The folder with the cases that have a mask; with ``force``, none.

    Raises:
        OutputExistsError: it holds something else, masks of another model or with other settings, or a list that cannot be
            read.
    """
    output = OutputFolder(path, MASKS, _identity(wanted, {}))
    try:
        found = read_mask_list(path)
    except OptionError as problem:
        if not force:
            raise OutputExistsError(str(problem)) from problem
        found = None
    output.check(None if found is None else _identity(found, own_inference), force=force)
    if found is None or force:
        return MaskFolder(output, wanted)
    cases = {case: entry for case, entry in found.cases.items() if (path / entry.file).is_file()}
    return MaskFolder(output, replace(wanted, cases=cases))


def _identity(masks: MaskList, own_inference: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must not change from call to call, also for messages."""
    settings: MaskSettings = masks.settings
    return {
        "model": masks.model.checksum[:12],
        "label_set": _told_apart(settings.label_set),
        "probabilities": settings.probabilities,
        **own_inference,
        **(settings.inference or {}),
    }


def _told_apart(coding: LabelSet | None) -> str | None:
    """Return a label set's name, with a checksum of its content if the table has no such row."""
    if coding is None:
        return None
    if LABEL_SETS.get(coding.name) == coding:
        return coding.name
    return f"{coding.name} ({zlib.crc32(json.dumps(coding.as_dict()).encode()):08x})"
