"""The stock Keras layers that the networks are made of, each with a name and a seed of its own.

Only stock layers, so that a saved network opens on any machine that has Keras. Logits are computed in float32 under every
precision policy: in float16 or bfloat16 the sum of three segmentation maps would lose the digits the loss needs.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class NamedLayers:
    """Apply layers to tensors; the n-th random layer takes the n-th seed drawn from one.

    Explicit seeds make two networks of one seed equal to the bit, whatever was built before, and put the dropout seeds
    into the saved configuration, where a resumed run finds them.

    Args:
        slope: of the leaky ReLU.
        epsilon: normalisation divides by sqrt(variance + epsilon).
        seed: of the weights and the dropout.
    """

    def __init__(self, *, slope: float, epsilon: float, seed: int) -> None:
        self._slope, self._epsilon = slope, epsilon
        self._seeds = np.random.default_rng(seed)

    def _seed(self) -> int:
        return int(self._seeds.integers(2**31))

    def conv(self, x: Any, filters: int, kernel: int, name: str, stride: int = 1) -> Any:
        """Return a convolution with bias, padding "same", He normal weights."""
        init = keras.initializers.HeNormal(seed=self._seed())
        layer = keras.layers.Conv3D(filters, kernel, strides=stride, padding="same", kernel_initializer=init, name=name)
        return layer(x)

    def conv_logits(self, x: Any, regions: int, name: str) -> Any:
        """Return a 1×1×1 convolution to one map a region, in float32 under every policy."""
        init = keras.initializers.HeNormal(seed=self._seed())
        return keras.layers.Conv3D(regions, 1, padding="same", kernel_initializer=init, name=name, dtype="float32")(x)

    def conv_transposed(self, x: Any, name: str) -> Any:
        """Return a transposed 2×2×2 convolution with stride 2 and as many maps as came in."""
        init = keras.initializers.HeNormal(seed=self._seed())
        return keras.layers.Conv3DTranspose(x.shape[-1], 2, strides=2, kernel_initializer=init, name=name)(x)

    def instance_norm(self, x: Any, name: str) -> Any:
        """Return (x − mean) / sqrt(variance + epsilon) a sample and map, with scale and offset."""
        return keras.layers.GroupNormalization(groups=-1, epsilon=self._epsilon, name=name)(x)

    def batch_norm(self, x: Any, name: str) -> Any:
        """Return batch normalisation with scale and offset."""
        return keras.layers.BatchNormalization(epsilon=self._epsilon, name=name)(x)

    def leaky_relu(self, x: Any, name: str) -> Any:
        """Return x where positive, slope · x elsewhere."""
        return keras.layers.LeakyReLU(negative_slope=self._slope, name=name)(x)

    def relu(self, x: Any, name: str) -> Any:
        """Return x where positive, 0 elsewhere."""
        return keras.layers.ReLU(name=name)(x)

    def norm_act(self, x: Any, name: str) -> Any:
        """Return instance normalisation, then leaky ReLU."""
        return self.leaky_relu(self.instance_norm(x, f"{name}_norm"), f"{name}_act")

    def conv_norm_act(self, x: Any, filters: int, kernel: int, name: str, stride: int = 1) -> Any:
        """Return convolution, instance normalisation, leaky ReLU: the post-activation block."""
        return self.norm_act(self.conv(x, filters, kernel, f"{name}_conv", stride), name)

    def dropout(self, x: Any, rate: float, name: str) -> Any:
        """Return dropout of single values."""
        return keras.layers.Dropout(rate, seed=self._seed(), name=name)(x)

    def dropout_maps(self, x: Any, rate: float, name: str) -> Any:
        """Return dropout of whole maps."""
        return keras.layers.SpatialDropout3D(rate, seed=self._seed(), name=name)(x)

    def upsample(self, x: Any, name: str) -> Any:
        """Repeat every voxel twice along each axis."""
        return keras.layers.UpSampling3D(2, name=name)(x)

    def max_pool(self, x: Any, name: str) -> Any:
        """Return the maximum of 2×2×2 blocks."""
        return keras.layers.MaxPooling3D(2, name=name)(x)

    def concat(self, first: Any, second: Any, name: str) -> Any:
        """Join two tensors' maps, the first one's first."""
        return keras.layers.Concatenate(name=name)([first, second])

    def add(self, first: Any, second: Any, name: str) -> Any:
        """Add two tensors."""
        return keras.layers.Add(name=name)([first, second])

    def sum_logits(self, segmentations: list[Any]) -> Any:
        """Add up segmentation maps from the coarsest to full resolution, each sum upsampled to the next, in float32.

        Args:
            segmentations: outputs of `conv_logits`, full resolution first. A single one must be named ``logits``.

        Returns:
            The output of the layer ``logits``.
        """
        total = segmentations[-1]
        for level in reversed(range(len(segmentations) - 1)):
            total = keras.layers.UpSampling3D(2, name=f"seg{level}_up", dtype="float32")(total)
            name = f"seg{level}_sum" if level else "logits"
            total = keras.layers.Add(name=name, dtype="float32")([total, segmentations[level]])
        return total
