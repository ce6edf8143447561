"""The table of networks: names, options with their defaults and bounds, strides. No framework is imported here.

Three published networks are called "Isensee 2017"; two of them have their own rows. A new network adds an options class,
a row, and a module with a function ``outputs(images, regions, options, layers)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from brats3d.errors import OptionError, check_keys, check_option, check_range, check_whole
from brats3d.geometry import show_per_axis, whole_per_axis

ACTIVATIONS = ("sigmoid", "softmax")
"""What ``probabilities`` makes of the logits: regions that may overlap, or exclusive labels."""


@dataclass(frozen=True)
class Isensee2017Options:
    """Options of `isensee2017` and `isensee2017_paper`.

    Attributes:
        base_filters: maps at full resolution; doubled at every level.
        depth: levels; the stride along an axis is its ``strides`` to the power of (depth − 1).
        segmentation_levels: decoder levels, from full resolution down, whose segmentation maps are added up.
        dropout: share of maps (`isensee2017_paper`: of values) dropped between a level's two convolutions.
        slope: of the leaky ReLU. 0.01 is the paper's; weights of the old Keras code mean 0.3.
        epsilon: instance normalisation divides by sqrt(variance + epsilon).
        kernel_size: voxels of the convolutions along X, Y, Z, or one number for all three; those of 1×1×1 stay as they are.
        strides: factor between two levels along X, Y, Z, or one number for all three.
    """

    base_filters: int = 16
    depth: int = 5
    segmentation_levels: int = 3
    dropout: float = 0.3
    slope: float = 0.01
    epsilon: float = 1e-5
    kernel_size: tuple[int, int, int] = (3, 3, 3)
    strides: tuple[int, int, int] = (2, 2, 2)

    def __post_init__(self) -> None:
        """Refuse options from which no network can be built.

        Raises:
            OptionError: an option is of another type or outside its bounds.
        """
        check_whole("base_filters", self.base_filters, 1)
        check_whole("depth", self.depth, 2)
        check_whole("segmentation_levels", self.segmentation_levels, 1)
        if self.segmentation_levels > self.depth - 1:
            raise OptionError(
                f"segmentation_levels is {self.segmentation_levels}; a network of depth {self.depth} has {self.depth - 1}"
                " decoder levels: expected at most as many."
            )
        check_range("dropout", self.dropout, 0.0, 0.99)
        check_range("slope", self.slope, 0.0, 1.0)
        check_range("epsilon", self.epsilon, 1e-12, 1.0)
        _hold_triples(self)


@dataclass(frozen=True)
class UNet3DOptions:
    """Options of `unet3d`.

    Attributes:
        base_filters: maps of the first convolution; a level's second one has twice as many.
        depth: levels; the stride along an axis is its ``strides`` to the power of (depth − 1).
        normalisation: ``none``, ``batch`` or ``instance``, between convolution and ReLU.
        upsampling: ``nearest`` repeats voxels, ``transposed`` learns a convolution whose kernel and stride are ``strides``.
        epsilon: of the normalisation, if any: it divides by sqrt(variance + epsilon).
        kernel_size: voxels of the convolutions along X, Y, Z, or one number for all three; the last one is 1×1×1.
        strides: factor between two levels along X, Y, Z, or one number for all three.
    """

    base_filters: int = 32
    depth: int = 4
    normalisation: str = "none"
    upsampling: str = "nearest"
    epsilon: float = 1e-5
    kernel_size: tuple[int, int, int] = (3, 3, 3)
    strides: tuple[int, int, int] = (2, 2, 2)

    def __post_init__(self) -> None:
        """Refuse options from which no network can be built.

        Raises:
            OptionError: an option is of another type or outside its bounds.
        """
        check_whole("base_filters", self.base_filters, 1)
        check_whole("depth", self.depth, 2)
        check_option("normalisation", self.normalisation, ("none", "batch", "instance"))
        check_option("upsampling", self.upsampling, ("nearest", "transposed"))
        check_range("epsilon", self.epsilon, 1e-12, 1.0)
        _hold_triples(self)


Options = Isensee2017Options | UNet3DOptions


def _hold_triples(options: Options) -> None:
    for name in ("kernel_size", "strides"):
        object.__setattr__(options, name, whole_per_axis(name, getattr(options, name), 1))


@dataclass(frozen=True)
class NetworkRow:
    """One network of the table.

    Attributes:
        name: what `build_model` and recipes call it.
        module: module in this room with its ``outputs`` function.
        options: class of its options, with their defaults.
        source: where its definition comes from.
    """

    name: str
    module: str
    options: type[Options]
    source: str


NETWORKS: Mapping[str, NetworkRow] = MappingProxyType({
    row.name: row
    for row in (
        NetworkRow("isensee2017", "isensee2017", Isensee2017Options,
                   "Isensee et al. 2017 (arXiv 1802.10508) as ellisdg/3DUnetCNN wrote it in Keras"),
        NetworkRow("isensee2017_paper", "isensee2017_paper", Isensee2017Options,
                   "Isensee et al. 2017 (arXiv 1802.10508) as its authors released it (MIC-DKFZ/BraTS2017)"),
        NetworkRow("unet3d", "unet3d", UNet3DOptions,
                   "Cicek et al. 2016 (arXiv 1606.06650) as ellisdg/3DUnetCNN wrote it in Keras"),
    )
})  # fmt: skip


def network_options(name: str, options: Mapping[str, Any] | None = None) -> Options:
    """Return a network's options, defaults filled in and checked.

    Args:
        name: a name of `NETWORKS`.
        options: those that differ from the defaults.

    Raises:
        OptionError: unknown network, unknown option (suggests the nearest), or a value outside its bounds.
    """
    check_option("network", name, NETWORKS)
    chosen = dict(options or {})
    kind = NETWORKS[name].options
    check_keys(f"network {name}", chosen, [f.name for f in fields(kind)])
    return kind(**chosen)


def held_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return given options as the network holds them, so that one number, a list and a tuple of three compare equal.

    Args:
        name: a name of `NETWORKS`.
        options: some of its options.

    Raises:
        OptionError: as `network_options`.
    """
    held = network_options(name, options)
    return {key: getattr(held, key) for key in options}


def stride(name: str, options: Mapping[str, Any] | None = None) -> tuple[int, int, int]:
    """Return the numbers by which the sizes of a network's input along X, Y, Z must be divisible.

    Args:
        name: a name of `NETWORKS`.
        options: those that differ from the defaults.

    Raises:
        OptionError: as `network_options`.
    """
    chosen = network_options(name, options)
    x, y, z = (factor ** (chosen.depth - 1) for factor in chosen.strides)
    return x, y, z


def check_size(what: str, size: Sequence[int | None], stride: int | Sequence[int]) -> None:
    """Refuse a spatial size that a network cannot take.

    Args:
        what: what has the size, in the user's terms, such as ``patch_size``.
        size: voxels along the three axes; None means any.
        stride: what they must be divisible by, one number per axis or one for all.

    Raises:
        OptionError: names the size, the stride and the next larger size that fits.
    """
    steps = whole_per_axis("stride", stride, 1)
    pairs = list(zip(size, steps, strict=True))
    if any(n is not None and (n < 1 or n % step) for n, step in pairs):
        fits = tuple(None if n is None else max(step, -(-n // step) * step) for n, step in pairs)
        shown = show_per_axis(steps)
        raise OptionError(f"{what} is {tuple(size)}; the network's stride is {shown}, so use for example {fits}.")
