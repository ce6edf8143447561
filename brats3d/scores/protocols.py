"""How challenges scored a case, in one table: surface, units, percentile, and the scores of empty masks.

Since 2023 they score lesions; what a lesion is depends on the task (`brats3d.scores.tasks`), and the rows of those years here
have the case-wise scores that the same scripts print beside them ("legacy").

A missed tumour counts: in every row Dice, HD95 and sensitivity of an empty prediction for a tumour have a (bad) value, so the
case is never dropped from their means. What a protocol leaves undefined is None, an empty field, never a silent 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from brats3d.errors import check_option
from brats3d.scores.surfaces import Pair, Surface, border_surface, element_surface, larger_percentile, union_percentile

BRATS_DIAGONAL_VOXELS = 373.1287
"""√(240² + 240² + 155²): the penalty of the years in which all scans are on the BraTS grid."""


@dataclass(frozen=True)
class Protocol:
    """The case-wise rules of one way of scoring.

    Attributes:
        name: what users call it.
        source: where the rules come from.
        hd95: its HD95 in words, for reports.
        surface: mask, spacing → its surface.
        percentile: the distances between both surfaces → HD95.
        share: the share of each surface whose distances are needed for that.
        spacing_counts: whether distances are in mm; otherwise a voxel counts as 1 along each axis, whatever its size.
        hd95_one_empty: HD95 if one mask is empty; None is the diagonal of the whole grid in mm, or the task's penalty.
        iou_both_empty: IoU if both masks are empty; None is undefined. (Dice is 1 and HD95 is 0 in every protocol.)
        sensitivity_both_empty: sensitivity if both masks are empty.
        sensitivity_no_reference: sensitivity if only the reference is empty; None is undefined.
        precision_both_empty: precision if both masks are empty; None is undefined.
        precision_no_prediction: precision if only the prediction is empty; None is undefined.
        undefined: scores that are not part of the protocol.
    """

    name: str
    source: str
    hd95: str
    surface: Callable[[np.ndarray, tuple[float, ...]], Surface]
    percentile: Callable[[Pair], float]
    share: float
    spacing_counts: bool
    hd95_one_empty: float | None
    iou_both_empty: float | None
    sensitivity_both_empty: float
    sensitivity_no_reference: float | None
    precision_both_empty: float | None
    precision_no_prediction: float | None
    undefined: tuple[str, ...] = ()

    @property
    def empty_rule(self) -> str:
        """The rules for empty masks in words, for reports."""
        one = "the grid's diagonal in mm" if self.hd95_one_empty is None else f"{self.hd95_one_empty}"
        return (
            f"one mask empty: Dice 0, IoU 0, HD95 {one}, sensitivity {_word(self.sensitivity_no_reference)} (no reference) or 0"
            f" (no prediction), precision 0 (no reference) or {_word(self.precision_no_prediction)} (no prediction);"
            f" both empty: Dice 1, HD95 0, IoU {_word(self.iou_both_empty)},"
            f" sensitivity {_word(self.sensitivity_both_empty)}, specificity 1, precision {_word(self.precision_both_empty)}"
        )


def _word(value: float | None) -> str:
    return "undefined" if value is None else f"{value:g}"


SURFACE_SCORES = ("hd_mm", "assd_mm", "nsd")
SURFACE_ELEMENTS = (
    "surface elements at voxel corners weighted by their area, distances in mm, per direction the first element whose"
    " cumulative area reaches 95 %, the larger of both directions (surface-distance)"
)


def _legacy(name: str, source: str, hd95_one_empty: float) -> Protocol:
    return Protocol(
        name=name,
        source=source,
        hd95=SURFACE_ELEMENTS,
        surface=element_surface,
        percentile=larger_percentile,
        share=0.95,
        spacing_counts=True,
        hd95_one_empty=hd95_one_empty,
        iou_both_empty=None,
        sensitivity_both_empty=1.0,
        sensitivity_no_reference=0.0,
        precision_both_empty=None,
        precision_no_prediction=None,
        undefined=(*SURFACE_SCORES, "iou", "precision"),
    )


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({
    row.name: row
    for row in (
        Protocol(
            name="casewise",
            source="brats3d; HD95 as google-deepmind/surface-distance 1f805ce, which the 2023 and 2024 scripts use",
            hd95=SURFACE_ELEMENTS,
            surface=element_surface,
            percentile=larger_percentile,
            share=0.95,
            spacing_counts=True,
            hd95_one_empty=None,
            iou_both_empty=1.0,
            sensitivity_both_empty=1.0,
            sensitivity_no_reference=None,
            precision_both_empty=1.0,
            precision_no_prediction=0.0,
        ),
        Protocol(
            name="brats2021",
            source="BraTS 2021 and 2022: CaPTk 1.8.1 GetBraTSLabelStatistics with CBICA/HausdorffCLI (MedPy 0.4.0 hd95)",
            hd95="border voxels, distances in voxels (spacing not used), the linearly interpolated 95th percentile of both"
            " directed lists together (MedPy)",
            surface=border_surface,
            percentile=union_percentile,
            share=1.0,
            spacing_counts=False,
            hd95_one_empty=BRATS_DIAGONAL_VOXELS,
            iou_both_empty=None,
            sensitivity_both_empty=1.0,
            sensitivity_no_reference=0.0,
            precision_both_empty=None,
            precision_no_prediction=None,
            undefined=SURFACE_SCORES,
        ),
        _legacy(
            "brats2023",
            "BraTS 2023: rachitsaluja/BraTS-2023-Metrics 43c9052, its Legacy_Dice and Legacy_HD95",
            hd95_one_empty=374.0,
        ),
        _legacy(
            "brats2024",
            "BraTS 2024: rachitsaluja/BraTS-2024-Metrics 9a0ab9c, faults included (see brats3d.scores.tasks)",
            hd95_one_empty=374.0,
        ),
    )
})  # fmt: skip
"""name → rules."""


def find_protocol(name: str) -> Protocol:
    """Return the protocol with a name.

    Args:
        name: a key of `PROTOCOLS`.

    Raises:
        OptionError: there is no such protocol; the message lists them.
    """
    check_option("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
