"""Finds cases that show the same scans under two names: renamed, shifted, rescaled in intensity, cropped or mirrored.

Every pair is first compared by something small; the pairs that look alike are then compared on finer maps of their voxels. The
quick search uses the histograms in the case files, which are the same for every complete copy: 15 ms per case. The thorough
search uses coarse maps of all volumes and also finds parts of a brain: 0.2 s per case and 0.2 ms per pair, for 1,251 cases
about seven minutes and 200 MB.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from brats3d.cases import CaseIds, read_case_ids
from brats3d.console import Progress, silent
from brats3d.errors import CaseError
from brats3d.parallel import map_cases
from brats3d.regions import MODALITIES
from brats3d.store.fingerprint import (
    SIGNATURE_PERCENTILES,
    BlockMap,
    block_map,
    correlation,
    energies,
    likeness,
    signature,
    spectrum,
)
from brats3d.store.read import StoredCase
from brats3d.store.store_folder import Store, open_store
from brats3d.store.write import case_path

log = logging.getLogger(__name__)

COARSE_MM, FINE_MM = 12.0, 4.0
ALIKE = 0.8
"""Likeness of two coarse maps from which a pair is examined more closely; two patients rarely reach it."""
SAME = 0.7
"""Correlation of two finer maps from which on they show the same scans; see `fingerprint`."""
SIGNATURE_DISTANCE = 0.02
"""Root mean square distance of two cases' signatures up to which they are examined more closely."""
MIDDLE = 16
"""Edge of the cube in the middle of two brains, in voxels; if equal, no closer examination is needed."""
PAIRS_A_CASE = 5
"""The quick search gives up if more pairs per case than this are alike: it is no use if intensities were matched."""
BATCH = 256
"""Pairs compared at a time, which limits the memory."""


@dataclass(frozen=True)
class Duplicate:
    """Two cases that show the same scans.

    Attributes:
        case_a: id of one case.
        case_b: id of the other.
        correlation: of their finer maps, where both brains are; 1 for equal voxels.
        mirrored: whether they are alike with left and right exchanged.
    """

    case_a: str
    case_b: str
    correlation: float
    mirrored: bool

    @property
    def why(self) -> str:
        """Say in words what makes them the same."""
        return f"the volumes are the same scans{' mirrored' if self.mirrored else ''} (correlation {self.correlation:.2f})"


@dataclass(frozen=True)
class Duplicates:
    """What a search found.

    Attributes:
        pairs: the pairs, sorted by the ids of their cases.
        refused: case id → why it could not be examined.
    """

    pairs: tuple[Duplicate, ...]
    refused: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return what was found as plain values."""
        return asdict(self)


def find_duplicates(
    store: Store | Path | str,
    *,
    cases: CaseIds | None = None,
    thorough: bool = False,
    workers: int | None = 1,
    progress: Progress = silent,
) -> Duplicates:
    """Find the cases of a store that show the same scans under two names.

    Args:
        store: the store's folder, or the file of a packed store; from Python an open store too.
        cases: only these: a file of ids, one per line, or RUN/split.json:test; from Python a list of ids too.
        thorough: read all volumes, to find parts of a brain and unevenly rescaled copies too; otherwise histograms choose the
            pairs whose volumes are read, at a few milliseconds per case.
        workers: processes that read volumes; by default one per core; from Python 1, and None is one per core.
        progress: called as volumes are read.

    Returns:
        The pairs, each with its correlation, and the cases that could not be read.

    Raises:
        NoCasesError: there are no case files.
        OptionError: a case asked for is not there, or there is fewer than one worker.
    """
    opened = store if isinstance(store, Store) else open_store(store)
    names = sorted(opened.select(None if cases is None else read_case_ids(cases)))
    refused: dict[str, str] = {}
    if thorough:
        reading = partial(progress, "reading volumes")
        pairs = list(_alike_maps(_collect(partial(_map, opened.path, COARSE_MM), names, workers, reading, refused)))
    else:
        signatures = _collect(partial(_signatures, opened.path), names, 1, _silent_steps, refused)
        most = PAIRS_A_CASE * len(names)
        pairs = list(islice(_alike_signatures(signatures), most + 1))
        if len(pairs) > most:
            log.warning(
                "%s: more than %d pairs have similar histograms (matched intensities?), so copies were not searched for; do so"
                " with: python -m brats3d.store STORE --duplicates --thorough.", opened.path, most,
            )  # fmt: skip
            pairs = []
    compared = _collect(partial(_compare, opened.path), pairs, workers, partial(progress, "comparing pairs"), refused)
    return Duplicates(tuple(compared[p] for p in pairs if p in compared and compared[p].correlation >= SAME), refused)


def _silent_steps(done: int, total: int) -> None:
    """Report nothing."""


def _collect(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    workers: int | None,
    step: Callable[[int, int], None],
    refused: dict[str, str],
) -> dict[Any, Any]:
    """Return item → the function's result, in the items' order; those that cannot be read go to ``refused``."""
    results: dict[Any, Any] = {}
    for done, (item, result) in enumerate(map_cases(function, items, workers=workers), 1):
        if isinstance(result, CaseError):
            refused[item if isinstance(item, str) else " and ".join(item)] = str(result)
        else:
            results[item] = result
        step(done, len(items))
    return {item: results[item] for item in items if item in results}


def _map(store: Path, block_mm: float, name: str) -> BlockMap:
    """Return a case's map, with a channel for each of the four modalities; zeros for a missing one."""
    with StoredCase(case_path(store, name)) as case:
        there = [m for m in MODALITIES if m in case.modalities]
        images = case.patch(case.brain_box[:, 0].tolist(), (case.brain_box[:, 1] - case.brain_box[:, 0]).tolist())
        images = images[[case.modalities.index(m) for m in there]]
        found = block_map(images, [case.histograms[m] for m in there], case.grid.spacing_mm, block_mm)
    ranks = np.zeros((len(MODALITIES), *found.brain.shape), np.float32)
    ranks[[MODALITIES.index(m) for m in there]] = found.ranks
    return BlockMap(ranks, found.brain)


def _compare(store: Path, pair: tuple[str, str]) -> Duplicate:
    if _middles_are_equal(*(case_path(store, name) for name in pair)):
        return Duplicate(*pair, 1.0, False)
    one, other = (_map(store, FINE_MM, name) for name in pair)
    straight = correlation(one, other)
    mirrored = 0.0 if straight >= SAME else correlation(one, other.mirrored())
    return Duplicate(*pair, round(max(straight, mirrored), 4), mirrored > straight)


def _middles_are_equal(one: Path, other: Path) -> bool:
    """Return whether the middles of two brains are equal voxel by voxel: a quick test for copies."""
    with StoredCase(one) as a, StoredCase(other) as b:
        if a.modalities != b.modalities or (np.diff(a.brain_box) != np.diff(b.brain_box)).any():
            return False
        first, second = (c.patch((c.brain_box.sum(1) // 2 - MIDDLE // 2).tolist(), (MIDDLE,) * 3) for c in (a, b))
    return bool(np.ptp(first) > 0) and np.array_equal(first, second)


def _alike_maps(maps: Mapping[str, BlockMap]) -> Iterator[tuple[str, str]]:
    """Yield the pairs whose coarse maps are alike, as they are or mirrored."""
    names = list(maps)
    if not names:
        return
    spectra = np.stack([spectrum(m) for m in maps.values()])
    energy = np.stack([energies(m) for m in maps.values()])
    for i, name in enumerate(names):
        turned = spectrum(maps[name].mirrored())
        for first in range(i + 1, len(names), BATCH):
            batch = slice(first, first + BATCH)
            alike = np.maximum(
                likeness(spectra[i], spectra[batch], energy[i], energy[batch]),
                likeness(turned, spectra[batch], energy[i], energy[batch]),
            )
            yield from ((name, names[first + int(j)]) for j in np.flatnonzero(alike >= ALIKE))


def _signatures(store: Path, name: str) -> np.ndarray:
    """Return (4, 33) signatures of a case's modalities; NaN for a missing one."""
    with StoredCase(case_path(store, name)) as case:
        known = case.histograms
    nothing = np.full(len(SIGNATURE_PERCENTILES), np.nan, np.float32)
    return np.stack([signature(known[m]) if m in known else nothing for m in MODALITIES])


def _alike_signatures(signatures: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str]]:
    """Yield the pairs whose distributions have the same shape in the modalities that both have."""
    names, every = list(signatures), np.array(list(signatures.values()))
    for i, name in enumerate(names[:-1]):
        squares = (every[i + 1 :] - every[i]) ** 2
        known = np.isfinite(squares)
        mean = np.where(known, squares, 0).sum((1, 2)) / np.maximum(known.sum((1, 2)), 1)
        alike = known.any((1, 2)) & (mean <= SIGNATURE_DISTANCE**2)
        yield from ((name, names[i + 1 + int(j)]) for j in np.flatnonzero(alike))
