"""From a model and a case to a mask on the scan's own grid.

Predictors are functions on arrays that wrap one another; Keras is imported when one is made of a network.
"""

from brats3d.predict.predicted_folders import Predictions, predict_cases
from brats3d.predict.predictors import Predictor, ensemble, flips, from_network, where_it_fits, window
from brats3d.predict.volumes import (
    Prediction,
    above_thresholds,
    own_label_set,
    predict_case,
    predict_probabilities,
    predictor_of,
)

__all__ = [
    "Prediction",
    "Predictions",
    "Predictor",
    "above_thresholds",
    "ensemble",
    "flips",
    "from_network",
    "own_label_set",
    "predict_case",
    "predict_cases",
    "predict_probabilities",
    "predictor_of",
    "where_it_fits",
    "window",
]
