"""The report's figures: distribution of scores, agreement of volumes, worst cases, calibration. Each is HTML, or empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brats3d import pages
from brats3d.evaluate.report import Evaluation
from brats3d.evaluate.worst import WORST, worst_cases
from brats3d.figures import bland_altman_figure, png_bytes, reliability_figure, strip_figure
from brats3d.scores import RegionScores, find_protocol

DOTS_PER_INCH = 200
"""Twice what a page shows, so that text stays sharp."""
PIXELS_PER_INCH = 100
SCORES: Mapping[str, tuple[str, tuple[float, float] | None, str]] = {
    "dice": ("Dice", (-0.03, 1.03), "linear"),
    "hd95_mm": ("HD95", None, "symlog"),
    "lesion_dice": ("lesion-wise Dice", (-0.03, 1.03), "linear"),
    "lesion_hd95_mm": ("lesion-wise HD95", None, "symlog"),
}
"""metric → its title, and the ends and scale of its axis."""
KEY = (
    "Filled: the prediction. Outlined: the reference. WT blue, TC yellow, ET red, other regions green, purple, orange"
    " and dark blue in the order of their label set. Each picture is the axial slice with the most wrong voxels of the region"
    " named; the letters mark the patient's right (R) and front (A)."
)


def titled(metric: str, protocol: str) -> str:
    """Return a metric's title, with its unit under a protocol.

    Args:
        metric: a column of ``scores.csv``.
        protocol: a key of ``scores.PROTOCOLS``.
    """
    name = SCORES[metric][0] if metric in SCORES else metric.replace("_mm", " (mm)").replace("_ml", " (ml)").replace("_", " ")
    if metric not in ("hd95_mm", "lesion_hd95_mm"):
        return name
    in_mm = find_protocol(protocol).spacing_counts or metric == "lesion_hd95_mm"
    return f"{name} ({'mm' if in_mm else 'voxels'})"


def by_region(evaluation: Evaluation) -> dict[str, list[RegionScores]]:
    """Return region → the scores of all cases that have it, under the first protocol."""
    rows: dict[str, list[RegionScores]] = {}
    for found in evaluation.of().values():
        for region, row in found.items():
            rows.setdefault(region, []).append(row)
    return rows


def spread(evaluation: Evaluation) -> str:
    """Return box and strip plots of the main scores defined by the first protocol."""
    rows, pictures = by_region(evaluation), []
    for metric, (_, limits, scale) in SCORES.items():
        values = {region: [getattr(row, metric) for row in found] for region, found in rows.items()}
        if not any(value is not None for column in values.values() for value in column):
            continue
        title = titled(metric, evaluation.protocol)
        figure = strip_figure({"": values}, score=title, limits=limits, scale=scale)
        width = round(figure.get_figwidth() * PIXELS_PER_INCH)
        words = f"{title} of every case, one column per region: box of quartiles with the median, and one point per case"
        pictures.append(pages.picture(png_bytes(figure, dots_per_inch=DOTS_PER_INCH), words, width=width))
    explained = "Box: quartiles and median; whiskers: the farthest value within 1.5 box lengths; each point is a case."
    return pages.grid(pictures) + pages.note(explained) if pictures else ""


def volumes(evaluation: Evaluation) -> str:
    """Return a Bland-Altman plot of the volumes of each region."""
    pictures = []
    for region, rows in by_region(evaluation).items():
        pairs = [(row.reference_ml, row.predicted_ml) for row in rows]
        known = [(r, p) for r, p in pairs if r is not None and p is not None]
        if not known:
            continue
        reference, predicted = ([pair[side] for pair in known] for side in (0, 1))
        figure = bland_altman_figure(reference, predicted, region=region)
        bias = sum(p - r for r, p in known) / len(known)
        words = f"{region}: predicted minus reference volume over the mean of both, {len(known)} cases, bias {bias:+.2f} ml"
        width = round(figure.get_figwidth() * PIXELS_PER_INCH)
        pictures.append(pages.picture(png_bytes(figure, dots_per_inch=DOTS_PER_INCH), words, width=width))
    explained = (
        "Bland and Altman: each point is a case; solid: mean difference; dashed: 1.96 standard deviations on either side."
    )
    return pages.grid(pictures) + pages.note(explained) if pictures else ""


def worst(evaluation: Evaluation, thumbnails: Mapping[tuple[str, str], bytes]) -> str:
    """Return the worst cases, lowest mean Dice first, with their scores, failure classes and pictures, if any.

    Args:
        evaluation: the scores.
        thumbnails: (case id, region) of `worst_cases` → content of a PNG file.
    """
    shown = worst_cases(evaluation, WORST)
    if not shown:
        return pages.paragraph("No case has an error.")
    cards = [_card(evaluation, case, region, thumbnails.get((case, region))) for case, region in shown]
    return (pages.note(KEY) if thumbnails else "") + pages.grid(cards)


def _card(evaluation: Evaluation, case: str, region: str, thumbnail: bytes | None) -> str:
    rows, failures = evaluation.of()[case], evaluation.failures.get(case, {})
    parts = []
    if thumbnail is not None:
        words = f"{case}: slice with the largest error of {region}, prediction filled, reference outlined"
        parts.append(pages.picture(thumbnail, words, f"slice with the largest error of {region}"))
    hd95 = titled("hd95_mm", evaluation.protocol)
    table: list[list[pages.Cell]] = [[name, row.dice, row.hd95_mm] for name, row in rows.items()]
    mean = sum(row.dice for row in rows.values()) / len(rows)
    parts.append(pages.table(f"Mean Dice {mean:.3f}", ["region", "Dice", hd95], table))
    parts.append(pages.items([f"{name}: {failures[name]}" for name in rows if name in failures]))
    return pages.card(case, parts)


def calibration(evaluation: Evaluation) -> str:
    """Return reliability curves and errors, if probabilities were compared."""
    found, notes = evaluation.calibration, "".join(pages.note(note) for note in evaluation.calibration_notes)
    if not found:
        return notes
    curves: dict[str, tuple[Sequence[float | None], Sequence[float | None], Sequence[int]]] = {
        region if row.ece is None else f"{region}, ECE {row.ece:.3f}": (
            row.mean_probabilities,
            row.observed_frequencies,
            row.counts,
        )
        for region, row in found.items()
    }
    figure = reliability_figure(curves)
    words = "Observed share of tumour over predicted probability, one curve per region; below, the number of voxels"
    width = round(figure.get_figwidth() * PIXELS_PER_INCH)
    picture = pages.picture(png_bytes(figure, dots_per_inch=DOTS_PER_INCH), words, width=width)
    rows = [[region, row.n, row.ece] for region, row in found.items()]
    explained = (
        "ECE: expected calibration error, the mean over voxels of the distance from the dotted line. Voxels outside the tumour"
        " with a probability of 0 are left out."
    )
    return picture + pages.table("Calibration per region", ["region", "voxels", "ECE"], rows) + pages.note(explained) + notes
