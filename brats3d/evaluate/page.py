"""``report.html``: an evaluation on one page that needs no network and no scripts."""

from __future__ import annotations

from collections.abc import Mapping

from brats3d import pages
from brats3d.evaluate import charts, sections
from brats3d.evaluate.report import Evaluation


def report_page(evaluation: Evaluation, thumbnails: Mapping[tuple[str, str], bytes]) -> str:
    """Return the report of an evaluation as one self-contained HTML page.

    Warnings, a comparison, a calibration, refused cases and sub-groups have a section only if there are any.

    Args:
        evaluation: the scores.
        thumbnails: (case id, region), as returned by `brats3d.evaluate.worst.worst_cases`, → content of a PNG file; a case
            without one is shown without a picture.
    """
    summary = evaluation.summary
    parts = {
        "warnings": ("Warnings", sections.warnings(evaluation)),
        "scores": ("Scores", sections.overview(evaluation, summary)),
        "protocols": ("Protocols side by side", sections.protocols(evaluation, summary)),
        "comparison": ("Comparison of sets", sections.comparison(evaluation)),
        "spread": ("Every case", charts.spread(evaluation)),
        "volumes": ("Volumes", charts.volumes(evaluation)),
        "failures": ("What went wrong", sections.failures(evaluation, summary)),
        "worst": ("Worst cases", charts.worst(evaluation, thumbnails)),
        "empty": ("Empty references", sections.empty_references(evaluation)),
        "groups": ("Sub-groups", sections.groups(evaluation, summary)),
        "calibration": ("Calibration", charts.calibration(evaluation)),
        "card": ("Protocol card", sections.cards(summary)),
        "refused": ("Refused cases", sections.refused(evaluation)),
    }
    if not evaluation.scores:
        parts = {name: parts[name] for name in ("warnings", "refused", "card")}
    shown = {name: part for name, part in parts.items() if part[1]}
    counts = [f"{len(evaluation.scores)} cases scored"]
    if evaluation.refused:
        counts.append(f"{len(evaluation.refused)} refused")
    return pages.page(
        f"Segmentation scores of {evaluation.predictions}",
        [
            pages.paragraph(f"{', '.join(counts)}, against {evaluation.references}; protocol {evaluation.protocol}."),
            _training_cases(evaluation),
            pages.contents({name: heading for name, (heading, _) in shown.items()}),
            *(pages.section(name, heading, [text]) for name, (heading, text) in shown.items()),
        ],
    )


def _training_cases(evaluation: Evaluation) -> str:
    """Return a warning if cases were scored that the model was trained on."""
    if not evaluation.trained_on:
        return ""
    return pages.paragraph(
        f"{len(evaluation.trained_on)} of the scored cases are of patients that the model was trained on; their scores say"
        " nothing about its performance on new patients. The protocol card names them."
    )
