"""The output folder of a prediction: masks, and beside them ``predictions.json``, which says what they are.

The file is there before the first mask, and is rewritten (aside, then renamed) after every case, so that it never names a mask
that is not whole. Its name and schema are `evaluate`'s, which reads it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brats3d.errors import OutputExistsError
from brats3d.evaluate.label_files import LIST_NAME
from brats3d.evaluate.label_files import LIST_SCHEMA as SCHEMA
from brats3d.files import write_file

ARCHIVE_NAME = "submission.zip"


@dataclass(frozen=True)
class PredictionFolder:
    """What is in an output folder.

    Attributes:
        path: the folder.
        model: ``file`` (name) and ``checksum`` (sha256) of the model.
        regions: the model's regions, which are the channels of the probabilities, in order.
        options: what else decides the masks.
        cases: case id → ``file``, relative to the folder, its ``bytes`` and ``crc32``, ``label_set``, how the network saw the
            brain (``passes``: ``whole`` or ``windows``), and the scans the mask was made from (``sources``: ``name``,
            ``bytes`` and ``crc32`` of each); ``probabilities`` if they were written, and ``trained_on`` (true) if the model
            was trained on the patient. Masks of earlier versions have no ``bytes``, ``crc32`` and ``sources``.
    """

    path: Path
    model: Mapping[str, str]
    regions: tuple[str, ...]
    options: Mapping[str, Any]
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def save(self) -> None:
        """Write ``predictions.json``, and make the folder where it does not exist.

        Raises:
            SpaceError: the disk is full.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        content = {
            "schema": SCHEMA,
            "model": dict(self.model),
            "regions": list(self.regions),
            "options": dict(self.options),
            "cases": {case: dict(self.cases[case]) for case in sorted(self.cases)},
        }
        write_file(self.path / LIST_NAME, json.dumps(content, indent=2) + "\n")

    def with_case(self, case: str, entry: Mapping[str, Any]) -> PredictionFolder:
        """Return the folder with one more case."""
        return replace(self, cases={**self.cases, case: entry})

    def marked(self, cases: Collection[str]) -> PredictionFolder:
        """Return the folder with those of its cases marked that are of patients the model was trained on.

        Args:
            cases: ids of such cases.
        """
        return replace(self, cases={c: {**e, "trained_on": True} if c in cases else e for c, e in self.cases.items()})


def check_folder(wanted: PredictionFolder, *, force: bool = False) -> PredictionFolder:
    """Look whether masks may be written to a folder, and what of them is there; nothing is written or removed.

    Args:
        wanted: the folder, which need not exist, without cases, and what decides its masks.
        force: whatever is there may be overwritten.

    Returns:
        The folder with the cases that have a mask; none with ``force``.

    Raises:
        OutputExistsError: it holds something else, or a prediction with other settings.
    """
    path = wanted.path
    if path.exists() and not path.is_dir():
        raise OutputExistsError(f"{path} is a file; expected a folder for the masks: choose another --out.")
    # hidden: what a killed run left, or a file browser
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")] if path.exists() else []
    if force or not entries:
        return wanted
    found = _load(path)
    if found is None:
        raise OutputExistsError(
            f"{path} holds {len(entries)} entries and no {LIST_NAME} of this version; choose another --out, or"
            " use --force to write beside them."
        )
    differences = _differences(found, wanted)
    if differences:
        raise OutputExistsError(
            f"{path} was predicted with other settings ({differences}); choose another --out, or use --force."
        )
    cases = {case: entry for case, entry in found.cases.items() if (path / entry["file"]).is_file()}
    return replace(found, regions=wanted.regions, cases=cases)  # an earlier version did not record the regions


def clear_folder(path: Path) -> None:
    """Remove what an earlier prediction wrote: the files its list names, the list, and the zip; nothing else."""
    found = _load(path)
    if found is None:
        return
    names = [name for entry in found.cases.values() for name in files_of(entry)]
    for name in [*names, LIST_NAME, ARCHIVE_NAME]:
        target = path / name
        if target.resolve().is_relative_to(path.resolve()):  # a list from elsewhere may name a file outside
            target.unlink(missing_ok=True)


def _load(path: Path) -> PredictionFolder | None:
    """Return what the folder's list says; None without a list of this schema."""
    try:
        content = json.loads((path / LIST_NAME).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            return None
        cases = {case: dict(entry) for case, entry in content["cases"].items() if "file" in entry}
        if not all(isinstance(name, str) for entry in cases.values() for name in files_of(entry)):
            return None
        return PredictionFolder(path, content["model"], (), content["options"], cases)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def files_of(entry: Mapping[str, Any]) -> list[str]:
    """Return the files of a case, relative to the folder: its mask, and its probabilities if they were written."""
    return [entry[key] for key in ("file", "probabilities") if key in entry]


def _differences(found: PredictionFolder, wanted: PredictionFolder) -> str:
    pairs: list[tuple[str, Any, Any]] = [("model", found.model.get("checksum", "")[:12], wanted.model["checksum"][:12])]
    pairs += [(key, found.options.get(key), wanted.options.get(key)) for key in sorted({*found.options, *wanted.options})]
    return ", ".join(f"{name} {old!r}, now {new!r}" for name, old, new in pairs if old != new)
