"""The estimate that decides between one pass and the window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brats3d.models import build_model, stride
from brats3d.models.memory import bytes_per_voxel, fits_in_memory

keras = pytest.importorskip("keras")


@pytest.fixture(autouse=True)
def _fresh_session() -> Iterator[None]:
    yield
    keras.utils.clear_session()


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "filters", "measured"),
    [("isensee2017", 16, 456), ("isensee2017", 8, 246), ("isensee2017_paper", 16, 534), ("unet3d", 16, 1152)],
)
def test_the_estimate_is_above_what_was_measured_but_not_far(name: str, filters: int, measured: float) -> None:
    """Measured: peak of a forward pass above the idle process, TensorFlow on a CPU, bytes per voxel."""
    estimate = bytes_per_voxel(build_model(name, base_filters=filters), stride(name))
    assert measured < estimate < 1.8 * measured


@pytest.mark.network
def test_the_estimate_counts_the_voxels_of_flat_patches() -> None:
    """By hand: the largest layer is the concatenation at full resolution, 4 + 4 maps in and 8 out."""
    options = {"base_filters": 4, "depth": 2, "segmentation_levels": 1, "kernel_size": (3, 3, 1), "strides": (2, 2, 1)}
    step = stride("isensee2017", options)
    assert step == (2, 2, 1)
    assert bytes_per_voxel(build_model("isensee2017", **options), step) == pytest.approx(2.5 * 4 * (4 + 4 + 8))


@pytest.mark.network
def test_small_fits_and_huge_does_not() -> None:
    fits = fits_in_memory(build_model("isensee2017", base_filters=2), (16, 16, 16))
    assert fits((16, 16, 16))
    assert not fits((100_000, 10_000, 1_000))
