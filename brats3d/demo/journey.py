"""Make phantoms, store them, train, predict, evaluate, and draw one picture: the library's main job on synthetic heads.

Every step is the public function behind a command, on files in one folder, so that the folder ends up like that of a real
project. A marker is written to it first; the content of a folder without the marker is never removed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from brats3d import geometry, images, regions
from brats3d.console import Progress, silent
from brats3d.errors import check_option
from brats3d.evaluate import evaluate_cases
from brats3d.figures import CasePicture, cohort_figure, save
from brats3d.files import Contents, OutputFolder, write_file
from brats3d.phantom import write_cohort
from brats3d.predict import predict_cases
from brats3d.preprocess import build_store
from brats3d.scores import RegionScores
from brats3d.store import Store, open_store
from brats3d.train import train_model
from brats3d.version import __version__

SHAPE = (64, 64, 41)
PARTS = ("scans", "store", "run", "masks", "scores", "picture.png")
MARKER = "demo.json"
"""Marks what is beside it as made by a demo."""
MADE_BY = "brats3d.demo"
SETTINGS = ("size", "seed")
DEMO = Contents("a demo", parts=(*PARTS, MARKER), again="use --force to make it again")
PICTURED = 3


@dataclass(frozen=True)
class _Size:
    """How large a demo is: synthetic cases, and what it changes in the recipe ``demo``."""

    cases: int
    settings: Mapping[str, Any] = field(default_factory=dict)


SIZES: Mapping[str, _Size] = MappingProxyType(
    {
        "full": _Size(cases=20),
        "quick": _Size(cases=6, settings={"training.epochs": 1, "data.batches": 4, "network.options.base_filters": 4}),
    }
)


@dataclass(frozen=True)
class DemoResult:
    """Where the demo's results are, and how good its masks are.

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
    *,
    out: Path | str = Path("demo"),
    size: Literal["full", "quick"] = "full",
    seed: int = 0,
    force: bool = False,
    progress: Progress = silent,
) -> DemoResult:
    """Run the whole chain on synthetic heads: scans, store, training, masks, scores, picture.

    Args:
        out: folder for everything; made if it does not exist.
        size: full takes about ten minutes on two cores; quick takes about one and only shows that everything runs: its scores
            mean nothing.
        seed: seed of the heads and of the training.
        force: remove what an earlier demo left in the folder; anything else there stays, and the demo does not start.
        progress: called as each step advances.

    Returns:
        Where things are, and the mean Dice per region on the test cases.

    Raises:
        OptionError: no such size.
        OutputExistsError: the folder holds an earlier demo, or something else where the demo would write.
        SpaceError: the disk is full.
    """
    out = Path(out)
    check_option("size", size, SIZES)
    chosen = SIZES[size]
    folder = OutputFolder(out, DEMO, dict(zip(SETTINGS, (size, seed), strict=True)))
    _make_room(folder, force=force)
    write_file(out / MARKER, json.dumps({"made_by": MADE_BY, "version": __version__, **folder.settings}) + "\n")
    write_cohort(out / "scans", cases=chosen.cases, shape=SHAPE, seed=seed, progress=progress)
    build_store(out / "scans", out=out / "store", progress=progress)
    run = train_model(out / "store", out=out / "run", recipe="demo", seed=seed, settings=chosen.settings, progress=progress)
    test = f"{out / 'run' / 'split.json'}:test"
    model = Path(run.run) / "best.keras"
    predict_cases(model, [out / "scans"], out=out / "masks", cases=test, progress=progress)
    scored = evaluate_cases(out / "masks", out / "store", out=out / "scores", cases=test, progress=progress)
    scores = scored.of()
    _draw(open_store(out / "store"), out / "masks", scores, out / "picture.png")
    dice = {region: float(np.mean([case[region].dice for case in scores.values()])) for region in regions.REGIONS}
    return DemoResult(str(out), tuple(scores), dice, str(model), str(out / "picture.png"))


def _make_room(folder: OutputFolder, *, force: bool) -> None:
    """Make the folder; with force, remove an earlier demo from it, and never anything else."""
    left = [part for part in folder.names() if part != MARKER]
    folder.check(_recorded(folder.path), force=force or not left)
    if left and not force:
        folder.refuse_finished(f"a demo ({left[0]}, …)")
    folder.remove(left, folders=left)
    folder.path.mkdir(parents=True, exist_ok=True)


def _recorded(out: Path) -> Mapping[str, Any] | None:
    """Return the settings of the demo that was made in a folder; None if none was."""
    try:
        content = json.loads((out / MARKER).read_text(encoding="utf-8"))
        return {name: content.get(name) for name in SETTINGS} if content["made_by"] == MADE_BY else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _draw(store: Store, masks: Path, scores: Mapping[str, Mapping[str, RegionScores]], path: Path) -> None:
    pictures = []
    for name in list(scores)[:PICTURED]:
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
                    {region: row.dice for region, row in scores[name].items()},
                )
            )
    save(cohort_figure(pictures), path)
