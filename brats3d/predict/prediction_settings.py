"""What `predict_cases` writes, and how it runs the model if not as the model's card says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from brats3d.errors import OptionError, check_option, check_range, check_wholes
from brats3d.models import WINDOWS
from brats3d.regions import LabelSet, LabelSetLike, find_label_set


@dataclass(frozen=True)
class PredictionSettings:
    """What is written, and how the model is run; None means as the model's card says.

    Attributes:
        label_set: coding of the masks, such as L17, or a .toml or .json file with one of your own; by default each source's
            own, or the model's if it has none.
        probabilities: write the probabilities too, as float32 in probabilities/<case id>.nii.gz.
        submission: pack the masks of these cases into submission.zip, for a challenge's validation server.
        flips: axes to mirror (0 left–right, 1 front–back, 2 down–up), all combinations of which are averaged; without a number,
            none is mirrored. By default as the model says.
        window: always slide a window over the brain, or only where_needed, if memory does not allow one pass. By default as the
            model says.
        overlap: share of a window that its neighbour also covers, 0 to 0.95. By default as the model says.

    Raises:
        OptionError: no such label set or window, or an impossible number.
    """

    label_set: LabelSetLike | None = None
    probabilities: bool = False
    submission: bool = False
    flips: Sequence[int] | None = None
    window: Literal["where_needed", "always"] | None = None
    overlap: float | None = None

    def __post_init__(self) -> None:
        if self.label_set is not None:
            object.__setattr__(self, "label_set", find_label_set(self.label_set))
        for name in ("probabilities", "submission"):
            check_option(name, getattr(self, name), (False, True))
            object.__setattr__(self, name, bool(getattr(self, name)))
        if self.flips is not None:
            check_wholes("flips", self.flips, 0, 2)
            if len(set(self.flips)) < len(self.flips):
                raise OptionError(f"flips is {tuple(self.flips)!r}; expected different axes out of 0, 1, 2.")
            object.__setattr__(self, "flips", tuple(int(axis) for axis in self.flips))
        if self.window is not None:
            check_option("window", self.window, WINDOWS)
        if self.overlap is not None:
            check_range("overlap", self.overlap, 0.0, 0.95)
            object.__setattr__(self, "overlap", float(self.overlap))

    @property
    def coding(self) -> LabelSet | None:
        """The requested label set."""
        return None if self.label_set is None else find_label_set(self.label_set)

    @property
    def changes(self) -> Mapping[str, Any]:
        """What is changed of the model's `Inference`: field → value."""
        wanted = {"flips": self.flips, "window": self.window, "overlap": self.overlap}
        return {name: value for name, value in wanted.items() if value is not None}
