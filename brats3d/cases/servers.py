"""The grids on which the challenges' validation servers accept masks: one value per kind, for the table of corpora.

What is known, from the servers' own scripts: in 2021 and 2022 the file only had to be NIfTI; in 2023, and for GoAT in 2024,
shape and qform had to be exactly those of SRI24; in 2024 only the shape was checked, 182×218×182 for post-treatment glioma,
and nothing for MEN-RT; in 2025 nothing was (Sage-Bionetworks-Challenges: brats-dream-challenge-infra
``Docker/validate.py``, brats2023 ``evaluation/lesionwise/validate.py`` and ``validate2024.py``, brats-infra
``evaluation/segmentation/validate.py``). Even where a server does not compare shapes, a mask of another shape than the
reference's cannot be scored. The affine of post-treatment glioma is the one in an early version of ``validate2024.py``. The
scans of 2018 and 2020 have the affine of 2021; what was compared before 2021 is not known.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Rows = tuple[tuple[float, float, float, float], ...]


class ServerGrid(NamedTuple):
    """The grid of a challenge's masks, and which of it is checked.

    Attributes:
        shape: voxels along the three axes; None if each case has its own.
        affine: rows of the (4, 4) affine of the challenge's own files; None if they have several, or it is unknown.
        compared: what a mask is refused for: another ``qform`` (or shape), another ``shape``, or ``nothing``.
    """

    shape: tuple[int, int, int] | None
    affine: Rows | None
    compared: Literal["qform", "shape", "nothing"]


_SRI24_SHAPE = (240, 240, 155)
_SRI24_AFFINE: Rows = ((-1, 0, 0, 0), (0, -1, 0, 239), (0, 0, 1, 0), (0, 0, 0, 1))
_MNI152_AFFINE: Rows = ((-1, 0, 0, 90), (0, 1, 0, -126), (0, 0, 1, -72), (0, 0, 0, 1))

SRI24_EXACTLY = ServerGrid(_SRI24_SHAPE, _SRI24_AFFINE, "qform")
SRI24 = ServerGrid(_SRI24_SHAPE, _SRI24_AFFINE, "shape")
SRI24_OF_ANY_AFFINE = ServerGrid(_SRI24_SHAPE, None, "shape")
SRI24_OR_OWN = ServerGrid(_SRI24_SHAPE, _SRI24_AFFINE, "nothing")
MNI152 = ServerGrid((182, 218, 182), _MNI152_AFFINE, "shape")
OWN = ServerGrid(None, None, "nothing")
