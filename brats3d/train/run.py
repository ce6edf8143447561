"""One run, from the store to the test scores."""

from __future__ import annotations

import errno
import logging
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

import brats3d
from brats3d.cases import Split, load_split, make_split
from brats3d.console import Progress
from brats3d.data import PatchDataset, check_batch
from brats3d.errors import LabelError, SpaceError, check_range
from brats3d.evaluate import write_scores
from brats3d.models import Card, load_model, stride
from brats3d.store import Store, open_store
from brats3d.train.command import TrainingResult
from brats3d.train.devices import Devices, pick_devices
from brats3d.train.folder import RunFolder, messages_in, write_text
from brats3d.train.health import check_batches, check_learning
from brats3d.train.networks import learning_network, stock_network
from brats3d.train.recipe import Recipe
from brats3d.train.recorder import Recorder, RunParts, extra_callbacks
from brats3d.train.state import load_state, restore
from brats3d.train.validation import PROTOCOL, Scorer, mean_dice

log = logging.getLogger(__name__)


def run_training(store: Path, recipe: Recipe, folder: RunFolder, fold: int | None, progress: Progress) -> TrainingResult:
    """Train, or go on training, and score the fold's test cases with the best model.

    Args:
        store: the store's folder.
        recipe: the resolved recipe.
        folder: where the run lies.
        fold: the fold of a new run; None goes on with the run in the folder.
        progress: called as epochs end.

    Returns:
        Best epoch, validation and test scores.

    Raises:
        SpaceError: the disk is full; what is finished stays.
    """
    opened = open_store(store)
    devices = pick_devices(recipe.training.replicas)
    check_batch(recipe.data.batch_size, len(devices.names))
    split = load_split(folder.split) if fold is None else _new_split(opened, recipe, fold)
    ids = split.folds[split.fold or 0]
    dataset = _dataset(opened, recipe, ids.train, len(devices.names))
    if fold is not None:
        folder.check_new()
        folder.path.mkdir(parents=True, exist_ok=True)
        write_text(folder.recipe, recipe.to_toml())
        split.save(folder.split)
    try:
        with messages_in(folder.text):
            parts = _parts(opened, recipe, folder, ids.train, ids.validation, dataset, devices)
            record = _train(parts, devices, fold is None, progress)
            return _test(parts, ids.test, record)
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SpaceError(f"{folder.path}: no space left on the disk; make some, then go on with --resume.") from problem
    finally:
        dataset.close()


def _new_split(store: Store, recipe: Recipe, fold: int) -> Split:
    rows = []
    for name in store:
        with store[name] as case:
            if case.label_set is None:
                raise LabelError(
                    f"case {name} of {store.path} has no label; expected labelled cases: keep them in a store of their own."
                )
            rows.append((name, case.patient, case.grade))
    split = make_split(rows, seed=recipe.training.seed)
    check_range("fold", fold, 0, len(split.folds) - 1)
    return replace(split, fold=fold)


def _dataset(store: Store, recipe: Recipe, cases: tuple[str, ...], replicas: int) -> PatchDataset:
    part = recipe.data
    return PatchDataset(
        store,
        cases,
        patch_size=part.patch_size,
        batch_size=part.batch_size,
        batches=part.batches,
        replicas=replicas,
        readers=part.readers,
        regions=recipe.regions,
        spacing_mm=part.spacing_mm,
        normalisation=part.normalisation,
        foreground=part.foreground,
        augmentation=recipe.augmentation,
        seed=recipe.training.seed,
        memory_mb=part.memory_mb,
    )


def _parts(
    store: Store,
    recipe: Recipe,
    folder: RunFolder,
    train: tuple[str, ...],
    validation: tuple[str, ...],
    dataset: PatchDataset,
    devices: Devices,
) -> RunParts:
    card = _card(store, recipe, train)
    stock = _stock_networks(recipe, len(card.modalities), devices)
    scorer = Scorer(store, card, stock)
    return RunParts(recipe, folder, card, list(stock.values()), scorer, validation[: recipe.training.validate_cases], dataset)


def _train(parts: RunParts, devices: Devices, resume: bool, progress: Progress) -> dict[str, Any]:
    """Train from the beginning or from the newest state; returns the recorder's record."""
    training, dataset, modalities = parts.recipe.training, parts.dataset, parts.card.modalities
    with devices.scope():
        learning = learning_network(parts.recipe, len(modalities), devices)
    finished, record = 0, None
    if resume:
        finished, values, record = load_state(parts.folder.checkpoint)
        with devices.scope():
            restore(learning, values)
        log.info("going on after epoch %d", finished - 1)
    elif training.health_steps:
        losses = check_learning(learning, check_batches(dataset, modalities), training.health_steps, devices)
        log.info("health: the loss on one fixed batch went from %.4f to %.4f", losses[0], losses[-1])
    recorder = Recorder(parts, progress, record)
    if finished < training.epochs and not recorder.gave_up:
        callbacks = [dataset.epoch_setter(), recorder, *extra_callbacks(parts.folder, find_spec)]
        learning.fit(dataset, epochs=training.epochs, initial_epoch=finished, shuffle=False, verbose=0, callbacks=callbacks)
    return recorder.record


def _stock_networks(recipe: Recipe, modalities: int, devices: Devices) -> dict[str, keras.Model]:
    networks = {}
    for name in devices.names:
        with keras.device(name):
            networks[name] = stock_network(recipe, modalities)
    return networks


def _card(store: Store, recipe: Recipe, train: tuple[str, ...]) -> Card:
    sets = set()
    for name in train:
        with store[name] as case:
            sets.add(case.label_set)
            modalities = case.modalities
    options: dict[str, Any] = dict(recipe.network.options)
    return Card(
        network=recipe.network.name,
        network_options=options,
        modalities=modalities,
        normalisation=recipe.data.normalisation,
        spacing_mm=recipe.data.spacing_mm,
        stride=stride(recipe.network.name, options),
        regions=recipe.regions,
        label_set=sets.pop() if len(sets) == 1 else None,
        thresholds=recipe.prediction.thresholds,
        patch_size=recipe.data.patch_size,
        window=recipe.prediction.window,
        flips=recipe.prediction.flips,
        training_cases=train,
        created_with=f"brats3d {brats3d.__version__}, Keras {keras.__version__}, {keras.backend.backend()}",
    )


def _test(parts: RunParts, cases: tuple[str, ...], record: dict[str, Any]) -> TrainingResult:
    """Score the best model on the test cases, once: this is the end of the run."""
    best = load_model(parts.folder.best)
    for network in parts.stock:
        network.set_weights(best.network.get_weights())
    scores = parts.scorer.score(cases)
    write_scores(parts.folder.scores("test"), scores, PROTOCOL)
    means = mean_dice(scores)
    log.info("test: %s", ", ".join(f"{region} {value:.4f}" for region, value in means.items()))
    best_row = record["log"][record["best_epoch"]]
    return TrainingResult(
        run=str(parts.folder.path),
        epochs=len(record["log"]),
        best_epoch=int(record["best_epoch"]),
        validation={k.removeprefix("val_dice_"): v for k, v in best_row.items() if k.startswith("val_dice_")},
        test={case: {region: row.dice for region, row in by_region.items()} for case, by_region in scores.items()},
        test_mean=means,
    )
