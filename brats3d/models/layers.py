"""The stock Keras layers that the networks are made of, each with its own name and seed.

Only stock layers, so that a saved network opens on any machine that has Keras. Logits are computed in float32 under every
precision policy: in float16 or bfloat16 the sum of three segmentation maps would lose the digits the loss needs.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from brats3d.models.networks import Options

Triple = tuple[int, int, int]
POINT: Triple = (1, 1, 1)
"""Kernel that joins the maps of single voxels, and the stride of convolutions that keep the resolution."""


class NamedLayers:
    """Apply layers to tensors; the n-th random layer takes the n-th seed drawn from one.

    Explicit seeds make two networks of one seed equal to the bit, whatever was built before, and put the dropout seeds
    into the saved configuration, where a resumed run finds them.

    Args:
        options: the network's options: kernel size, strides, slope and epsilon.
        seed: of the weights and the dropout.

    Attributes:
        kernel: of the convolutions that see neighbours.
        strides: factor between two levels along each axis.
    """

    def __init__(self, options: Options, seed: int) -> None:
        self.kernel, self.strides = options.kernel_size, options.strides
        self._slope, self._epsilon = getattr(options, "slope", 0.0), options.epsilon
        self._seeds = np.random.default_rng(seed)

    def _seed(self) -> int:
        return int(self._seeds.integers(2**31))

    def conv(self, x: Any, filters: int, kernel: Triple, name: str, strides: Triple = POINT) -> Any:
        """Return a convolution with bias, padding "same", He normal weights."""
        init = keras.initializers.HeNormal(seed=self._seed())
        layer = keras.layers.Conv3D(filters, kernel, strides=strides, padding="same", kernel_initializer=init, name=name)
        return layer(x)

    def conv_logits(self, x: Any, regions: int, name: str) -> Any:
        """Return a 1×1×1 convolution to one map per region, in float32 under every policy."""
        init = keras.initializers.HeNormal(seed=self._seed())
        return keras.layers.Conv3D(regions, 1, padding="same", kernel_initializer=init, name=name, dtype="float32")(x)

    def conv_transposed(self, x: Any, name: str) -> Any:
        """Return a transposed convolution to the next finer level, each voxel to a block, with as many maps as the input."""
        init = keras.initializers.HeNormal(seed=self._seed())
        return keras.layers.Conv3DTranspose(
            x.shape[-1], self.strides, strides=self.strides, kernel_initializer=init, name=name
        )(x)

    def instance_norm(self, x: Any, name: str) -> Any:
        """Return (x − mean) / sqrt(variance + epsilon) per sample and map, with scale and offset."""
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

    def conv_norm_act(self, x: Any, filters: int, kernel: Triple, name: str, strides: Triple = POINT) -> Any:
        """Return convolution, instance normalisation, leaky ReLU: the post-activation block."""
        return self.norm_act(self.conv(x, filters, kernel, f"{name}_conv", strides), name)

    def dropout(self, x: Any, rate: float, name: str) -> Any:
        """Return dropout of single values."""
        return keras.layers.Dropout(rate, seed=self._seed(), name=name)(x)

    def dropout_maps(self, x: Any, rate: float, name: str) -> Any:
        """Return dropout of whole maps."""
        return keras.layers.SpatialDropout3D(rate, seed=self._seed(), name=name)(x)

    def upsample(self, x: Any, name: str) -> Any:
        """Repeat every voxel to the next finer level."""
        return keras.layers.UpSampling3D(self.strides, name=name)(x)

    def max_pool(self, x: Any, name: str) -> Any:
        """Return the maxima of blocks, the next coarser level."""
        return keras.layers.MaxPooling3D(self.strides, name=name)(x)

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
            total = keras.layers.UpSampling3D(self.strides, name=f"seg{level}_up", dtype="float32")(total)
            name = f"seg{level}_sum" if level else "logits"
            total = keras.layers.Add(name=name, dtype="float32")([total, segmentations[level]])
        return total
