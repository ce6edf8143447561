"""What changed in a case's files and facts since it was stored: such a case is refused, not taken as the old one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from brats3d import images
from brats3d.cases import MANIFEST, Case, binds
from brats3d.checks.coding import REGIONS_AS
from brats3d.errors import CaseError, OutputExistsError
from brats3d.regions import LabelSetLike, find_label_set, two_meanings
from brats3d.store import OPTIONAL_FACTS, StoredCase, own_codings

Source = Mapping[str, Any]
WAY_OUT = "make it again with --force, or use another --out."


def check_sources(stored: StoredCase, case: Case) -> None:
    """Refuse a case whose files are not those that it was stored from: some were added, removed, or re-issued.

    They are compared by name and size; the label, and files written or renamed since, also by their bytes: reading a
    whole corpus again would take as long as storing half of it.

    Args:
        stored: the stored case; one that records no sources may come from other software, and is accepted as it is.
        case: what was found now.

    Raises:
        CaseError: says what was added, removed or changed.
        OSError: a file cannot be inspected.
    """
    recorded = stored.header.sources
    if not recorded:
        return
    before = _by_part(list(stored.modalities), recorded, labelled=stored.label is not None)
    files = {**case.images, **({"label": case.label} if case.label else {})}
    now = {part: file for part, file in files.items() if file.exists()}
    made = stored.path.stat().st_mtime
    said: dict[str, str] = {}
    for part in dict.fromkeys([*before, *now]):
        change = _change(case, part, before.get(part), now.get(part), made)
        if change:
            said.setdefault(change, part)
    if said:
        raise CaseError(f"{stored.path} was stored {'; it was stored '.join(said)}; {WAY_OUT}")


def _by_part(
    modalities: Sequence[str], sources: Sequence[Mapping[str, Any]], *, labelled: bool
) -> dict[str, Mapping[str, Any]]:
    """Return modality or ``label`` → the source that a case records for it: one for all modalities, or one for each."""
    scans = sources[: len(sources) - labelled]
    each = scans if len(scans) == len(modalities) else [scans[0]] * len(modalities) if scans else []
    return dict(zip(modalities, each, strict=False)) | ({"label": sources[-1]} if labelled else {})


def _change(case: Case, part: str, source: Source | None, file: Path | None, made: float) -> str:
    """Return what changed of a modality or the label, to follow the words "was stored"; empty if nothing did."""
    named = "the label" if part == "label" else part
    if source is None:
        return f"without {named}, and {file.name} was added since" if file else ""
    was = f"from {source['name']} of {source['bytes']} bytes"
    if file is None:
        return f"{was}, where now {case.id} has no such file: {named} was removed since"
    size = images.size_of(file)
    if (source["name"], source["bytes"]) != (file.name, size):
        return f"{was}, where now {case.id} has {file.name} of {size} bytes: {named} was changed since"
    known = source.get("crc32")
    read = known is not None and (part == "label" or any(_touched(p) >= made for p in images.parts_of(file)))
    if read and images.fingerprint(file).crc32 != known:
        return f"from {file.name}, where now that file has other bytes"
    return ""


def _touched(file: Path) -> float:
    """Return when a file's content or name last changed: a file moved over another keeps the time of its content."""
    status = file.stat()
    return max(status.st_mtime, status.st_ctime)


def check_facts(stored: StoredCase, case: Case) -> None:
    """Refuse a case whose names, tables or manifest say something else than when it was stored.

    Age, survival, resection and site that were not known then are not a contradiction: nothing depends on them.

    Args:
        stored: the stored case.
        case: what was found now.

    Raises:
        CaseError: says which fact differs.
    """
    for name in ("patient", "timepoint", "grade", *OPTIONAL_FACTS):
        was, now = getattr(stored, name), getattr(case, name)
        if now is not None and was != now and (was is not None or name not in OPTIONAL_FACTS):
            _refuse(stored, f"with {name.replace('_', ' ')} {was}", f"{case.id} has {now}")
    said = case.codings if case.coding is not None or (case.corpus == MANIFEST and binds(case)) else ()
    if said and stored.coding and stored.coding not in said and stored.label_set != REGIONS_AS:
        both = two_meanings([stored.coding, *said])
        now = f"the manifest says {' or '.join(coding.name for coding in said)}"
        _refuse(stored, f"with label set {stored.label_set}", f"{now} ({both})" if both else now)


def check_codings(out: Path, cases: Iterable[Case], requested: LabelSetLike | None, *, force: bool) -> None:
    """Refuse users' own label sets that share a name, among the cases to be stored and those stored already.

    Args:
        out: the store's folder; it may not exist.
        cases: the cases to be stored.
        requested: the requested label set, or None.
        force: whether those cases are made again, so that what is stored of them is ignored.

    Raises:
        OutputExistsError: two have one name and different content; both are shown.
        OptionError: there is no such label set.
    """
    cases = list(cases)
    codings = [case.coding for case in cases if case.coding is not None and case.coding.own]
    asked = None if requested is None else find_label_set(requested)
    codings += [asked] if asked is not None and asked.own else []
    stored = own_codings(out, {case.id for case in cases} if force else ()) if codings else []
    both = two_meanings([*stored, *codings])
    if both:
        way = "use --force to make all of its cases again, " if two_meanings(codings) == "" else ""
        raise OutputExistsError(f"{out}: {both}; {way}give one of them another name, or use another --out.")


def _refuse(stored: StoredCase, was: str, now: str) -> None:
    raise CaseError(f"{stored.path} was stored {was}, where now {now}; {WAY_OUT}")
