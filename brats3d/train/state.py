"""The training state: all that a run needs to go on as if it had never stopped.

One HDF5 file an epoch's end, written aside and renamed; the two newest are kept and the newest whole one counts. It holds every
variable of network and optimiser by position (weights, dropout counters, Adam's moments, running averages, step count), and
what the recorder knows as JSON. ``load_weights`` is not used: it drops the optimiser's state with no more than a warning.
"""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from brats3d.errors import ModelError, SpaceError

SCHEMA = 1
KEPT = 2


def snapshot(network: keras.Model) -> list[np.ndarray]:
    """Return copies of all variables of a compiled network and its optimiser."""
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


def _variables(network: keras.Model) -> list[Any]:
    own = list(network.variables)
    known = {id(v) for v in own}
    return own + [v for v in network.optimizer.variables if id(v) not in known]


def save_state(folder: Path, epoch: int, network: keras.Model, record: dict[str, Any]) -> Path:
    """Write the state at an epoch's end and remove all but the two newest.

    Args:
        folder: ``RUN/checkpoint``.
        epoch: number of epochs finished.
        network: the compiled network that learns.
        record: what the recorder must know again; plain values.

    Returns:
        The file.

    Raises:
        SpaceError: the disk is full; the states that were there stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"state-{epoch:05d}.h5"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    for left in folder.glob(".state-*"):
        left.unlink()  # of a run that was killed while it wrote
    with h5py.File(temporary, "w", driver="core", backing_store=False) as file:
        file.attrs["schema"], file.attrs["epoch"] = SCHEMA, epoch
        file.attrs["backend"] = keras.backend.backend()
        file.create_dataset("record", data=json.dumps(record))
        for number, value in enumerate(snapshot(network)):
            file.create_dataset(f"variables/{number:05d}", data=value, fletcher32=value.ndim > 0 and value.size > 0)
        file.flush()
        content = file.id.get_file_image()
    try:
        with temporary.open("wb") as raw:
            raw.write(content)
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        size = len(content) / 1e6
        raise SpaceError(f"{path}: no space left on the disk; {size:.1f} MB are needed for a training state.") from problem
    finally:
        temporary.unlink(missing_ok=True)
    for old in state_files(folder)[KEPT:]:
        old.unlink()
    return path


def state_files(folder: Path) -> list[Path]:
    """Return the state files of a folder, newest first."""
    found = [p for p in folder.glob("state-*.h5") if re.fullmatch(r"state-\d+\.h5", p.name)]
    return sorted(found, key=lambda p: int(p.stem.removeprefix("state-")), reverse=True)


def load_state(folder: Path) -> tuple[int, list[np.ndarray], dict[str, Any]]:
    """Read the newest whole state.

    Args:
        folder: ``RUN/checkpoint``.

    Returns:
        Epochs finished, the variables' values, and the recorder's record.

    Raises:
        ModelError: there is no whole state; says what each file lacks.
    """
    problems = []
    for path in state_files(folder):
        try:
            with h5py.File(path, "r", locking=False) as file:
                if file.attrs["schema"] != SCHEMA:
                    raise KeyError(f"schema {file.attrs['schema']}, expected {SCHEMA}")
                values = [file["variables"][name][()] for name in sorted(file["variables"])]
                return int(file.attrs["epoch"]), values, json.loads(file["record"][()])
        except (OSError, KeyError, ValueError, RuntimeError) as problem:  # h5py raises all four for damaged files
            problems.append(f"{path.name}: {problem}")
    found = "; ".join(problems) or "no state files"
    raise ModelError(f"{folder}: no training state to go on from ({found}); start the run anew with another --out.")
