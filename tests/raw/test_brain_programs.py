"""Programs for brain extraction on the PATH: found, called, and what they do wrong; small scripts stand in for them."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from brats3d.errors import CaseError, OptionError
from brats3d.geometry import Grid
from brats3d.images import Volume
from brats3d.raw import brain_by_program, choose_method

GRID = Grid((9, 8, 7), np.diag([-1.0, -1, 1, 1]))
STRIP = """
import sys, nibabel, numpy
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = nibabel.load(given["-i"])
array = numpy.asanyarray(image.dataobj)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(name: str, code: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\n{STRIP}{code}")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)

    return install


@pytest.fixture
def head() -> Volume:
    return Volume(np.random.default_rng(0).uniform(1, 9, GRID.shape).astype(np.float32), GRID)


def test_auto_takes_what_is_installed(program: object) -> None:
    assert choose_method("auto") == "atlas"
    program("mri_synthstrip", "")  # type: ignore[operator]
    assert choose_method("auto") == "synthstrip"
    program("hd-bet", "")  # type: ignore[operator]
    assert (choose_method("auto"), choose_method("atlas")) == ("hd-bet", "atlas")


def test_what_is_not_there_is_refused(program: object) -> None:
    with pytest.raises(OptionError, match="'synthstrip', .*mri_synthstrip .* 'atlas'"):
        choose_method("synthstrip")
    with pytest.raises(OptionError, match=r"brain is 'bet' .*'hd-bet'.*auto, atlas, hd-bet"):
        choose_method("bet")


@pytest.mark.parametrize(
    ("method", "name", "code"),
    [
        ("hd-bet", "hd-bet", "array[:3] = 0; array[5, 4, 3] = 0\n"
         "nibabel.save(image.__class__(array, image.affine), given['-o'])"),
        ("hd-bet", "hd-bet", "assert given.get('-device') == 'cpu', 'no GPU'; array[:3] = 0\n"
         "nibabel.save(image.__class__(array, image.affine), given['-o'])"),
        ("synthstrip", "mri_synthstrip", "m = (array > 0).astype('uint8'); m[:3] = 0; m[5, 4, 3] = 0\n"
         "nibabel.save(nibabel.Nifti1Image(m, image.affine), given['-m'])"),
    ],
)  # fmt: skip
def test_a_program_is_called_and_its_mask_is_filled(program: object, head: Volume, method: str, name: str, code: str) -> None:
    program(name, code)  # type: ignore[operator]
    brain = brain_by_program(method, head)
    expected = np.ones(GRID.shape, bool)
    expected[:3] = False
    np.testing.assert_array_equal(brain, expected)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit('out of memory')", "mri_synthstrip found no brain .*exit code 1: out of memory.*use --brain atlas"),
        ("pass", "it wrote no file"),
        ("nibabel.save(nibabel.Nifti1Image(array[:4], image.affine), given['-m'])", r"shape \(4, 8, 7\); expected"),
        ("nibabel.save(nibabel.Nifti1Image(array * 0, image.affine), given['-m'])", "its mask is empty"),
    ],
)
def test_a_program_that_fails_is_named(program: object, head: Volume, code: str, said: str) -> None:
    program("mri_synthstrip", code)  # type: ignore[operator]
    with pytest.raises(CaseError, match=said):
        brain_by_program("synthstrip", head)
