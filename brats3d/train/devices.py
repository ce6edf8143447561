"""Which devices share a batch, on TensorFlow and on JAX."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras

from brats3d.errors import OptionError


@dataclass(frozen=True)
class Devices:
    """The devices of a run.

    Attributes:
        names: one a replica, as ``keras.device`` takes them.
        strategy: TensorFlow's MirroredStrategy, or None.
    """

    names: tuple[str, ...]
    strategy: Any = None

    @property
    def on_cpu(self) -> bool:
        """Whether these are CPUs."""
        return self.names[0].lower().startswith("cpu")

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which the network is built, compiled and restored."""
        return self.strategy.scope() if self.strategy is not None else nullcontext()


def pick_devices(replicas: int) -> Devices:
    """Return the devices that share a batch.

    Args:
        replicas: how many; 0 is all visible GPUs (or other accelerators), or one CPU where there is none.

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

        return Devices(names, tf.distribute.MirroredStrategy(list(names)))
    if backend == "jax":
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=list(names)))
        return Devices(names)
    raise OptionError(
        f"{count} replicas are asked for on the {backend} backend; use TensorFlow or JAX, or training.replicas=1."
    )


def _logical_cpus() -> list[str]:
    """TensorFlow's CPUs: one, unless the caller configured several logical ones."""
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    return [d.name.lower().removeprefix("/device:") for d in tf.config.list_logical_devices("CPU")]
