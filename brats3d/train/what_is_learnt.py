"""What a run's model is to learn, checked against the cases before hours are spent, and as the model's card states it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from brats3d.errors import OptionError, TrainingError
from brats3d.models import Card, Head, Inference, Inputs, stride
from brats3d.patches import SHARED, PatchPlan
from brats3d.regions import LABEL_SETS
from brats3d.store import Store
from brats3d.train.recipe import Recipe
from brats3d.version import __version__


def check_learnt(store: Store, recipe: Recipe, plan: PatchPlan, scored: Sequence[str]) -> None:
    """Refuse what cannot be painted, and cases that are to be scored and cannot be.

    Args:
        store: the open store.
        recipe: the run's recipe.
        plan: of the training batches.
        scored: ids of the validation and test cases.

    Raises:
        OptionError: the label set has no value for a region, a case's label set lacks one, or numbers do not fit.
        TrainingError: a case lacks a modality.
    """
    recipe.check_channels(plan.target)
    needed = set(plan.modalities) - set(plan.settings.may_be_absent)
    for name in scored:
        with store[name] as case:
            try:
                plan.target.check(case.coding or LABEL_SETS[SHARED])
            except OptionError as problem:
                raise OptionError(f"case {name} is labelled with {case.label_set}: {problem}") from None
            if missing := sorted(needed - set(case.modalities)):
                raise TrainingError(
                    f"case {name} of {store.path} lacks {', '.join(missing)}, which the training cases have; leave it out of"
                    " the store, or name it in data.may_be_absent."
                )


def card_of(recipe: Recipe, plan: PatchPlan) -> Card:
    """Return the card of a run's model, without scores.

    Args:
        recipe: the run's resolved recipe.
        plan: of the training batches.
    """
    options: dict[str, Any] = dict(recipe.network.options)
    spacing_mm: Any = recipe.data.spacing_mm  # a recipe's is never None
    exclusive = recipe.output == "labels"
    return Card(
        network=recipe.network.name,
        network_options=options,
        inputs=Inputs(plan.modalities, recipe.data.normalisation, may_be_absent=recipe.data.may_be_absent),
        spacing_mm=spacing_mm,
        stride=stride(recipe.network.name, options),
        outputs=(Head(plan.target.channels, recipe.output),),
        label_set=plan.target.coding or LABEL_SETS[SHARED],
        inference=Inference(
            size=recipe.data.patch_size,
            window=recipe.prediction.window,
            flips=recipe.prediction.flips,
            thresholds=() if exclusive else recipe.prediction.thresholds,
        ),
        training_cases=plan.cases,
        created_with=f"brats3d {__version__}, Keras {keras.__version__}, {keras.backend.backend()}",
    )
