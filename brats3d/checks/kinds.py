"""Kinds of tumour tissue, and how likely a value's behaviour is for each: one table of what physiology predicts.

- Contrast agent leaks where tumour damages vessels: **enhancing** tumour is brighter in t1ce than t1 predicts, and is
  around necrosis and inside oedema.
- **Oedema** (with infiltration) is bright in FLAIR and T2, does not enhance, and forms the outside.
- The **inner** part, necrosis and non-enhancing tumour, does not enhance, is dark in T1 and is inside.
- **Fluid**, in a cyst or a resection cavity, is as in ventricles: very bright in T2, dark in T1 and, unlike oedema, in FLAIR.
- A **core** is the inner part and enhancing tumour under one value; the **whole** includes oedema. Neither has holes, unlike
  oedema around its core and enhancing tumour around necrosis.

Means and spreads were set by hand from these facts and checked on a dozen cases of three years; they are broad, since
scanners and tumours differ, and no single feature may decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from brats3d.checks.tissue import ValueFeatures

FEATURES = ("enhancement", "peak", "brightest", "flair", "t2", "wettest", "outer", "outermost", "hollow")
"""Attributes of `ValueFeatures` that distinguish kinds."""

_ROWS = {
    #             enhancement  peak         brightest    flair        t2           wettest      outer         outermost
    "oedema":    ((-0.1, 0.8), (1.0, 1.0), (-2.5, 2.0), (3.0, 1.6), (2.2, 1.6), (-2.0, 1.8), (0.75, 0.20), (0.50, 0.25)),
    "inner":     ((-0.2, 1.0), (1.2, 1.0), (-2.5, 2.0), (2.5, 2.6), (3.5, 2.2), (1.5, 1.6), (0.25, 0.30), (-0.50, 0.35)),
    "necrosis":  ((-0.2, 1.2), (1.2, 1.2), (-2.5, 2.0), (1.5, 2.6), (4.5, 2.2), (1.5, 1.6), (0.04, 0.08), (-0.65, 0.25)),
    "enhancing": ((2.8, 1.5), (5.0, 2.5), (2.5, 2.0), (2.5, 2.6), (2.2, 1.8), (-1.2, 1.6), (0.15, 0.18), (-0.60, 0.25)),
    "fluid":     ((-0.2, 1.0), (1.0, 1.0), (-2.0, 2.0), (-1.5, 1.2), (5.0, 2.2), (2.0, 1.6), (0.40, 0.30), (-0.30, 0.40)),
    "core":      ((1.8, 1.4), (4.0, 2.2), (1.8, 1.8), (2.5, 2.6), (2.5, 2.2), (0.7, 1.6), (0.12, 0.18), (-0.65, 0.25)),
    "whole":     ((0.6, 1.2), (3.5, 2.0), (0.0, 3.0), (2.8, 1.8), (2.5, 1.8), (0.0, 3.0), (1.00, 0.10), (0.00, 0.80)),
    "normal":    ((0.0, 0.6), (1.3, 0.5), (0.0, 0.8), (0.0, 0.7), (0.0, 0.7), (0.0, 0.8), (0.50, 0.40), (0.00, 0.50)),
}  # fmt: skip
_HOLLOW = {"oedema": (0.15, 0.15), "enhancing": (0.3, 0.3), "whole": (0.01, 0.02), "normal": (0.02, 0.05)}
_SOLID = (0.01, 0.03)

KINDS: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType({
    kind: MappingProxyType(dict(zip(FEATURES, (*row, _HOLLOW.get(kind, _SOLID)), strict=True))) for kind, row in _ROWS.items()
})  # fmt: skip
"""Kind → feature → (mean, sd). ``normal`` is a label on tissue without tumour, or on noise."""

KIND_OF_TISSUE: Mapping[str, str] = MappingProxyType({
    "edema": "oedema", "ED": "oedema", "SNFH": "oedema",
    "necrosis": "necrosis", "non-enhancing": "inner", "NCR+NET": "inner", "NCR": "inner", "NETC": "inner",
    "enhancing": "enhancing", "ET": "enhancing",
    "RC": "fluid", "CC": "fluid",
    "core": "core", "gross tumour volume": "whole",
})  # fmt: skip
"""Tissue, as named in ``regions.LABEL_SETS`` → kind."""

OUTLIER_SHARE = 0.004
"""A feature is arbitrary with this probability, so that none alone can rule out a kind."""
FULL_WEIGHT_VOXELS = 200
"""Values with fewer voxels count for less."""


def log_likelihood(features: ValueFeatures, kind: str) -> float:
    """Return how well a value's behaviour fits a kind: the sum of the features' log densities, without unknown ones."""
    total = 0.0
    for name, (mean, sd) in KINDS[kind].items():
        value = float(getattr(features, name))
        if not np.isnan(value):
            spread = max(WIDEST[name], sd)
            density = np.exp(-0.5 * ((value - mean) / sd) ** 2) / sd
            total += float(np.log((1 - OUTLIER_SHARE) * density + OUTLIER_SHARE / spread))
    return total * min(1.0, features.voxels / FULL_WEIGHT_VOXELS)


WIDEST: Mapping[str, float] = MappingProxyType({name: max(kind[name][1] for kind in KINDS.values()) for name in FEATURES})
"""Feature → its largest spread over the kinds."""


def seen_on_images(features: ValueFeatures) -> bool:
    """Return whether any image that distinguishes tissues was available: t1 with t1ce, flair, or t2."""
    return not all(np.isnan(value) for value in (features.enhancement, features.flair, features.t2))


def words(features: ValueFeatures, kind: str) -> str:
    """Describe what makes a value look like a kind."""
    said = {
        "enhancement": f"t1ce {features.enhancement:+.1f} sd against t1, {features.enhancing:.0%} enhances",
        "flair": f"flair {features.flair:+.1f} sd",
        "t2": f"t2 {features.t2:+.1f} sd",
        "outer": f"{features.outer:.0%} of its surface outside",
        "hollow": f"holes of {features.hollow:.0%} of its volume",
    }
    known = [text for name, text in said.items() if not np.isnan(getattr(features, name))]
    return f"behaves like {NAMES[kind]} ({', '.join(known)})"


NAMES: Mapping[str, str] = MappingProxyType(
    {
        "oedema": "oedema",
        "inner": "necrosis or non-enhancing tumour",
        "necrosis": "necrosis",
        "enhancing": "enhancing tumour",
        "fluid": "fluid",
        "core": "a whole core, enhancing and not",
        "whole": "a whole tumour",
        "normal": "normal brain",
    }
)
"""Kind → its name in messages."""
