"""Which devices share a batch, on TensorFlow and on JAX.

The two work differently. TensorFlow's strategy belongs to the network that is built in its scope, and must not be active when
single-device networks run. Keras' distribution on JAX is a setting of the thread: it must be active while the network learns
as well, and everything built meanwhile is spread over the devices. So each is set only for as long as it is needed, and
single-device networks are built and run outside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras

from brats3d.errors import OptionError


@dataclass(frozen=True)
class Devices:
    """The devices of a run.

    Attributes:
        names: one per replica, as ``keras.device`` takes them.
        strategy: TensorFlow's MirroredStrategy, or None.
        distribution: Keras' DataParallel on JAX, or None.
    """

    names: tuple[str, ...]
    strategy: Any = None
    distribution: Any = None

    @property
    def on_cpu(self) -> bool:
        """Whether these are CPUs."""
        return self.names[0].lower().startswith("cpu")

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which the learning network is built, compiled and restored."""
        return self.strategy.scope() if self.strategy is not None else self.fitting()

    def fitting(self) -> AbstractContextManager[Any]:
        """Return the context in which the learning network is fitted."""
        return self.distribution.scope() if self.distribution is not None else nullcontext()


@contextmanager
def apart() -> Iterator[None]:
    """Suspend the distribution, if any, for the duration of the context: for networks on one device."""
    before = keras.distribution.distribution()
    if before is None:
        yield
        return
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def pick_devices(replicas: int) -> Devices:
    """Return the devices that share a batch.

    Args:
        replicas: how many; 0 is all visible GPUs (or other accelerators), or one CPU if there are none.

    Raises:
        OptionError: more replicas than devices, or a backend that cannot share batches.
    """
    visible = [d.lower() for d in keras.distribution.list_devices()]
    accelerators = [d for d in visible if not d.startswith("cpu")]
    at_hand = accelerators or (_logical_cpus() or visible)
    count = replicas or (len(accelerators) or 1)
    if count > len(at_hand):
        raise OptionError(
            f"training.replicas is {replicas}; visible devices: {', '.join(at_hand)}: ask for at most {len(at_hand)}."
        )
    names = tuple(at_hand[:count])
    if count == 1:
        return Devices(names)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return Devices(names, strategy=tf.distribute.MirroredStrategy(list(names)))
    if backend == "jax":
        return Devices(names, distribution=keras.distribution.DataParallel(devices=list(names)))
    raise OptionError(
        f"{count} replicas cannot share a batch on the {backend} backend; use TensorFlow or JAX, or training.replicas=1."
    )


def _logical_cpus() -> list[str]:
    """TensorFlow's CPUs: one, unless the caller configured several logical ones."""
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    return [d.name.lower().removeprefix("/device:") for d in tf.config.list_logical_devices("CPU")]
