"""Whole cases, predicted, painted and scored as `evaluate` would: what picks the best epoch, and the fold's test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import keras
import numpy as np

from brats3d import regions
from brats3d.models import Card
from brats3d.predict import Predictor, above_thresholds, predict_probabilities, predictor_of
from brats3d.scores import RegionScores, Scoring, case_scores
from brats3d.store import Store

CaseScores = Mapping[str, RegionScores]
PROTOCOL = "casewise"


class Scorer:
    """Scores a network on whole cases of a store, spread over devices.

    Args:
        store: the open store.
        card: what the network expects and gives.
        networks: device → a copy of the network that lives there; their weights may change between calls.
    """

    def __init__(self, store: Store, card: Card, networks: Mapping[str, keras.Model]) -> None:
        self.store = store
        self.card = card
        self._scoring = Scoring(PROTOCOL, regions=card.regions)
        self._idle: SimpleQueue[Predictor] = SimpleQueue()
        for device, network in networks.items():
            self._idle.put(_on_device(device, predictor_of(network, card)))

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
            coding = regions.label_set(str(case.label_set))
            predictor = self._idle.get()  # no two threads run one network at a time
            try:
                masks = above_thresholds(predict_probabilities(predictor, case, self.card), self.card)
            finally:
                self._idle.put(predictor)
            painted = regions.paint_regions(masks, coding, self.card.regions)
            label = case.label_patch((0, 0, 0), case.grid.shape)
            return case_scores(painted, label, case.grid.spacing_mm, self._scoring, label_set=coding)


def _on_device(device: str, predictor: Predictor) -> Predictor:
    def predict(images: np.ndarray) -> np.ndarray:
        with keras.device(device):
            return predictor(images)

    return predict


def mean_dice(scores: Mapping[str, CaseScores]) -> dict[str, float]:
    """Return region → mean Dice over the cases, and ``mean`` over the regions."""
    names = list(next(iter(scores.values())))
    means = {region: float(np.mean([case[region].dice for case in scores.values()])) for region in names}
    return {**means, "mean": float(np.mean(list(means.values())))}
