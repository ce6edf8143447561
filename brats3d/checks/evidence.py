"""What the checks of one case examine, computed once and only if a check needs it.

Arrays with less than `LEAST_BRAIN_ML` of brain are not a patient's, and only get the checks that need no brain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from brats3d.checks import relations
from brats3d.checks.best_fit import Classes, Fit, best_fit
from brats3d.checks.tissue import Reference, reference_of
from brats3d.store import PreparedCase

LEAST_BRAIN_ML = 300.0
POOR_FIT = 1.15
"""A modality fits poorly if its mutual information with the one it fits best is less than this many times what is left after
a small move: 38 of 39 sound cases have 1.15 to 4.5. Only then is its best fit searched for, which takes 0.1 s."""
POOR_CONTAINMENT = 0.985
"""The same for the share of its mask inside that of another: sound cases have 0.997 or more."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """A prepared case with what several checks need, computed once.

    Attributes:
        case: the case.
    """

    case: PreparedCase

    @cached_property
    def lattice(self) -> relations.Lattice:
        """Every n-th voxel of the brain's box."""
        case = self.case
        return relations.brain_lattice(case.images, case.modalities, case.brain_box, case.grid.spacing_mm)

    @cached_property
    def brain(self) -> np.ndarray:
        """Lattice points where any modality is not 0."""
        return self.lattice.brain

    @cached_property
    def brain_ml(self) -> float:
        """Volume of the brain, or of whatever is not background."""
        return float(np.count_nonzero(self.brain)) * self.lattice.voxel_ml

    @cached_property
    def judged(self) -> bool:
        """Whether it is large enough to be a patient's brain, with a background."""
        return self.brain_ml >= LEAST_BRAIN_ML

    @cached_property
    def references(self) -> dict[str, Reference]:
        """Median and spread of each modality."""
        found = {m: reference_of(values) for m, values in self.lattice.values.items()}
        return {m: reference for m, reference in found.items() if reference is not None}

    @cached_property
    def greys(self) -> dict[str, np.ndarray]:
        """Each modality in classes of intensity."""
        return {m: relations.grey_classes(v, self.case.histograms[m]) for m, v in self.lattice.values.items()}

    @cached_property
    def misfits(self) -> dict[str, tuple[Fit, float]]:
        """Modality that fits the others poorly → where it fits best, and the share of its mask inside theirs."""
        greys = self.greys
        if not self.judged or len(greys) < 2:
            return {}
        ratios, within = dict.fromkeys(greys, 0.0), dict.fromkeys(greys, 0.0)
        for pair in relations.PAIRS:
            if not greys.keys() >= set(pair):
                continue
            first, second = (greys[modality] for modality in pair)
            still, moved = relations.displaced_information(first, second)
            for modality in pair:
                ratios[modality] = max(ratios[modality], still / max(moved, 1e-6) if still > 0 else 1.0)
                within[modality] = max(within[modality], relations.containment(first != 0, second != 0))
        return {m: (self._best_fit(m), within[m]) for m in greys if ratios[m] < POOR_FIT or within[m] < POOR_CONTAINMENT}

    def _best_fit(self, modality: str) -> Fit:
        """Return where a modality fits the others best, using its voxels, not only those of the lattice."""
        images = {m: self._classes(m) for m in self.greys}
        brain = np.logical_or.reduce([grey != 0 for m, grey in self.greys.items() if m != modality])
        points, own = (self.lattice.place(np.argwhere(mask)) for mask in (brain, self.greys[modality] != 0))
        others = {m: image for m, image in images.items() if m != modality}
        return best_fit(points, others, images[modality], own.mean(0), np.asarray(self.case.grid.spacing_mm))

    def _classes(self, modality: str) -> Classes:
        image, histogram = self.case.images[self.case.modalities.index(modality)], self.case.histograms[modality]

        def classes(places: np.ndarray) -> np.ndarray:
            inside = ((places >= 0) & (places < image.shape)).all(1)
            values = image[tuple(np.clip(places, 0, np.array(image.shape) - 1).T)].astype(np.float32)
            return relations.grey_classes(np.where(inside, values, np.float32(0)), histogram)

        return classes

    @cached_property
    def label_outside(self) -> float:
        """Share of the label where all modalities are 0."""
        if not len(self.tumour_points):
            return 0.0
        points = tuple(self.tumour_points.T)
        return float(np.mean(np.logical_and.reduce([image[points] == 0 for image in self.case.images])))

    @cached_property
    def tumour_points(self) -> np.ndarray:
        """Voxels of the label, (N, 3), each value in proportion to its share of the label."""
        samples = list(self.case.tumour.values())
        total = sum(sample.count for sample in samples)
        parts = [s.coordinates[:: max(1, round(len(s.coordinates) * total / (3000 * s.count)))] for s in samples if s.count]
        return np.concatenate(parts).astype(np.intp) if parts else np.zeros((0, 3), np.intp)
