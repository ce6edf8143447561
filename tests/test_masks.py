"""A folder of predicted masks: what its list says is what is read again, whatever the label sets are called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from brats3d.errors import OptionError, OutputExistsError
from brats3d.images import SourceFile
from brats3d.masks import MaskEntry, MaskList, MaskModel, MaskSettings, MemberFile, open_mask_folder, read_mask_list
from brats3d.regions import LABEL_SETS, LabelSet

VERSION_1 = Path(__file__).parent / "version_1/masks"
OWN = LabelSet("own", "one clinic", {1: "solid", 2: "cystic"}, {"WT": (1, 2), "CYST": (2,)}, (("WT", 1), ("CYST", 2)))
OTHER = LabelSet("own", "another clinic", {1: "cystic"}, {"CYST": (1,)}, (("CYST", 1),))
SCANS = (SourceFile("a_t1.nii.gz", 10, 4294967295), SourceFile("a_t2.nii.gz", 12, 7))


def masks(**cases: LabelSet) -> MaskList:
    """Return the list of an ensemble's masks, a case for each label set."""
    members = MemberFile("fold_0.keras", "ab" * 32), MemberFile("fold_1.keras", "cd" * 32)
    model = MaskModel("five.json", "ef" * 32, members, "mean", "labels", ("0", "1", "2"), ("WT", "CYST"), OWN)
    settings = MaskSettings({"window": "always", "flips": [0, 1]}, None, True)
    entries = {
        case: MaskEntry(
            f"{case}.nii.gz", coding, SourceFile(f"{case}.nii.gz", 99, 5), SCANS, "windows", f"p/{case}.nii.gz", True
        )
        for case, coding in cases.items()
    }
    return MaskList(model, settings, entries)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    wanted = masks(c=LABEL_SETS["LPED"], a=OWN, b=OTHER)
    folder = open_mask_folder(tmp_path / "deep/out", replace(wanted, cases={}))
    assert not folder.path.exists()
    for case in ("c", "a", "b"):
        folder = folder.with_case(case, wanted.cases[case])
    found = read_mask_list(folder.path)
    assert found == wanted == folder.masks
    written = json.loads((folder.path / "predictions.json").read_text(encoding="utf-8"))
    # two label sets of one name are kept apart, and none is told by its name alone
    assert {key: content["used_by"] for key, content in written["label_sets"].items()} == {
        "own": "one clinic", "own (2)": "another clinic", "LPED": LABEL_SETS["LPED"].used_by,
    }  # fmt: skip
    assert [written["cases"][case]["label_set"] for case in "abc"] == ["own", "own (2)", "LPED"]
    assert list(written["cases"]) == ["a", "b", "c"]
    assert written["label_sets"]["own"]["tissues"] == {"1": "solid", "2": "cystic"}


def test_a_label_set_is_what_the_list_says_whatever_the_table_says_later(tmp_path: Path) -> None:
    open_mask_folder(tmp_path, masks(a=LABEL_SETS["L17"])).save()
    path = tmp_path / "predictions.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"NCR+NET"', '"core"'), encoding="utf-8")
    found = read_mask_list(tmp_path)
    assert found is not None
    coding = found.cases["a"].label_set
    assert (coding.name, coding.tissues[1], coding == LABEL_SETS["L17"]) == ("L17", "core", False)


def test_the_first_schema_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    found = read_mask_list(VERSION_1)
    assert found is not None
    checksum = "2a897b1dbe4c49ff6a278193d88d33084791053be0fea855ec189c6b64837af6"
    names = ("WT", "TC", "ET")
    assert found.model == MaskModel("best.keras", checksum, channels=names, regions=names)
    assert found.settings == MaskSettings(None, None, probabilities=True)
    entry = found.cases["Phantom_002"]
    assert (entry.written, entry.passes) == (SourceFile("Phantom_002.nii.gz", 884, 2210724937), "windows")
    assert entry.label_set is LABEL_SETS["L17"]
    assert entry.sources is not None
    assert entry.sources[3] == SourceFile("Phantom_002_flair.nii.gz", 2311, 1986439792)
    assert entry.files == ("Phantom_002.nii.gz", "probabilities/Phantom_002.nii.gz")
    oldest = {"schema": 1, "model": {}, "options": {}, "cases": {"a": {"file": "a.nii.gz", "label_set": "L23"}}}
    (tmp_path / "predictions.json").write_text(json.dumps(oldest))
    found = read_mask_list(tmp_path)
    assert found == MaskList(MaskModel("", ""), MaskSettings(), {"a": MaskEntry("a.nii.gz", LABEL_SETS["L23"])})
    assert read_mask_list(tmp_path / "nothing") is None


def test_lists_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    open_mask_folder(tmp_path, masks(a=OWN)).save()
    path = tmp_path / "predictions.json"
    good = json.loads(path.read_text(encoding="utf-8"))
    entry, own = good["cases"]["a"], good["label_sets"]["own"]
    for change, words in (
        ({"schema": 3}, ("schema 3", "up to 2")),
        ({"schema": "2"}, ("schema is '2'",)),
        ({"kind": "distances"}, ("'distances'", "regions, labels")),
        ({"channels": "WT"}, ("channels is 'WT'",)),
        ({"label_sets": {}}, ("'own'",)),
        ({"label_sets": {"own": {**own, "paint": 5}}}, ("label_sets",)),
        ({"cases": {"a": {**entry, "file": 5}}}, ("found 5",)),
        ({"cases": {"a": {**entry, "sources": [{"name": "t1"}]}}}, ("'bytes'",)),
        ({"cases": {"a": {**entry, "bytes": 1.5}}}, ("1.5", "whole number")),
        ({"cases": {"a": {**entry, "crc32": True}}}, ("True", "whole number")),
        ({"cases": {"a": {**entry, "trained_on": "no"}}}, ("'no'", "true or false")),
        ({"cases": {"a": {**entry, "sources": {}}}}, ("{}", "list")),
        ({"options": {"label_set": None, "probabilities": "no"}}, ("'no'", "true or false")),
        ({"inference": []}, ("[]", "object")),
        ({"cases": [1]}, ("AttributeError",)),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(OptionError) as refused:
            read_mask_list(tmp_path)
        assert all(word in str(refused.value) for word in (str(path), *words)), change
        with pytest.raises(OutputExistsError, match="predictions.json"):
            open_mask_folder(tmp_path, masks())
    assert open_mask_folder(tmp_path, masks(), force=True).masks == masks()


def test_a_folder_is_continued_with_the_same_settings_alone(tmp_path: Path) -> None:
    wanted = masks(a=OWN, lost=OWN)
    open_mask_folder(tmp_path, wanted).save()
    (tmp_path / "a.nii.gz").touch()
    assert list(open_mask_folder(tmp_path, masks()).masks.cases) == ["a"]

    def refusal(**settings: object) -> str:
        other = replace(masks(), settings=replace(wanted.settings, **settings))  # type: ignore[arg-type]
        with pytest.raises(OutputExistsError) as refused:
            open_mask_folder(tmp_path, other, {"flips": [0, 1], "overlap": 0.5})
        return str(refused.value)

    assert "flips was [0, 1], now []" in refusal(inference={"window": "always", "flips": []})
    assert "probabilities was True, now False" in refusal(probabilities=False)
    assert "label_set was None, now 'own (" in refusal(label_set=OWN)
    own = replace(masks(), settings=replace(wanted.settings, label_set=OWN))
    open_mask_folder(tmp_path / "own", own).save()
    with pytest.raises(OutputExistsError, match=r"label_set was 'own \(\w{8}\)', now 'own \(\w{8}\)'"):
        open_mask_folder(tmp_path / "own", replace(own, settings=replace(own.settings, label_set=OTHER)))
    # what a list does not record was as the model has it
    first = {"schema": 1, "model": {"checksum": "ef" * 32}, "options": {"probabilities": True}, "cases": {}}
    (tmp_path / "predictions.json").write_text(json.dumps(first))
    open_mask_folder(tmp_path, masks(), {"window": "always", "flips": [0, 1]})
    with pytest.raises(OutputExistsError, match=r"flips was \[\], now \[0, 1\]"):
        open_mask_folder(tmp_path, masks(), {"window": "always", "flips": []})


def test_starting_over_removes_what_the_list_names_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside.nii.gz"
    out = tmp_path / "out"
    (out / "p").mkdir(parents=True)
    for path in (outside, out / "a.nii.gz", out / "p/a.nii.gz", out / "submission.zip", out / "notes.txt"):
        path.touch()
    wanted = masks(a=OWN)
    foreign = replace(wanted.cases["a"], file="../outside.nii.gz", probabilities=None)
    folder = open_mask_folder(out, wanted.with_case("b", foreign), force=True)
    folder.save()
    folder.clear()
    assert sorted(path.name for path in out.rglob("*")) == ["notes.txt", "p"]
    assert outside.exists()


def test_the_channels_that_make_up_a_region() -> None:
    labels = masks().model
    regions = replace(labels, kind="regions", channels=("ET", "1", "WT"), label_set=LABEL_SETS["L17"])
    for model, region, channels in (
        (labels, "WT", ("1", "2")),
        (labels, "CYST", ("2",)),
        (labels, "ET", ()),
        (replace(labels, channels=("0", "1")), "WT", ()),
        (regions, "WT", ("WT",)),
        (regions, "NETC", ("1",)),  # of one value, whose channel it is
        (replace(regions, channels=("1", "4")), "TC", ()),  # may overlap, so that their probabilities cannot be added
        (replace(regions, label_set=None), "NETC", ()),
        (MaskModel("", ""), "WT", ()),
    ):
        assert model.channels_of(region) == channels, (model.channels, region)


def test_a_value_says_what_a_mask_was_painted_from_in_the_models_own_label_set_alone() -> None:
    model = masks().model
    assert model.painted_in(OWN) == ("WT", "CYST", "0", "1", "2")
    assert model.painted_in(LABEL_SETS["L23"]) == ("WT", "CYST")
    assert MaskModel("", "").painted_in(OWN) is None
