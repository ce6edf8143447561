"""Cards of schema 1, converted to schema 2: they will always be read, but are no longer written.

Schema 1 had only regions, one stride and one spacing for all axes, and the label set by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brats3d.errors import OptionError, check_keys
from brats3d.regions import LABEL_SETS, label_set

NEEDED = ("network", "modalities", "normalisation", "stride", "patch_size")
OPTIONAL: Mapping[str, Any] = {
    "network_options": {}, "spacing_mm": 1.0, "regions": ["WT", "TC", "ET"], "label_set": None, "thresholds": [],
    "window": "where_needed", "flips": [], "postprocessing": {}, "training_cases": [], "scores": {}, "created_with": "",
    "licence": "", "notice": "",
}  # fmt: skip
SAME = ("network", "network_options", "stride", "spacing_mm", "training_cases", "scores", "created_with", "licence", "notice")
SEVERAL = "L23"
"""Label set of a model whose training labels had several codings, which schema 1 did not distinguish."""


def from_schema_1(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card of schema 1 as plain values of schema 2.

    Args:
        found: key → value, without the schema.

    Raises:
        OptionError: an unknown or missing key, or no such label set.
    """
    check_keys("the card", found, (*NEEDED, *OPTIONAL))
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise OptionError(f"it lacks {', '.join(missing)}")
    old = {**OPTIONAL, **found}
    coding = LABEL_SETS[SEVERAL] if old["label_set"] is None else label_set(old["label_set"])
    return {
        **{name: old[name] for name in SAME},
        "inputs": {"modalities": old["modalities"], "normalisation": old["normalisation"]},
        "outputs": [{"channels": old["regions"]}],
        "label_set": coding.as_dict(),
        "inference": {
            "size": old["patch_size"],
            "window": old["window"],
            "flips": old["flips"],
            "thresholds": old["thresholds"],
            "postprocessing": [{"step": step, "settings": settings} for step, settings in old["postprocessing"].items()],
        },
    }
