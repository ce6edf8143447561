"""Manifests: what they may say, where their paths count from, and a sentence for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brats3d.cases import find_cases, read_manifest, settle_label_set
from brats3d.errors import LabelError, OptionError


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for name in ("a/T1 weighted.nii.gz", "a/gd.nii", "a/t2.mha", "a/flair.nii.gz", "a/mask.nii.gz", "b/t1.nii.gz", "b/seg.nii"):
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "scans"


HEADER = "case,t1,t1ce,t2,flair,label,label_set,patient,grade,age,survival_days,resection,site,timepoint\n"
FULL = "one,a/T1 weighted.nii.gz,a/gd.nii,a/t2.mha,a/flair.nii.gz,a/mask.nii.gz,L24,Anna,HGG,60.5,400,GTR,Ulm,2\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv(scans: Path, separator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = scans / "m.csv"
    manifest.write_text((HEADER + FULL + "\n" + "two,b/t1.nii.gz,,,,,,,,,,,,\n").replace(",", separator), encoding="utf-8-sig")
    monkeypatch.chdir(scans.parent)  # paths count from the manifest, not from here
    for source in (manifest, "scans/m.csv"):
        one, two = find_cases(source)
        assert one.images == {
            "t1": scans / "a/T1 weighted.nii.gz", "t1ce": scans / "a/gd.nii", "t2": scans / "a/t2.mha",
            "flair": scans / "a/flair.nii.gz",
        }  # fmt: skip
        assert list(one.images) == ["t1", "t1ce", "t2", "flair"]
        assert (one.id, one.label, one.label_sets, one.patient) == ("one", scans / "a/mask.nii.gz", ("L24",), "Anna")
        assert (one.grade, one.age, one.survival_days) == ("HGG", 60.5, 400)
        assert (one.resection, one.site, one.timepoint, one.corpus, one.reason) == (
            "GTR",
            "Ulm",
            "2",
            "manifest",
            "named in m.csv",
        )
        assert (two.missing, two.label, two.patient, two.grade) == (("t1ce", "t2", "flair"), None, "two", None)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_what_excel_writes(scans: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    (scans / "m.csv").write_text(f"{mark}Case,T1,Patient,\none,b/t1.nii.gz,Jürgen,\n", encoding=encoding)
    [case] = read_manifest(scans / "m.csv")
    assert (case.id, case.patient) == ("one", "Jürgen")


def test_columns_without_a_header_are_left_out(scans: Path) -> None:
    """As pandas writes its index."""
    (scans / "m.csv").write_text(",case,t1\n0,one,b/t1.nii.gz\n1,two,a/T1 weighted.nii.gz\n")
    assert [case.id for case in read_manifest(scans / "m.csv")] == ["one", "two"]


@pytest.mark.parametrize("wrapped", [False, True])
def test_json(scans: Path, wrapped: bool) -> None:
    entries = [
        {"case": "Brats18_2013_2_1", "t1": str(scans / "b/t1.nii.gz"), "label": "b/seg.nii", "corpus": "BraTS 2018", "age": 61},
        {"case": "two", "t2": "a/t2.mha", "t1": None},
    ]
    manifest = scans / "M.JSON"
    manifest.write_text(json.dumps({"cases": entries} if wrapped else entries))
    one, two = read_manifest(manifest)
    assert (one.patient, one.timepoint, one.corpus, one.label_sets, one.age) == ("2013_2", "1", "BraTS 2018", ("L17",), 61)
    assert (two.images, two.label) == ({"t2": scans / "a/t2.mha"}, None)


def test_a_manifest_beside_a_folder(scans: Path) -> None:
    (scans / "m.csv").write_text("case,t1\none,b/t1.nii.gz\n")
    other = scans.parent / "other"
    other.mkdir()
    (other / "x_t1.nii").touch()
    assert [case.id for case in find_cases([other, scans / "m.csv"])] == ["one", "x"]
    (other / "ONE_t1.nii").touch()
    with pytest.raises(OptionError, match=r"case one of .*m\.csv is also in another source"):
        find_cases([other, scans / "m.csv"])


def test_the_tables_of_a_folder_tell_of_a_manifests_cases(scans: Path) -> None:
    (scans / "m.csv").write_text("case,t1,age\nBrats18_2013_2_1,b/t1.nii.gz,50\n")
    (scans / "survival_data.csv").write_text("BraTS18ID,Age,Survival\nBrats18_2013_2_1,60,100\n")
    (scans / "b/q_t2.nii").touch()
    case, _ = find_cases([scans, scans / "m.csv"])
    assert (case.age, case.survival_days) == (50, 100)


@pytest.mark.parametrize(
    ("stated", "values", "requested", "expected"),
    [
        ("L24", [0, 1, 4], None, "L24"),
        ("LMSD", [0, 1, 2, 3], None, "LMSD"),
        ("", [0, 1, 4], None, "L17"),
        ("", [0, 1, 2, 3], None, "L23"),
        ("", [0, 1, 2, 3], "LMSD", "LMSD"),
        ("L23", [0, 1, 4], None, r"the label of one holds the values \[0, 1, 4\], but the manifest says L23 \[0, 1, 2, 3\]"),
        ("L23", [0, 1, 2], "LMSD", r"--label-set LMSD contradicts the manifest: the manifest says L23"),
        ("", [0, 7], None, r"names like one .* L17 .* or L23"),
    ],
)
def test_the_stated_label_set_binds(scans: Path, stated: str, values: list[int], requested: str | None, expected: str) -> None:
    (scans / "m.csv").write_text(f"case,t1,label,label_set\none,b/t1.nii.gz,b/seg.nii,{stated}\n")
    [case] = read_manifest(scans / "m.csv")
    if expected.startswith("L"):
        assert settle_label_set(case, values, requested).name == expected
    else:
        with pytest.raises(LabelError, match=expected):
            settle_label_set(case, values, requested)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case,t1\n", r"m\.csv: names no case"),
        ("", r"m\.csv: names no case"),
        (
            "case,t1,t1gd\none,b/t1.nii.gz,\n",
            r"m\.csv has an unknown key 't1gd' \(did you mean 't1'\?\); known keys: case, t1, t1ce",
        ),
        ("case,label\none,b/seg.nii\n", r"m\.csv: has the columns case, label; expected case and at least one of t1, t1ce"),
        ("t1,t2\nb/t1.nii.gz,\n", r"m\.csv: has the columns t1, t2; expected case"),
        ("case,t1\n,b/t1.nii.gz\n", r"line 2: case is ''; expected"),
        ("case,t1\n../x,b/t1.nii.gz\n", r"line 2: case is '\.\./x'; expected"),
        ("case,t1\na b/c,b/t1.nii.gz\n", r"line 2: case is 'a b/c'; expected"),
        (
            "case,t1,label\none,,b/seg.nii\n",
            r"line 2: names no image of case one; expected .* t1, t1ce, t2, flair",
        ),
        (
            "case,t1\none,b/gone.nii.gz\n",
            r"line 2: t1 is .*/b/gone\.nii\.gz, which does not exist; correct the path \(relative",
        ),
        ("case,t1\none,/gone.nii.gz\n", r"line 2: t1 is /gone\.nii\.gz, which does not exist; correct the path\.$"),
        ("case,t1\none,b/t1.dcm\n", r"line 2: t1 is 'b/t1\.dcm'; expected an image file \(\.nii\.gz, \.nii, \.mha\)"),
        ("case,t1\none,b\n", r"line 2: t1 is 'b'; expected an image file"),
        (
            "case,t1,t2\none,b/t1.nii.gz,b/t1.nii.gz\n",
            r"line 2: .*b/t1\.nii\.gz is t2 of one and also t1 of one",
        ),
        ("case,t1\none,b/t1.nii.gz\ntwo,b/t1.nii.gz\n", r"line 3: .*b/t1\.nii\.gz is t1 of two and also t1 of one"),
        ("case,t1,label\none,b/t1.nii.gz,b/t1.nii.gz\n", r"line 2: .*b/t1\.nii\.gz is label of one and also t1 of one"),
        ("case,t1,t2\none,b/t1.nii.gz,\nOne,,a/t2.mha\n", r"line 3: case 'One' .*; expected each case once"),
        (
            "case,t1,label_set\none,b/t1.nii.gz,L71\n",
            r"line 2: label set is 'L71' \(did you mean 'L17'\?\); expected one of: L12",
        ),
        ("case,t1,corpus\none,b/t1.nii.gz,BraTS2021\n", r"line 2: corpus is 'BraTS2021' \(did you mean 'BraTS 2021'\?\)"),
        ("case,t1,grade\none,b/t1.nii.gz,high\n", r"line 2: grade is 'high'; expected HGG or LGG"),
        ("case,t1,age\none,b/t1.nii.gz,160\n", r"line 2: age is '160'; expected years from 0 to 130"),
        ("case,t1,survival_days\none,b/t1.nii.gz,1y\n", r"line 2: survival_days is '1y'; expected days"),
        ("case,t1,age,site\none,b/t1.nii.gz,44,5,Ulm\n", r"line 2: has more cells than the header \('Ulm' is beyond it\)"),
    ],
)
def test_every_mistake_in_csv_has_its_sentence(scans: Path, text: str, says: str) -> None:
    (scans / "m.csv").write_text(text)
    with pytest.raises(OptionError, match=says) as caught:
        find_cases(scans / "m.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"m\.json: cannot be read as JSON \(.*\); expected a list of cases"),
        ("[[[" * 5000, r"m\.json: cannot be read as JSON"),
        ('{"one": {"t1": "b/t1.nii.gz"}}', r"m\.json: holds no list of cases; expected \[\{"),
        ("[1]", r"m\.json: holds no list of cases"),
        ("[]", r"m\.json: names no case"),
        ('[{"case": "one", "T1": "b/t1.nii.gz"}]', r"entry 1 has an unknown key 'T1'"),
        ('[{"case": "one", "t1": ["b/t1.nii.gz"]}]', r"entry 1: t1 is \['b/t1\.nii\.gz'\]; expected a text or a number"),
        ('[{"case": "one", "t1": true}]', r"entry 1: t1 is True; expected a text"),
        ('[{"t1": "b/t1.nii.gz"}]', r"entry 1: case is ''"),
        ('[{"case": "one"}]', r"entry 1: names no image of case one"),
    ],
)
def test_every_mistake_in_json_has_its_sentence(scans: Path, text: str, says: str) -> None:
    (scans / "m.json").write_text(text)
    with pytest.raises(OptionError, match=says):
        find_cases(scans / "m.json")


def test_a_manifest_that_cannot_be_opened(scans: Path) -> None:
    for name in ("gone.csv", "gone.json"):
        with pytest.raises(OptionError, match=rf"{name}: cannot be read.*No such file"):
            read_manifest(scans / name)
