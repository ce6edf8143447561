"""How predictions are compared with references: how labels are read, which protocol scores them, and what else is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from brats3d.errors import check_list, check_option
from brats3d.evaluate.label_files import Side
from brats3d.evaluate.pair import OtherGrid
from brats3d.regions import LabelSetLike, find_label_set
from brats3d.scores import PROTOCOLS, TASKS, Scoring


@dataclass(frozen=True)
class EvaluationSettings:
    """What `evaluate_cases` compares, and how.

    Attributes:
        label_set: what the predictions' values mean, such as L17 (GTV for masks of the whole tumour), or a .toml or .json file
            with a label set of your own; by default as predictions.json or the names say.
        reference_label_set: what the references' values mean; by default as the store or the names say.
        protocol: casewise (HD95 in mm by surface elements), brats2021 (what the challenges of 2021 and 2022 computed),
            brats2023 or brats2024 (lesion by lesion), or all of them side by side.
        task: task of the lesion-wise protocols: GLI, SSA, PED, MEN, MET, MEN-RT; by default GLI.
        tolerances: tolerances of the normalised surface Dice, in mm.
        against: other folders of predictions of the same cases, to compare with the first: paired differences and ranking.
        rater: a second folder of references; the two raters are compared with each other too.
        groups: a CSV file with a column case and others to group the summary by, besides grade, site and volume.
        calibration: compare the probabilities beside the predictions with the references.
        other_grid: what to do with a prediction on another grid than its reference's: refuse it, resample it there (nearest
            voxel; refused if more than 1% of it is outside or its volume changes by more than 5%), or compare voxelwise,
            whatever the headers say.

    Raises:
        OptionError: there is no such label set, protocol or task, a tolerance is negative, or something other than a list is
            given where one is expected.
    """

    label_set: LabelSetLike | None = None
    reference_label_set: LabelSetLike | None = None
    protocol: Literal["casewise", "brats2021", "brats2023", "brats2024", "all"] = "casewise"
    task: str | None = None
    tolerances: Sequence[float] = (1.0, 2.0)
    against: Sequence[Path | str] = ()
    rater: Path | str | None = None
    groups: Path | str | None = None
    calibration: bool = False
    other_grid: OtherGrid = "refuse"

    def __post_init__(self) -> None:
        for name in ("label_set", "reference_label_set"):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else find_label_set(given))
        check_option("calibration", self.calibration, (False, True))
        object.__setattr__(self, "calibration", bool(self.calibration))
        check_option("other_grid", self.other_grid, get_args(OtherGrid))
        check_list("against", self.against)
        check_list("tolerances", self.tolerances)
        self.scorings()

    def scorings(self) -> tuple[Scoring, ...]:
        """Return the requested protocols; of ``all``, those that have the task."""
        tolerances_mm = tuple(self.tolerances)
        if self.protocol != "all":
            return (Scoring(self.protocol, self.task, tolerances_mm=tolerances_mm),)
        usable = [name for name in PROTOCOLS if name not in TASKS or self.task is None or self.task in TASKS[name]]
        if self.task is not None and not any(name in TASKS for name in usable):
            Scoring("brats2023", self.task)  # refuses an unknown one by name
        return tuple(Scoring(name, self.task if name in TASKS else None, tolerances_mm=tolerances_mm) for name in usable)

    def predicted(self, folder: Path | str) -> Side:
        """Return a folder of predictions, and how its labels are read."""
        return Side("prediction", Path(folder), "--label-set", self.label_set, names_bind=False)

    def drawn(self, folder: Path | str) -> Side:
        """Return a folder of references, and how its labels are read."""
        return Side("reference", Path(folder), "--reference-label-set", self.reference_label_set, names_bind=True)
