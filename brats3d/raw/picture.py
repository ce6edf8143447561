"""The quality control picture of a prepared study: every scan against the reference before and after, and the brain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brats3d.figures import AlignmentPicture, alignment_figure
from brats3d.raw.study import RawStudy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def study_figure(study: RawStudy) -> Figure:
    """Draw a prepared study with its measurements and flags; `figures.save` writes it.

    Args:
        study: from `prepare_study`.

    Returns:
        A new figure.
    """
    name, quality = study.transforms.reference, study.quality
    pairs = {m: (study.before[m], image) for m, image in study.images.items() if m != name}
    information = [
        f"{pair}: {quality.information_before[pair]:.3f} → {now:.3f} nats" for pair, now in quality.information_after.items()
    ]
    notes = [
        f"brain {quality.brain_ml:.0f} ml, found by {quality.brain_method}",
        "mutual information before → after:" if information else "one scan: nothing to register",
        *information,
        *(
            f"{m} moved {quality.moved_mm[m]:.1f} mm, rotated {quality.turned_degrees[m]:.1f}°, shows {quality.covered[m]:.0%}"
            for m in study.images
        ),
        *(f"CHECK: {flag}" for flag in quality.flags),
    ]
    reference = name, study.images[name]
    return alignment_figure(AlignmentPicture(study.id, reference, pairs, study.brain, study.grid.spacing_mm, notes))
