"""What is learnt of a label: regions or exclusive labels, of one label set or of several, checked against tables by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brats3d.errors import OptionError
from brats3d.patches import TARGETS, BatchSettings, CaseReader, LabelTarget, Learnt, PatchPlan, RegionTarget, target_of
from brats3d.regions import LABEL_SETS, LabelSet
from brats3d.store import PreparedCase, write_case

L17, L23, L24, LPED, LMSD = (LABEL_SETS[name] for name in ("L17", "L23", "L24", "LPED", "LMSD"))
OWN = LabelSet.from_dict({
    "name": "own", "tissues": {"1": "rim", "5": "middle"}, "regions": {"ALL": [1, 5], "MID": [5]},
    "paint": [["ALL", 1], ["MID", 5]],
})  # fmt: skip
OTHER_REGIONS = LabelSet.from_dict({
    "name": "solid", "tissues": dict(L17.tissues), "regions": {"WT": [1, 2, 4], "TC": [4], "NCR": [1]},
    "paint": [["WT", 2], ["NCR", 1], ["TC", 4]],
})  # fmt: skip
"""The values of L17, and another meaning of TC."""

ROWS: list[tuple[str, tuple[str, ...], LabelSet | None, LabelSet, dict[int, str]]] = [
    ("regions", ("ET", "WT"), None, L17, {0: "..", 1: ".W", 2: ".W", 4: "EW"}),
    ("regions", ("WT", "TC", "ET"), L23, L17, {0: "...", 1: "WT.", 2: "W..", 4: "WTE"}),
    ("regions", ("RC", "WT"), None, L24, {0: "..", 1: ".W", 2: ".W", 3: ".W", 4: "R."}),
    ("regions", ("TC",), OTHER_REGIONS, L17, {0: ".", 1: ".", 2: ".", 4: "T"}),
    ("regions", ("WT", "4"), None, L17, {0: "..", 1: "W.", 2: "W.", 4: "W4"}),
    ("labels", ("WT",), None, L17, {0: "0...", 1: ".1..", 2: "..2.", 4: "...4"}),
    ("labels", ("WT",), L23, L17, {0: "0...", 1: ".1..", 2: "..2.", 4: "...3"}),
    ("labels", ("WT",), L23, L24, {0: "0...", 1: ".1..", 2: "..2.", 3: "...3", 4: "0..."}),
    ("labels", ("ALL",), None, OWN, {0: "0..", 1: ".1.", 5: "..5"}),
]
"""Output, regions, label set asked for, the case's own, and the channels of each of its values: a dot is 0."""


def test_channels_are_those_of_the_table(subtests: pytest.Subtests) -> None:
    assert {row[0] for row in ROWS} == set(TARGETS)
    for output, regions, wanted, own, table in ROWS:
        with subtests.test(output=output, regions=regions, own=own.name):
            target = target_of(Learnt(regions, output, wanted), {"c": own})
            label = np.resize(np.array(list(table), np.uint8), (3, 4, 5))
            channels = range(len(table[0]))
            expected = np.array([[table[v][n] != "." for v in label.ravel()] for n in channels])
            found = target.complete(target.masks(label, own).astype(np.uint8))
            np.testing.assert_array_equal(found, expected.reshape(-1, 3, 4, 5))
            assert found.dtype == np.uint8
            assert len(target.channels) == len(found)
            balanced = [{v for v in table if v and table[v][n] != "."} for n in channels]
            assert [set(values) for values in target.values(own)] == balanced[1 if output == "labels" else 0 :]


CODINGS: list[tuple[dict[str, Any], list[LabelSet], LabelSet | str]] = [
    ({}, [L17, L17], L17),
    ({}, [L17, L23, LMSD], L23),
    ({"output": "labels"}, [L17, L23, LPED], L23),
    ({"label_set": "L17", "output": "labels"}, [L17, L23], L17),
    ({"regions": ("RC",)}, [L24], L24),
    ({"label_set": OWN, "regions": ("MID",)}, [OWN], OWN),
    ({"regions": ("WT", "RC")}, [L17, L24], "c0 .* L17.* RC"),
    ({"regions": ("WX",)}, [L17], "c0 .* L17.* WX"),
    ({"output": "labels", "label_set": "L24"}, [L24, LPED], "c1 .* LPED.* L24"),
    ({"output": "labels", "regions": ("CC",)}, [L17], "L17 .*CC"),
    ({"regions": ("RC",)}, [L24, LabelSet.from_dict({**L24.as_dict(), "name": "L24b"})], "L24, L24b.* L23 .* RC.* label_set"),
    ({"regions": ("WT", "4"), "label_set": "L17"}, [L17, LPED], "c1 .* LPED.* 4 is ED .* ET in L17"),
    ({"regions": ("2",), "label_set": "L23"}, [L17, L23], L23),
    ({"regions": ("WT", "0")}, [L17], "0 is the background"),
    ({"label_set": "L99"}, [L17], "L99"),
    ({"output": "maps"}, [L17], "output is 'maps'"),
]


def test_the_label_set_that_is_meant(subtests: pytest.Subtests) -> None:
    for learnt, codings, expected in CODINGS:
        with subtests.test(**learnt):
            named = {f"c{number}": coding for number, coding in enumerate(codings)}
            if isinstance(expected, str):
                with pytest.raises(OptionError, match=expected):
                    target_of(Learnt(**learnt), named)
            else:
                assert target_of(Learnt(**learnt), named).coding == expected


@pytest.mark.parametrize("spacing_mm", [None, 2.0])
def test_exclusive_labels_add_up_to_1_also_outside_the_volume(
    make_prepared: Callable[..., PreparedCase], tmp_path: Path, spacing_mm: float | None
) -> None:
    """In a patch that overhangs the volume, and whose label has whole blocks and parts of blocks."""
    write_case(tmp_path, make_prepared("c0"))
    settings = BatchSettings(patch_size=(60, 60, 60), spacing_mm=spacing_mm, foreground=1.0)
    targets = CaseReader(PatchPlan(tmp_path, ("c0",), settings, LabelTarget(("WT",), L17))).sample(0, 0).targets
    np.testing.assert_allclose(targets.sum(axis=0), 1, atol=1e-3)
    assert targets.min() >= 0
    assert (targets[0, 0] == 1).any()
    regions = CaseReader(PatchPlan(tmp_path, ("c0",), settings, RegionTarget(("1", "2", "4")))).sample(0, 0).targets
    np.testing.assert_array_equal(targets[1:], regions)
    assert regions.any(axis=(1, 2, 3)).all()
