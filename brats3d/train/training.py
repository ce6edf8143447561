"""`train_model`: the function behind ``python -m brats3d.train``. Frameworks are loaded when it runs, not on import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from brats3d.cases import load_split
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, OptionError, TrainingError
from brats3d.train.recipe import Recipe
from brats3d.train.recipe_files import change_recipe, check_mapping, parse_recipe, read_recipe, with_training
from brats3d.train.run_folder import RunFolder
from brats3d.train.training_result import TrainingResult

RATE = "optimiser.learning_rate"
FOLD = "training.fold"


def train_model(
    store: Path | str,
    *,
    out: Path | str,
    recipe: str | Path | Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    fold: int | None = None,
    seed: int | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> TrainingResult:
    """Train a network on the labelled cases of a store.

    Args:
        store: the store's folder.
        out: the run's folder: recipe, split, models, training states, log, curves, scores.
        recipe: isensee2017, cpu_small or demo, or a TOML file; by default isensee2017; from Python a `Recipe` too.
        settings: keys of the recipe to change, as key=value or section.key=value (values as in TOML, or lists as WT,TC); for
            example training.epochs=30 training.precision=mixed_bfloat16 network.options.base_filters=8 regions=WT,TC
            prediction.flips=[]; from Python a mapping of such keys to values.
        fold: which fifth of the patients is held out for the test, 0 to 4; by default the recipe's.
        seed: seed of weights, dropout, patches and split; by default the recipe's.
        resume: continue the run in this folder after its last finished epoch; recipe and split are the run's own, and
            optimiser.learning_rate is the only setting that may be changed.
        progress: called as epochs end.

    Returns:
        Best epoch, validation and test scores.

    Raises:
        OptionError: an unknown recipe, key or value; fold or seed contradicts the settings; a batch that the devices cannot
            share; no run to resume.
        OutputExistsError: the folder holds a run and resume is not set, or the run has another recipe or fold than the one
            given; or it holds something else.
        NoCasesError: the store holds no cases, or not those of the run's split.
        TrainingError: a case has no label, is damaged, or cannot be used with this recipe; or cases have changed since the
            run to be resumed began.
        HealthError: the run is doomed: it fails the check of the first minutes, or its loss is not finite.
        ModelError: there is no whole training state to continue from.
        WorkerError: a reader process was killed.
        SpaceError: the disk is full; what is finished stays.
    """
    store, out = Path(store), Path(out)
    folder = RunFolder(out)
    changes = _changes({} if settings is None else settings, fold=fold, seed=seed)
    if resume:
        chosen = _resumed_recipe(folder, recipe, changes)
    else:
        folder.check_new()
        chosen = change_recipe(_recipe_of("isensee2017" if recipe is None else recipe), changes).resolved()
    from brats3d.train.run import run_training

    try:
        return run_training(store, chosen, folder, progress, resume=resume)
    except CaseError as problem:  # elsewhere a refused case does not affect the others
        raise TrainingError(str(problem)) from problem


def _recipe_of(recipe: str | Path | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else read_recipe(recipe)


def _changes(settings: Mapping[str, Any], **training: int | None) -> dict[str, Any]:
    """Return the settings with the separately given keys of the training section, which must not contradict them."""
    check_mapping(settings)
    changes = dict(settings)
    for name, value in training.items():
        key = f"training.{name}"
        if value is not None and changes.setdefault(key, value) != value:
            raise OptionError(f"{name} is {value}, but settings say {key} = {changes[key]!r}; give one of the two.")
    return changes


def _resumed_recipe(folder: RunFolder, recipe: str | Path | Recipe | None, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a run that continues, with the requested learning rate.

    Args:
        folder: the run's.
        recipe: the one given, or None for the run's own.
        changes: key of the recipe → requested value.

    Raises:
        OptionError: there is no run.
        OutputExistsError: something other than the rate is to be changed.
    """
    folder.open_old()
    text = folder.recipe.read_text(encoding="utf-8")
    own = with_training(parse_recipe(text, str(folder.recipe)), fold=load_split(folder.split).fold).resolved()
    given = change_recipe(own if recipe is None else _recipe_of(recipe), {FOLD: own.training.fold, **changes})
    rate = given.optimiser.learning_rate if RATE in changes else own.optimiser.learning_rate
    chosen = replace(own, optimiser=replace(own.optimiser, learning_rate=rate))
    folder.check_same(chosen.as_tables(), given.resolved().as_tables(), RATE)
    return chosen
