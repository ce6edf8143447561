"""Damaged files, more than three hundred: each is read correctly or refused with a sentence, and harms nobody.

The files are read in a process of their own with little memory and little time, by this very file. What it could read is
read again by somebody else: Python's gzip and nibabel, or SimpleITK.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import damage
import nibabel as nib
import numpy as np
import pytest
from stored_content import stored_content

from brats3d import images
from brats3d.parallel import Sharing
from brats3d.phantom import write_cohort
from brats3d.preprocess import build_store
from brats3d.store import describe_store

SHAPE = (24, 21, 18)
AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 20], [0, 0, 1, 0], [0, 0, 0, 1]])
SECONDS_A_FILE = 5
MEMORY = 1 << 30
"""Bytes that reading may ask for, beyond what the process has after its imports."""


def digest(array: np.ndarray, affine: np.ndarray) -> list[Any]:
    """Return what tells two volumes apart, whatever their order in memory."""
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    return [
        list(array.shape),
        str(native.dtype),
        hashlib.sha256(native.tobytes()).hexdigest(),
        np.asarray(affine, float).tolist(),
    ]


def read_all(folder: Path) -> None:
    """Read every file of a folder with little memory, and print what became of each as one line of JSON."""
    from brats3d import images
    from brats3d.errors import ImageError

    images.read(min(folder.iterdir()))  # so that all is imported
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    for path in sorted(folder.iterdir()):
        start = time.process_time()
        try:
            volume = images.read(path)
            answer: dict[str, Any] = {"read": digest(volume.array, volume.grid.affine)}
            del volume
        except ImageError as problem:
            answer = {"refused": str(problem)}
        except BaseException as problem:
            answer = {"crashed": f"{type(problem).__name__}: {problem}"}
        print(json.dumps({"name": path.name, "seconds": time.process_time() - start, **answer}), flush=True)


def outcomes(folder: Path) -> dict[str, dict[str, Any]]:
    """Have a folder read by a process of its own; the first file is sound."""
    done = subprocess.run([sys.executable, __file__, str(folder)], capture_output=True, text=True, timeout=300, check=False)
    answers = {answer["name"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    last = max(answers, default="none")
    assert done.returncode == 0, f"the reader died after {last}: {done.stderr[-2000:]}"
    assert set(answers) == {path.name for path in folder.iterdir()}
    return answers


def check(folder: Path, answers: Mapping[str, dict[str, Any]], read_by_another: Any) -> Counter[str]:
    """Compare every answer with what somebody else reads; returns how many were read and refused."""
    seen: Counter[str] = Counter()
    for name, answer in answers.items():
        assert "crashed" not in answer, answer
        assert answer["seconds"] < SECONDS_A_FILE, answer
        seen["read" if "read" in answer else "refused"] += 1
        if "read" in answer:
            expected = read_by_another(folder / name)
            assert answer["read"][:3] == expected[:3], name
            np.testing.assert_allclose(answer["read"][3], expected[3], rtol=1e-6, atol=1e-6, err_msg=name)
        else:
            sentence = answer["refused"]
            assert sentence.startswith(f"{folder / name}: "), sentence
            assert sentence.endswith("."), sentence
            assert "\n" not in sentence
            assert len(sentence) < 500
    return seen


def by_nibabel(path: Path) -> list[Any]:
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        content = gzip.decompress(content)  # compares the checksum of the whole
    image = nib.Nifti1Image.from_bytes(content)
    array = np.asanyarray(image.dataobj)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    assert len(content) == image.dataobj.offset + image.get_data_dtype().itemsize * array.size
    return digest(array, image.affine)


def by_simpleitk(path: Path) -> list[Any]:
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return digest(np.transpose(SimpleITK.GetArrayFromImage(image)), np.diag([-1.0, -1, 1, 1]) @ affine)


def scan() -> np.ndarray:
    array = np.zeros(SHAPE, np.int16)
    array[2:-3, 3:-2, 1:-4] = np.random.default_rng(5).integers(1, 1500, array[2:-3, 3:-2, 1:-4].shape)
    return array


def nifti(array: np.ndarray, order: str = "<") -> bytes:
    image = nib.Nifti1Image(array, AFFINE, nib.Nifti1Header(endianness=order))
    image.header.set_data_dtype(array.dtype)
    return image.to_bytes()


def fill(folder: Path, kinds: Mapping[str, damage.Damage], content: bytes, suffix: str, count: int, seed: int) -> None:
    """Write files with each kind of damage; damage to a NIfTI's content is packed where the suffix says so."""
    folder.mkdir(exist_ok=True)
    (folder / f"000 sound{suffix}").write_bytes(damage.packed(content) if pack(kinds, suffix) else content)
    for number in range(count):
        for kind, change in kinds.items():
            rng = np.random.default_rng([seed, number, *kind.encode()])
            changed = change(content, rng)
            if changed:
                name = f"{kind} {number}{suffix}"
                (folder / name).write_bytes(damage.packed(changed) if pack(kinds, suffix) else changed)


def pack(kinds: Mapping[str, damage.Damage], suffix: str) -> bool:
    return kinds is damage.PLAIN and suffix.endswith(".gz")


@pytest.mark.parametrize(
    ("kinds", "suffix", "count", "least"),
    [
        (damage.PLAIN, ".nii.gz", 12, {"read": 20, "refused": 60}),
        (damage.PLAIN, ".nii", 6, {"read": 10, "refused": 30}),
        (damage.PACKED, ".nii.gz", 12, {"read": 1, "refused": 70}),
    ],
    ids=["content packed", "content", "gzip"],
)
def test_a_damaged_nifti_is_read_as_it_is_or_refused(
    tmp_path: Path, kinds: dict, suffix: str, count: int, least: dict[str, int]
) -> None:
    content = nifti(scan())
    fill(tmp_path / "f", kinds, damage.packed(content) if kinds is damage.PACKED else content, suffix, count, 1)
    seen = check(tmp_path / "f", outcomes(tmp_path / "f"), by_nibabel)
    assert seen["read"] >= least["read"]
    assert seen["refused"] >= least["refused"]


def test_a_damaged_metaimage_is_read_as_it_is_or_refused(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK", reason="needs SimpleITK (extra raw) to write a .mha")
    for packed in (True, False):
        image = itk.GetImageFromArray(np.transpose(scan()))
        image.SetOrigin((-12.5, 3.0, 8.0))
        itk.WriteImage(image, str(tmp_path / "sound.mha"), useCompression=packed)
        content = (tmp_path / "sound.mha").read_bytes()
        fill(tmp_path / str(packed), damage.META, content, ".mha", 9, 2)
        seen = check(tmp_path / str(packed), outcomes(tmp_path / str(packed)), by_simpleitk)
        assert seen["read"] >= 2
        assert seen["refused"] >= 30


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_either_byte_order_is_read(tmp_path: Path, kind: str, suffix: str) -> None:
    for order in "<>":
        content = nifti(scan().astype(order + kind), order)
        path = tmp_path / f"{'little' if order == '<' else 'big'}{suffix}"
        path.write_bytes(damage.packed(content) if suffix.endswith("gz") else content)
        volume = images.read(path)
        assert volume.array.dtype == np.dtype(kind)
        assert volume.array.dtype.isnative
        np.testing.assert_array_equal(volume.array, scan().astype(kind))
        np.testing.assert_array_equal(volume.grid.affine, AFFINE)


@pytest.mark.parametrize("claim", [(8192, 8192, 8), (1024, 1024, 512), (32767, 32767, 32767)])
def test_a_header_that_asks_for_more_than_the_file_holds_takes_no_memory(tmp_path: Path, claim: tuple[int, ...]) -> None:
    (tmp_path / "f").mkdir()
    content = nifti(scan())
    (tmp_path / "f" / "0.nii").write_bytes(content)
    asking = damage.put(content, damage.DIM, "<4h", 3, *claim)
    for name, changed in (
        ("a.nii", asking),
        ("b.nii.gz", damage.packed(asking)),
        ("c.nii.gz", damage.packed(asking + bytes(1 << 25))),
    ):
        (tmp_path / "f" / name).write_bytes(changed)
    answers = outcomes(tmp_path / "f")
    assert check(tmp_path / "f", answers, by_nibabel) == {"read": 1, "refused": 3}
    for name in ("a.nii", "b.nii.gz", "c.nii.gz"):
        assert "at most 536870912 voxels" in answers[name]["refused"] or "more than a file of" in answers[name]["refused"]


@pytest.mark.real
@pytest.mark.slow
def test_damaged_real_files_are_read_as_they_are_or_refused(tmp_path: Path, real_data: Path) -> None:
    sources = sorted((real_data / "brats").glob("Brats18_2013_2_1/*"))[:2]
    for number, source in enumerate(sources):
        packed = source.read_bytes()
        fill(tmp_path / "gzip", damage.PACKED, packed, ".nii.gz", 2, 10 + number)
        (tmp_path / "gzip" / "000 sound.nii.gz").rename(tmp_path / "gzip" / f"000 {source.name}")
    plain = gzip.decompress(sources[0].read_bytes())
    fill(tmp_path / "plain", damage.PLAIN, plain, ".nii", 2, 20)
    for folder in ("gzip", "plain"):
        seen = check(tmp_path / folder, outcomes(tmp_path / folder), by_nibabel)
        assert seen["read"] >= 2
        assert seen["refused"] >= 10


@pytest.mark.parametrize("workers", [1, 2])
def test_damaged_cases_harm_no_other(tmp_path: Path, workers: int) -> None:
    """Three sound heads between forty with one damaged file each: their case files hold the same."""
    write_cohort(tmp_path / "sound", cases=3, shape=(24, 21, 18))
    alone = build_store(tmp_path / "sound", out=tmp_path / "alone")
    shutil.copytree(tmp_path / "sound", tmp_path / "source")
    rng = np.random.default_rng(8)
    kinds = list({**damage.PACKED, **damage.PLAIN}.items())
    for number in range(40):
        name = f"Phantom_{100 + number}"
        shutil.copytree(tmp_path / "sound" / "Phantom_000", tmp_path / "source" / name)
        folder = tmp_path / "source" / name
        files = [path.rename(path.with_name(path.name.replace("Phantom_000", name))) for path in sorted(folder.iterdir())]
        hurt = files[int(rng.integers(len(files)))]
        kind, change = kinds[number % len(kinds)]
        content = hurt.read_bytes()
        packed = change(content, rng) if kind in damage.PACKED else damage.packed(change(gzip.decompress(content), rng))
        hurt.write_bytes(packed)
    report = build_store(tmp_path / "source", out=tmp_path / "store", sharing=Sharing(workers))
    assert set(alone.written) <= set(report.written)
    assert set(report.written).isdisjoint(report.refused)
    assert len(report.written) + len(report.refused) == 43
    assert len(report.refused) >= 25
    for sentence in report.refused.values():
        assert "\n" not in sentence
        assert sentence.endswith(".")
    for name in alone.written:
        assert stored_content(tmp_path / "store" / f"{name}.h5") == stored_content(tmp_path / "alone" / f"{name}.h5")
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == [f"{name}.h5" for name in report.written]
    assert describe_store(tmp_path / "store", verify=True).refused == {}


if __name__ == "__main__":
    read_all(Path(sys.argv[1]))
