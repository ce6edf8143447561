"""nnU-Net v2's own preprocessing of BraTS cases, for the benchmarks that compare with it.

A dataset of links in nnU-Net's own folders, and plans by its own fingerprint and planner, for three-dimensional full
resolution; then `DefaultPreprocessor.run_case_save` a case, which reads its files, crops, normalises, resamples and saves
them as blosc2 files, as each worker of nnU-Net's command does: in one thread.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats3d.cases import Case

NAME = "Dataset901_BraTS"


@dataclass(frozen=True)
class Peer:
    """nnU-Net's preprocessing, planned.

    Attributes:
        folder: its folder of raw links; what it makes goes to ``preprocessed`` beside it.
        preprocessor: its `DefaultPreprocessor`.
        plans: its plans.
        settings: those of its configuration 3d_fullres.
        dataset: its dataset.json.
    """

    folder: Path
    preprocessor: Any
    plans: Any
    settings: Any
    dataset: dict[str, Any]

    def preprocess(self, case: Case) -> str:
        """Read, preprocess and save one case; returns the path of what it saved, without suffix."""
        target = str(self.folder / "preprocessed" / case.id)
        for earlier in (self.folder / "preprocessed").glob(f"{case.id}*"):
            earlier.unlink()  # it does not overwrite
        raw = self.folder / "raw" / NAME
        files = [str(raw / "imagesTr" / f"{case.id}_{channel:04d}.nii.gz") for channel in range(len(case.images))]
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
            self.preprocessor.run_case_save(
                target, files, str(raw / "labelsTr" / f"{case.id}.nii.gz"), self.plans, self.settings, self.dataset
            )
        return target


def peer(cases: Sequence[Case], scratch: Path) -> Peer | None:
    """Return nnU-Net's preprocessing with the plans it makes of some cases; None, having said so, where it is not installed."""
    folder = scratch / "nnunet"
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir(parents=True)
        os.environ[f"nnUNet_{name}"] = str(folder / name)  # read when it is imported
    try:
        import blosc2
        import torch
        from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
        from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset
        from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    except ImportError as missing:
        print(f"nnU-Net is left out: {missing}")
        return None
    torch.set_num_threads(1)
    blosc2.set_nthreads(1)
    dataset = _link(cases, folder / "raw" / NAME)
    (folder / "preprocessed" / NAME).mkdir()
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        extract_fingerprint_dataset(901, num_processes=1, check_dataset_integrity=False)
        plans = PlansManager(ExperimentPlanner(901).plan_experiment())
    return Peer(folder, DefaultPreprocessor(verbose=False), plans, plans.get_configuration("3d_fullres"), dataset)


def _link(cases: Sequence[Case], raw: Path) -> dict[str, Any]:
    """Lay cases out as nnU-Net wants them, with links; returns its dataset.json."""
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True)
    for case in cases:
        for channel, file in enumerate(case.images.values()):
            (raw / "imagesTr" / f"{case.id}_{channel:04d}.nii.gz").symlink_to(file.absolute())
        if case.label is not None:
            (raw / "labelsTr" / f"{case.id}.nii.gz").symlink_to(case.label.absolute())
    # Labels as they come, one name a value: how they are called does not change how long it takes.
    dataset = {
        "channel_names": dict(enumerate(cases[0].images)),
        "labels": {"background": 0, "one": 1, "two": 2, "three": 3, "four": 4},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(dataset))
    return dataset
