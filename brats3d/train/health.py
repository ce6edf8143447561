"""The first minutes: is this run doomed?

Three looks before the first epoch: do the images look normalised, do the labels hold every region, and can the network lower
the loss on one fixed batch. A run that fails one of them would only waste its hours.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from brats3d.data import PatchDataset
from brats3d.errors import HealthError
from brats3d.train.devices import Devices
from brats3d.train.state import restore, snapshot

BATCHES_LOOKED_AT = 8
SD_RANGE = (0.02, 5.0)


class _OneBatch(keras.utils.PyDataset):
    """The same batch, again and again."""

    def __init__(self, batch: tuple[np.ndarray, np.ndarray], times: int) -> None:
        super().__init__(workers=1, max_queue_size=1)
        self._batch, self._times = batch, times

    @property
    def num_batches(self) -> int:
        return self._times

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._batch


def check_batches(dataset: PatchDataset, modalities: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Look at some batches of the first epoch and return the one with most tumour.

    Args:
        dataset: the training batches.
        modalities: names of the channels.

    Returns:
        The batch, to be learned by heart.

    Raises:
        HealthError: a channel is empty, not finite or not normalised; a region never occurs.
    """
    batches = [dataset[i] for i in range(min(BATCHES_LOOKED_AT, dataset.num_batches))]
    images = np.concatenate([x for x, _ in batches])
    targets = np.concatenate([y for _, y in batches])
    for number, modality in enumerate(modalities):
        channel = images[..., number]
        inside = channel[channel != 0]
        if not np.isfinite(channel).all() or inside.size == 0 or not SD_RANGE[0] <= inside.std() <= SD_RANGE[1]:
            spread = f"mean {inside.mean():.3g}, spread {inside.std():.3g}" if inside.size else "only zeros"
            raise HealthError(
                f"channel {modality} of the first {len(batches)} batches has {spread}; expected about mean 0, spread 1:"
                " look at the cases with python -m brats3d.store STORE --verify."
            )
    share = targets.reshape(-1, targets.shape[-1]).mean(0)
    for region, part in zip(dataset.plan.regions, share, strict=True):
        if dataset.plan.foreground > 0 and part == 0:
            raise HealthError(
                f"no voxel of {region} in the first {len(batches)} batches (shares of {', '.join(dataset.plan.regions)}:"
                f" {np.round(share, 5).tolist()}); check the labels and their label set."
            )
    return max(batches, key=lambda batch: float(batch[1].sum()))


def check_learning(network: keras.Model, batch: tuple[np.ndarray, np.ndarray], steps: int, devices: Devices) -> list[float]:
    """Let the network learn one batch, see whether the loss falls, and put everything back as it was.

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
    network.fit(_OneBatch(batch, steps), epochs=1, verbose=0, shuffle=False, callbacks=[losses])
    with devices.scope():
        restore(network, before)
    first, best = losses.values[0], min(losses.values[1:], default=losses.values[0])
    shown = ", ".join(f"{v:.4f}" for v in losses.values)
    if not np.isfinite(losses.values).all():
        raise HealthError(f"the loss on one fixed batch is not finite ({shown}); lower the learning rate or the precision.")
    if len(losses.values) > 1 and not best < first:
        raise HealthError(f"the loss on one fixed batch does not fall in {steps} steps ({shown}); change the learning rate.")
    return losses.values


class _Losses(keras.callbacks.Callback):
    """The loss of each step, taken from the running mean that Keras reports."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []
        self._sum = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        total = float((logs or {})["loss"]) * (batch + 1)
        self.values.append(total - self._sum)
        self._sum = total
