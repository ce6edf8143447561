"""Label sets, regions, and conversions between them.

A `LabelSet` defines what values mean: a row of `LABEL_SETS`, or one of the user's own. Nothing else names a region.
"""

from brats3d.regions.label_sets import (
    LABEL_SET_FILES,
    LABEL_SETS,
    MODALITIES,
    REGIONS,
    LabelSet,
    LabelSetLike,
    find_label_set,
    label_set,
    two_meanings,
)
from brats3d.regions.label_values import (
    CONVERSIONS,
    FEWEST_STEPS,
    ROUNDING,
    check_values,
    convert_label,
    fitting_sets,
    label_sets_with,
    whole_numbers,
    whole_tumour_doubt,
)
from brats3d.regions.painted_labels import (
    channel_values,
    paint_regions,
    paint_values,
    painting_steps,
    region_masks,
    told_regions,
    value_channels,
)

__all__ = [
    "CONVERSIONS",
    "FEWEST_STEPS",
    "LABEL_SETS",
    "LABEL_SET_FILES",
    "MODALITIES",
    "REGIONS",
    "ROUNDING",
    "LabelSet",
    "LabelSetLike",
    "channel_values",
    "check_values",
    "convert_label",
    "find_label_set",
    "fitting_sets",
    "label_set",
    "label_sets_with",
    "paint_regions",
    "paint_values",
    "painting_steps",
    "region_masks",
    "told_regions",
    "two_meanings",
    "value_channels",
    "whole_numbers",
    "whole_tumour_doubt",
]
__dir__ = __all__.copy
