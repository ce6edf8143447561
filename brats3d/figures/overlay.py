"""A case in three planes, or several cases in rows: images in grey, prediction filled, reference outlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from brats3d.errors import ArrayError, check_option, check_shapes_equal
from brats3d.figures.canvas import new_figure, region_colours
from brats3d.figures.masks import fill, outline
from brats3d.figures.planes import PLANES, Plane, brain_box, slice_centre, window
from brats3d.geometry import Box, box_slices
from brats3d.regions import REGIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = 3.2
"""The longer side of the largest panel, in inches."""
MARGIN = 0.05
"""Room for letters around the brain, as a share of that side."""


@dataclass(frozen=True, eq=False)
class CasePicture:
    """What is drawn for one case; volumes are (X, Y, Z) in the stored orientation L, P, S.

    Attributes:
        case: its id, the heading.
        images: displayed name → (X, Y, Z) image, any numeric type.
        reference: (R, X, Y, Z) bool masks of the regions, or None.
        prediction: the same, or None.
        spacing_mm: distance between voxels along the three axes.
        dice: region → Dice, shown as given.
        regions: what the R masks are, inner regions after outer ones.
    """

    case: str
    images: Mapping[str, np.ndarray]
    reference: np.ndarray | None = None
    prediction: np.ndarray | None = None
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    dice: Mapping[str, float] = field(default_factory=dict)
    regions: Sequence[str] = REGIONS

    def check(self) -> None:
        """Refuse volumes that do not fit together.

        Raises:
            ArrayError: there are no images, a side does not have three masks, or shapes differ.
        """
        if not self.images:
            raise ArrayError(f"{self.case}: there are no images to draw; expected at least one.")
        shapes = {name: image.shape for name, image in self.images.items()}
        for name in ("reference", "prediction"):
            masks = getattr(self, name)
            if masks is not None and len(masks) != len(self.regions):
                raise ArrayError(f"{self.case}: {name} has {len(masks)} masks; expected {', '.join(self.regions)}.")
            if masks is not None:
                shapes[name] = masks.shape[1:]
        check_shapes_equal(**shapes)

    @cached_property
    def box(self) -> Box:
        """The part of the volume that is shown: the box of the brain over all images."""
        return brain_box(list(self.images.values()))

    @property
    def size_mm(self) -> np.ndarray:
        """The size of the brain's box along the three axes."""
        size: np.ndarray = (self.box[:, 1] - self.box[:, 0]) * np.array(self.spacing_mm)
        return size

    @cached_property
    def centre(self) -> tuple[int, int, int]:
        """Where the case is cut: in the reference's tumour, otherwise the prediction's, otherwise mid-volume."""
        whole = [None if masks is None else masks[0] for masks in (self.reference, self.prediction)]
        x, y, z = next(iter(self.images.values())).shape
        return slice_centre(*whole) or (x // 2, y // 2, z // 2)

    @property
    def heading(self) -> str:
        """The case's id and its Dice, as in ``case   Dice WT 0.91  TC 0.80  ET 0.76``."""
        scores = "  ".join(f"{region} {value:.2f}" for region, value in self.dice.items())
        return f"{self.case}    Dice {scores}" if scores else self.case


def overlay_figure(picture: CasePicture) -> Figure:
    """Draw one case: one row per image; axial, coronal and sagittal slices through the tumour's centre.

    Radiological convention: the patient's right is at the left of axial and coronal slices; letters at the edges say so.
    The prediction is filled, the reference outlined.

    Args:
        picture: the case.

    Returns:
        A new figure; `save` writes it.

    Raises:
        ArrayError: there are no images, or shapes differ.
    """
    picture.check()
    planes = list(PLANES.values())
    rows = [[(name, plane) for plane in planes] for name in picture.images]
    figure, panels = _grid([picture] * len(rows), rows)
    for axes, (name, plane) in panels:
        _draw(axes, picture, name, plane)
    for axes, plane in zip([axes for axes, _ in panels], planes, strict=False):
        axes.set_title(plane.name, fontsize=10)
    figure.suptitle(picture.heading, fontsize=12, y=1 - 0.12 / figure.get_figheight(), va="top")
    _legend(figure, [picture])
    return figure


def cohort_figure(pictures: Sequence[CasePicture], *, plane: str = "axial") -> Figure:
    """Draw several cases, one row per case and one column per image, cut through each tumour's centre.

    Args:
        pictures: the cases; all with the same image names.
        plane: axial, coronal or sagittal.

    Returns:
        A new figure; `save` writes it.

    Raises:
        ArrayError: there are no cases or no images, the cases' image names differ, or shapes within a case differ.
        OptionError: the plane is none of the three.
    """
    if not pictures:
        raise ArrayError(f"found {len(pictures)} cases to draw; expected at least one.")
    names = list(pictures[0].images)
    for picture in pictures:
        picture.check()
        if list(picture.images) != names:
            raise ArrayError(f"{picture.case} has the images {list(picture.images)}; expected {names} as in the first case.")
    check_option("plane", plane, PLANES)
    rows = [[(name, PLANES[plane]) for name in names] for _ in pictures]
    figure, panels = _grid(pictures, rows, heading_inches=0.3)
    for position, (axes, (name, cut)) in enumerate(panels):
        picture = pictures[position // len(names)]
        _draw(axes, picture, name, cut)
        if position % len(names) == 0:
            axes.set_title(picture.heading, fontsize=9, loc="left")
    _legend(figure, list(pictures))
    return figure


def _grid(
    pictures: Sequence[CasePicture], rows: list[list[tuple[str, Plane]]], heading_inches: float = 0.0
) -> tuple[Figure, list[tuple[Axes, tuple[str, Plane]]]]:
    """Return a figure with the same scale in every panel, and its panels with what they show."""
    sizes = np.array(
        [[p.size_mm[[plane.columns, plane.rows]] for _, plane in row] for p, row in zip(pictures, rows, strict=True)]
    )
    inches_per_mm = PANEL_INCHES / sizes.max()
    widths, heights = (sizes.max(axis)[:, axis] * inches_per_mm + 2 * MARGIN * PANEL_INCHES for axis in (0, 1))
    gap, top, bottom = 0.06, 0.62, 0.5
    if heading_inches:
        top = 0.12
    pitch = heights + gap + heading_inches
    total_width, total_height = widths.sum() + gap * (len(widths) + 1), pitch.sum() + top + bottom
    figure = new_figure(total_width, total_height)
    panels = []
    for i, row in enumerate(rows):
        for j, shown in enumerate(row):
            left = gap * (j + 1) + widths[:j].sum()
            below = total_height - top - pitch[:i].sum() - heading_inches - heights[i]
            place = (left / total_width, below / total_height, widths[j] / total_width, heights[i] / total_height)
            axes = figure.add_axes(place)
            # fixed limits: the slice is centred in its panel, and a panel wider than its slice is black beside it
            middle = pictures[i].size_mm[[shown[1].columns, shown[1].rows]] / 2
            half = np.array([widths[j], heights[i]]) / inches_per_mm / 2
            axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
            axes.set_ylim(middle[1] + half[1], middle[1] - half[1])
            panels.append((axes, shown))
    return figure, panels


def _draw(axes: Axes, picture: CasePicture, name: str, plane: Plane) -> None:
    """Draw one slice of one image with its masks and letters."""
    from matplotlib.patheffects import withStroke

    first, end = picture.box[plane.axis]
    index = min(max(picture.centre[plane.axis], int(first)), int(end) - 1) - int(first)
    width, height = (float(n) for n in picture.size_mm[[plane.columns, plane.rows]])

    def cut(volume: np.ndarray) -> np.ndarray:
        return plane.picture(volume[box_slices(picture.box)], index)

    low, high = window(picture.images[name])
    style: dict[str, Any] = {"extent": (0, width, height, 0), "interpolation": "nearest"}
    axes.set_facecolor("black")
    axes.imshow(cut(picture.images[name]), cmap="gray", vmin=low, vmax=high, **style)
    if picture.prediction is not None:
        axes.imshow(
            fill({region: cut(mask) for region, mask in zip(picture.regions, picture.prediction, strict=True)}), **style
        )
    if picture.reference is not None:
        colours = region_colours(picture.regions)
        for region, mask in zip(picture.regions, picture.reference, strict=True):
            outline(axes, cut(mask), (width, height), colours[region])
    axes.set_xticks([])
    axes.set_yticks([])
    halo = [withStroke(linewidth=2, foreground="black")]
    text: dict[str, Any] = {"color": "white", "fontsize": 9, "transform": axes.transAxes, "path_effects": halo}
    for letter, (x, y), (across, along) in zip(plane.letters, _EDGES, _ALIGNMENT, strict=True):
        axes.text(x, y, letter, ha=across, va=along, **text)
    axes.text(0.02, 0.02, name, ha="left", va="bottom", **text)


_EDGES = ((0.015, 0.5), (0.985, 0.5), (0.5, 0.985), (0.5, 0.015))
_ALIGNMENT = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
"""Positions of `Plane.letters` in a panel, and their alignment."""


def _legend(figure: Figure, pictures: list[CasePicture]) -> None:
    """Put the legend along the lower edge."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    regions = dict.fromkeys(region for picture in pictures for region in picture.regions)
    for region, colour in region_colours(regions).items():
        if any(p.prediction is not None for p in pictures):
            handles.append(Patch(color=colour, alpha=0.8, label=f"{region} prediction"))
        if any(p.reference is not None for p in pictures):
            handles.append(Line2D([], [], color=colour, linewidth=2, label=f"{region} reference"))
    if handles:
        edge = (0.5, 0.04 / figure.get_figheight())
        figure.legend(handles=handles, ncols=len(regions), fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=edge)
