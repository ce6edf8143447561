"""What may be wrong with a case: each check is a function of the evidence that returns what it found, or None.

Limits were set on 39 BraTS cases of four years and on faults planted in each of them. The comment beside a limit gives the
values seen: in sound cases, in brackets in the same with noise, thick slices, coarse resolution, uneven brightness, weak
contrast, no enhancement or no oedema, and with planted faults. If only the images suggest a fault, the limit is closer to the
fault than to the sound case: a slight fault may pass, but a sound case from another scanner should not be doubted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from brats3d.cases import CORPORA
from brats3d.checks import relations
from brats3d.checks.best_fit import Fit
from brats3d.checks.evidence import Evidence
from brats3d.regions import LABEL_SETS, MODALITIES

MOST_BRAIN_ML = 2300.0  # stripped brains 1172 to 1749, heads with air 6200
COPY_CORRELATION = 0.9995  # t1 and t1ce of one patient at most 0.88; a copy that was rescaled and rounded 0.9998
LEAST_GAIN = 1.6  # poor fits gain 1.0 to 1.2 elsewhere (1.5); moved 10 mm 2.2 or more, rotated 10 degrees 1.5 or more
LEAST_MOVE_MM, LEAST_TURN = 5.0, 5.0  # registration leaves less: moved by 2 mm, sound cases gain up to 1.8
LEAST_CONTAINMENT = 0.9  # sound cases 0.997 to 1 (0.97); moved 10 mm at most 0.9, 20 mm 0.81
LEAST_MIRROR_GAIN = 1.1  # sound cases 0.05 to 0.54 (0.7), pairs alone 0.85; mirrored 1.2 or more
MOST_RIM_SD = 1.2  # sound cases -3.2 to 0.1 (0.3), flair alone to 0.8; a ring of fat 1.6 to 4.2
LEAST_CONTRAST = 1.2  # sound cases -0.1 to 7.7 (-3.3), t1 and t1ce exchanged the same with the other sign
LEAST_BRIGHTER = 0.4  # sound cases 0.2 to 1.9 (-0.9), exchanged the same with the other sign; of 780 none is beyond both
LEAST_SWAP_GAIN = 0.3  # t2 and flair: sound cases -1.6 to -0.2 (0.0), exchanged the same with the other sign
LEAST_UNUSUAL_GAIN = 0.8  # other pairs, which are seldom exchanged: sound cases to 0.11 (0.73), t1 and t2 exchanged 0.7 to 2.3
LEAST_COVERAGE = 0.9  # sound cases 0.96 to 1
LARGEST_END = 0.4  # sound cases 0.03 to 0.23; a fifth cut off 0.28 to 0.84
MOST_OUTSIDE = 0.05  # sound cases 0; a brain stripped 6 mm too deep 0.21
MOSTLY_OUTSIDE = 0.5
SPACING_TOLERANCE = 0.05
MOST_NEGATIVE_PERCENT = 1.0
MOST_BACKGROUND = 0.2
LEAST_TUMOUR_SD = 0.5  # median over the whole label, in flair or t2; sound cases 1.5 to 6.8 (0.9), mirrored -0.3 to 2.3


def find_background(seen: Evidence) -> str | None:
    """Find a constant background that is not 0, as z-scoring a whole image leaves it."""
    for modality, image in zip(seen.case.modalities, seen.case.images, strict=True):
        corners = image[:: image.shape[0] - 1 or 1, :: image.shape[1] - 1 or 1, :: image.shape[2] - 1 or 1]
        value = corners.flat[0]
        share = float(np.mean(seen.lattice.values[modality] == np.float32(value)))
        if value != 0 and (corners == value).all() and share > MOST_BACKGROUND:
            return (
                f"the background of {modality} is {value:g}, not 0 ({share:.0%} of the volume), so it cannot be told from"
                " the brain; set it to 0"
            )
    return None


def find_copied(seen: Evidence) -> str | None:
    """Find two modalities that are the same image, possibly rescaled, mirrored or moved."""
    values, histograms = seen.lattice.values, seen.case.histograms
    for first, second in relations.PAIRS:
        if first not in values or second not in values:
            continue
        found = relations.correlation(values[first], values[second])
        if abs(found) > COPY_CORRELATION:
            return f"{first} and {second} are the same image (correlation {found:.4f}): one is a copy of the other"
        if _same_values(histograms[first].arrays(), histograms[second].arrays()):
            return f"{first} and {second} have the same values equally often: one is a mirrored or moved copy of the other"
    return None


def _same_values(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(array, second[name]) for name, array in first.items())


def find_unregistered(seen: Evidence) -> str | None:
    """Find a modality that fits all others much better moved or rotated, or whose mask is beside theirs."""
    for modality, (fit, within) in seen.misfits.items():
        far = fit.moved_mm >= LEAST_MOVE_MM or fit.turned >= LEAST_TURN
        better = far and fit.gain >= LEAST_GAIN and not fit.mirrored
        if not better and (within >= LEAST_CONTAINMENT or _mirrored(fit)):
            continue
        others, theirs = ("the other modalities", "most of them") if len(seen.greys) > 2 else ("the other modality", "it")
        reasons = [f"{fit.words()} it shares {fit.gain:.1f} times as much with {theirs} as in place"] if better else []
        reasons += [f"only {within:.0%} of its mask is inside theirs"] if within < LEAST_CONTAINMENT else []
        return f"{modality} may not be aligned with {others}: {', and '.join(reasons)}; compare them, and register them if so"
    return None


def find_mirrored(seen: Evidence) -> str | None:
    """Find a modality that fits all others better when it is mirrored."""
    if not seen.judged or len(seen.greys) < 2:
        return None
    several = len(seen.greys) > 2
    for modality in seen.greys:
        fit = seen.misfits[modality][0] if modality in seen.misfits else Fit(1.0, 0.0, 0.0, "")
        gain, sides = (fit.gain, fit.mirrored) if _mirrored(fit) else (_mirror_gain(seen, modality), "left and right")
        if gain > LEAST_MIRROR_GAIN:
            return (
                f"{modality if several else ' or '.join(seen.greys)} may be mirrored: with {sides} exchanged it shares"
                f" {gain:.1f} times as much with {'the others' if several else 'the other'} as in place; compare them, and use"
                " the original scan if so"
            )
    return None


def _mirrored(fit: Fit) -> bool:
    return bool(fit.mirrored) and fit.gain >= LEAST_GAIN


def _mirror_gain(seen: Evidence, modality: str) -> float:
    """Return how much more a mirrored modality shares with the others, for the one for which mirroring helps least.

    Stops early once the limit cannot be reached.
    """
    least = float("inf")
    for name, other in seen.greys.items():
        if name != modality and least > LEAST_MIRROR_GAIN:
            still = relations.mutual_information(other, seen.greys[modality])
            least = min(least, relations.mirrored_information(other, seen.greys[modality]) / max(still, 1e-6))
    return least


def find_skull(seen: Evidence) -> str | None:
    """Find a volume too large for a brain."""
    if seen.brain_ml <= MOST_BRAIN_ML:
        return None
    return (
        f"{seen.brain_ml:.0f} ml are not 0, more than any brain (up to {MOST_BRAIN_ML:.0f} ml): the scans are not"
        " skull-stripped, or their background is not 0; extract the brain first (preprocess --raw)"
    )


def find_bright_rim(seen: Evidence) -> str | None:
    """Find a bright layer around the brain."""
    if not seen.judged:
        return None
    values = seen.lattice.values
    rims = [relations.rim_brightness(values[m], seen.brain) for m in ("t1", "t1ce", "flair") if m in values]
    # fat is bright in all of them; a single bright one may be a mislabelled t2, in which fluid is bright
    if rims and np.median(rims) > MOST_RIM_SD:
        return (
            f"the outermost layer is brighter than the brain (by {np.median(rims):.1f} sd; a stripped brain's is darker):"
            " skull or scalp may remain; if so, extract the brain first (preprocess --raw)"
        )
    return None


def find_label_outside(seen: Evidence) -> str | None:
    """Find a label that is mostly outside the brain."""
    if seen.label_outside <= MOSTLY_OUTSIDE:
        return None
    return f"{seen.label_outside:.0%} of the label is where all modalities are 0: it is not this scan's label, or was moved"


def find_label_beyond(seen: Evidence) -> str | None:
    """Find a label that is partly outside the brain."""
    if not MOST_OUTSIDE < seen.label_outside <= MOSTLY_OUTSIDE:
        return None
    return (
        f"{seen.label_outside:.0%} of the label is where all modalities are 0: tumour may have been removed with the skull,"
        " or the label may have been moved"
    )


def find_swapped(seen: Evidence) -> str | None:
    """Find a pair of modalities that match each other's names better."""
    if not seen.judged or set(seen.lattice.values) != set(MODALITIES):
        return None
    found = relations.likenesses(seen.lattice)
    if not found:
        return None
    named = found[None]
    excess = {pair: likeness.score - named.score - LEAST_UNUSUAL_GAIN for pair, likeness in found.items() if pair}
    excess["t2", "flair"] += LEAST_UNUSUAL_GAIN - LEAST_SWAP_GAIN
    del excess["t1", "t1ce"]  # other differences between these come from coil and tumour: only contrast agent is decisive
    pair = max(excess, key=lambda p: excess[p])
    if excess[pair] <= 0 and named.contrast < -LEAST_CONTRAST and named.brightest < -LEAST_BRIGHTER:
        pair = ("t1", "t1ce")
    elif excess[pair] <= 0:
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
    return f"{pair[0]} and {pair[1]} may be swapped: if exchanged, {', and '.join(better)}; check the file names"


def find_partial(seen: Evidence) -> str | None:
    """Find a modality that covers less of the brain than the others."""
    whole = np.count_nonzero(seen.brain)
    shares = {m: float(np.count_nonzero(v)) / whole for m, v in seen.lattice.values.items()} if whole else {}
    low = [f"{m} covers {share:.0%}" for m, share in shares.items() if share < LEAST_COVERAGE]
    return f"{', '.join(low)} of the brain shown by all modalities together; expected nearly all of it" if low else None


def find_spacing(seen: Evidence) -> str | None:
    """Find voxels that are not 1 mm."""
    spacing = seen.case.grid.spacing_mm
    if max(abs(s - 1) for s in spacing) <= SPACING_TOLERANCE:
        return None
    return (
        f"the voxels are {' × '.join(f'{s:.4g}' for s in spacing)} mm, not 1 × 1 × 1 mm as in BraTS; the case is stored as it"
        " is, and models for 1 mm refuse it"
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
        f"the brain ends at its {side} in a flat cut of {ends.max():.0%} of its largest section there: the scan was cropped;"
        " use the whole scan, or expect worse masks near the cut"
    )


def find_normalised(seen: Evidence) -> str | None:
    """Find negative values, or none above 1."""
    found = []
    for modality, histogram in seen.case.histograms.items():
        if histogram.percentile(MOST_NEGATIVE_PERCENT) < 0:
            found.append(f"{modality} has negative values (from {histogram.percentile(0):.3g})")
        elif histogram.percentile(100) <= 1:
            found.append(f"{modality} reaches only {histogram.percentile(100):.3g}")
    if not found:
        return None
    return f"the intensities were already normalised: {', '.join(found)}; expected those of the scanner"


def find_year(seen: Evidence) -> str | None:
    """Find values that no label of the corpus has."""
    corpus = CORPORA.get(seen.case.corpus)
    values = set(seen.case.tumour)
    if corpus is None or not corpus.binding or not values or (seen.case.coding is not None and seen.case.coding.own):
        return None
    if any(values <= set(LABEL_SETS[name].tissues) for name in corpus.label_sets):
        return None
    known = set().union(*(LABEL_SETS[name].tissues for name in corpus.label_sets))
    return (
        f"the label has {sorted(values - known)}, which {corpus.name} labels ({' or '.join(corpus.label_sets)}) do not have;"
        f" it is read as {seen.case.label_set}"
    )


def find_misplaced(seen: Evidence) -> str | None:
    """Find a label whose tissue is no brighter than any other, while its mirror image may be."""
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
    return f"the labelled tissue is no brighter in {' or '.join(shown)} than the rest of the brain ({here:+.1f} sd){hint}"
