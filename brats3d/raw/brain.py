"""Brain extraction: which voxels of a head are brain.

The built-in method (`brain_atlas`) needs no download. If HD-BET or SynthStrip is installed, its command is used instead.

References:
    Isensee et al., Automated brain extraction of multisequence MRI using artificial neural networks, HBM 40(17), 2019.
    Hoopes et al., SynthStrip: skull-stripping for any brain image, NeuroImage 260, 2022.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from brats3d import images
from brats3d.errors import CaseError, OptionError, check_option, first_line
from brats3d.images import Volume

log = logging.getLogger(__name__)

TIMEOUT_S = 3600
"""A program that takes longer than this for one head is considered hung."""


def _hd_bet(program: str, scan: Path, folder: Path) -> list[tuple[list[str], Path]]:
    stripped = folder / "stripped.nii.gz"
    plain = [program, "-i", str(scan), "-o", str(stripped)]
    return [(plain, stripped), ([*plain, "-device", "cpu"], stripped)]  # it uses a GPU unless told otherwise


def _synthstrip(program: str, scan: Path, folder: Path) -> list[tuple[list[str], Path]]:
    mask = folder / "mask.nii.gz"
    return [([program, "-i", str(scan), "-m", str(mask)], mask)]


PROGRAMS: Mapping[str, tuple[str, Callable[[str, Path, Path], list[tuple[list[str], Path]]]]] = MappingProxyType({
    "hd-bet": ("hd-bet", _hd_bet),
    "synthstrip": ("mri_synthstrip", _synthstrip),
})  # fmt: skip
"""Method → its program on the PATH, and the commands to try in turn with the file that each writes (zero outside the brain)."""

METHODS = ("auto", "atlas", *PROGRAMS)


def choose_method(method: str) -> str:
    """Return the method to use: ``auto`` is the first program that is installed, or the atlas if none is.

    Args:
        method: one of `METHODS`.

    Raises:
        OptionError: there is no such method, or its program is not installed.
    """
    check_option("brain", method, METHODS)
    if method == "auto":
        return next((name for name, (program, _) in PROGRAMS.items() if shutil.which(program)), "atlas")
    if method in PROGRAMS and not shutil.which(PROGRAMS[method][0]):
        program = PROGRAMS[method][0]
        raise OptionError(f"brain is {method!r}, but {program} is not on the PATH; install it, or use 'atlas'.")
    return method


def brain_by_program(method: str, head: Volume) -> np.ndarray:
    """Return the brain mask of an installed program.

    Args:
        method: a key of `PROGRAMS`, whose program is on the PATH.
        head: a scan with skull.

    Returns:
        (X, Y, Z) bool.

    Raises:
        CaseError: the program fails, or finds no brain.
        OptionError: no such method, or its program is not installed.
    """
    method = choose_method(method)
    program, commands = PROGRAMS[method]
    with tempfile.TemporaryDirectory(prefix="brats3d-") as name:
        folder = Path(name)
        scan = folder / "head.nii.gz"
        images.write(scan, np.asarray(head.array, np.float32), head.grid)
        said = "nothing to try"
        for command, result in commands(program, scan, folder):
            said = _call(command)
            if not said and result.is_file():
                return _checked(program, images.read(result), head)
            log.info("%s: %s", " ".join(command), said or f"wrote no {result.name}")
    raise CaseError(f"{program} found no brain ({said or 'it wrote no file'}); check its requirements, or use --brain atlas.")


def _call(command: list[str]) -> str:
    """Run a program and describe what went wrong; empty if nothing did."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return first_line(problem)
    last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
    return f"exit code {done.returncode}: {last}" if done.returncode else ""


def _checked(program: str, found: Volume, head: Volume) -> np.ndarray:
    from scipy import ndimage

    if found.array.shape != head.array.shape:
        raise CaseError(f"{program} wrote a mask of shape {found.array.shape}; expected the head's, {head.array.shape}.")
    brain = ndimage.binary_fill_holes(found.array > 0)
    if not brain.any():
        raise CaseError(f"{program} found no brain: its mask is empty; inspect the scan, or use --brain atlas.")
    return np.asarray(brain)
