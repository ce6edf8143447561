"""A folder of predicted masks: what may be written to it, what of it is kept, and what is removed to start over.

The list is there before the first mask and is rewritten (aside, then renamed) after every case, so that it never names a mask
that is not whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from brats3d.errors import OptionError, OutputExistsError
from brats3d.files import write_file
from brats3d.masks.list_schema import list_as_json, list_from_json
from brats3d.masks.mask_list import MaskEntry, MaskList, MaskSettings
from brats3d.regions import LabelSet

LIST_NAME = "predictions.json"
ARCHIVE_NAME = "submission.zip"


def read_mask_list(folder: Path | str) -> MaskList | None:
    """Return what is recorded of a folder of masks; None if there is no list, as with masks that others made.

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
        path: the folder.
        masks: what is in it.
    """

    path: Path
    masks: MaskList

    def save(self) -> None:
        """Write the list, and make the folder if it does not exist.

        Raises:
            SpaceError: the disk is full.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        write_file(self.path / LIST_NAME, list_as_json(self.masks))

    def marked(self, cases: Collection[str]) -> MaskFolder:
        """Return the folder with those of its masks marked that are of patients the model was trained on; nothing is written.

        Args:
            cases: ids of cases of such patients.
        """
        entries = {c: replace(e, trained_on=True) if c in cases else e for c, e in self.masks.cases.items()}
        return replace(self, masks=replace(self.masks, cases=entries))

    def with_case(self, case: str, entry: MaskEntry) -> MaskFolder:
        """Return the folder with one more mask, whose files are there; the list on the disk names it too.

        Args:
            case: case id.
            entry: what is recorded of its mask.

        Raises:
            SpaceError: the disk is full.
        """
        folder = replace(self, masks=self.masks.with_case(case, entry))
        folder.save()
        return folder


def open_mask_folder(
    path: Path, wanted: MaskList, own_inference: Mapping[str, Any] = MappingProxyType({}), *, force: bool = False
) -> MaskFolder:
    """Return the folder that masks are to be written to, with the masks that it has; nothing is written or removed.

    Args:
        path: the folder, which need not exist.
        wanted: the model and the settings, without cases.
        own_inference: how the model is applied unless somebody asks otherwise: what an earlier version did, which did not
            record it.
        force: whatever is there may be overwritten.

    Returns:
        The folder with the cases that have a mask; none with ``force``.

    Raises:
        OutputExistsError: it holds something else, or masks of another model or other settings.
    """
    if path.exists() and not path.is_dir():
        raise OutputExistsError(f"{path} is a file; expected a folder for the masks: choose another --out.")
    # hidden: what a killed run left, or a file browser
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")] if path.exists() else []
    if force or not entries:
        return MaskFolder(path, wanted)
    try:
        found = read_mask_list(path)
    except OptionError as problem:
        raise OutputExistsError(f"{problem} To write here all the same, use --force.") from problem
    if found is None:
        raise OutputExistsError(
            f"{path} holds {len(entries)} entries and no {LIST_NAME}; choose another --out, or use --force to write beside"
            " them."
        )
    models = [("model", found.model.checksum[:12], wanted.model.checksum[:12])]
    differing = [row for row in models if row[1] != row[2]] + _differences(found.settings, wanted.settings, own_inference)
    if differing:
        words = ", ".join(f"{name} {old!r}, now {new!r}" for name, old, new in differing)
        raise OutputExistsError(f"{path} was predicted with other settings ({words}); choose another --out, or use --force.")
    cases = {case: entry for case, entry in found.cases.items() if (path / entry.file).is_file()}
    return MaskFolder(path, replace(wanted, cases=cases))


def clear_mask_folder(path: Path) -> None:
    """Remove what an earlier prediction wrote: the files its list names, the list, and the zip; nothing else.

    Args:
        path: the folder; what nobody can read a list of stays.
    """
    try:
        found = read_mask_list(path)
    except OptionError:
        return
    if found is None:
        return
    names = [name for entry in found.cases.values() for name in entry.files]
    for name in [*names, LIST_NAME, ARCHIVE_NAME]:
        target = path / name
        if target.resolve().is_relative_to(path.resolve()):  # a list from elsewhere may name a file outside
            target.unlink(missing_ok=True)


def _differences(found: MaskSettings, wanted: MaskSettings, own: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return what differs between two settings: its name, the value found, and the value wanted."""
    pairs: list[tuple[str, Any, Any]] = [
        (name, {**own, **(found.inference or {})}.get(name), value) for name, value in (wanted.inference or {}).items()
    ]
    pairs.append(("label_set", *_told_apart(found.label_set, wanted.label_set)))
    pairs.append(("probabilities", found.probabilities, wanted.probabilities))
    return [(name, old, new) for name, old, new in pairs if old != new]


def _told_apart(old: LabelSet | None, new: LabelSet | None) -> tuple[str | None, str | None]:
    """Return the names of two label sets; if they share one and differ, the second says so."""
    names = old.name if old else None, new.name if new else None
    return names if old == new or names[0] != names[1] else (names[0], f"{names[1]} of other content")
