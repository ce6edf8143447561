"""Is this run doomed? The first minutes, and every epoch's end.

Three checks before the first epoch: do the images look normalised, do the labels contain every region, and can the network
lower the loss on one fixed batch? A run that fails one of them would only waste hours. And one check before each state is
written: a loss or weights that are not finite would replace the states from which the run could continue.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from brats3d.data import PatchDataset
from brats3d.errors import HealthError
from brats3d.patches import BACKGROUND, Batch, PatchPlan
from brats3d.store import StoredCase, case_path
from brats3d.train.devices import Devices
from brats3d.train.recipe import Recipe
from brats3d.train.state import dropout_counters, restore, snapshot

SAMPLES_LOOKED_AT = 8
MEAN_LIMIT = 3.0
SD_RANGE = (0.02, 5.0)
LEAST_FALL = 1e-4
"""Share of the first loss by which it must fall: well above rounding, well below what any useful learning rate does."""


class _OneBatch(keras.utils.PyDataset):
    """The same batch, repeated."""

    def __init__(self, batch: tuple[np.ndarray, np.ndarray], times: int) -> None:
        super().__init__(workers=1, max_queue_size=1)
        self._batch, self._times = batch, times

    @property
    def num_batches(self) -> int:
        return self._times

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._batch


def check_batches(dataset: PatchDataset) -> tuple[np.ndarray, np.ndarray]:
    """Check some batches of the first epoch and return the one with the most tumour.

    Args:
        dataset: the training batches.

    Returns:
        Images and targets of that batch, for `check_learning`.

    Raises:
        HealthError: a channel is empty, not finite or not normalised in the cases that have it; a region or label never occurs.
    """
    plan, needed = dataset.plan, -(-SAMPLES_LOOKED_AT // dataset.batch_size)
    batches = [dataset.batch(i) for i in range(min(needed, dataset.num_batches))]
    for number, modality in enumerate(plan.modalities):
        there = [batch.images[batch.available[:, number], ..., number].ravel() for batch in batches]
        if any(part.size for part in there):  # otherwise these cases lack a modality that may be absent
            _check_channel(modality, np.concatenate(there))
    for number, channel in enumerate(plan.target.channels):
        seen = any(batch.targets[..., number].any() for batch in batches)
        if not seen and not _occurs(channel, plan):
            raise HealthError(
                f"no voxel of {channel} in any of the {len(plan.cases)} training cases; check the labels and their label set,"
                " or leave it out of what is learnt."
            )
    fullest = max(batches, key=lambda batch: float(_tumour(batch, plan).sum()))
    return fullest.images, fullest.targets


def _tumour(batch: Batch, plan: PatchPlan) -> np.ndarray:
    """Return a batch's targets without the background channel."""
    return batch.targets[..., [number for number, channel in enumerate(plan.target.channels) if channel != BACKGROUND]]


def _check_channel(modality: str, channel: np.ndarray) -> None:
    inside = channel[channel != 0].astype(np.float64)
    if not np.isfinite(inside).all():
        found = "values that are not finite"
    elif inside.size == 0:
        found = "only zeros"
    elif abs(inside.mean()) > MEAN_LIMIT or not SD_RANGE[0] <= inside.std() <= SD_RANGE[1]:
        found = f"mean {inside.mean():.3g}, spread {inside.std():.3g}"
    else:
        return
    raise HealthError(
        f"channel {modality} of the first batches has {found}; expected about mean 0, spread 1:"
        " look at the cases with python -m brats3d.store STORE --verify."
    )


def _occurs(channel: str, plan: PatchPlan) -> bool:
    """Return whether any training case has a voxel of the channel: a few patches may miss a rare one."""
    if channel == BACKGROUND:
        return True
    number = [name for name in plan.target.channels if name != BACKGROUND].index(channel)
    for name in plan.cases:
        with StoredCase(case_path(plan.store, name)) as case:
            if case.coding and set(plan.target.values(case.coding)[number]) & set(case.tumour):
                return True
    return False


def check_learning(network: keras.Model, batch: tuple[np.ndarray, np.ndarray], steps: int, devices: Devices) -> list[float]:
    """Train the network on one batch, check that the loss falls, and restore everything.

    Args:
        network: the compiled network that learns.
        batch: images and targets.
        steps: how often the batch is shown.
        devices: where it learns.

    Returns:
        The loss of each step.

    Raises:
        HealthError: the loss is not finite, or did not fall.
    """
    before = snapshot(network)
    losses = _Losses()
    with devices.fitting():
        network.fit(_OneBatch(batch, steps), epochs=1, verbose=0, shuffle=False, callbacks=[losses])
    with devices.scope():
        restore(network, before)
    first, best = losses.values[0], min(losses.values)
    shown = ", ".join(f"{v:.4f}" for v in losses.values)
    if not np.isfinite(losses.values).all():
        raise HealthError(
            f"the loss on one fixed batch is not finite ({shown}); lower the learning rate, or use --settings"
            " training.precision=float32."
        )
    if steps > 1 and first - best < LEAST_FALL * abs(first):
        raise HealthError(f"the loss on one fixed batch does not fall in {steps} steps ({shown}); change the learning rate.")
    return losses.values


def check_finite(network: keras.Model, loss: float, epoch: int, recipe: Recipe, *, resumable: bool) -> None:
    """Refuse to continue, and to write a state, if an epoch left a loss or weights that are not finite.

    The weights are checked too: the step that spoils them comes after the loss that is reported for it.

    Args:
        network: the network that learns.
        loss: the epoch's mean loss.
        epoch: its number, from 1.
        recipe: the run's recipe.
        resumable: whether there is a state of an earlier epoch.

    Raises:
        HealthError: says what was found and how to continue.
    """
    if not np.isfinite(loss):
        found = f"the loss of epoch {epoch} is {loss}"
    elif not all(np.isfinite(weight).all() for weight in network.get_weights()):
        found = f"the weights after epoch {epoch} are not finite"
    else:
        return
    how = "continue from the last state with --resume and" if resumable else "start over with"
    text = f"{found}; {how} a lower rate (--settings optimiser.learning_rate={recipe.optimiser.learning_rate / 10:g})"
    if recipe.training.precision != "float32":
        text += ", or start another run with --settings training.precision=float32"
    raise HealthError(f"{text}.")


class _Losses(keras.callbacks.Callback):
    """The loss of each step, taken from the running mean that Keras reports; every step drops the same maps.

    With new dropout at every step, the losses vary even if the network learns nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []
        self._sum = 0.0
        self._counters: list[np.ndarray] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._counters = [keras.ops.convert_to_numpy(v) for v in dropout_counters(self.model)]

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for variable, value in zip(dropout_counters(self.model), self._counters, strict=True):
            variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        total = float((logs or {})["loss"]) * (batch + 1)
        self.values.append(total - self._sum)
        self._sum = total
