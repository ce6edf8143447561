"""`PatchDataset`: finished batches for anybody's ``model.fit``.

Keras gets one worker always and the dataset reads ahead by itself. Measured with Keras 3.15: with several workers most
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

from brats3d.errors import LabelError, NoCasesError, OptionError, check_keys, check_whole
from brats3d.patches import Augmentation, PatchPlan, ReaderPool
from brats3d.regions import label_set
from brats3d.store import Store, open_store

log = logging.getLogger(__name__)

SETTINGS = tuple(f.name for f in fields(PatchPlan) if f.name not in ("store", "cases", "patch_size"))
"""Keywords of `PatchDataset` that go into its plan."""


class PatchDataset(keras.utils.PyDataset):
    """Batches of patches from a store: images and region targets, channels last.

    Pass ``callbacks=[dataset.epoch_setter()]`` to ``fit`` and every epoch has its own patches; without it, all epochs see the
    same ones (one warning where they are augmented). Pass ``shuffle=False``: patches are random already, and what is read
    ahead is the next batch in order (one warning otherwise). Batches are always full; ``len`` is their number per epoch.

    Example:
        >>> train = PatchDataset("STORE", cases, patch_size=(128, 128, 128), batch_size=2)  # doctest: +SKIP
        >>> model.fit(train, epochs=100, shuffle=False, callbacks=[train.epoch_setter()])  # doctest: +SKIP

    ``waited`` is the time in seconds that was spent waiting for batches; it may be set back. ``problem`` is what reading a
    batch raised last: TensorFlow's ``fit`` raises an error of its own for it.

    Args:
        store: folder of a store, or an open one.
        cases: ids of the cases to draw from; None takes all. Each needs a label.
        patch_size: voxels of the model's grid along X, Y, Z; patches may overhang the volume, zeros stand outside.
        batch_size: samples per batch; with several replicas the global batch.
        batches: batches per epoch; None gives every case once an epoch (at least one batch).
        replicas: devices that share a batch.
        readers: 0 reads in threads, N in N processes; the batches are the same.
        plan: the other settings of a `PatchPlan` (regions, spacing_mm, normalisation, foreground, augmentation, seed,
            memory_mb). Augmentation is on with its defaults unless ``augmentation=None`` is given.

    Raises:
        OptionError: the batch does not divide by the replicas, a setting is unknown (the nearest is offered), out of range or
            of another type, a case is not in the store, or has other modalities than the first.
        ArrayError: the patch size is not three whole numbers of at least 1.
        NoCasesError: the store does not exist, or no case is asked for.
        LabelError: a case has no label.
        StoreError: a case file is damaged.
    """

    def __init__(
        self,
        store: Store | Path | str,
        cases: Sequence[str] | None = None,
        *,
        patch_size: Sequence[int],
        batch_size: int,
        batches: int | None = None,
        replicas: int = 1,
        readers: int = 0,
        **plan: Any,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=2)
        opened = store if isinstance(store, Store) else open_store(store)
        if isinstance(cases, str):
            raise OptionError(f"cases is {cases!r}; expected a list of case ids, such as [{cases!r}].")
        chosen = tuple(opened.select(None if cases is None else list(cases)))
        if not chosen:
            raise NoCasesError(f"no case of {opened.path} is asked for; name some, or leave cases out for all {len(opened)}.")
        check_batch(batch_size, replicas)
        batch_size = int(batch_size)  # NumPy's small types would overflow
        if batches is not None:
            check_whole("batches", batches, 1)
        check_whole("readers", readers, 0)
        check_keys("PatchDataset", plan, SETTINGS)
        plan.setdefault("augmentation", Augmentation())
        self.plan = PatchPlan(opened.path, chosen, patch_size, **plan)  # type: ignore[arg-type]  # it takes any three
        _check_cases(opened, self.plan)
        self.batch_size = batch_size
        self.batches = max(1, len(chosen) // batch_size) if batches is None else int(batches)
        self.epoch = 0
        self.waited = 0.0
        self.problem: Exception | None = None
        self._epoch_was_set = False
        self._epochs_ended = 0
        self._last = 0
        self._order_warned = False
        self._pool = ReaderPool(self.plan, batch_size, readers)

    @property
    def num_batches(self) -> int:
        """Batches per epoch."""
        return self.batches

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch ``index`` of the current epoch; below 0 it counts from the epoch's end.

        Returns:
            images (B, X, Y, Z, M) float32, normalised; targets (B, X, Y, Z, R) uint8, or float32 on an averaged grid.

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
            log.warning("batches are asked for out of order, so reading ahead is in vain: pass shuffle=False to fit.")
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
        """Return the callback that tells this dataset which epoch it is."""
        return EpochSetter(self)

    def on_epoch_end(self) -> None:
        """Warn once where nobody sets the epoch; Keras calls this, and once before the first epoch too.

        Data without augmentation is for validation, and then the same patches each time are what is wanted.
        """
        self._epochs_ended += 1
        if self._epochs_ended == 3 and not self._epoch_was_set and self.plan.augmentation is not None:
            log.warning("every epoch sees the same patches: pass callbacks=[dataset.epoch_setter()] to fit.")

    def close(self) -> None:
        """End the readers."""
        self._pool.close()


class EpochSetter(keras.callbacks.Callback):
    """Tells datasets which epoch begins; right also where ``fit`` starts at a later epoch.

    Args:
        datasets: the datasets to tell.
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

    Keras accepts some uneven batches and weighs their samples wrongly, and crashes on others.

    Raises:
        OptionError: one of them is not a whole number of at least 1; or they do not divide: names both, and the nearest batch
            sizes that do.
    """
    check_whole("batch_size", batch_size, 1)
    check_whole("replicas", replicas, 1)
    if batch_size % replicas:
        below, above = batch_size // replicas * replicas, (batch_size // replicas + 1) * replicas
        fits = f"{below} or {above}" if below else f"{above}"
        raise OptionError(f"a batch of {batch_size} does not divide by {replicas} replicas; use a batch_size of {fits}.")


def _check_cases(store: Store, plan: PatchPlan) -> None:
    """Refuse cases without labels or with another coding, and cases whose channels are not the first one's."""
    modalities: tuple[str, ...] = ()
    for name in plan.cases:
        with store[name] as case:
            modalities = modalities or case.modalities
            if case.modalities != modalities:
                raise OptionError(
                    f"case {name} of {store.path} holds {', '.join(case.modalities)}, case {plan.cases[0]} holds"
                    f" {', '.join(modalities)}; expected the same modalities in all cases: leave it out of the cases."
                )
            if case.label_set is None:
                raise LabelError(
                    f"case {name} of {store.path} has no label; expected labelled cases: leave it out of the cases."
                )
            unknown = set(plan.regions) - set(label_set(case.label_set).regions)
            if unknown:
                raise OptionError(
                    f"case {name} is labelled with {case.label_set}, which does not define {', '.join(sorted(unknown))}."
                )
