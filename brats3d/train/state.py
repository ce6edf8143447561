"""The training state: all that a run needs to continue as if it had never stopped.

One HDF5 file per finished epoch, written aside and renamed; the two newest are kept and the newest whole one counts. It holds
every variable of network and optimiser by position (weights, dropout counters, Adam's moments, running averages, step count),
and the recorder's record as JSON. ``load_weights`` is not used: it drops the optimiser's state with only a warning.
"""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from brats3d.errors import ModelError, first_line, system_error
from brats3d.files import write_file

log = logging.getLogger(__name__)

SCHEMA = 2
"""2: epochs of the record count from 1, and it holds the recipe's learning rate."""
KEPT = 2
REPLICA_STEP = 7919
"""By how much the dropout seeds of two replicas differ; a prime, far from the difference of any two layers' seeds."""


def snapshot(network: keras.Model) -> list[np.ndarray]:
    """Return copies of all variables of a compiled network and its optimiser, as the first replica has them."""
    return [np.array(keras.ops.convert_to_numpy(v)) for v in _variables(network)]


def restore(network: keras.Model, values: list[np.ndarray]) -> None:
    """Assign a snapshot back; call it in the scope the network was built in.

    Raises:
        ModelError: the values do not fit the network's variables.
    """
    variables = _variables(network)
    shapes, found = [tuple(v.shape) for v in variables], [v.shape for v in values]
    if shapes != found:
        raise ModelError(f"the training state holds {len(found)} arrays that do not fit the network's {len(shapes)} variables.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    spread_dropout(network)


def _variables(network: keras.Model) -> list[Any]:
    own = list(network.variables)
    known = {id(v) for v in own}
    return own + [v for v in network.optimizer.variables if id(v) not in known]


def dropout_counters(network: keras.Model) -> list[Any]:
    """Return the variables that decide what is dropped next: (seed, count) per layer with dropout."""
    weights = {id(v) for v in network.weights}
    return [v for v in network.variables if id(v) not in weights]


def spread_dropout(network: keras.Model) -> None:
    """Give every replica its own dropout.

    Under MirroredStrategy each replica has a copy of each counter. Left alone, the copies are equal, so that all replicas
    drop the same maps of their samples. They are offset by a number that depends on the replica only: the first one's is
    what a snapshot holds, and the others follow from it. If the backend has one counter for all (one device, or JAX, whose
    batch is one array), nothing is done.

    Args:
        network: a network, built; its counters are changed.
    """
    for counter in dropout_counters(network):
        copies = getattr(counter.value, "values", None)
        if isinstance(copies, tuple):
            first = np.array(copies[0])
            for replica, copy in enumerate(copies):
                copy.assign(first + np.array([replica * REPLICA_STEP, 0], first.dtype))


def save_state(folder: Path, epoch: int, network: keras.Model, record: dict[str, Any]) -> Path:
    """Write the state at an epoch's end and remove all but the two newest.

    Leftovers of a killed attempt at the same epoch are removed too, if their writer is dead: another may be writing.

    Args:
        folder: ``RUN/checkpoint``.
        epoch: number of epochs finished.
        network: the compiled network that learns.
        record: what the recorder needs to continue; plain values.

    Returns:
        The file.

    Raises:
        SpaceError: the disk is full; the states that were there stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"state-{epoch:05d}.h5"
    # In memory first: if HDF5 itself runs into a full disk, the process dies later (h5py 3.14).
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        file.attrs["schema"], file.attrs["epoch"] = SCHEMA, epoch
        file.attrs["backend"] = keras.backend.backend()
        file.create_dataset("record", data=json.dumps(record))
        for number, value in enumerate(snapshot(network)):
            file.create_dataset(f"variables/{number:05d}", data=value, fletcher32=value.ndim > 0 and value.size > 0)
        file.flush()
        content = file.id.get_file_image()
    write_file(path, content)
    for old in state_files(folder)[KEPT:]:
        old.unlink()
    return path


def state_files(folder: Path) -> list[Path]:
    """Return the state files of a folder, newest first."""
    found = [p for p in folder.glob("state-*.h5") if re.fullmatch(r"state-\d+\.h5", p.name)]
    return sorted(found, key=lambda p: int(p.stem.removeprefix("state-")), reverse=True)


def load_state(folder: Path) -> tuple[int, list[np.ndarray], dict[str, Any]]:
    """Read the newest whole state; one warning names the newer ones that are damaged.

    Args:
        folder: ``RUN/checkpoint``.

    Returns:
        Epochs finished, the variables' values, and the recorder's record.

    Raises:
        ModelError: there is no whole state (says what each file lacks), it was made on another backend, or the system
            refuses to read it now.
    """
    problems: list[str] = []
    for path in state_files(folder):
        try:
            state = _read_state(path)
        except (OSError, KeyError, ValueError, RuntimeError) as problem:  # h5py raises all four for damaged files
            number = system_error(problem)
            if number is not None:  # a refusal by the system says nothing about the file
                raise ModelError(
                    f"{path}: the training state cannot be read now ({os.strerror(number)}); fix that and try again,"
                    " or delete the file to continue from the state before it."
                ) from problem
            problems.append(f"{path.name}: {first_line(problem)}")
            continue
        if problems:
            log.warning("damaged training states are skipped (%s); continuing from %s.", "; ".join(problems), path.name)
        return state
    if not problems:
        raise ModelError(f"{folder}: no training state to continue from (no state files); leave --resume out to start over.")
    raise ModelError(f"{folder}: no training state to continue from ({'; '.join(problems)}); start over with another --out.")


def _read_state(path: Path) -> tuple[int, list[np.ndarray], dict[str, Any]]:
    with h5py.File(path, "r", locking=False) as file:
        if file.attrs["schema"] != SCHEMA:
            raise KeyError(f"schema {file.attrs['schema']}, expected {SCHEMA}")
        _check_backend(path, str(file.attrs["backend"]))
        values = [file["variables"][name][()] for name in sorted(file["variables"])]
        return int(file.attrs["epoch"]), values, json.loads(file["record"][()])


def _check_backend(path: Path, backend: str) -> None:
    """Refuse a state of another backend: its variables are in another order, and its random numbers differ."""
    if backend != keras.backend.backend():
        raise ModelError(
            f"{path}: this state was made on the {backend} backend, but the backend is {keras.backend.backend()}:"
            f" set KERAS_BACKEND={backend} to continue the run."
        )
