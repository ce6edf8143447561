"""From a file, or a folder of files, to a `Pipeline`, and from a pipeline to its file.

A pipeline's JSON names its members by paths relative to itself, with their checksums: they move together in one folder, and a
member that was replaced is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brats3d.errors import BratsError, ModelError, OptionError, check_keys, check_list, first_line
from brats3d.files import write_file
from brats3d.models.card import part
from brats3d.models.card_parts import Inference, plain_table
from brats3d.models.model_files import file_checksum, open_model, read_card
from brats3d.models.pipeline import Member, Pipeline, PipelineFile

FORMAT, SCHEMA = "brats3d pipeline", 1
KEYS = ("format", "schema", "members", "combine", "inference", "calibration", "tables")
RUN_MODEL = "best.keras"
"""The model of a run's folder."""


def load_model(path: Path | str) -> Pipeline:
    """Open a model.

    Args:
        path: a ``.keras`` file that `save_model` wrote, a pipeline's ``.json``, a run's folder, or a folder of runs or of
            ``.keras`` files, such as the folds of a cross-validation, which are averaged.

    Returns:
        A pipeline; of a single file it has one member, and ``.network`` and ``.card`` are that model's.

    Raises:
        ModelError: no such file, not a model, no card, a card of a newer schema, a damaged file, a card that does not fit its
            network, a member that is missing or was replaced, or members that do not fit together.
    """
    found = read_pipeline(path)
    members = tuple(open_model(member.path, card) for member, card in zip(found.members, found.cards, strict=True))
    return Pipeline(members, found.combine, found.inference, found.calibration, found.tables, found.checksum, found.path)


def read_pipeline(path: Path | str) -> PipelineFile:
    """Read a model's file without opening a network; needs no framework.

    Args:
        path: as for `load_model`.

    Raises:
        ModelError: as `load_model`, except for faults that only Keras finds.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix == ".json":
        return _of_json(path)
    card = read_card(path)
    checksum = file_checksum(path)
    return PipelineFile(path, checksum, (Member(path, checksum),), (card,))


def _of_folder(folder: Path) -> PipelineFile:
    """Return the model of a run's folder, or of a folder of runs or models."""
    if (folder / RUN_MODEL).is_file():
        return read_pipeline(folder / RUN_MODEL)
    found = sorted(folder.glob("*.keras")) or sorted(folder.glob(f"*/{RUN_MODEL}"))
    if not found:
        raise ModelError(
            f"{folder}: a folder without {RUN_MODEL}, other .keras files, or runs that have one; expected a model such as"
            f" RUN/{RUN_MODEL}."
        )
    members = tuple(Member(path, file_checksum(path)) for path in found)
    checksum = hashlib.sha256("".join(member.checksum for member in members).encode()).hexdigest()
    return PipelineFile(folder, checksum, members, tuple(read_card(path) for path in found))


def _of_json(path: Path) -> PipelineFile:
    try:
        raw = path.read_bytes()
    except OSError as problem:
        if path.exists():
            raise
        raise ModelError(f"{path}: no such file; expected a pipeline's .json or a model such as RUN/best.keras.") from problem
    try:
        content = json.loads(raw)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ModelError(f'{path}: not a pipeline; expected an object with "format": "{FORMAT}".')
        if content.get("schema") != SCHEMA:
            raise ModelError(
                f"{path}: the pipeline has schema {content.get('schema')!r}; this version of brats3d reads {SCHEMA}: use the"
                " version that wrote it."
            )
        check_keys("the pipeline", content, KEYS)
        members = tuple(_member(path, entry) for entry in _entries(content["members"]))
        inference = content.get("inference")
        return PipelineFile(
            path=path,
            checksum=hashlib.sha256(raw).hexdigest(),
            members=members,
            cards=tuple(read_card(member.path) for member in members),
            combine=content["combine"],
            inference=None if inference is None else part(Inference, "the pipeline's inference", inference),
            calibration=plain_table("its calibration", content.get("calibration", {})),
            tables=plain_table("its tables", content.get("tables", {})),
        )
    except ModelError:
        raise
    except KeyError as problem:
        raise ModelError(f"{path}: the pipeline lacks {problem}; save it again with brats3d.models.save_pipeline.") from None
    except (BratsError, ValueError, TypeError, AttributeError) as problem:
        raise ModelError(f"{path}: the pipeline cannot be used: {first_line(problem).rstrip('.')}; correct the file.") from None


def _entries(found: Any) -> list[Mapping[str, Any]]:
    """Return the members as a pipeline's file lists them, or refuse what is no such list."""
    if not isinstance(found, list):
        raise OptionError(f'its members are {found!r}; expected a list of {{"file": ..., "sha256": ...}}.')
    for entry in found:
        if not isinstance(entry, Mapping) or not all(isinstance(entry.get(key), str) for key in ("file", "sha256")):
            raise OptionError(f'its members have {entry!r}; expected {{"file": ..., "sha256": ...}}.')
    return found


def _member(pipeline: Path, entry: Mapping[str, Any]) -> Member:
    path, wanted = pipeline.parent / entry["file"], entry["sha256"]
    if not path.is_file():
        raise ModelError(f"{pipeline}: its member {path} is missing; copy it there, beside the pipeline.")
    found = file_checksum(path)
    if found != wanted:
        raise ModelError(
            f"{pipeline}: its member {path} has the checksum {found[:12]}…, expected {wanted[:12]}…: it was replaced or"
            " damaged; copy the member again, or save the pipeline again."
        )
    return Member(path, found)


def save_pipeline(
    path: Path | str,
    members: Sequence[Path | str],
    *,
    combine: str = "mean",
    inference: Inference | None = None,
    calibration: Mapping[str, Any] | None = None,
    tables: Mapping[str, Any] | None = None,
) -> str:
    """Write a pipeline's file; its members are read, not changed.

    Args:
        path: target; its name ends with ``.json``.
        members: ``.keras`` files, best beside or below it.
        combine: a key of `COMBINE`.
        inference: how all members are run; None leaves it to their cards.
        calibration: plain values.
        tables: plain values.

    Returns:
        The file's sha256, hexadecimal.

    Raises:
        ModelError: another file name, a member that is not a model, or members that do not fit together.
        OptionError: members that are not a list, or calibration or tables that JSON cannot hold.
        SpaceError: the disk is full.
    """
    path = Path(path)
    if path.suffix != ".json":
        raise ModelError(f"{path}: a pipeline's file name must end with .json.")
    check_list("members", members)
    files = [Path(member) for member in members]
    cards = tuple(read_card(file) for file in files)
    sums = tuple(Member(file, file_checksum(file)) for file in files)
    PipelineFile(path, "", sums, cards, combine, inference)
    entries = [{"file": _relative(member.path, path.parent), "sha256": member.checksum} for member in sums]
    content = {
        "format": FORMAT,
        "schema": SCHEMA,
        "members": entries,
        "combine": combine,
        "inference": None if inference is None else inference.as_dict(),
        "calibration": plain_table("the pipeline's calibration", {} if calibration is None else calibration),
        "tables": plain_table("the pipeline's tables", {} if tables is None else tables),
    }
    raw = json.dumps(content, indent=2).encode() + b"\n"
    write_file(path, raw)
    return hashlib.sha256(raw).hexdigest()


def _relative(member: Path, folder: Path) -> str:
    member, folder = member.resolve(), folder.resolve()
    return member.relative_to(folder).as_posix() if member.is_relative_to(folder) else member.as_posix()
