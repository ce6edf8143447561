"""`train_model`: the function behind ``python -m brats3d.train``. Frameworks are loaded when it runs, not when it is named."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from brats3d.cases import load_split
from brats3d.console import Progress, silent
from brats3d.errors import OptionError
from brats3d.train.folder import RunFolder
from brats3d.train.recipe_files import change_recipe, parse_recipe, read_recipe, with_training


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        run: the run's folder.
        epochs: epochs finished.
        best_epoch: the epoch of ``best.keras``, from 0.
        validation: region → mean Dice of that epoch's painted labels, and ``mean``.
        test: case → region → Dice of ``best.keras`` on the fold's test cases.
        test_mean: region → mean Dice over them, and ``mean``.
    """

    run: str
    epochs: int
    best_epoch: int
    validation: dict[str, float]
    test: dict[str, dict[str, float]]
    test_mean: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return asdict(self)


def train_model(
    store: Path | str,
    *,
    out: Path | str,
    recipe: str | None = None,
    fold: int | None = None,
    seed: int | None = None,
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] | None = None,
    settings: tuple[str, ...] = (),
    resume: bool = False,
    progress: Progress = silent,
) -> TrainingResult:
    """Train a network on the labelled cases of a store.

    Args:
        store: the store's folder.
        out: the run's folder: recipe, split, models, training states, log, curves, scores.
        recipe: name of a shipped recipe, or a TOML file; isensee2017 where none is given.
        fold: which fifth of the patients is left for the test, 0 to 4; 0 where none is given.
        seed: of weights, dropout, patches and split; the recipe's own where none is given.
        precision: float32, or mixed precision on a GPU; the recipe's own where none is given.
        settings: keys of the recipe to change, such as training.epochs=30 network.options.base_filters=8.
        resume: go on with the run in this folder from its last finished epoch; recipe and split are the run's own.
        progress: called as epochs end.

    Returns:
        Best epoch, validation and test scores.

    Raises:
        OptionError: an unknown recipe, key or value; a batch that the devices cannot share; a resumed run asked to change.
        OutputExistsError: the folder holds a run, and resume is not asked for.
        NoCasesError: the store holds no cases, or not those of the run's split.
        LabelError: a case without a label.
        HealthError: the first-minutes check found that the run is doomed.
        ModelError: there is no whole training state to go on from.
        StoreError: a case file is damaged.
        SpaceError: the disk is full; what is finished stays.
    """
    store, out = Path(store), Path(out)
    folder = RunFolder(out)
    changes: dict[str, Any] = {"seed": seed, "precision": precision}
    if resume:
        folder.open_old()
        chosen = parse_recipe(folder.recipe.read_text(encoding="utf-8"), str(folder.recipe))
        asked = with_training(change_recipe(read_recipe(recipe) if recipe else chosen, settings), **changes)
        if asked != chosen or fold not in (None, load_split(folder.split).fold):
            raise OptionError(
                f"{out} is a run with another recipe or fold than asked for; a resumed run keeps its own: leave them out."
            )
    else:
        folder.check_new()
        chosen = with_training(change_recipe(read_recipe(recipe or "isensee2017"), settings), **changes)
    from brats3d.train.run import run_training

    return run_training(store, chosen, folder, None if resume else fold or 0, progress)
