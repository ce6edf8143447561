"""Pictures of the worst cases: the labels are read again, and a scan if there is one."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from brats3d import images
from brats3d.errors import CaseError
from brats3d.evaluate.pair import Pair, read_pair
from brats3d.evaluate.report import Evaluation
from brats3d.evaluate.worst import error_thumbnail, worst_cases
from brats3d.geometry import Grid, to_stored
from brats3d.store import StoredCase

log = logging.getLogger(__name__)

BACKGROUNDS = ("flair", "t1ce", "t2", "t1")
"""Modalities to draw on, the first available one is used: the whole tumour shows best on FLAIR."""


def draw_thumbnails(evaluation: Evaluation, pairs: Mapping[str, Pair]) -> dict[tuple[str, str], bytes]:
    """Return (case id, region) → PNG for the worst cases of an evaluation.

    Args:
        evaluation: the scores.
        pairs: case id → where its labels are. A case that can no longer be drawn is left out, with a warning.
    """
    found = {}
    for case, region in worst_cases(evaluation):
        try:
            found[case, region] = _draw(pairs[case], region)
        except CaseError as problem:
            log.warning("%s: no picture (%s)", case, problem)
    return found


def _draw(pair: Pair, region: str) -> bytes:
    labels = read_pair(pair)
    mine, theirs = labels.prediction, labels.reference
    grid = theirs.volume.grid
    prediction, stored = to_stored(mine.volume.array, grid)
    reference, _ = to_stored(theirs.volume.array, grid)
    codings = mine.coding, theirs.coding
    return error_thumbnail(_scan(pair, stored), prediction, reference, stored.spacing_mm, codings, region=region)


def _scan(pair: Pair, grid: Grid) -> np.ndarray | None:
    """Return a scan of the case in the stored orientation, or None if there is none of the label's shape."""
    file = pair.reference
    if file.path is not None and file.path.suffix == ".h5":
        with StoredCase(file.path) as case:
            names = [name for name in BACKGROUNDS if name in case.modalities]
            image = case.patch((0, 0, 0), case.grid.shape)[case.modalities.index(names[0])] if names else None
    else:
        scans = file.named.images if file.named else {}
        names = [name for name in BACKGROUNDS if name in scans]
        volume = images.read(scans[names[0]]) if names else None
        image = None if volume is None else to_stored(volume.array, volume.grid)[0]
    return image if image is not None and image.shape == grid.shape else None
