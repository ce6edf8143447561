"""Making and writing figures without pyplot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from brats3d.errors import SpaceError, check_option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REGION_COLOURS: Mapping[str, str] = MappingProxyType({"WT": "#56B4E9", "TC": "#F0E442", "ET": "#D55E00"})
"""From a palette that people with any colour vision tell apart; the three also differ in lightness.

References:
    Okabe and Ito, Color universal design, 2002.
"""
SUFFIXES = (".png", ".pdf", ".svg")


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """Return an empty white figure with its own Agg canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path | str, *, dots_per_inch: int = 110) -> None:
    """Write a figure to a file; what has the right name is whole.

    Args:
        figure: any Matplotlib figure.
        path: target, ``.png``, ``.pdf`` or ``.svg``; an existing file is replaced.
        dots_per_inch: resolution of pixel formats.

    Raises:
        OptionError: the name ends in something else.
        SpaceError: the disk is full.
    """
    path = Path(path)
    check_option(f"the suffix of {path.name}", path.suffix.lower(), SUFFIXES)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(temporary, dpi=dots_per_inch, format=path.suffix.lower()[1:])
        os.replace(temporary, path)
    except OSError as problem:
        if problem.errno == 28:
            raise SpaceError(f"{path}: no space left on the disk; a picture needs about 1 MB.") from problem
        raise
    finally:
        temporary.unlink(missing_ok=True)
