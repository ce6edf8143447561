"""The plain 3-D U-Net: two convolutions per level, max pooling, no residuals, no dropout.

Sources: Çiçek et al., arXiv 1606.06650; ellisdg/3DUnetCNN (Keras era), ``unet.py``. Different from that code: He normal
weights.
"""

from __future__ import annotations

from typing import Any

from brats3d.models.layers import NamedLayers
from brats3d.models.networks import UNet3DOptions


def outputs(images: Any, regions: int, options: UNet3DOptions, layers: NamedLayers) -> Any:
    """Return the logits of `unet3d`.

    Args:
        images: input tensor (batch, X, Y, Z, M).
        regions: number of output maps.
        options: the network's options.
        layers: what makes layers.

    Returns:
        Output of the layer ``logits``, (batch, X, Y, Z, regions).
    """
    skips, x = [], images
    for level in range(options.depth):
        if level:
            x = layers.max_pool(x, f"enc{level}_pool")
        filters = options.base_filters * 2**level
        x = _conv(x, filters, f"enc{level}_a", options.normalisation, layers)
        x = _conv(x, 2 * filters, f"enc{level}_b", options.normalisation, layers)
        skips.append(x)
    for level in reversed(range(options.depth - 1)):
        up = layers.conv_transposed if options.upsampling == "transposed" else layers.upsample
        x = layers.concat(up(x, f"dec{level}_up"), skips[level], f"dec{level}_concat")
        filters = 2 * options.base_filters * 2**level
        x = _conv(x, filters, f"dec{level}_a", options.normalisation, layers)
        x = _conv(x, filters, f"dec{level}_b", options.normalisation, layers)
    return layers.conv_logits(x, regions, "logits")


def _conv(x: Any, filters: int, name: str, normalisation: str, layers: NamedLayers) -> Any:
    """Convolution, normalisation if any, ReLU."""
    x = layers.conv(x, filters, layers.kernel, f"{name}_conv")
    if normalisation != "none":
        normalise = layers.batch_norm if normalisation == "batch" else layers.instance_norm
        x = normalise(x, f"{name}_norm")
    return layers.relu(x, f"{name}_act")
