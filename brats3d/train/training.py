"""`train_model`: the function behind ``python -m brats3d.train``. Frameworks are loaded when it runs, not when it is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from brats3d.cases import load_split
from brats3d.console import Progress, silent
from brats3d.errors import CaseError, TrainingError
from brats3d.train.recipe import Recipe
from brats3d.train.recipe_files import change_recipe, parse_recipe, read_recipe, with_training
from brats3d.train.run_folder import RunFolder
from brats3d.train.training_result import TrainingResult

RATE = "optimiser.learning_rate"


def train_model(
    store: Path | str,
    *,
    out: Path | str,
    recipe: str | None = None,
    fold: int | None = None,
    seed: int | None = None,
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] | None = None,
    settings: tuple[str, ...] = (),
    resume: bool = False,
    progress: Progress = silent,
) -> TrainingResult:
    """Train a network on the labelled cases of a store.

    Args:
        store: the store's folder.
        out: the run's folder: recipe, split, models, training states, log, curves, scores.
        recipe: name of a shipped recipe, or a TOML file; by default isensee2017.
        fold: which fifth of the patients is held out for the test, 0 to 4; by default the recipe's.
        seed: seed of weights, dropout, patches and split; by default the recipe's.
        precision: float32, or mixed precision on a GPU; by default the recipe's.
        settings: keys of the recipe to change, as key=value or section.key=value, with values as in TOML or lists as WT,TC; for
            example training.epochs=30 network.options.base_filters=8 regions=WT,TC prediction.flips=[].
        resume: continue the run in this folder after its last finished epoch; recipe and split are the run's own, and
            optimiser.learning_rate is the only setting that may be changed.
        progress: called as epochs end.

    Returns:
        Best epoch, validation and test scores.

    Raises:
        OptionError: an unknown recipe, key or value; a batch that the devices cannot share; no run to resume.
        OutputExistsError: the folder holds a run, and resume is not asked for, or with another recipe or fold than the one
            asked for; or it holds something else.
        NoCasesError: the store holds no cases, or not those of the run's split.
        TrainingError: a case has no label, is damaged, or cannot be used with this recipe; or cases have changed since the
            run to be resumed began.
        HealthError: the run is doomed: the first-minutes check found so, or its loss is no number any more.
        ModelError: there is no whole training state to go on from.
        WorkerError: a reader process was killed.
        SpaceError: the disk is full; what is finished stays.
    """
    store, out = Path(store), Path(out)
    folder = RunFolder(out)
    changes: dict[str, Any] = {"seed": seed, "precision": precision, "fold": fold}
    if resume:
        chosen = _resumed_recipe(folder, recipe, settings, changes)
    else:
        folder.check_new()
        chosen = with_training(change_recipe(read_recipe(recipe or "isensee2017"), settings), **changes).resolved()
    from brats3d.train.run import run_training

    try:
        return run_training(store, chosen, folder, progress, resume=resume)
    except CaseError as problem:  # elsewhere a refused case lets the others go on
        raise TrainingError(str(problem)) from problem


def _resumed_recipe(folder: RunFolder, recipe: str | None, settings: tuple[str, ...], changes: dict[str, Any]) -> Recipe:
    """Return the recipe of a run that goes on, with the learning rate that the settings ask for.

    Args:
        folder: the run's.
        recipe: the name or path given, or None for the run's own.
        settings: those given.
        changes: keys of the training section given beside them, or None.

    Raises:
        OptionError: there is no run.
        OutputExistsError: something else than the rate is to be changed.
    """
    folder.open_old()
    text = folder.recipe.read_text(encoding="utf-8")
    own = with_training(parse_recipe(text, str(folder.recipe)), fold=load_split(folder.split).fold).resolved()
    fold = own.training.fold if changes["fold"] is None else changes["fold"]
    given = with_training(change_recipe(read_recipe(recipe) if recipe else own, settings), **{**changes, "fold": fold})
    named = any(setting.partition("=")[0].strip() == RATE for setting in settings)
    rate = given.optimiser.learning_rate if named else own.optimiser.learning_rate
    chosen = replace(own, optimiser=replace(own.optimiser, learning_rate=rate))
    folder.check_same(chosen.as_tables(), given.resolved().as_tables(), RATE)
    return chosen
