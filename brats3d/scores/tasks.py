"""The tasks of the challenges that score lesion by lesion, in one table: protocol → task → rules per region.

What the scripts do although their papers do not say so, including known faults, is reproduced:

- 2023: the announcements say "3x3x3 mm dilation" and "minimum 50 voxels"; the script dilates in voxels with the 18-neighbour
  element and drops lesions of up to 50 mm³. The penalty of 374 is fixed, whatever the volume's size. A near miss, 3 voxels
  away, is a hit with Dice 0 and a small HD95, better than no prediction.
- 2024: the case-wise HD95, sensitivity and specificity are computed on maps that number the lesions, not on masks: from the
  second lesion on, interiors count as surface, and voxels match only in lesion 1. In the glioma task SNFH was meant to be
  dilated 5 times, like NETC and RC, but the script compares with "SFNH", so it is dilated 3 times.

References:
    rachitsaluja/BraTS-2023-Metrics 43c9052; rachitsaluja/BraTS-2024-Metrics 9a0ab9c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from brats3d.errors import OptionError, check_option
from brats3d.scores.lesions import LesionRules
from brats3d.scores.protocols import find_protocol


@dataclass(frozen=True)
class Task:
    """One challenge task's lesion-wise rules.

    Attributes:
        name: its short name, such as ``GLI``.
        penalty: HD95 of a missed lesion, a false alarm and an empty mask; None is the volume's diagonal in voxels.
        regions: region → its rules, in the order of the challenge's own table.
        helpers: regions that are not scored but join lesions of others.
        numbered: whether the case-wise numbers are computed on maps of numbered lesions (a fault of 2024).
    """

    name: str
    penalty: float | None
    regions: Mapping[str, LesionRules]
    helpers: Mapping[str, LesionRules]
    numbered: bool = False

    @property
    def rule(self) -> str:
        """The rules in words, for reports."""
        penalty = "the volume's diagonal in voxels" if self.penalty is None else f"{self.penalty:g}"
        merge = "reference and prediction" if any(r.merge_prediction for r in self.regions.values()) else "reference"
        return (
            f"task {self.name}; lesions merged in the {merge} by dilation with 18 neighbours; penalty {penalty}; "
            + "; ".join(
                f"{region} {row.dilations} dilations, lesions up to {row.smallest_mm3:g} mm³ left out"
                + ("" if row.count_false_alarms else ", false alarms not counted")
                + (f", joined through {', '.join(row.through)}" if row.through else "")
                for region, row in self.regions.items()
            )
        )


def _task(
    name: str,
    penalty: float | None,
    regions: dict[str, LesionRules],
    helpers: dict[str, LesionRules] | None = None,
    *,
    numbered: bool = False,
) -> Task:
    return Task(name, penalty, MappingProxyType(regions), MappingProxyType(helpers or {}), numbered)


def _rows(tasks: tuple[Task, ...]) -> Mapping[str, Task]:
    return MappingProxyType({task.name: task for task in tasks})


def _of_2023(dilations: int, smallest_mm3: float) -> dict[str, LesionRules]:
    return dict.fromkeys(("WT", "TC", "ET"), LesionRules(dilations, smallest_mm3))


def _of_2024(dilations: int, smallest: float, through: tuple[str, ...] = ()) -> LesionRules:
    return LesionRules(dilations, smallest, merge_prediction=True, smallest_predicted=smallest, through=through)


TASKS: Mapping[str, Mapping[str, Task]] = MappingProxyType({
    "brats2023": _rows((
        _task("GLI", 374, _of_2023(3, 50)),
        _task("SSA", 374, _of_2023(3, 50)),
        _task("PED", 374, _of_2023(3, 50)),
        _task("MEN", 374, _of_2023(1, 50)),
        _task("MET", 374, _of_2023(1, 2)),
    )),
    "brats2024": _rows((
        _task("GLI", 337, {
            "WT": _of_2024(3, 20), "TC": _of_2024(3, 20),
            "NETC": _of_2024(5, 20, through=("ET", "RC")), "SNFH": _of_2024(3, 20, through=("ET", "RC", "NETC")),
            "ET": _of_2024(3, 10, through=("NETC", "RC")), "RC": _of_2024(5, 20, through=("ET", "NETC")),
        }, numbered=True),
        _task("SSA", 374, {
            "WT": _of_2024(3, 50), "TC": _of_2024(3, 50), "ET": _of_2024(3, 50, through=("NETC",)),
        }, {"NETC": _of_2024(3, 50)}, numbered=True),
        _task("MET", 374, {
            "WT": _of_2024(1, 2), "TC": _of_2024(1, 2), "ET": _of_2024(1, 2, through=("NETC",)),
        }, {"NETC": _of_2024(1, 2)}, numbered=True),
        _task("PED", 374, dict.fromkeys(("WT", "TC", "ET", "NETC", "CC", "ED"), _of_2024(5, 10)), numbered=True),
        _task("MEN-RT", None, {"GTV": LesionRules(
            1, 50, merge_prediction=True, smallest_predicted=50, predicted_in_mm3=True, count_false_alarms=False,
        )}, numbered=True),
    )),
})  # fmt: skip
"""protocol → task → rules. The GoAT task of 2024 is scored as ``brats2023``, task GLI."""

DEFAULT_TASK = "GLI"


def find_task(protocol: str, task: str | None = None) -> Task | None:
    """Return a lesion-wise protocol's task; None for a protocol that only scores whole cases.

    Args:
        protocol: a key of `scores.PROTOCOLS`.
        task: a task of that protocol; by default the gliomas, ``GLI``.

    Raises:
        OptionError: there is no such protocol, it has no such task, or a task is given for one that only scores whole cases.
    """
    find_protocol(protocol)
    if protocol not in TASKS:
        if task is not None:
            raise OptionError(f"protocol {protocol} scores whole cases and has no task {task}; leave the task out.")
        return None
    check_option(f"task of {protocol}", task or DEFAULT_TASK, TASKS[protocol])
    return TASKS[protocol][task or DEFAULT_TASK]
