"""Scores of masks against a reference, on arrays: overlap, surfaces, volumes, lesions, by the rules of a named protocol.

This is the only implementation in the library: `evaluate`, the choice of thresholds and the validation during training all
use it, always on painted labels.
"""

from brats3d.scores.calibration import Reliability, reliability
from brats3d.scores.comparison import COMPARED, Comparison, compare_sets
from brats3d.scores.failures import Failure, case_failures, failure_class
from brats3d.scores.lesions import Lesion, LesionRules, LesionScores
from brats3d.scores.origin import origin_mean_channel_dice, origin_pooled_dice
from brats3d.scores.overlap import dice, widened_box
from brats3d.scores.protocols import PROTOCOLS, Protocol, find_protocol
from brats3d.scores.ranking import Ranking, rank_sets
from brats3d.scores.readings import OtherReading, other_reading, unscored_regions
from brats3d.scores.region_scores import case_scores, lesion_scores, region_scores, scored_regions
from brats3d.scores.result import RegionScores, Scoring
from brats3d.scores.statistics import Description, describe, volume_group
from brats3d.scores.tasks import TASKS, Task, find_task

__all__ = [
    "COMPARED",
    "PROTOCOLS",
    "TASKS",
    "Comparison",
    "Description",
    "Failure",
    "Lesion",
    "LesionRules",
    "LesionScores",
    "OtherReading",
    "Protocol",
    "Ranking",
    "RegionScores",
    "Reliability",
    "Scoring",
    "Task",
    "case_failures",
    "case_scores",
    "compare_sets",
    "describe",
    "dice",
    "failure_class",
    "find_protocol",
    "find_task",
    "lesion_scores",
    "origin_mean_channel_dice",
    "origin_pooled_dice",
    "other_reading",
    "rank_sets",
    "region_scores",
    "reliability",
    "scored_regions",
    "unscored_regions",
    "volume_group",
    "widened_box",
]
__dir__ = __all__.copy
