"""How challenges scored a case, in one table: which surface, which units, which percentile, and what an empty mask gives.

A missed tumour counts: in every row Dice, HD95 and sensitivity of an empty prediction for a tumour have a (bad) value, so it
never leaves their means. What a protocol leaves undefined is None, an empty field, and never a silent 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from brats3d.errors import check_option
from brats3d.scores.surfaces import Surface, border_surface, element_surface, larger_percentile, union_percentile

BRATS_DIAGONAL_VOXELS = 373.1287
"""√(240² + 240² + 155²): the penalty of the years whose scans all lie on the BraTS grid."""


@dataclass(frozen=True)
class Protocol:
    """The case-wise rules of one way of scoring.

    Attributes:
        name: what users call it.
        source: where the rules come from.
        hd95: its HD95 in words, for reports.
        surface: mask, spacing → its surface.
        percentile: two surfaces, spacing → HD95.
        spacing_counts: whether distances are in mm; else a voxel counts 1 along each axis, whatever its size.
        hd95_one_empty: HD95 where one mask is empty; None is the diagonal of the whole grid in mm.
        iou_both_empty: IoU where both masks are empty; None is undefined. (Dice is 1 and HD95 is 0 in every protocol.)
        sensitivity_both_empty: sensitivity where both masks are empty.
        sensitivity_no_reference: sensitivity where the reference alone is empty; None is undefined.
        precision_both_empty: precision where both masks are empty; None is undefined.
        precision_no_prediction: precision where the prediction alone is empty; None is undefined.
    """

    name: str
    source: str
    hd95: str
    surface: Callable[[np.ndarray, tuple[float, ...]], Surface]
    percentile: Callable[[Surface, Surface, tuple[float, ...]], float]
    spacing_counts: bool
    hd95_one_empty: float | None
    iou_both_empty: float | None
    sensitivity_both_empty: float
    sensitivity_no_reference: float | None
    precision_both_empty: float | None
    precision_no_prediction: float | None

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


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({
    row.name: row
    for row in (
        Protocol(
            name="casewise",
            source="brats3d; HD95 as google-deepmind/surface-distance 1f805ce, which the 2023 and 2024 scripts use",
            hd95="surface elements at voxel corners weighted by their area, distances in mm, per direction the first element"
            " whose cumulated area reaches 95 %, the larger of both directions (surface-distance)",
            surface=element_surface,
            percentile=larger_percentile,
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
            spacing_counts=False,
            hd95_one_empty=BRATS_DIAGONAL_VOXELS,
            iou_both_empty=None,
            sensitivity_both_empty=1.0,
            sensitivity_no_reference=0.0,
            precision_both_empty=None,
            precision_no_prediction=None,
        ),
    )
})  # fmt: skip
"""name → rules. Lesion-wise scores (2023 on) are no row here: they score lesions, not cases."""


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Args:
        name: a key of `PROTOCOLS`.

    Raises:
        OptionError: no protocol has the name; the message lists them.
    """
    check_option("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
