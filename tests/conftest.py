"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from brats3d.cases import Facts
from brats3d.geometry import Grid
from brats3d.regions import LABEL_SETS
from brats3d.store import CaseHeader, PreparedCase, summarise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that of several processes none is left with a long one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real cases, or a skip that says what is missing."""
    folder = os.environ.get("BRATS3D_TEST_DATA", "")
    if not folder or not (Path(folder) / "brats").is_dir():
        pytest.skip(f"no real cases: BRATS3D_TEST_DATA is {folder!r}; set it to a folder with brats/<case>/")
    return Path(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Dask scheduler with two worker processes, or a skip that says what is missing."""
    distributed = pytest.importorskip("distributed", reason="needs Dask (extra cluster)")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as started:
        yield started.scheduler_address


@pytest.fixture(scope="session")
def make_prepared() -> Callable[..., PreparedCase]:
    """Make a small case of random intensities and a nested tumour, as preprocessing would."""

    def make(
        case: str = "c0",
        shape: tuple[int, int, int] = (40, 37, 35),
        *,
        kind: type = np.int16,
        labelled: bool = True,
        spacing_mm: float = 1.0,
    ) -> PreparedCase:
        rng = np.random.default_rng(list(case.encode()))
        images = np.zeros((4, *shape), kind)
        for channel, margin in zip(images, (3, 3, 4, 3), strict=True):  # masks differ between modalities
            inside = tuple(slice(margin, n - 5) for n in shape)
            channel[inside] = rng.integers(1, 900, channel[inside].shape) * (1 if kind == np.int16 else 0.37)
        label = np.zeros(shape, np.uint8)
        corner = rng.integers(6, np.array(shape) - 17)
        for value, first, size in ((2, 0, 11), (1, 2, 7), (4, 3, 3)):
            label[tuple(slice(c + first, c + first + size) for c in corner)] = value
        header = CaseHeader(case, Facts(case), ("t1", "t1ce", "t2", "flair"), LABEL_SETS["L17"] if labelled else None)
        grid = Grid(shape, np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0]))
        return summarise(header, images, label if labelled else None, grid, grid)

    return make
