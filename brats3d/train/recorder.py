"""What happens at an epoch's end: validate, keep the best, save the state, log, draw, stop early.

Users count epochs from 1: in ``log.csv``, messages, curves and results. Keras counts from 0, and so do the seeds of the
patches; a state's number is the number of finished epochs, which is the last one's number as users count.
"""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from brats3d.console import Progress
from brats3d.data import PatchDataset
from brats3d.evaluate import write_scores
from brats3d.figures import curves_figure, save
from brats3d.models import Card, save_model
from brats3d.train.devices import apart
from brats3d.train.health import check_finite
from brats3d.train.learning_network import copy_weights, current_rate, multiply_rate
from brats3d.train.recipe import Recipe
from brats3d.train.run_folder import RunFolder, write_log
from brats3d.train.state import save_state
from brats3d.train.validation import PROTOCOL, Scorer, mean_dice

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class RunParts:
    """What the recorder works with.

    Attributes:
        recipe: the run's recipe.
        folder: where it writes.
        card: card of the model, without scores.
        stock: device → the network that is validated there; the first is saved.
        scorer: scores them on whole cases.
        validation: the case ids it scores.
        dataset: the training batches.
    """

    recipe: Recipe
    folder: RunFolder
    card: Card
    stock: Mapping[str, keras.Model]
    scorer: Scorer
    validation: Sequence[str]
    dataset: PatchDataset


class Recorder(keras.callbacks.Callback):
    """Keeps a run's record: log rows, best score, and the counters of plateau and early stop. All of it is saved in the state.

    Args:
        parts: what it works with.
        progress: called as epochs end.
        record: the record of a run that continues, or None.
    """

    def __init__(self, parts: RunParts, progress: Progress, record: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.parts = parts
        self.progress = progress
        self.record: dict[str, Any] = record or {
            "log": [],
            "best": None,
            "best_epoch": None,
            "worse": 0,
            "since_cut": 0,
            "learning_rate": parts.recipe.optimiser.learning_rate,
        }
        self._began = 0.0
        self._rate = 0.0

    @property
    def gave_up(self) -> bool:
        """Whether `training.early_stop` validations in a row brought no better score."""
        return 0 < self.parts.recipe.training.early_stop <= int(self.record["worse"])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's clocks, and record its initial rate."""
        self._began = time.monotonic()
        self._rate = current_rate(self.model)
        self.parts.dataset.waited = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Validate if it is time, then write the state, the log and the picture.

        Raises:
            HealthError: the loss or the weights are no longer finite; nothing of this epoch is written.
        """
        training, folder, number = self.parts.recipe.training, self.parts.folder, epoch + 1
        logs = {} if logs is None else logs
        trained = time.monotonic() - self._began
        check_finite(self.model, float(logs["loss"]), number, self.parts.recipe, resumable=folder.has_state)
        row: dict[str, Any] = {"epoch": number, **{k: float(v) for k, v in logs.items()}, "learning_rate": self._rate}
        last = number == training.epochs
        due = number % training.validate_every == 0 or last
        dice = self._validate(number) if due else {}
        logs.update(dice)  # for the callbacks that come after this one, such as TensorBoard's
        row |= {name: dice.get(name) for name in (f"val_dice_{r}" for r in (*self.parts.recipe.regions, "mean"))}
        row["seconds"] = round(time.monotonic() - self._began, 3)
        row["waiting"] = round(min(1.0, self.parts.dataset.waited / max(trained, 1e-9)), 4)
        row["peak_mb"] = round(peak_megabytes())
        self.record["log"].append(row)
        # The state first: where there is a log, there has been a state (see `RunFolder.check_new`).
        save_state(folder.checkpoint, number, self.model, self.record)
        write_log(folder.log, self.record["log"])
        if due:
            self._draw()
        self.progress("epochs", number, training.epochs)
        log.info("epoch %d: %s", number, ", ".join(f"{k} {v:.4g}" for k, v in row.items() if v is not None and k != "epoch"))
        if self.gave_up and not last:
            log.warning("stopping early: no better validation in the last %d.", self.record["worse"])
            self.model.stop_training = True

    def _validate(self, number: int) -> dict[str, float]:
        with apart():
            for device, network in self.parts.stock.items():
                with keras.device(device):
                    copy_weights(self.model, network)
            scores = self.parts.scorer.score(self.parts.validation)
            means = mean_dice(scores)
            # Of equal scores the first is the best: a later one has to be better.
            better = self.record["best"] is None or means["mean"] > self.record["best"]
            self.record["worse"] = 0 if better else self.record["worse"] + 1
            found = {f"validation dice {r}": round(v, 4) for r, v in means.items()}
            card = replace(self.parts.card, scores={**found, "validation cases": len(scores)})
            network = next(iter(self.parts.stock.values()))
            if better:
                self.record |= {"best": means["mean"], "best_epoch": number}
                write_scores(self.parts.folder.scores("validation"), scores, PROTOCOL)
                save_model(self.parts.folder.best, network, card)
            save_model(self.parts.folder.last, network, card)
        self._cut_rate(better)
        return {f"val_dice_{region}": value for region, value in means.items()}

    def _cut_rate(self, better: bool) -> None:
        schedule = self.parts.recipe.schedule
        if schedule.name != "plateau":
            return
        self.record["since_cut"] = 0 if better else self.record["since_cut"] + 1
        if self.record["since_cut"] >= schedule.patience:
            self.record["since_cut"] = 0
            multiply_rate(self.model, schedule.factor)

    def _draw(self) -> None:
        rows = self.record["log"]
        columns = {name: [float("nan") if r[name] is None else r[name] for r in rows] for name in rows[0]}
        save(curves_figure(columns), self.parts.folder.curves)


def peak_megabytes() -> float:
    """Return this process's largest resident memory so far, in MB."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def extra_callbacks(folder: RunFolder, is_installed: Callable[[str], Any]) -> list[keras.callbacks.Callback]:
    """Return TensorBoard's callback if its package is installed.

    Args:
        folder: the run's folder.
        is_installed: package name → something true if it is installed.
    """
    if not is_installed("tensorboard"):
        return []
    return [keras.callbacks.TensorBoard(str(folder.tensorboard), write_graph=False)]
