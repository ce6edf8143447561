"""How strongly patches are changed: the keys of a recipe's ``[augmentation]``."""

from __future__ import annotations

from dataclasses import dataclass

from brats3d.errors import check_range, check_wholes


@dataclass(frozen=True)
class Augmentation:
    """How strongly patches are changed. A new kind of change adds its strengths here, with defaults that switch it off.

    Attributes:
        flip_axes: spatial axes (0 left–right, 1 front–back, 2 down–up in the stored orientation) mirrored with probability ½.
        intensity_probability: share of a patch's modalities whose intensities are changed.
        shift: a change adds up to ± this many standard deviations.
        scale: a change multiplies by 1 ± up to this.
        gamma: a change raises to a power between 1/(1 + gamma) and 1 + gamma.

    Raises:
        OptionError: a strength of another type, or out of range.
    """

    flip_axes: tuple[int, ...] = (0, 1, 2)
    intensity_probability: float = 0.5
    shift: float = 0.2
    scale: float = 0.2
    gamma: float = 0.3

    def __post_init__(self) -> None:
        check_wholes("flip_axes", self.flip_axes, 0, 2)
        check_range("intensity_probability", self.intensity_probability, 0, 1)
        check_range("shift", self.shift, 0, 5)
        check_range("scale", self.scale, 0, 0.9)
        check_range("gamma", self.gamma, 0, 5)
