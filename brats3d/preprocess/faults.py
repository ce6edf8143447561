"""What may be wrong with a case: each fault is a function of the evidence that says what it found, or None.

The limits were set on BraTS cases of three years and on faults planted in them; the comment beside a limit says what was seen.
Arrays with less than `LEAST_BRAIN_ML` of brain are no patient's, and are asked only what needs no brain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from brats3d.cases import CORPORA
from brats3d.preprocess import relations
from brats3d.preprocess.tissue import Reference, reference_of
from brats3d.regions import LABEL_SETS, MODALITIES
from brats3d.store import PreparedCase

LEAST_BRAIN_ML = 300.0
MOST_BRAIN_ML = 2300.0  # stripped brains 1173 to 1639, heads with air 6200
COPY_CORRELATION = 0.9995  # t1 and t1ce of one patient at most 0.88
LEAST_INFORMATION_RATIO = 1.02  # registered 1.33 to 2.6; moved 4 to 20 mm or turned 10 degrees at most 1.06
LOW_INFORMATION_RATIO = 1.1
LOW_CONTAINMENT = 0.985  # registered 0.996 to 1; moved 4 mm 0.95, turned 5 degrees 0.98
LEAST_CONTAINMENT = 0.9
SURE_MIRROR_GAIN = 2  # scans moved or turned, which share little as they lie, to 1.2
MOST_RIM_SD = 1.2  # stripped -4.5 to -0.55 in t1, t1ce and flair, to 0.8 in t2; a ring of fat 1.7 to 6.6
LEAST_SWAP_GAIN = 0.15  # as named, every exchange loses 0.03 or more
USUAL_SWAPS = (("t1", "t1ce"), ("t2", "flair"))
UNUSUAL_SWAP = 0.3  # other pairs are seldom exchanged, and must gain so much more
LEAST_COVERAGE = 0.9
LARGEST_END = 0.4  # rounded ends 0 to 0.24; cut a quarter off 0.52 to 0.7
MOST_OUTSIDE = 0.05  # shared cases 0
SPACING_TOLERANCE = 0.05
MOST_NEGATIVE_PERCENT = 1.0
MOST_BACKGROUND = 0.2
LEAST_TUMOUR_SD = 0.5  # of a median over all of a label, in flair and t2; shared cases 1.5 or more in flair


@dataclass(frozen=True, eq=False)
class Evidence:
    """A prepared case with what several checks ask of it, computed once.

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
        """Volume of the brain, or of what stands in its place."""
        return float(np.count_nonzero(self.brain)) * self.lattice.voxel_ml

    @cached_property
    def judged(self) -> bool:
        """Whether there is enough of it to be a patient's brain, with a background."""
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
    def tumour_points(self) -> np.ndarray:
        """Voxels of the label, of each value as many as its share of the label asks for: (N, 3)."""
        samples = list(self.case.tumour.values())
        total = sum(sample.count for sample in samples)
        parts = [s.coordinates[:: max(1, round(len(s.coordinates) * total / (3000 * s.count)))] for s in samples if s.count]
        return np.concatenate(parts).astype(np.intp) if parts else np.zeros((0, 3), np.intp)


def find_background(seen: Evidence) -> str | None:
    """Find a constant background that is not 0, as z-scoring a whole image leaves it."""
    for modality, image in zip(seen.case.modalities, seen.case.images, strict=True):
        corners = image[:: image.shape[0] - 1 or 1, :: image.shape[1] - 1 or 1, :: image.shape[2] - 1 or 1]
        value = corners.flat[0]
        share = float(np.mean(seen.lattice.values[modality] == np.float32(value)))
        if value != 0 and (corners == value).all() and share > MOST_BACKGROUND:
            return (
                f"the background of {modality} is {value:g} and not 0 ({share:.0%} of the volume), so the brain cannot be told"
                " from it; set it to 0"
            )
    return None


def find_copied(seen: Evidence) -> str | None:
    """Find two modalities that are one image, rescaled or not."""
    values = seen.lattice.values
    for first, second in relations.PAIRS:
        if first in values and second in values:
            found = relations.correlation(values[first], values[second])
            if abs(found) > COPY_CORRELATION:
                return f"{first} and {second} are one image (correlation {found:.4f}): one was copied in place of the other"
    return None


def find_unregistered(seen: Evidence) -> str | None:
    """Find a modality that fits all others badly, by mutual information against a small move, or by its mask."""
    greys = seen.greys
    if not seen.judged or len(greys) < 2:
        return None
    fits: dict[str, list[tuple[float, float]]] = {m: [] for m in greys}
    for first, second in relations.PAIRS:
        if first in greys and second in greys:
            still, moved = relations.displaced_information(greys[first], greys[second])
            within = relations.containment(greys[first] != 0, greys[second] != 0)
            for modality in (first, second):
                fits[modality].append((still / max(moved, 1e-6) if still > 0 else 1.0, within))
    for modality, pairs in fits.items():
        ratio, within = max(r for r, _ in pairs), max(w for _, w in pairs)
        low = ratio < LOW_INFORMATION_RATIO and within < LOW_CONTAINMENT
        if low or ratio < LEAST_INFORMATION_RATIO or within < LEAST_CONTAINMENT:
            step_mm = seen.lattice.step * min(seen.case.grid.spacing_mm)
            return (
                f"{modality} does not lie on the other modalities: its mutual information with the one that it fits best is"
                f" {ratio:.2f} times what is left after a move of {step_mm:.0f} mm (registered scans: 1.3 or more), and"
                f" {within:.0%} of its mask lies in theirs; "
                + ("it fits better with left and right exchanged: " if _mirror_gain(seen, modality) > SURE_MIRROR_GAIN else "")
                + "register the modalities first"
            )
    return None


def find_mirrored(seen: Evidence) -> str | None:
    """Find a modality that fits all others better when it is mirrored left and right."""
    if not seen.judged or len(seen.greys) < 2:
        return None
    for modality in seen.greys:
        gain = _mirror_gain(seen, modality)
        if gain > 1:
            several = len(seen.greys) > 2
            return (
                f"{modality if several else ' or '.join(seen.greys)} is mirrored: with left and right exchanged it shares"
                f" {gain:.1f} times as much with the {'others' if several else 'other'} as it lies; take the scan as it came"
            )
    return None


def _mirror_gain(seen: Evidence, modality: str) -> float:
    """Return how much more a modality shares with that of the others for which this helps least, once it is mirrored.

    With a single other, registered scans have 0.12 to 0.67, mirrored ones 1.03 to 9.6. What cannot pass 1 any more is not
    looked at further.
    """
    least = float("inf")
    for name, other in seen.greys.items():
        if name != modality and least > 1:
            still = relations.mutual_information(other, seen.greys[modality])
            least = min(least, relations.mirrored_information(other, seen.greys[modality]) / max(still, 1e-6))
    return least


def find_skull(seen: Evidence) -> str | None:
    """Find what is more than a brain, or a bright layer around it."""
    if seen.brain_ml > MOST_BRAIN_ML:
        return (
            f"{seen.brain_ml:.0f} ml are not 0, more than any brain (up to {MOST_BRAIN_ML:.0f}): the scans are not"
            " skull-stripped, or their background is not 0; extract the brain first (preprocess --raw)"
        )
    if not seen.judged:
        return None
    values = seen.lattice.values
    rims = [relations.rim_brightness(values[m], seen.brain) for m in ("t1", "t1ce", "flair") if m in values]
    # fat is bright in all of them; one alone may be a t2 under another's name, in which fluid is
    if rims and np.median(rims) > MOST_RIM_SD:
        return (
            f"the outermost layer is brighter than the brain (by {np.median(rims):.1f} sd, where a stripped brain's is darker):"
            " skull or scalp is left; extract the brain first (preprocess --raw)"
        )
    return None


def find_label_outside(seen: Evidence) -> str | None:
    """Find a label that lies where there is no brain."""
    points = tuple(seen.tumour_points.T)
    if not len(seen.tumour_points):
        return None
    outside = float(np.mean(np.logical_and.reduce([image[points] == 0 for image in seen.case.images])))
    if outside > MOST_OUTSIDE:
        return f"{outside:.0%} of the label lie where all modalities are 0: the label is not this scan's, or was moved"
    return None


def find_swapped(seen: Evidence) -> str | None:
    """Find a pair of modalities that are more like each other's names."""
    if not seen.judged or set(seen.lattice.values) != set(MODALITIES):
        return None
    found = relations.likenesses(seen.lattice)
    if not found:
        return None
    named = found[None]
    gains = {p: likeness.score - named.score - (0 if p in USUAL_SWAPS else UNUSUAL_SWAP) for p, likeness in found.items() if p}
    pair = max(gains, key=lambda p: gains[p])
    if gains[pair] <= LEAST_SWAP_GAIN:
        return None
    other = found[pair]
    reasons = {
        "t1 and t1ce are more alike (rank correlation {:.2f} against {:.2f})": (other.alike, named.alike),
        "fluid, dark in t1, is bright in t2 and dark in flair (by {:+.2f} of the ranks against {:+.2f})":
            (other.fluid, named.fluid),
        "vessels and tumour take up contrast agent in t1ce (tails differ by {:+.1f} sd against {:+.1f})":
            (other.contrast, named.contrast),
    }  # fmt: skip
    better = [text.format(*values) for text, values in reasons.items() if values[0] > values[1] + 0.05]
    return f"{pair[0]} and {pair[1]} may be swapped: exchanged, {', and '.join(better)}; look at the files' names"


def find_partial(seen: Evidence) -> str | None:
    """Find a modality that covers less of the brain than the others."""
    whole = np.count_nonzero(seen.brain)
    shares = {m: float(np.count_nonzero(v)) / whole for m, v in seen.lattice.values.items()} if whole else {}
    low = [f"{m} covers {share:.0%}" for m, share in shares.items() if share < LEAST_COVERAGE]
    return f"{', '.join(low)} of the brain that the modalities show together; expected nearly all of it" if low else None


def find_spacing(seen: Evidence) -> str | None:
    """Find voxels that are not 1 mm."""
    spacing = seen.case.grid.spacing_mm
    if max(abs(s - 1) for s in spacing) <= SPACING_TOLERANCE:
        return None
    return (
        f"the voxels are {' × '.join(f'{s:.4g}' for s in spacing)} mm, where BraTS has 1 × 1 × 1; the case is stored as it is,"
        " and models for 1 mm refuse it"
    )


def find_cropped(seen: Evidence) -> str | None:
    """Find a flat cut through the brain."""
    if not seen.judged:
        return None
    ends = relations.end_areas(seen.brain)
    axis, end = np.unravel_index(int(ends.argmax()), ends.shape)
    if ends.max() <= LARGEST_END:
        return None
    side = (("left", "right"), ("back", "front"), ("top", "bottom"))[axis][1 - end]
    return (
        f"the brain ends at its {side} in a flat cut of {ends.max():.0%} of its greatest section there: the scan was cropped;"
        " take the whole one, or expect worse masks near the cut"
    )


def find_normalised(seen: Evidence) -> str | None:
    """Find negative values, or none above 1."""
    found = []
    for modality, histogram in seen.case.histograms.items():
        if histogram.percentile(MOST_NEGATIVE_PERCENT) < 0:
            found.append(f"{modality} has negative values (from {histogram.percentile(0):.3g})")
        elif histogram.percentile(100) <= 1:
            found.append(f"{modality} reaches {histogram.percentile(100):.3g} only")
    if not found:
        return None
    return f"the intensities were normalised before: {', '.join(found)}; expected them as the scanner gave them"


def find_year(seen: Evidence) -> str | None:
    """Find values that no label of the corpus has."""
    corpus = CORPORA.get(seen.case.corpus)
    values = set(seen.case.tumour)
    if corpus is None or not corpus.binding or not values:
        return None
    if any(values <= set(LABEL_SETS[name].tissues) for name in corpus.label_sets):
        return None
    known = set().union(*(LABEL_SETS[name].tissues for name in corpus.label_sets))
    return (
        f"the label holds {sorted(values - known)}, which {corpus.name} labels ({' or '.join(corpus.label_sets)}) do not have;"
        f" it is read as {seen.case.label_set}"
    )


def find_misplaced(seen: Evidence) -> str | None:
    """Find a label whose tissue is as bright as any other, while a mirrored place is brighter."""
    points, shown = seen.tumour_points, [m for m in ("flair", "t2") if m in seen.references]
    if not seen.judged or not len(points) or not shown:
        return None
    box = np.asarray(seen.case.brain_box)

    def brightness(places: np.ndarray) -> float:
        inside = tuple(np.clip(places, box[:, 0], box[:, 1] - 1).T)
        z = [seen.references[m].z(seen.case.images[seen.case.modalities.index(m)][inside]) for m in shown]
        known = [float(np.nanmedian(values)) for values in z if not np.isnan(values).all()]
        return max(known, default=0.0)

    here = brightness(points)
    if here >= LEAST_TUMOUR_SD:
        return None
    centre = box.sum(1) - 1
    mirrored = {
        text: brightness(np.where(axes, centre - points, points))
        for text, axes in (("left and right", (True, False, False)), ("front and back", (False, True, False)),
                           ("left and right, and front and back,", (True, True, False)))
    }  # fmt: skip
    best = max(mirrored, key=lambda text: mirrored[text])
    hint = f"; with {best} exchanged it is {mirrored[best]:+.1f}: it may be mirrored" if mirrored[best] > here + 1 else ""
    return f"what the label marks is no brighter in {' or '.join(shown)} than the rest of the brain ({here:+.1f} sd){hint}"
