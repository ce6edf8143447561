"""Masks against references: scores per case and region, their summary, and the files with both.

Each side may be a store, a folder with ``predictions.json``, case folders of any BraTS year, or plain masks, and has its own
label set.
"""

from brats3d.evaluate.evaluation_settings import EvaluationSettings
from brats3d.evaluate.report import Evaluation, summarise_scores
from brats3d.evaluate.score_tables import scores_table, write_scores
from brats3d.evaluate.scored_case import evaluate_case
from brats3d.evaluate.scored_folders import evaluate_cases

__all__ = [
    "Evaluation",
    "EvaluationSettings",
    "evaluate_case",
    "evaluate_cases",
    "scores_table",
    "summarise_scores",
    "write_scores",
]
__dir__ = __all__.copy
