"""Cards from flat keywords, as tests need them: one region output and its own thresholds, windows, mirroring."""

from __future__ import annotations

from typing import Any

from brats3d.models import Card, Head, Inference, Inputs

INFERENCE = ("window", "overlap", "flips", "thresholds", "temperatures", "postprocessing")


def flat_card(
    network: str = "own",
    *,
    modalities: Any = ("t1", "t1ce", "t2", "flair"),
    normalisation: str = "clamped_zscore",
    regions: Any = ("WT", "TC", "ET"),
    kind: str = "regions",
    size: Any = (8, 8, 8),
    stride: Any = 4,
    **fields: Any,
) -> Card:
    """Return a card whose parts are given by their fields' names."""
    inference = {name: fields.pop(name) for name in INFERENCE if name in fields}
    return Card(
        network,
        stride,
        Inference(size, **inference),
        Inputs(modalities, normalisation),
        (Head(regions, kind),),
        **fields,
    )
