"""The networks' forward pass against the tables' operations, written again in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from skimage.measure import block_reduce

from brats3d.models import build_model, training_model

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.network


class Twin:
    """The tables' operations in NumPy, in float64, with the weights of a Keras network."""

    def __init__(self, network: keras.Model, strides: tuple[int, int, int]) -> None:
        self.strides = strides
        self.weights = {layer.name: [np.asarray(w, float) for w in layer.get_weights()] for layer in network.layers}

    def conv(self, x: np.ndarray, name: str, down: bool = False) -> np.ndarray:
        kernel, bias = self.weights[name]
        steps = self.strides if down else (1, 1, 1)
        # "same": a size that the stride divides is padded by kernel − stride in all, the larger half at the far end
        total = [max(k - s, 0) for k, s in zip(kernel.shape, steps, strict=False)]
        x = np.pad(x, [*((t // 2, t - t // 2) for t in total), (0, 0)])
        windows = sliding_window_view(x, kernel.shape[:3], axis=(0, 1, 2))[:: steps[0], :: steps[1], :: steps[2]]
        return np.einsum("xyzcijk,ijkcf->xyzf", windows, kernel) + bias

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        scale, offset = self.weights[name]
        return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * scale + offset

    @staticmethod
    def act(x: np.ndarray, slope: float = 0.01) -> np.ndarray:
        return np.where(x > 0, x, slope * x)

    def up(self, x: np.ndarray) -> np.ndarray:
        return np.kron(x, np.ones((*self.strides, 1)))

    def norm_act(self, x: np.ndarray, name: str) -> np.ndarray:
        return self.act(self.norm(x, f"{name}_norm"))

    def block(self, x: np.ndarray, name: str, down: bool = False) -> np.ndarray:
        return self.norm_act(self.conv(x, f"{name}_conv", down), name)

    def isensee2017(self, x: np.ndarray) -> np.ndarray:
        skips = []
        for n in ("enc0", "enc1", "enc2"):
            first = self.block(x, f"{n}_in", n != "enc0")
            x = first + self.block(self.block(first, f"{n}_a"), f"{n}_b")
            skips.append(x)
        maps = []
        for n, skip in [("dec1", skips[1]), ("dec0", skips[0])]:
            x = np.concatenate([skip, self.block(self.up(x), f"{n}_in")], -1)
            x = self.block(self.block(x, f"{n}_a"), f"{n}_b")
            maps.append(self.conv(x, n.replace("dec", "seg")))
        return self.up(maps[0]) + maps[1]

    def isensee2017_paper(self, x: np.ndarray) -> np.ndarray:
        first = self.conv(x, "enc0_in_conv")
        x = self.conv(self.act(self.conv(self.act(first), "enc0_a_conv")), "enc0_b_conv") + first
        skips = [self.act(x)]
        x = self.norm_act(x, "enc0_out")
        for n in ("enc1", "enc2"):
            first = self.conv(x, f"{n}_in_conv", True)
            x = self.conv(self.norm_act(first, f"{n}_a"), f"{n}_a_conv")
            x = self.conv(self.norm_act(x, f"{n}_b"), f"{n}_b_conv") + first
            if n == "enc1":
                x = self.norm_act(x, "enc1_out")
                skips.append(x)
        x = self.block(self.up(self.norm_act(x, "dec1_below")), "dec1_in")
        x = self.block(x, "dec1_extra")
        ds1 = self.block(np.concatenate([skips[1], x], -1), "dec1_a")
        x = self.norm_act(self.conv(ds1, "dec1_b_conv"), "dec0_below")
        x = self.block(self.up(x), "dec0_in")
        x = self.block(np.concatenate([skips[0], x], -1), "dec0_a")
        return self.up(self.conv(ds1, "seg1")) + self.conv(x, "seg0")

    def unet3d(self, x: np.ndarray) -> np.ndarray:
        skips = []
        for i in range(3):
            if i:
                x = block_reduce(x, (*self.strides, 1), np.max)
            for part in "ab":
                x = self.act(self.conv(x, f"enc{i}_{part}_conv"), 0.0)
            skips.append(x)
        for i in (1, 0):
            x = np.concatenate([self.up(x), skips[i]], -1)
            for part in "ab":
                x = self.act(self.conv(x, f"dec{i}_{part}_conv"), 0.0)
        return self.conv(x, "logits")


@pytest.mark.parametrize("axes", [{}, {"kernel_size": (3, 5, 1), "strides": (2, 3, 1)}])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("isensee2017", {"depth": 3, "segmentation_levels": 2, "base_filters": 2}),
        ("isensee2017_paper", {"depth": 3, "segmentation_levels": 2, "base_filters": 2}),
        ("unet3d", {"depth": 3, "base_filters": 2}),
    ],
)
def test_forward_pass_is_numpys(name: str, options: dict[str, Any], axes: dict[str, Any]) -> None:
    network = build_model(name, seed=3, **options, **axes)
    rng = np.random.default_rng(0)
    # Scales, offsets and biases start as ones and zeros, which would hide a missing one.
    network.set_weights([w + rng.normal(0, 0.1, w.shape) for w in network.get_weights()])
    images = rng.normal(size=(1, 16, 36, 8, 4)).astype(np.float32)
    logits = getattr(Twin(network, axes.get("strides", (2, 2, 2))), name)(images[0].astype(float))
    np.testing.assert_allclose(np.asarray(training_model(network)(images))[0], logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.asarray(network(images))[0], 1 / (1 + np.exp(-logits)), atol=1e-5)
