"""Which masks of an earlier call are kept: those that can be read and were made from their cases' present scans.

A case's id is not enough. Another patient's scans may have the same id, or a scan may have been re-issued; the mask is then
neither kept nor overwritten, since it may be the only one of its patient. A damaged mask is predicted again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from brats3d import images
from brats3d.cases import differing_in_case
from brats3d.errors import CaseError, ImageError, system_error
from brats3d.images import SourceFile
from brats3d.masks import MaskEntry, MaskFolder
from brats3d.predict.sources import CaseSource

log = logging.getLogger(__name__)


@dataclass
class KeptMasks:
    """What happens to the masks of an earlier call.

    Attributes:
        kept: ids of the cases whose masks stay.
        refused: case id → why its mask is neither kept nor made again.
        unchecked: ids of kept cases that an earlier version wrote, without recording what they were predicted from.
    """

    kept: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)


def check_kept(
    folder: MaskFolder, sources: Mapping[str, CaseSource], note: Callable[[int, int], None] = lambda done, total: None
) -> KeptMasks:
    """Compare every mask of an earlier call with the present scans of its case; oddities are logged as warnings.

    A case is refused if its id differs only in letter case from that of a mask: on many systems it would replace that mask.

    Args:
        folder: the output folder with the masks that its list names.
        sources: case id → where it comes from, for the requested cases.
        note: called with the number of masks checked and the total.
    """
    cases = folder.masks.cases
    alike, there_alike = differing_in_case([*cases, *sources]), {case.casefold() for case in cases}
    replacing = [case for case in sources if case not in cases and case.casefold() in there_alike]
    found = KeptMasks(refused={case: alike[case] for case in replacing})
    there = [case for case in sources if case in cases]
    for done, case in enumerate(there, 1):
        entry = cases[case]
        try:
            if entry.sources is None:
                found.unchecked.append(case)
            else:
                _check_sources(folder.path / entry.file, case, entry.sources, sources[case].made_from())
            if _whole(folder.path, entry):
                found.kept.append(case)
        except CaseError as problem:
            found.refused[case] = str(problem)
        note(done, len(there))
    found.unchecked = [case for case in found.unchecked if case in found.kept]
    if found.unchecked:
        log.warning(
            "%s: %d of the kept masks, such as that of %s, were written by an earlier version, which did not record"
            " what they were predicted from; they are not compared with the scans: use --force to predict them again.",
            folder.path, len(found.unchecked), found.unchecked[0],
        )  # fmt: skip
    return found


def _check_sources(mask: Path, case: str, before: Sequence[SourceFile], now: Sequence[SourceFile]) -> None:
    """Refuse a case whose scans are not those that its mask was predicted from."""
    pairs = list(zip_longest(before, now))
    differing = [(was, new) for was, new in pairs if was != new]
    if differing:
        raise CaseError(
            f"{mask} was predicted from other scans of {case} than it has now ({len(differing)} of {len(pairs)} differ:"
            f" {_difference(*differing[0])}); nothing is overwritten: choose another --out, delete the mask to have the case"
            " predicted again, or use --force to start the whole folder over."
        )


def _difference(was: SourceFile | None, new: SourceFile | None) -> str:
    """Return in words how a scan differs from the recorded one."""
    if was is None or new is None or was.name != new.name:
        return f"{was.name if was else 'no such file'} then, {new.name if new else 'no such file'} now"
    if was.bytes != new.bytes:
        return f"{new.name} had {was.bytes} bytes, now {new.bytes}"
    return f"{new.name} has other content of the same size"


def _whole(path: Path, entry: MaskEntry) -> bool:
    """Read a mask, and its probabilities, once; return whether they are whole.

    A mask that is whole but not as it was written has been edited or replaced: the user is told.
    """
    for name in entry.files:
        try:
            source = images.read(path / name).source
        except ImageError as problem:
            if problem.__cause__ is not None and system_error(problem.__cause__) is not None:
                raise  # it cannot be read now, but may be whole
            log.warning("%s is damaged or missing; its case is predicted again.", path / name)
            return False
        written = entry.written if name == entry.file else None
        if source is not None and written is not None and (written.bytes, written.crc32) != (source.bytes, source.crc32):
            log.warning(
                "%s is not the file that was written here; it is kept as it is: delete it to have it predicted again.",
                path / name,
            )
    return True
