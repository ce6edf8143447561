"""Isensee 2017 as users of the old Keras code know it: post-activation blocks, localisation 3×3×3 from 2F to F.

Sources: Isensee et al., arXiv 1802.10508; ellisdg/3DUnetCNN (Keras era), ``isensee2017.py``. Different from that code: leaky
ReLU of slope 0.01 as in the paper, He normal weights, and instance normalisation by sqrt(variance + epsilon).
"""

from __future__ import annotations

from typing import Any

from brats3d.models.layers import POINT, NamedLayers
from brats3d.models.networks import Isensee2017Options


def outputs(images: Any, regions: int, options: Isensee2017Options, layers: NamedLayers) -> Any:
    """Return the logits of `isensee2017`.

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
        x = _context(x, options.base_filters * 2**level, level, options.dropout, layers)
        skips.append(x)
    segmentations: list[Any] = []
    for level in reversed(range(options.depth - 1)):
        x = _localise(x, skips[level], options.base_filters * 2**level, level, layers)
        if level < options.segmentation_levels:
            name = "logits" if options.segmentation_levels == 1 else f"seg{level}"
            segmentations.insert(0, layers.conv_logits(x, regions, name))
    return layers.sum_logits(segmentations)


def _context(x: Any, filters: int, level: int, dropout: float, layers: NamedLayers) -> Any:
    """One encoder level: strided block, then a residual of two blocks that starts after its activation."""
    name = f"enc{level}"
    start = layers.conv_norm_act(x, filters, layers.kernel, f"{name}_in", layers.strides if level else POINT)
    x = layers.conv_norm_act(start, filters, layers.kernel, f"{name}_a")
    x = layers.dropout_maps(x, dropout, f"{name}_dropout")
    x = layers.conv_norm_act(x, filters, layers.kernel, f"{name}_b")
    return layers.add(start, x, f"{name}_add")


def _localise(x: Any, skip: Any, filters: int, level: int, layers: NamedLayers) -> Any:
    """One decoder level: upsample and halve the maps, join (skip, upsampled), then 3×3×3 and 1×1×1 blocks."""
    name = f"dec{level}"
    x = layers.conv_norm_act(layers.upsample(x, f"{name}_up"), filters, layers.kernel, f"{name}_in")
    x = layers.concat(skip, x, f"{name}_concat")
    x = layers.conv_norm_act(x, filters, layers.kernel, f"{name}_a")
    return layers.conv_norm_act(x, filters, POINT, f"{name}_b")
