"""Everything that decides what a sample is, besides its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brats3d.errors import LabelError, OptionError, check_whole
from brats3d.patches.augmentation import Augmentation
from brats3d.patches.batch_settings import BatchSettings
from brats3d.patches.targets import Learnt, RegionTarget, Target, target_of
from brats3d.regions import MODALITIES, REGIONS, LabelSet
from brats3d.store import Store

USUAL = RegionTarget(REGIONS)
"""WT, TC and ET, as each case's own label set defines them."""


@dataclass(frozen=True)
class PatchPlan:
    """Everything that decides what a sample is, besides its number; `plan_patches` makes one that fits the cases.

    Attributes:
        store: folder of the store.
        cases: ids of the cases to draw from.
        settings: what a batch is.
        target: what is learnt.
        augmentation: None changes nothing.
        seed: of all randomness.
        modalities: the image channels, in order; empty means each case's own.

    Raises:
        OptionError: the augmentation or the seed has another type, or the seed is below 0.
    """

    store: Path
    cases: tuple[str, ...]
    settings: BatchSettings
    target: Target = USUAL
    augmentation: Augmentation | None = None
    seed: int = 0
    modalities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.augmentation is not None and not isinstance(self.augmentation, Augmentation):
            raise OptionError(f"augmentation is {self.augmentation!r}; expected None or an Augmentation.")
        check_whole("seed", self.seed, 0)


def plan_patches(
    store: Store,
    cases: Sequence[str],
    settings: BatchSettings,
    learnt: Learnt,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> PatchPlan:
    """Check each case's label, modalities and label set, and return the plan for them.

    Args:
        store: the open store.
        cases: ids, at least one.
        settings: what a batch is.
        learnt: what is to be learnt.
        augmentation: None changes nothing.
        seed: of all randomness.

    Raises:
        OptionError: a case has other modalities than the first and they may not be absent; no case has one that may be absent;
            or the target cannot be made from a case's label set (see `target_of`).
        LabelError: a case has no label.
        StoreError: a case file is damaged.
    """
    codings: dict[str, LabelSet] = {}
    found: dict[str, tuple[str, ...]] = {}
    for name in cases:
        with store[name] as case:
            found[name] = case.modalities
            if case.coding is None:
                raise LabelError(
                    f"case {name} of {store.path} has no label; expected labelled cases: leave it out of the cases."
                )
            codings[name] = case.coding
    modalities = _modalities(store.path, found, settings.may_be_absent)
    target = target_of(learnt, codings)
    return PatchPlan(store.path, tuple(cases), settings, target, augmentation, seed, modalities)


def _modalities(store: Path, found: dict[str, tuple[str, ...]], may_be_absent: Sequence[str]) -> tuple[str, ...]:
    """Return the channels of all cases in order; refuse cases that lack one that may not be absent."""
    first, *_ = found
    together = {modality: None for names in found.values() for modality in names}
    if missing := [modality for modality in may_be_absent if modality not in together]:
        raise OptionError(
            f"may_be_absent names {', '.join(missing)}, which no case of {store} has; they have {', '.join(together)}:"
            " leave out what no case has."
        )
    known = [m for m in MODALITIES if m in together]
    modalities = (*known, *(m for m in together if m not in known)) if may_be_absent else found[first]
    needed = [m for m in found[first] if m not in may_be_absent]
    for name, own in found.items():
        present = [m for m in own if m not in may_be_absent]
        if present != needed:
            but = f" (all but {', '.join(may_be_absent)})" if may_be_absent else ""
            raise OptionError(
                f"case {name} of {store} holds {', '.join(own)}, case {first} holds {', '.join(found[first])}; expected the"
                f" same modalities in all cases{but}: leave it out of the cases."
            )
    return modalities
