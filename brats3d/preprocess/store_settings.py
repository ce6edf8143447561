"""What decides a stored case besides its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from brats3d.checks.checked import check_names
from brats3d.errors import check_option
from brats3d.regions import LabelSet, LabelSetLike, find_label_set
from brats3d.store import CODECS


@dataclass(frozen=True)
class StoreSettings:
    """How `build_store` stores a case.

    Attributes:
        label_set: what the labels' values mean, such as L17, or a .toml or .json file with a label set of your own; by default
            decided by names, values and images.
        accept: names of checks, separated by blanks or commas, whose refusals become warnings; each refusal names its check.
        codec: zstd is read twice as fast; gzip can be read by any HDF5.

    Raises:
        OptionError: no label set, check or codec has that name.
    """

    label_set: LabelSetLike | None = None
    accept: Sequence[str] = ()
    codec: Literal["zstd", "gzip"] = "zstd"

    def __post_init__(self) -> None:
        check_names(self.accept)
        check_option("codec", self.codec, CODECS)
        _ = self.coding

    @cached_property
    def coding(self) -> LabelSet | None:
        """The requested label set, or None."""
        return None if self.label_set is None else find_label_set(self.label_set)


@dataclass(frozen=True)
class RawSettings:
    """How `build_raw_store` brings a clinical study to the BraTS grid and stores it.

    Attributes:
        atlas: a T1-weighted head without skull; by default MNI152 as nilearn ships it.
        brain: how the brain is extracted: auto uses HD-BET or SynthStrip if installed, else the atlas.
        accept: names of checks, separated by blanks or commas, whose refusals become warnings; each refusal names its check.
        codec: zstd is read twice as fast; gzip can be read by any HDF5.
        pictures: folder for quality control: a picture of each case before and after, refused ones too, as <case id>.png; none
            by default.

    Raises:
        OptionError: no check or codec has that name.
    """

    atlas: Path | str | None = None
    brain: Literal["auto", "atlas", "hd-bet", "synthstrip"] = "auto"
    accept: Sequence[str] = ()
    codec: Literal["zstd", "gzip"] = "zstd"
    pictures: Path | str | None = None

    def __post_init__(self) -> None:
        check_names(self.accept)
        check_option("codec", self.codec, CODECS)
