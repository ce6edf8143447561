"""Make phantoms, store them, train, predict, evaluate, and draw one picture: the library's main job on heads of its own.

Every step is the public function behind a command, on files in one folder, so that a reader finds there what a real project
would leave.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brats3d import geometry, images, regions
from brats3d.console import Progress, silent
from brats3d.errors import OutputExistsError
from brats3d.evaluate import Evaluation, evaluate_cases
from brats3d.figures import CasePicture, cohort_figure, save
from brats3d.phantom import write_cohort
from brats3d.predict import predict_cases
from brats3d.preprocess import build_store
from brats3d.store import Store, open_store
from brats3d.train import train_model

SHAPE = (64, 64, 41)
PARTS = ("scans", "store", "run", "masks", "scores", "picture.png")
PICTURED = 3


@dataclass(frozen=True)
class _Size:
    """How large a demo is: synthetic cases, and what it changes in the recipe ``demo``."""

    cases: int
    settings: tuple[str, ...] = ()


FULL = _Size(cases=20)
QUICK = _Size(cases=6, settings=("training.epochs=1", "data.batches=4", "network.options.base_filters=4"))


@dataclass(frozen=True)
class DemoResult:
    """Where the demo left what, and how well its network draws.

    Attributes:
        out: the demo's folder.
        test_cases: ids of the synthetic cases the network had never seen.
        dice: region → mean Dice over them.
        model: the trained model.
        picture: reference and prediction, side by side.
    """

    out: str
    test_cases: tuple[str, ...]
    dice: dict[str, float]
    model: str
    picture: str

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return asdict(self)


def run_demo(
    *, out: Path | str = Path("demo"), quick: bool = False, seed: int = 0, force: bool = False, progress: Progress = silent
) -> DemoResult:
    """Walk the whole chain on synthetic heads: scans, store, training, masks, scores, picture.

    Args:
        out: folder for everything; made where it does not exist.
        quick: only show that everything runs, in about a minute; the scores mean nothing then.
        seed: of the heads and of the training.
        force: remove what an earlier demo left in the folder.
        progress: called as each step advances.

    Returns:
        Where things lie, and the mean Dice a region on the test cases.

    Raises:
        OutputExistsError: the folder holds something already.
    """
    out = Path(out)
    size = QUICK if quick else FULL
    _make_room(out, force=force)
    write_cohort(out / "scans", cases=size.cases, shape=SHAPE, seed=seed, progress=progress)
    build_store(out / "scans", out=out / "store", progress=progress)
    run = train_model(out / "store", out=out / "run", recipe="demo", seed=seed, settings=size.settings, progress=progress)
    test = f"{out / 'run' / 'split.json'}:test"
    model = Path(run.run) / "best.keras"
    predict_cases(model, [out / "scans"], out=out / "masks", cases=test, progress=progress)
    scored = evaluate_cases(out / "masks", out / "store", out=out / "scores", cases=test, progress=progress)
    _draw(open_store(out / "store"), out / "masks", scored, out / "picture.png")
    dice = {region: float(np.mean([case[region].dice for case in scored.scores.values()])) for region in regions.REGIONS}
    return DemoResult(str(out), tuple(scored.scores), dice, str(model), str(out / "picture.png"))


def _make_room(out: Path, *, force: bool) -> None:
    there = [out / part for part in PARTS if (out / part).exists()]
    if there and not force:
        raise OutputExistsError(
            f"{out} holds an earlier demo ({there[0].name}, …); use --force to make it again, or another --out."
        )
    for part in there:
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    out.mkdir(parents=True, exist_ok=True)


def _draw(store: Store, masks: Path, scored: Evaluation, path: Path) -> None:
    pictures = []
    for name in list(scored.scores)[:PICTURED]:
        with store[name] as case:
            coding = regions.label_set(str(case.label_set))
            volume = images.read(masks / f"{name}.nii.gz")
            predicted, _ = geometry.to_stored(volume.array, volume.grid)
            pictures.append(
                CasePicture(
                    name,
                    {"FLAIR": case.images[case.modalities.index("flair")], "T1ce": case.images[case.modalities.index("t1ce")]},
                    regions.region_masks(case.label[:], coding),
                    regions.region_masks(predicted, coding),
                    case.grid.spacing_mm,
                    {region: row.dice for region, row in scored.scores[name].items()},
                )
            )
    save(cohort_figure(pictures), path)
