"""One run, from the store to the test scores."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from brats3d.cases import Fold, Split, load_split, make_split
from brats3d.console import Progress
from brats3d.data import PatchDataset, check_batch
from brats3d.errors import BratsError, LabelError, NoCasesError, SpaceError
from brats3d.evaluate import write_scores
from brats3d.files import NO_SPACE, write_file
from brats3d.machine import describe_machine
from brats3d.models import load_model
from brats3d.patches import Learnt, PatchPlan
from brats3d.store import Store, open_store
from brats3d.train.devices import Devices, pick_devices
from brats3d.train.health import check_batches, check_learning
from brats3d.train.learning_network import learning_network, multiply_rate, stock_network
from brats3d.train.recipe import FOLDS, Recipe
from brats3d.train.recorder import Recorder, RunParts, extra_callbacks
from brats3d.train.run_folder import RunFolder, messages_in, write_log
from brats3d.train.same_cases import keep_known, known_cases, unchanged_cases
from brats3d.train.state import load_state, restore
from brats3d.train.training_result import TrainingResult
from brats3d.train.validation import PROTOCOL, Scorer, mean_dice
from brats3d.train.what_is_learnt import card_of, check_learnt

log = logging.getLogger(__name__)

KEPT_RATE = ("constant", "plateau")
"""Schedules under which the rate is a variable of the optimiser, and so comes back with a state."""


def run_training(store: Path, recipe: Recipe, folder: RunFolder, progress: Progress, *, resume: bool) -> TrainingResult:
    """Train, or continue training, and score the fold's test cases with the best model.

    Args:
        store: the store's folder.
        recipe: the resolved recipe.
        folder: the run's folder.
        progress: called as epochs end.
        resume: continue the run in the folder.

    Returns:
        Best epoch, validation and test scores.

    Raises:
        NoCasesError: the store lacks cases of the run that continues.
        TrainingError: cases have changed since the run began.
        SpaceError: the disk is full; what is finished stays.
    """
    opened = open_store(store)
    split = load_split(folder.split) if resume else _new_split(opened, recipe)
    fold = split.folds[split.fold or 0]
    _check_there(opened, fold)
    names = (*fold.train, *fold.validation, *fold.test)
    before, known = unchanged_cases(folder, opened, names) if resume else (None, None)
    devices = pick_devices(recipe.training.replicas)
    check_batch(recipe.data.batch_size, len(devices.names))
    with closing(_dataset(opened, recipe, fold.train, len(devices.names))) as dataset:
        check_learnt(opened, recipe, dataset.plan, (*fold.validation, *fold.test))
        if not resume:
            folder.begin(recipe.to_toml(), split)
        with messages_in(folder.text), _first_cause(folder, dataset):
            log.info("machine: %s", describe_machine())
            keep_known(folder, before, known or known_cases(opened, names))
            try:
                parts = _parts(opened, recipe, folder, fold, dataset, devices)
                record = _train(parts, devices, progress, resume=resume)
            except BaseException:
                if not resume:
                    folder.forget_unfinished_epoch()
                raise
            return _test(parts, fold.test, record)


@contextmanager
def _first_cause(folder: RunFolder, dataset: PatchDataset) -> Iterator[None]:
    """Raise the original error instead of its consequence.

    TensorFlow wraps what a dataset raises into an error of its own; a full disk is recognised by its error number only.
    """
    try:
        yield
    except BratsError:
        raise
    except Exception as problem:
        if dataset.problem is not None:
            raise dataset.problem from problem
        if isinstance(problem, OSError) and problem.errno in NO_SPACE:
            raise SpaceError(
                f"{folder.path}: no space left on the disk; free some space, then continue with --resume."
            ) from problem
        raise


def _new_split(store: Store, recipe: Recipe) -> Split:
    rows = []
    for name in store:
        with store[name] as case:
            if case.label_set is None:
                raise LabelError(
                    f"case {name} of {store.path} has no label; expected labelled cases: put them into a store of their own."
                )
            rows.append((name, case.patient, case.grade))
    return replace(make_split(rows, folds=FOLDS, seed=recipe.training.seed), fold=recipe.training.fold)


def _check_there(store: Store, fold: Fold) -> None:
    """Refuse a store that lacks cases of the fold, before hours are spent on the others."""
    there = set(store)
    for part in ("train", "validation", "test"):
        wanted: Sequence[str] = getattr(fold, part)
        missing = [name for name in wanted if name not in there]
        if missing:
            shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise NoCasesError(
                f"{store.path} lacks {len(missing)} of the {len(wanted)} {part} cases of the run's split ({shown});"
                " give the store that the run began with."
            )


def _dataset(store: Store, recipe: Recipe, cases: tuple[str, ...], replicas: int) -> PatchDataset:
    learnt = {f.name: getattr(recipe, f.name) for f in fields(Learnt)}
    settings = {f.name: getattr(recipe.data, f.name) for f in fields(recipe.data)}
    return PatchDataset(
        store, cases, augmentation=recipe.augmentation, seed=recipe.training.seed, replicas=replicas, **learnt, **settings
    )


def _parts(store: Store, recipe: Recipe, folder: RunFolder, fold: Fold, dataset: PatchDataset, devices: Devices) -> RunParts:
    card = card_of(recipe, dataset.plan)
    stock = _stock_networks(recipe, dataset.plan, devices)
    validation = spread(fold.validation, recipe.training.validate_cases)
    return RunParts(recipe, folder, card, stock, Scorer(store, card, stock, recipe.regions), validation, dataset)


def spread(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Return at most ``count`` of some names, evenly spaced: sorted by name, the first ones may all be of one corpus."""
    count = min(count, len(names))
    return tuple(names[i * len(names) // count] for i in range(count))


def _train(parts: RunParts, devices: Devices, progress: Progress, *, resume: bool) -> dict[str, Any]:
    """Train from the beginning or from the newest state; returns the recorder's record."""
    training, dataset = parts.recipe.training, parts.dataset
    with devices.scope():
        learning = learning_network(parts.recipe, len(dataset.plan.modalities), dataset.plan.target, devices)
    finished, record = 0, None
    if resume:
        finished, record = _go_on(parts, learning, devices)
    elif training.health_steps:
        losses = check_learning(learning, check_batches(dataset), training.health_steps, devices)
        log.info("health: the loss on one fixed batch went from %.4f to %.4f", losses[0], losses[-1])
    recorder = Recorder(parts, progress, record)
    if finished < training.epochs and not recorder.gave_up:
        callbacks = [dataset.epoch_setter(), recorder, *extra_callbacks(parts.folder, find_spec)]
        with devices.fitting():
            learning.fit(dataset, epochs=training.epochs, initial_epoch=finished, shuffle=False, verbose=0, callbacks=callbacks)
    return recorder.record


def _go_on(parts: RunParts, learning: keras.Model, devices: Devices) -> tuple[int, dict[str, Any]]:
    """Restore the newest state; the recipe may set another learning rate than the one it was made with."""
    finished, values, record = load_state(parts.folder.checkpoint)
    rate = parts.recipe.optimiser.learning_rate
    before, record["learning_rate"] = record["learning_rate"], rate
    with devices.scope():
        restore(learning, values)
        if rate != before and parts.recipe.schedule.name in KEPT_RATE:
            multiply_rate(learning, rate / before)
    log.info("continuing after epoch %d", finished)
    if rate != before:
        log.info("the recipe's learning rate is %g from here on; it was %g", rate, before)
        write_file(parts.folder.recipe, parts.recipe.to_toml())
    write_log(parts.folder.log, record["log"])  # epochs after the state do not count
    return finished, record


def _stock_networks(recipe: Recipe, plan: PatchPlan, devices: Devices) -> dict[str, keras.Model]:
    networks = {}
    for name in devices.names:
        with keras.device(name):
            networks[name] = stock_network(recipe, len(plan.modalities), plan.target)
    return networks


def _test(parts: RunParts, cases: tuple[str, ...], record: dict[str, Any]) -> TrainingResult:
    """Score the best model on the test cases, once: this is the end of the run."""
    best = load_model(parts.folder.best)
    for device, network in parts.stock.items():
        with keras.device(device):
            network.set_weights(best.network.get_weights())
    scores = parts.scorer.score(cases)
    write_scores(parts.folder.scores("test"), scores, PROTOCOL)
    means = mean_dice(scores)
    log.info("test: %s", ", ".join(f"{region} {value:.4f}" for region, value in means.items()))
    best_row = next(row for row in record["log"] if row["epoch"] == record["best_epoch"])
    return TrainingResult(
        run=str(parts.folder.path),
        epochs=len(record["log"]),
        best_epoch=int(record["best_epoch"]),
        validation={k.removeprefix("val_dice_"): v for k, v in best_row.items() if k.startswith("val_dice_")},
        test={case: {region: row.dice for region, row in by_region.items()} for case, by_region in scores.items()},
        test_mean=means,
    )
