"""Input and output of scoring: the rules, and the scores of one region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from brats3d.errors import check_range
from brats3d.scores.lesions import Lesion
from brats3d.scores.tasks import find_task

TOLERANCES_MM = (1.0, 2.0)
"""Default tolerances of the normalised surface Dice: about one voxel and two."""


@dataclass(frozen=True)
class Scoring:
    """What to score, by which rules.

    Attributes:
        protocol: a key of `PROTOCOLS`.
        task: a task of a lesion-wise protocol; by default ``GLI``.
        regions: names of regions, or values of the label (``"4"``), in order; by default the task's, or WT, TC and ET, as far
            as the label sets define them.
        tolerances_mm: tolerances of the normalised surface Dice.

    Raises:
        OptionError: there is no such protocol or task, or a tolerance is negative.
    """

    protocol: str = "casewise"
    task: str | None = None
    regions: tuple[str, ...] | None = None
    tolerances_mm: tuple[float, ...] = TOLERANCES_MM

    def __post_init__(self) -> None:
        find_task(self.protocol, self.task)
        for tolerance in self.tolerances_mm:
            check_range("tolerances_mm", tolerance, 0, 1e6)
        object.__setattr__(self, "tolerances_mm", tuple(float(tolerance) for tolerance in self.tolerances_mm))  # of NumPy too


@dataclass(frozen=True)
class RegionScores:
    """The scores of one region of one case. None is undefined; `as_row` names the columns of ``scores.csv``.

    Attributes:
        dice: 2·TP / (2·TP + FP + FN), 0 to 1.
        hd95_mm: 95th percentile of the surface distances (in voxels if the protocol ignores spacing).
        sensitivity: TP / (TP + FN), the share of the reference that was found.
        specificity: TN / (TN + FP) over the whole grid; None if the reference fills it.
        precision: TP / (TP + FP), the share of the prediction that is right.
        iou: TP / (TP + FP + FN).
        lesion_dice: lesion-wise Dice; None in protocols that only score whole cases, as are the next four.
        lesion_hd95_mm: lesion-wise HD95.
        lesions_tp: lesions found.
        lesions_fp: false alarms.
        lesions_fn: lesions missed.
        hd_mm: Hausdorff distance, the largest of the surface distances.
        assd_mm: average symmetric surface distance.
        nsd: normalised surface Dice, tolerance in mm → share; one column each, such as ``nsd_2mm``.
        reference_ml: volume of the reference in millilitres; None in 2-D.
        predicted_ml: volume of the prediction in millilitres; None in 2-D.
        volume_error_ml: predicted minus reference volume in millilitres; None in 2-D.
        reference_voxels: voxels of the reference.
        predicted_voxels: voxels of the prediction.
        lesions: the individual lesions behind the lesion-wise scores; not a column.
    """

    dice: float
    hd95_mm: float
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    iou: float | None
    lesion_dice: float | None
    lesion_hd95_mm: float | None
    lesions_tp: int | None
    lesions_fp: int | None
    lesions_fn: int | None
    hd_mm: float | None
    assd_mm: float | None
    nsd: Mapping[float, float | None]
    reference_ml: float | None
    predicted_ml: float | None
    volume_error_ml: float | None
    reference_voxels: int
    predicted_voxels: int
    lesions: tuple[Lesion, ...] = field(default=(), repr=False)

    @property
    def penalised(self) -> bool:
        """Whether exactly one mask is empty, so that HD95 is the protocol's penalty, not a measured distance."""
        return (self.reference_voxels == 0) != (self.predicted_voxels == 0)

    def as_row(self) -> dict[str, float | int | None]:
        """Return column → value, as in ``scores.csv``."""
        row: dict[str, float | int | None] = {}
        for each in fields(self):
            if each.name == "nsd":
                row |= {f"nsd_{tolerance:g}mm": share for tolerance, share in self.nsd.items()}
            elif each.name != "lesions":
                row[each.name] = getattr(self, each.name)
        return row

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for `from_dict`."""
        return {**vars(self), "nsd": [*self.nsd.items()], "lesions": [vars(lesion) for lesion in self.lesions]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RegionScores:
        """Return the scores from the values of `as_dict`.

        Args:
            values: what it returned, possibly via JSON.
        """
        lesions = tuple(Lesion(**{**row, "components": tuple(row["components"])}) for row in values["lesions"])
        return cls(**{**values, "nsd": {float(t): share for t, share in values["nsd"]}, "lesions": lesions})
