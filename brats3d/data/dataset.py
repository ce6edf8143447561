"""`PatchDataset`: finished batches for any ``model.fit``.

Keras always gets one worker, and the dataset reads ahead by itself. Measured with Keras 3.15: with several workers most
batches carry the previous epoch's number (JAX, MirroredStrategy), worker processes repeat each other's random numbers, and
``on_epoch_end`` also fires before the first epoch. So the epoch is set by a callback, and ``__getitem__`` may be called any
number of times.
"""

from __future__ import annotations

import logging
import operator
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from brats3d.errors import NoCasesError, OptionError, check_keys, check_whole
from brats3d.patches import Augmentation, Batch, BatchSettings, Learnt, ReaderPool, plan_patches
from brats3d.store import Store, open_store

log = logging.getLogger(__name__)

_BATCH, _LEARNT = ({f.name for f in fields(kind)} for kind in (BatchSettings, Learnt))


class PatchDataset(keras.utils.PyDataset):
    """Batches of patches from a store: images and targets, channels last.

    Pass ``callbacks=[dataset.epoch_setter()]`` to ``fit`` and every epoch has its own patches; without it, all epochs see the
    same ones (one warning if they are augmented). Pass ``shuffle=False``: patches are random already, and only the
    next batches in order are read ahead (one warning otherwise). Batches are always full; ``len`` is their number per epoch.

    Example:
        >>> train = PatchDataset("STORE", cases, patch_size=(128, 128, 128), batch_size=2)  # doctest: +SKIP
        >>> model.fit(train, epochs=100, shuffle=False, callbacks=[train.epoch_setter()])  # doctest: +SKIP

    ``plan`` says what is read: its ``target`` has the names of the channels and the label set, ``modalities`` those of the
    images. ``waited`` is the time in seconds spent waiting for batches; it may be reset. ``problem`` is the last error that
    reading a batch raised: TensorFlow's ``fit`` raises an error of its own instead.

    Args:
        store: folder of a store, or an open one.
        cases: ids of the cases to draw from; None takes all. Each needs a label.
        augmentation: how patches are changed; None changes nothing.
        seed: of all randomness.
        replicas: devices that share a batch.
        **settings: fields of `brats3d.patches.BatchSettings` (patch_size, batch_size, batches, spacing_mm, normalisation,
            foreground, may_be_absent, readers, memory_mb) and of `brats3d.patches.Learnt` (regions, output, label_set). Unless
            given, ``batches`` and ``spacing_mm`` are None: every case once per epoch, on its stored grid.

    Raises:
        OptionError: the batch does not divide by the replicas, a setting is unknown (suggests the nearest), out of range or
            of another type, a case is not in the store, has other modalities than the first, or a label set that the target
            cannot be made from.
        NoCasesError: the store does not exist, or ``cases`` is empty.
        LabelError: a case has no label.
        StoreError: a case file is damaged.
    """

    def __init__(
        self,
        store: Store | Path | str,
        cases: Sequence[str] | None = None,
        *,
        augmentation: Augmentation | None = Augmentation(),  # noqa: B008
        seed: int = 0,
        replicas: int = 1,
        **settings: Any,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=2)
        opened = store if isinstance(store, Store) else open_store(store)
        if isinstance(cases, str):
            raise OptionError(f"cases is {cases!r}; expected a list of case ids, such as [{cases!r}].")
        chosen = tuple(opened.select(None if cases is None else list(cases)))
        if not chosen:
            raise NoCasesError(f"cases is empty; name some cases of {opened.path}, or leave cases out for all {len(opened)}.")
        check_keys("PatchDataset", settings, [*sorted(_BATCH), *sorted(_LEARNT)])
        given = {"batches": None, "spacing_mm": None, **settings}
        batch = BatchSettings(**{name: value for name, value in given.items() if name in _BATCH})
        learnt = Learnt(**{name: value for name, value in given.items() if name in _LEARNT})
        check_batch(batch.batch_size, replicas)
        self.plan = plan_patches(opened, chosen, batch, learnt, augmentation, seed)
        self.batch_size = batch.batch_size
        self.batches = max(1, len(chosen) // batch.batch_size) if batch.batches is None else batch.batches
        self.epoch = 0
        self.waited = 0.0
        self.problem: Exception | None = None
        self._epoch_was_set = False
        self._epochs_ended = 0
        self._last = 0
        self._order_warned = False
        self._pool = ReaderPool(self.plan)

    @property
    def num_batches(self) -> int:
        """Batches per epoch."""
        return self.batches

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return images and targets of batch ``index`` of the current epoch; below 0 it counts from the epoch's end.

        Returns:
            images (B, X, Y, Z, M) float32, normalised; targets (B, X, Y, Z, C) uint8, or float32 on an averaged grid.

        Raises:
            IndexError: the epoch has no such batch.
            TypeError: the index is not a whole number.
            StoreError: a case file is damaged.
            ImageError: a modality cannot be normalised.
            GridError: the case's voxels do not make whole blocks of the plan's spacing.
            WorkerError: a reader process was killed.
        """
        batch = self.batch(index)
        return batch.images, batch.targets

    def batch(self, index: int) -> Batch:
        """Return batch ``index`` as `__getitem__`, with what was drawn for each sample and which modalities it has.

        Raises:
            IndexError: the epoch has no such batch.
            TypeError: the index is not a whole number.
            StoreError: a case file is damaged.
            ImageError: a modality cannot be normalised.
            GridError: the case's voxels do not make whole blocks of the plan's spacing.
            WorkerError: a reader process was killed.
        """
        index = self._batch_number(index)
        if not self._order_warned and index not in (0, 1, self._last, self._last + 1):  # 0 and 1: Keras looks at shapes first
            log.warning("batches are requested out of order, which defeats reading ahead: pass shuffle=False to fit.")
            self._order_warned = True
        self._last = index
        began = time.monotonic()
        try:
            return self._pool.get(self.epoch, index, self.batches)
        except Exception as problem:
            self.problem = problem
            raise
        finally:
            self.waited += time.monotonic() - began

    def _batch_number(self, index: int) -> int:
        """Return a batch's number, counted from the epoch's start."""
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(f"the index of a batch is {index!r}; expected a whole number.")
        number = operator.index(index)
        if not -self.batches <= number < self.batches:
            raise IndexError(f"batch {number} of an epoch of {self.batches}; expected {-self.batches} to {self.batches - 1}.")
        return number % self.batches

    def set_epoch(self, epoch: int) -> None:
        """Make the following batches those of an epoch, counted from 0.

        Raises:
            OptionError: the epoch is not a whole number of at least 0.
        """
        check_whole("epoch", epoch, 0)
        self.epoch = epoch
        self._epoch_was_set = True

    def epoch_setter(self) -> EpochSetter:
        """Return the callback that sets this dataset's epoch."""
        return EpochSetter(self)

    def on_epoch_end(self) -> None:
        """Warn once if the epoch is not set; Keras calls this, and once before the first epoch too.

        Data without augmentation is for validation, which wants the same patches each time.
        """
        self._epochs_ended += 1
        if self._epochs_ended == 3 and not self._epoch_was_set and self.plan.augmentation is not None:
            log.warning("every epoch sees the same patches: pass callbacks=[dataset.epoch_setter()] to fit.")

    def close(self) -> None:
        """End the readers."""
        self._pool.close()


class EpochSetter(keras.callbacks.Callback):
    """Sets the epoch of datasets as it begins; also correct if ``fit`` starts at a later epoch.

    Args:
        datasets: the datasets.
    """

    def __init__(self, *datasets: PatchDataset) -> None:
        super().__init__()
        self.datasets = datasets

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch of every dataset."""
        for dataset in self.datasets:
            dataset.set_epoch(epoch)


def check_batch(batch_size: int, replicas: int) -> None:
    """Refuse a global batch that the replicas cannot share evenly.

    Keras accepts some uneven batches and weights their samples wrongly, and crashes on others.

    Raises:
        OptionError: one of them is not a whole number of at least 1; or the batch does not divide: names both, and the nearest
            batch sizes that do.
    """
    check_whole("batch_size", batch_size, 1)
    check_whole("replicas", replicas, 1)
    if batch_size % replicas:
        below, above = batch_size // replicas * replicas, (batch_size // replicas + 1) * replicas
        fits = f"{below} or {above}" if below else f"{above}"
        raise OptionError(f"a batch of {batch_size} does not divide by {replicas} replicas; use a batch_size of {fits}.")
