"""The report's page, of an evaluation made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from parsed_page import Element, named, parse
from two_cases import GRID, label

from brats3d.errors import ArrayError
from brats3d.evaluate import report
from brats3d.evaluate.page import report_page
from brats3d.evaluate.report import Evaluation
from brats3d.evaluate.worst import error_thumbnail, worst_cases
from brats3d.regions import LABEL_SETS
from brats3d.scores import Scoring, case_failures, case_scores, compare_sets, describe, rank_sets, reliability

L17 = LABEL_SETS["L17"]
CASES = ["<script>alert(1)</script>", 'a "quoted" & <b>bold</b> case', "BraTS2021_00001", "BraTS2021_00002", "without_ET"]
SCORINGS = (Scoring(), Scoring("brats2023"), Scoring("brats2021"))


def labels(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and reference of a case; the last one's reference has no ET, the one before is perfect."""
    prediction, reference = label(number), label(number + 7)
    if number == 3:
        return reference, reference
    if number == 4:
        reference[reference == 4] = 1
    return prediction, reference


def evaluation() -> Evaluation:
    scores, failures = {}, {}
    for number, case in enumerate(CASES):
        pair = labels(number)
        scores[case] = {s.protocol: case_scores(*pair, GRID.spacing_mm, s, label_set=L17) for s in SCORINGS}
        failures[case] = {region: str(f) for region, f in case_failures(*pair, GRID.spacing_mm, label_set=L17).items()}
    failures[CASES[0]]["WT"] = "geometry suspicious: flipped left-right? Dice 0.02, moved back 0.91"
    probabilities = np.linspace(0, 1, 990).reshape(9, 10, 11)
    sets = {
        name: {case: {region: row.as_row() for region, row in found["casewise"].items()} for case, found in scores.items()}
        for name in ("ours", "<i>theirs</i>")
    }
    sets["ours"]["BraTS2021_00001"]["ET"] = {**sets["ours"]["BraTS2021_00001"]["ET"], "dice": 0.999}
    return Evaluation(
        predictions="PREDICTIONS <1>",
        references="REFERENCES & more",
        out="out",
        scorings=SCORINGS,
        scores=scores,
        failures=failures,
        groups={"grade": dict(zip(CASES, ["HGG", "HGG", "LGG", "LGG", "<HGG>"], strict=True))},
        label_sets=dict.fromkeys(CASES, ("L17", "L23")),
        kept=(),
        refused={"<refused>": "there is a prediction, but no reference in <folder>; add it."},
        calibration={"WT": reliability(probabilities, label(0) > 0)},
        comparison=compare_sets(sets, resamples=50),
        ranking=rank_sets(sets, permutations=50),
        warnings=("casewise does not score <RC>.",),
    )


@pytest.fixture(scope="module")
def whole() -> Evaluation:
    return evaluation()


@pytest.fixture(scope="module")
def page(whole: Evaluation) -> list[Element]:
    pictures = {}
    for case, region in worst_cases(whole):
        pair = labels(CASES.index(case))
        pictures[case, region] = error_thumbnail(None, *pair, GRID.spacing_mm, (L17, L17), region=region)
    return parse(report_page(whole, pictures))


def tables(page: list[Element]) -> dict[str, list[list[str]]]:
    """Return caption → rows of texts, the columns' names first."""
    return {
        table.children[0].text: [[cell.text for cell in row.children] for part in table.children[1:] for row in part.children]
        for table in named(page, "table")
    }


def test_the_page_has_its_sections(page: list[Element]) -> None:
    assert [e.text for e in named(page, "h2")] == [e.text for e in named(page, "a")] == [
        "Warnings", "Scores", "Protocols side by side", "Comparison of sets", "Every case", "Volumes", "What went wrong",
        "Worst cases", "Empty references", "Sub-groups", "Calibration", "Protocol card", "Refused cases",
    ]  # fmt: skip
    assert named(page, "title")[0].text == named(page, "h1")[0].text == "Segmentation scores of PREDICTIONS <1>"
    assert named(page, "p")[0].text == "5 cases scored, 1 refused, against REFERENCES & more; protocol casewise."


def test_scores_are_those_of_the_evaluation(page: list[Element], whole: Evaluation) -> None:
    header, *rows = tables(page)["Scores over cases, protocol casewise"]
    assert header == ["region", "score", "mean", "95 % interval", "sd", "median", "quartiles", "n", "undefined"]
    assert [row[:2] for row in rows] == [[r, s] for r in ("WT", "TC", "ET") for s in ("Dice", "HD95 (mm)")]
    dices = np.array([found["casewise"]["TC"].dice for found in whole.scores.values()])
    spread = whole.summary["protocols"]["casewise"]["regions"]["TC"]["dice"]
    assert rows[2][2:] == [
        f"{dices.mean():.3f}", f"{spread['low']:.3f} to {spread['high']:.3f}", f"{dices.std(ddof=1):.3f}",
        f"{np.median(dices):.3f}", f"{np.quantile(dices, 0.25):.3f} to {np.quantile(dices, 0.75):.3f}", "5", "0",
    ]  # fmt: skip
    rest = tables(page)["All other scores over cases"]
    assert {"sensitivity", "nsd 2mm", "volume error (ml)"} <= {row[1] for row in rest}


def test_protocols_stand_side_by_side(page: list[Element], whole: Evaluation) -> None:
    (found,) = [rows for caption, rows in tables(page).items() if caption.startswith("Means of the same masks")]
    assert [row[:2] for row in found[1:4]] == [["WT", "casewise"], ["WT", "brats2023"], ["WT", "brats2021"]]
    lesions = [scores["brats2023"]["WT"].lesion_dice for scores in whole.scores.values()]
    assert found[2][4] == f"{np.mean(lesions):.3f}"
    assert found[1][4:] == found[3][4:] == ["–", "–"]


def test_the_first_protocol_decides_what_is_shown(whole: Evaluation) -> None:
    lesionwise = parse(report_page(replace(whole, scorings=SCORINGS[1:2]), {}))
    names = [row[1] for row in tables(lesionwise)["Scores over cases, protocol brats2023"][1:5]]
    assert names == ["Dice", "HD95 (mm)", "lesion-wise Dice", "lesion-wise HD95 (mm)"]
    in_voxels = parse(report_page(replace(whole, scorings=SCORINGS[2:]), {}))
    assert tables(in_voxels)["Scores over cases, protocol brats2021"][2][1] == "HD95 (voxels)"
    assert "Protocols side by side" not in [e.text for e in named(in_voxels, "h2")]


def test_worst_cases_come_first_with_picture_and_class(page: list[Element], whole: Evaluation) -> None:
    means = {case: np.mean([row.dice for row in found["casewise"].values()]) for case, found in whole.scores.items()}
    order = [case for case in sorted(means, key=means.__getitem__) if means[case] < 1]
    assert len(order) == 4
    assert [case for case, _ in worst_cases(whole)] == order
    assert worst_cases(whole, 2) == worst_cases(whole)[:2]
    for case, region in worst_cases(whole):
        rows = whole.scores[case]["casewise"]
        assert rows[region].dice == min(row.dice for row in rows.values())
    cards = [e for e in page if e.attributes.get("class") == "card" and e.children[0].text in CASES]
    assert [card.children[0].text for card in cards] == order
    assert all(card.children[1].children[0].name == "img" for card in cards)
    (shown,) = [card for card in cards if card.children[0].text == CASES[0]]
    assert "geometry suspicious: flipped left-right? Dice 0.02, moved back 0.91" in shown.text


def test_a_perfect_evaluation_has_no_worst_case(whole: Evaluation) -> None:
    perfect = replace(
        whole, scores={CASES[3]: whole.scores[CASES[3]]}, comparison=None, ranking=None, calibration={}, refused={}
    )
    assert worst_cases(perfect) == []
    found = parse(report_page(perfect, {}))
    assert "No case has an error." in [e.text for e in named(found, "p")]
    assert {"Comparison of sets", "Calibration", "Refused cases"} & {e.text for e in named(found, "h2")} == set()


def test_failure_classes_are_counted(page: list[Element], whole: Evaluation) -> None:
    header, *rows = tables(page)["Cases in each failure class"]
    assert header == ["class", "WT", "TC", "ET", "meaning"]
    counts = {row[0]: [int(n) for n in row[1:4]] for row in rows}
    assert np.sum(list(counts.values()), axis=0).tolist() == [5, 5, 5]
    assert counts["geometry suspicious"] == [1, 0, 0]
    assert counts["good"][0] >= 1
    for kind, found in counts.items():
        assert found == [sum(rows[r].split(":")[0] == kind for rows in whole.failures.values()) for r in ("WT", "TC", "ET")]
    assert all(row[4] for row in rows)


def test_empty_references_are_listed(page: list[Element], whole: Evaluation) -> None:
    _, *rows = tables(page)["References without a voxel of a region"]
    (row,) = rows
    scores = whole.scores["without_ET"]["casewise"]["ET"]
    assert row[:3] == ["without_ET", "ET", f"{scores.predicted_voxels} voxels ({scores.predicted_ml:.2f} ml) predicted"]
    assert row[3] == "0.000"


def test_groups_sets_calibration_and_refusals_are_shown(page: list[Element], whole: Evaluation) -> None:
    found = tables(page)
    assert [row[:3] for row in found["By grade"][1::3]] == [["<HGG>", "WT", "1"], ["HGG", "WT", "2"], ["LGG", "WT", "2"]]
    assert found["Cases without scores"][1] == ["<refused>", "there is a prediction, but no reference in <folder>; add it."]
    assert [row[0] for row in found["Ranking of the sets"][1:]] == ["ours", "<i>theirs</i>"]
    assert {row[2] for row in found["Paired differences"][1:]} == {"ours − <i>theirs</i>"}
    assert found["Calibration per region"][1][2] == f"{whole.calibration['WT'].ece:.3f}"
    assert len(named(page, "img")) == 2 + 3 + 4 + 1  # Dice and HD95; volumes a region; worst cases; calibration


def test_the_card_says_by_whose_rules(page: list[Element], whole: Evaluation) -> None:
    card = next(e for e in page if e.attributes.get("id") == "card")
    for protocol in whole.summary["protocols"].values():
        for text in (
            protocol["source"],
            protocol["hd95"],
            protocol["empty_rule"],
            protocol["aggregation"],
            protocol["task"] or "",
        ):
            assert text in card.text
    assert "PREDICTIONS <1> (label set L17)" in card.text
    assert "REFERENCES & more (label set L23)" in card.text
    assert whole.summary["created_with"] in card.text


def test_a_page_without_a_scored_case_says_why(whole: Evaluation) -> None:
    parts = {"scores": {}, "failures": {}, "groups": {}, "label_sets": {}, "calibration": {}}
    nothing = replace(whole, **parts, comparison=None, ranking=None, warnings=())
    found = parse(report_page(nothing, {}))
    assert [e.text for e in named(found, "h2")] == ["Refused cases", "Protocol card"]


# -- pictures of errors ------------------------------------------------------------------------------------------------


def test_a_thumbnail_is_a_small_png() -> None:
    prediction, reference = labels(0)
    copies = prediction.copy(), reference.copy()
    scan = np.indices(reference.shape).sum(0)
    found = error_thumbnail(scan, prediction, reference, GRID.spacing_mm, (L17, L17), region="4")
    assert found.startswith(b"\x89PNG")
    assert len(found) < 60_000
    np.testing.assert_array_equal(prediction, copies[0])
    np.testing.assert_array_equal(reference, copies[1])
    assert found != error_thumbnail(None, prediction, reference, GRID.spacing_mm, (L17, L17))
    empty = np.zeros_like(reference)
    assert error_thumbnail(None, empty, empty, GRID.spacing_mm, (L17, L17)).startswith(b"\x89PNG")
    with pytest.raises(ArrayError, match=r"image \(9, 10\)"):
        error_thumbnail(scan[..., 0], prediction, reference, GRID.spacing_mm, (L17, L17))


def test_a_thumbnail_has_the_regions_that_both_sides_define() -> None:
    """L12 knows no ET, so that value 4 of the other side is drawn as part of the core only."""
    prediction = np.where(label(0) > 2, 2, label(0))
    found = error_thumbnail(None, prediction, label(1), GRID.spacing_mm, (LABEL_SETS["L12"], L17), region="ET")
    assert found.startswith(b"\x89PNG")


def test_the_summary_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    described = []
    monkeypatch.setattr(report, "describe", lambda values: described.append(values) or describe(values))
    found = evaluation()
    assert found.summary["warnings"] == ["casewise does not score <RC>."]
    once = len(described)
    assert once > 0
    report_page(found, {})
    assert {**found.as_dict()}["protocols"] == found.summary["protocols"]
    assert len(described) == once
    assert replace(found, warnings=()).summary["warnings"] == []
