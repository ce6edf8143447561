"""From a model and a case to a mask on the scan's own grid.

Predictors are functions on arrays that wrap one another; Keras is imported when one is made from a network. A `Runner` is a
whole pipeline, ready to run on cases.
"""

from brats3d.predict.painted_masks import check_paintable, choose_label_set, masks_of, own_label_set, paint_mask
from brats3d.predict.predicted_folders import Predictions, predict_cases
from brats3d.predict.prediction_settings import PredictionSettings
from brats3d.predict.predictors import Predictor, cooled, flips, from_network, where_it_fits, window
from brats3d.predict.runner import Runner, predict_probabilities, predictor_of, runner_of
from brats3d.predict.volumes import Prediction, on_source, predict_case

__all__ = [
    "Prediction",
    "PredictionSettings",
    "Predictions",
    "Predictor",
    "Runner",
    "check_paintable",
    "choose_label_set",
    "cooled",
    "flips",
    "from_network",
    "masks_of",
    "on_source",
    "own_label_set",
    "paint_mask",
    "predict_case",
    "predict_cases",
    "predict_probabilities",
    "predictor_of",
    "runner_of",
    "where_it_fits",
    "window",
]
__dir__ = __all__.copy
