"""The pages on getting the data: each tree in them is recognised as what the page says; the scripts do what they say."""

from __future__ import annotations

import csv
import io
import re
import runpy
import zipfile
from pathlib import Path

import pytest

import brats3d
from brats3d.cases import CORPORA, find_cases, read_manifest

FOLDER = Path(brats3d.__file__).parents[1] / "data_prep"
TREES = [
    pytest.param(corpus, files.split(), id=f"{page.stem}-{corpus}")
    for page in sorted(FOLDER.glob("*.md"))
    for corpus, files in re.findall(
        r"^Tree of `([^`]+)`[^\n]*:\n\n```text\n(.*?)```", page.read_text(encoding="utf-8"), re.M | re.S
    )
]


def touch(root: Path, names: list[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(("corpus", "files"), TREES)
def test_a_tree_is_what_its_page_says(corpus: str, files: list[str], tmp_path: Path) -> None:
    touch(tmp_path, files)
    [case] = find_cases(tmp_path)
    assert case.corpus == corpus
    assert case.label is not None
    assert case.missing == (("t1", "t2", "flair") if "MEN-RT" in corpus else ())
    assert {str(file.relative_to(tmp_path)) for file in case.files} == set(files)


def test_every_corpus_has_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md"))
    for name, row in CORPORA.items():
        if row.example and name not in ("plain", "synthetic heads"):
            assert name.removeprefix("BraTS ").split()[0].rsplit("-", 1)[-1] in pages, name
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {f"({page.name})" in index for page in FOLDER.glob("*.md") if page.name != "README.md"} == {True}


def script(name: str) -> dict[str, object]:
    return runpy.run_path(str(FOLDER / name))


def run(name: str, *arguments: object) -> int:
    main = script(name)["main"]
    assert callable(main)
    done: int = main([str(a) for a in arguments])
    return done


def test_make_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, ["p1/a/anat/x_T1w.nii.gz", "p1/a/anat/x_FLAIR.nii.gz", "p1/a/m.nii.gz", "p2/b/anat/y_T1w.nii.gz", "q.txt"])
    arguments = [tmp_path, "--t1", "{patient}/{case}/anat/*_T1w.nii.gz", "--flair", "{patient}/{case}/anat/*_FLAIR.nii.gz",
                 "--label", "{patient}/{case}/m.nii.gz", "--label-set", "L24"]  # fmt: skip
    assert run("make_manifest.py", *arguments) == 0
    assert capsys.readouterr().out == f"{tmp_path}/manifest.csv: 2 cases\n"
    a, b = read_manifest(tmp_path / "manifest.csv")
    assert (a.id, a.patient, list(a.images), a.label_sets) == ("a", "p1", ["t1", "flair"], ("L24",))
    assert (b.id, b.patient, list(b.images), b.label) == ("b", "p2", ["t1"], None)
    with pytest.raises(SystemExit, match="is there already"):
        run("make_manifest.py", *arguments)


def test_any_pattern_may_name_the_patient(tmp_path: Path) -> None:
    touch(tmp_path, ["scans/a_t1.nii.gz", "scans/b_t1.nii.gz", "masks/p1/a.nii.gz", "masks/p2/b.nii.gz"])
    assert run("make_manifest.py", tmp_path, "--t1", "scans/{case}_t1.nii.gz", "--label", "masks/{patient}/{case}.nii.gz") == 0
    assert [(case.id, case.patient) for case in read_manifest(tmp_path / "manifest.csv")] == [("a", "p1"), ("b", "p2")]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("*_t1.nii.gz", "does not say where the case's name stands"),
        ("{case}/*.nii.gz", "case p has two files for t1, p/a.nii.gz and p/b.nii.gz; make the pattern narrower"),
        ("{case}/c.nii.gz", "no file of .* fits"),
    ],
)
def test_patterns_that_do_not_work(pattern: str, says: str, tmp_path: Path) -> None:
    touch(tmp_path, ["p/a.nii.gz", "p/b.nii.gz"])
    with pytest.raises(SystemExit, match=says):
        run("make_manifest.py", tmp_path, "--t1", pattern)


def test_xlsx_to_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ns = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings = ["BraTS Subject ID", "Site", "BraTS-GLI-00005-100", "UCSF, main"]
    shared = "".join(f"<si><t>{s}</t></si>" for s in strings)
    cells = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row>'
        '<row r="2"><c r="A2" t="s"><v>2</v></c><c r="B2"><v>7.0</v></c><c r="C2" t="s"><v>3</v></c></row>'
        '<row r="3"><c r="C3" t="inlineStr"><is><t>here</t></is></c></row><row r="4"/>'
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", f"<sst {ns}>{shared}</sst>")
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet {ns}><sheetData>{cells}</sheetData></worksheet>")
    (tmp_path / "t.xlsx").write_bytes(packed.getvalue())
    assert run("xlsx_to_csv.py", tmp_path / "t.xlsx") == 0
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["BraTS Subject ID", "", "Site"],
            ["BraTS-GLI-00005-100", "7", "UCSF, main"],
            ["", "", "here"],
        ]
    touch(tmp_path, ["BraTS-GLI-00005-100-t1n.nii.gz"])
    assert find_cases(tmp_path)[0].site == "UCSF, main"
    capsys.readouterr()
    assert run("xlsx_to_csv.py", tmp_path / "t.xlsx") == 2
    assert "is there already" in capsys.readouterr().err
