"""Isensee 2017 as its authors released it: pre-activation blocks, localisation 3×3×3 from 2F to 2F, then 1×1×1 to F.

Sources: Isensee et al., arXiv 1802.10508; MIC-DKFZ/BraTS2017, ``network_architecture.py``. Different from that code: region
outputs with a sigmoid instead of a softmax over labels, one scale and offset per map in the normalisation (there: a separate
one for every position in the batch, by accident), and Keras' padding of strided convolutions.
"""

from __future__ import annotations

from typing import Any

from brats3d.models.layers import POINT, NamedLayers
from brats3d.models.networks import Isensee2017Options


def outputs(images: Any, regions: int, options: Isensee2017Options, layers: NamedLayers) -> Any:
    """Return the logits of `isensee2017_paper`.

    Args:
        images: input tensor (batch, X, Y, Z, M).
        regions: number of output maps.
        options: the network's options.
        layers: what makes layers.

    Returns:
        Output of the layer ``logits``, (batch, X, Y, Z, regions).
    """
    filters = [options.base_filters * 2**level for level in range(options.depth)]
    x, skip = _first_level(images, filters[0], options.dropout, layers)
    skips = [skip]
    for level in range(1, options.depth):
        x = _context(x, filters[level], level, options.dropout, layers)
        if level < options.depth - 1:
            x = layers.norm_act(x, f"enc{level}_out")
            skips.append(x)
    segmentations: list[Any] = []
    for level in reversed(range(options.depth - 1)):
        x = _upsample(x, filters[level], f"dec{level}", layers)
        if level == options.depth - 2:
            x = layers.conv_norm_act(x, filters[level], POINT, f"dec{level}_extra")
        x = layers.concat(skips[level], x, f"dec{level}_concat")
        x = layers.conv_norm_act(x, 2 * filters[level], layers.kernel, f"dec{level}_a")
        if level < options.segmentation_levels:
            name = "logits" if options.segmentation_levels == 1 else f"seg{level}"
            segmentations.insert(0, layers.conv_logits(x, regions, name))
        if level:
            x = layers.conv(x, filters[level], POINT, f"dec{level}_b_conv")
    return layers.sum_logits(segmentations)


def _first_level(images: Any, filters: int, dropout: float, layers: NamedLayers) -> tuple[Any, Any]:
    """Full resolution: nothing is normalised before the sum, and the skip not at all. Returns (next level's input, skip)."""
    start = layers.conv(images, filters, layers.kernel, "enc0_in_conv")
    x = layers.conv(layers.leaky_relu(start, "enc0_a_act"), filters, layers.kernel, "enc0_a_conv")
    x = layers.dropout(x, dropout, "enc0_dropout")
    x = layers.conv(layers.leaky_relu(x, "enc0_b_act"), filters, layers.kernel, "enc0_b_conv")
    x = layers.add(start, x, "enc0_add")
    return layers.norm_act(x, "enc0_out"), layers.leaky_relu(x, "enc0_skip_act")


def _context(x: Any, filters: int, level: int, dropout: float, layers: NamedLayers) -> Any:
    """One encoder level: strided convolution, then a residual of two pre-activated ones that starts right after it."""
    name = f"enc{level}"
    start = layers.conv(x, filters, layers.kernel, f"{name}_in_conv", layers.strides)
    x = layers.conv(layers.norm_act(start, f"{name}_a"), filters, layers.kernel, f"{name}_a_conv")
    x = layers.dropout(x, dropout, f"{name}_dropout")
    x = layers.conv(layers.norm_act(x, f"{name}_b"), filters, layers.kernel, f"{name}_b_conv")
    return layers.add(start, x, f"{name}_add")


def _upsample(x: Any, filters: int, name: str, layers: NamedLayers) -> Any:
    """Normalise and activate the input, upsample, halve the maps, normalise and activate."""
    x = layers.norm_act(x, f"{name}_below")
    return layers.conv_norm_act(layers.upsample(x, f"{name}_up"), filters, layers.kernel, f"{name}_in")
