"""Every score of masks against a reference, on arrays: overlap, surfaces, volumes, under the rules of a named protocol.

The one implementation in the library: `evaluate`, the choice of thresholds and the validation during training all call it,
always on painted labels.
"""

from brats3d.scores.case import RegionScores, case_scores, region_scores
from brats3d.scores.origin import origin_mean_channel_dice, origin_pooled_dice
from brats3d.scores.overlap import dice
from brats3d.scores.protocols import PROTOCOLS, Protocol, find_protocol

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "RegionScores",
    "case_scores",
    "dice",
    "find_protocol",
    "origin_mean_channel_dice",
    "origin_pooled_dice",
    "region_scores",
]
