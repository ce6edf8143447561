"""Cases to look at: phantoms and real ones, their labels in any coding."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np

from brats3d.cases import CORPORA, Case, Facts
from brats3d.checks.coding import CodingFeatures, coding_features
from brats3d.phantom import make_phantom, phantom_grid
from brats3d.regions import LABEL_SETS
from brats3d.store import CaseHeader, PreparedCase, summarise

MODALITIES = ("t1", "t1ce", "t2", "flair")
SUFFIXES = {"t1": ("t1", "t1n"), "t1ce": ("t1ce", "t1c"), "t2": ("t2", "t2W"), "flair": ("flair", "t2f")}
REAL = (
    "BraTS-GLI-00000-000",
    "BraTS2021_00006",
    "BraTS2021_01657",
    "BraTS2021_01659",
    "Brats18_2013_20_1",
    "Brats18_2013_2_1",
    "Brats18_2013_3_1",
    "Brats18_CBICA_ABM_1",
    "Brats18_TCIA01_425_1",
    "Brats18_TCIA03_265_1",
    "Brats18_TCIA10_628_1",
    "Brats18_TCIA13_623_1",
)
RECODINGS = {
    # coding → what the values 1, 2 and 4 of L17 become
    "L17": {1: 1, 2: 2, 4: 4},
    "L23": {1: 1, 2: 2, 4: 3},
    "LPED": {1: 2, 2: 4, 4: 1},
    "LMSD": {1: 2, 2: 1, 4: 3},
    "L12": {1: 2, 2: 1, 4: 2},
    "GTV": {1: 1, 2: 1, 4: 1},
}
"""Every coding that can hold these three tissues; L13 and L24 hold them with the values of L17 and L23."""

Images = Mapping[str, np.ndarray]


def recoded(label: np.ndarray, values: Mapping[int, int]) -> np.ndarray:
    """Return a label with its values exchanged; those that are not listed become 0."""
    new = np.zeros(label.shape, np.uint8)
    for old, value in values.items():
        new[label == old] = value
    return new


@lru_cache(maxsize=2)
def real_case(folder: Path, name: str) -> tuple[np.ndarray, Images]:
    """Return a real case's label, in L17, and its images; read by nibabel alone."""
    paths = {path.name.removesuffix(".nii.gz").rsplit("-" if "GLI" in name else "_", 1)[1]: path for path in folder.iterdir()}
    images = {
        modality: np.asanyarray(nib.load(next(paths[s] for s in suffixes if s in paths)).dataobj)
        for modality, suffixes in SUFFIXES.items()
    }
    label = np.asanyarray(nib.load(paths["seg"]).dataobj).astype(np.uint8)
    return recoded(label, {1: 1, 2: 2, 3: 4}) if "GLI" in name else label, images


@cache
def real_features(folder: Path, name: str, coding: str) -> CodingFeatures:
    """Return what the values of a real case look like in a coding."""
    label, images = real_case(folder, name)
    return coding_features(recoded(label, RECODINGS[coding]), images)


@lru_cache(maxsize=16)
def phantom_case(seed: int, shape: tuple[int, int, int] = (80, 80, 52)) -> tuple[np.ndarray, Images]:
    """Return the label, in L17, and the images of a phantom; those of seeds 0 to 6 enhance."""
    phantom = make_phantom(np.random.default_rng([7, seed]), shape)
    return phantom.label, dict(zip(MODALITIES, phantom.images, strict=True))


def prepared(
    label: np.ndarray | None,
    images: Images,
    *,
    corpus: str = "plain",
    spacing_mm: tuple[float, float, float] | None = None,
    label_set: str = "L17",
) -> PreparedCase:
    """Return a case as preprocessing would; without a spacing it fills the phantoms' box."""
    shape = next(iter(images.values())).shape
    grid = phantom_grid(shape)
    if spacing_mm is not None:
        grid = type(grid)(shape, np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0]))
    header = CaseHeader("c1", Facts("c1", corpus=corpus), tuple(images), LABEL_SETS[label_set] if label is not None else None)
    stacked = np.stack([np.ascontiguousarray(image) for image in images.values()])
    return summarise(header, stacked, None if label is None else np.ascontiguousarray(label), grid, grid)


def case_named(corpus: str) -> Case:
    """Return a case of a corpus, of which only the names count."""
    return Case("c1", Facts("c1", corpus=corpus), {}, None, CORPORA[corpus].label_sets)
