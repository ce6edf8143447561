"""From a store and a recipe to a run folder with a trained model, resumable at every epoch's end."""

from brats3d.train.recipe import Recipe
from brats3d.train.recipe_files import change_recipe, read_recipe, shipped_recipes
from brats3d.train.training import train_model
from brats3d.train.training_result import TrainingResult

__all__ = ["Recipe", "TrainingResult", "change_recipe", "read_recipe", "shipped_recipes", "train_model"]
__dir__ = __all__.copy
