"""Whole cases, predicted, painted and scored as `evaluate` would: to pick the best epoch, and for the fold's test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import keras
import numpy as np

from brats3d.models import Card, Model, Pipeline
from brats3d.patches import meant_coding
from brats3d.predict import Runner, paint_mask, runner_of
from brats3d.scores import RegionScores, Scoring, case_scores
from brats3d.store import Store

CaseScores = Mapping[str, RegionScores]
PROTOCOL = "casewise"


class Scorer:
    """Scores a network on whole cases of a store, spread over devices.

    Args:
        store: the open store.
        card: what the network expects and gives.
        networks: device → a copy of the network on that device; the weights may change between calls.
        regions: those that are scored; by default all that the model gives.
    """

    def __init__(
        self, store: Store, card: Card, networks: Mapping[str, keras.Model], regions: Sequence[str] | None = None
    ) -> None:
        self.store = store
        self.card = card
        self._scoring = Scoring(PROTOCOL, regions=tuple(regions or card.regions))
        self._idle: SimpleQueue[tuple[str, Runner]] = SimpleQueue()
        for device, network in networks.items():
            pipeline = Pipeline((Model(network, card, "", Path(device)),))
            self._idle.put((device, runner_of(pipeline)))

    def score(self, cases: Sequence[str]) -> dict[str, CaseScores]:
        """Return case → region → scores, in the order of the cases.

        Args:
            cases: ids; each is labelled.

        Raises:
            StoreError: a case file is damaged.
        """
        devices = self._idle.qsize()
        if devices == 1:
            return {case: self._score_case(case) for case in cases}
        with ThreadPoolExecutor(devices) as pool:
            return dict(zip(cases, pool.map(self._score_case, cases), strict=True))

    def _score_case(self, name: str) -> CaseScores:
        with self.store[name] as case:
            coding = meant_coding(case.coding or self.card.label_set, self.card.label_set)
            device, runner = self._idle.get()  # no two threads run one network at a time
            try:
                with keras.device(device):
                    probabilities = runner.probabilities(case)
            finally:
                self._idle.put((device, runner))
            painted = paint_mask(probabilities, self.card, coding)
            label = case.label_patch((0, 0, 0), case.grid.shape)
            return case_scores(painted, label, case.grid.spacing_mm, self._scoring, label_set=coding)


def mean_dice(scores: Mapping[str, CaseScores]) -> dict[str, float]:
    """Return region → mean Dice over the cases, and ``mean`` over the regions."""
    names = list(next(iter(scores.values())))
    means = {region: float(np.mean([case[region].dice for case in scores.values()])) for region in names}
    return {**means, "mean": float(np.mean(list(means.values())))}
