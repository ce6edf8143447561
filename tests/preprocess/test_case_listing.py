"""``preprocess SOURCE --list``: what was recognised and why, and nothing written or opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brats3d.cases import find_cases
from brats3d.console import run
from brats3d.errors import NoCasesError
from brats3d.preprocess import list_cases
from brats3d.preprocess.__main__ import main

LEGACY = ("t1", "t1ce", "t2", "flair", "seg")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Empty files: that they are listed shows that none is opened."""
    names = [f"HGG/Brats18_CBICA_ABM_1/Brats18_CBICA_ABM_1_{part}.nii.gz" for part in LEGACY]
    names += [f"new/BraTS-PED-00001-000/BraTS-PED-00001-000-{part}.nii.gz" for part in ("t1n", "t2w")]
    names += ["Task01_BrainTumour/imagesTr/BRATS_001.nii.gz", "Task01_BrainTumour/labelsTr/BRATS_001.nii.gz"]
    names += ["notes.txt", "new/localiser.nii.gz"]
    for name in names:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "source/Task01_BrainTumour/dataset.json").write_text('{"modality": {"0": "T2w", "1": "t1gd"}}')
    (tmp_path / "source/survival_data.csv").write_text("BraTS18ID,Age,Survival\nBrats18_CBICA_ABM_1,60.5,289\n")
    return tmp_path / "source"


def test_the_cases_and_why(source: Path) -> None:
    before = sorted(source.rglob("*"))
    listing = list_cases(source)
    assert sorted(source.rglob("*")) == before
    assert list(listing.cases) == ["BRATS_001", "BraTS-PED-00001-000", "Brats18_CBICA_ABM_1"]
    old = listing.cases["Brats18_CBICA_ABM_1"]
    assert old["images"] == {m: f"Brats18_CBICA_ABM_1_{m}.nii.gz" for m in LEGACY[:4]}
    assert (old["corpus"], old["patient"], old["grade"], old["age"]) == ("BraTS 2018", "CBICA_ABM", "HGG", 60.5)
    assert (old["label"], old["label_sets"], old["missing"]) == ("Brats18_CBICA_ABM_1_seg.nii.gz", ["L17"], [])
    assert old["label_set_by"] == "name"
    assert old["reason"] == (
        "named like Brats18_CBICA_ABM_1_t1.nii.gz; grade by the folder HGG; age, survival days by survival_data.csv"
    )
    new = listing.cases["BraTS-PED-00001-000"]
    assert (new["missing"], new["label"], new["label_sets"]) == (["t1ce", "flair"], None, [])
    assert new["label_set_by"] is None
    assert listing.cases["BRATS_001"]["images"] == {"t1ce": "BRATS_001.nii.gz, channel 1", "t2": "BRATS_001.nii.gz, channel 0"}
    assert listing.read == ("survival_data.csv", "Task01_BrainTumour/dataset.json")
    assert listing.passed_over == {
        "new/localiser.nii.gz": "no corpus has such image names",
        "notes.txt": "no image, and no table of a corpus",
    }
    assert listing.refused == {}
    assert json.loads(json.dumps(listing.as_dict())) == {
        "cases": listing.cases, "read": list(listing.read), "passed_over": listing.passed_over, "refused": {},
    }  # fmt: skip


def test_the_text(source: Path) -> None:
    lines = list_cases(source).as_text().splitlines()
    assert lines[0].split("  ")[0] == "case"
    for head in ("corpus", "patient", "grade", "modalities", "missing", "label", "label set", "recognised by"):
        assert head in lines[0]
    row = next(line for line in lines if line.startswith("Brats18"))
    assert "t1 t1ce t2 flair" in row
    assert "  L17  " in row
    assert next(line for line in lines if line.startswith("BraTS-PED")).count("t1ce flair") == 1
    assert "3 cases of 3 patients: 1 of BraTS 2018, 1 of BraTS PED, 1 of MSD Task01" in lines
    assert "2 without all four modalities, 1 without a label, 0 that contradict themselves" in lines
    assert "read: survival_data.csv, Task01_BrainTumour/dataset.json" in lines
    assert "skipped: notes.txt (no image, and no table of a corpus)" in lines


def test_a_name_that_tells_no_year_leaves_the_label_to_the_images(tmp_path: Path) -> None:
    for part in (*LEGACY[:4], "seg"):
        (tmp_path / f"anna_{part}.nii.gz").touch()
    listing = list_cases(tmp_path)
    assert listing.cases["anna"]["label_set_by"] == "images"
    assert "  L17 or L23, or as the images say  " in listing.as_text()


def test_many_files_passed_over_are_counted(source: Path) -> None:
    for number in range(30):
        (source / f"slice{number:02}.dcm").touch()
    text = list_cases(source).as_text()
    assert text.count("skipped:") == 21
    assert text.endswith("skipped: 12 more files, listed with --json")


def test_contradictions_are_listed_as_refused(source: Path) -> None:
    (source / "again").mkdir()
    (source / "again/Brats18_CBICA_ABM_1_t1.nii.gz").touch()
    listing = list_cases(source)
    assert list(listing.refused) == ["Brats18_CBICA_ABM_1"]
    assert "is in two folders" in listing.refused["Brats18_CBICA_ABM_1"]
    assert list(listing.cases) == ["BRATS_001", "BraTS-PED-00001-000", "Brats18_CBICA_ABM_1"]


def test_several_sources_and_a_manifest(source: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("case,t2\nown,source/new/localiser.nii.gz\n")
    listing = list_cases([source / "HGG", source / "new", tmp_path / "m.csv"])
    assert listing.cases["own"]["reason"] == "named in m.csv"
    assert listing.passed_over == {}


def test_a_manifest_beside_its_scans_is_not_passed_over(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    (source / "m.csv").write_text("case,t2\nown,new/localiser.nii.gz\n")
    assert not {"m.csv", "new/localiser.nii.gz"} & set(list_cases([source, source / "m.csv"]).passed_over)
    assert "own" in [case.id for case in find_cases([source, source / "m.csv"])]
    assert "localiser" not in caplog.text


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(NoCasesError, match="no case found"):
        list_cases(tmp_path)


def test_the_option_takes_no_value(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, [str(source), "--list=1"]) == 2
    assert "--list takes no value; give it alone." in capsys.readouterr().err
