"""The BraTS ranking: hand-made ranks, a slow twin with SciPy's ranks, every permutation counted."""

from __future__ import annotations

import copy
import itertools
import json

import numpy as np
import pytest
from scipy import stats

from brats3d.errors import ArrayError, NoCasesError, OptionError
from brats3d.scores import ranking as ours
from brats3d.scores.paired import Sets
from brats3d.scores.ranking import doubled_ranks, rank_sets


def sets_of(table: dict[str, list[tuple[float | None, float | None]]]) -> Sets:
    """One region; a (Dice, HD95) a case."""
    return {
        name: {f"case{i}": {"WT": {"dice": dice, "hd95_mm": hd95}} for i, (dice, hd95) in enumerate(rows)}
        for name, rows in table.items()
    }


def random_sets(cases: int, names: str = "abcd", seed: int = 1) -> dict:
    """Scores with ties and gaps; later sets are worse."""
    rng = np.random.default_rng(seed)
    return {
        name: {
            f"case{i:03}": {
                region: {
                    "dice": None if rng.random() < 0.1 else round(float(rng.beta(9, 2 + 0.4 * s)), 1),
                    "hd95_mm": round(float(rng.gamma(2, 4 + s))),
                }
                for region in ("WT", "TC", "ET")
            }
            for i in range(cases)
        }
        for s, name in enumerate(names)
    }


def ranks_by_case(sets: Sets, ties: str) -> tuple[list[str], np.ndarray]:
    """Slow twin: (cases, sets), the mean over regions and metrics of the ranks in a case."""
    names = list(sets)
    rows = []
    for case in sorted(sets[names[0]]):
        found = []
        for region, metric in itertools.product(("WT", "TC", "ET"), ("dice", "hd95_mm")):
            values = [sets[name][case][region][metric] for name in names]
            losses = [1e9 if v is None else -v if metric == "dice" else v for v in values]
            found.append(stats.rankdata(losses, method=ties))
        rows.append(np.mean(found, axis=0))
    return names, np.array(rows)


BY_HAND = {
    "good": [(0.9, 3.0), (0.8, 5.0)],
    "fair": [(0.9, 4.0), (0.7, 4.0)],
    "poor": [(0.5, 9.0), (None, 374.0)],
}
# average: good 1.5 1 1 2, fair 1.5 2 2 1, poor 3 3 3 3; min: the tie at 0.9 is 1 and 1


@pytest.mark.parametrize(("ties", "ranks"), [("average", (5.5 / 4, 6.5 / 4, 3)), ("min", (5 / 4, 6 / 4, 3))])
def test_ranks_by_hand(ties: str, ranks: tuple[float, ...]) -> None:
    found = rank_sets(sets_of(BY_HAND), ties=ties)
    assert [(p.place, p.name) for p in found.places] == [(1, "good"), (2, "fair"), (3, "poor")]
    assert [p.rank for p in found.places] == pytest.approx(ranks)
    assert [(t.better, t.worse) for t in found.tests] == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    assert [t.difference for t in found.tests] == pytest.approx([ranks[1] - ranks[0], ranks[2] - ranks[0], ranks[2] - ranks[1]])


@pytest.mark.parametrize("ties", ["average", "min"])
def test_ranks_are_those_of_a_slow_twin(ties: str) -> None:
    sets = random_sets(23)
    names, expected = ranks_by_case(sets, ties)
    found = rank_sets(sets, ties=ties, permutations=10)
    assert {p.name: p.rank for p in found.places} == pytest.approx(dict(zip(names, expected.mean(0), strict=True)))
    assert [p.rank for p in found.places] == sorted(p.rank for p in found.places)
    assert [p.place for p in found.places] == [1, 2, 3, 4]


@pytest.mark.parametrize("ties", ["average", "min"])
def test_doubled_ranks_are_twice_scipys(ties: str) -> None:
    losses = np.random.default_rng(0).integers(0, 4, (50, 6)).astype(float)
    losses[losses == 3] = np.inf
    np.testing.assert_array_equal(doubled_ranks(losses, ties), 2 * stats.rankdata(losses, method=ties, axis=1))


def test_p_is_the_share_of_all_permutations() -> None:
    """All 2⁹ ways to swap two sets in nine cases, one after the other."""
    sets = random_sets(9, "abc", seed=4)
    names, by_case = ranks_by_case(sets, "average")
    many = 20_000
    found = rank_sets(sets, permutations=many)
    assert len({round(t.p, 2) for t in found.tests}) == 3
    for test in found.tests:
        one, other = (by_case[:, names.index(name)] for name in (test.better, test.worse))
        hits = 0
        for swaps in itertools.product((False, True), repeat=9):
            permuted = [(b, a) if swap else (a, b) for a, b, swap in zip(one, other, swaps, strict=True)]
            apart = abs(sum(a for a, _ in permuted) - sum(b for _, b in permuted))
            hits += apart >= abs(one.sum() - other.sum()) - 1e-9
        share = hits / 2**9
        assert test.p == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / many) + 2 / many)


def test_p_is_never_0_and_counts_the_order_found() -> None:
    better = {"a": [(0.9, 1.0)] * 40, "b": [(0.8, 2.0)] * 40}
    (test,) = rank_sets(sets_of(better), permutations=999).tests
    assert (test.better, test.worse, test.difference, test.p) == ("a", "b", 1, 1 / 1000)
    (test,) = rank_sets(sets_of({name: rows[:1] for name, rows in better.items()})).tests
    assert test.p == 1  # one case: a swap leaves the averages as far apart


def test_equal_sets_share_the_place() -> None:
    same = [(0.9, 1.0), (0.4, 7.0)]
    found = rank_sets(sets_of({"b": same, "worse": [(0.1, 9.0)] * 2, "a": same}))
    assert [(p.place, p.name, p.rank) for p in found.places] == [(1, "a", 1.5), (1, "b", 1.5), (3, "worse", 3)]
    assert (found.tests[0].better, found.tests[0].difference, found.tests[0].p) == ("a", 0, 1)


def test_equal_scores_are_equal_whatever_their_last_bits() -> None:
    found = rank_sets(sets_of({"a": [(0.3, 1.0)], "b": [(0.1 + 0.2, 1.0)]}))
    assert [p.rank for p in found.places] == [1.5, 1.5]


def test_undefined_ranks_last_even_behind_the_worst() -> None:
    table = {"a": [(0.0, 374.0)], "b": [(None, None)], "c": [(None, 1.0)]}
    assert {p.name: p.rank for p in rank_sets(sets_of(table)).places} == {"a": 1.5, "b": (2.5 + 3) / 2, "c": (2.5 + 1) / 2}


def test_what_is_undefined_for_all_decides_nothing() -> None:
    table = {"a": [(0.9, 1.0), (None, 3.0)], "b": [(0.8, 2.0), (None, 3.0)]}
    found = rank_sets(sets_of(table))
    assert [(p.name, p.rank) for p in found.places] == [("a", (1 + 1 + 1.5 + 1.5) / 4), ("b", (2 + 2 + 1.5 + 1.5) / 4)]


def test_a_penalty_decides_its_own_case_only() -> None:
    """One penalty of 374 mm turns a mean, not a ranking: a is better in two of three cases, by a little."""
    table = {"a": [(0.9, 2.0), (0.9, 2.0), (0.0, 374.0)], "b": [(0.8, 3.0), (0.8, 3.0), (0.8, 3.0)]}
    assert rank_sets(sets_of(table)).places[0].name == "a"


def test_the_order_of_cases_and_sets_changes_nothing() -> None:
    sets = random_sets(12)
    del sets["b"]["case004"], sets["d"]["case004"]
    mixed = {name: dict(reversed(sets[name].items())) for name in reversed(sets)}
    assert rank_sets(mixed, permutations=500) == rank_sets(sets, permutations=500)


def test_seeds_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = random_sets(12)
    found = rank_sets(sets, permutations=501, seed=3)
    assert rank_sets(sets, permutations=501, seed=3) == found
    assert rank_sets(sets, permutations=501, seed=4).tests != found.tests
    monkeypatch.setattr(ours, "BLOCK", 100)
    assert rank_sets(sets, permutations=501, seed=3) == found


def test_only_shared_cases_are_ranked_and_inputs_stay() -> None:
    sets = random_sets(6)
    del sets["b"]["case002"]
    before = copy.deepcopy(sets)
    found = rank_sets(sets, regions=["ET"], metrics=["hd95_mm"], permutations=100)
    assert sets == before
    assert (found.regions, found.metrics) == (("ET",), ("hd95_mm",))
    assert found.left_out == {"case002": ("b",)}
    assert "case002" not in found.cases
    for rows in sets.values():
        rows.pop("case002", None)
    assert rank_sets(sets, regions=["ET"], metrics=["hd95_mm"], permutations=100).places == found.places


def test_as_dict_is_plain_and_says_how() -> None:
    found = rank_sets(sets_of(BY_HAND), permutations=77, seed=5).as_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["places"][0] == {"place": 1, "name": "good", "rank": 1.375}
    for word in ("dice, hd95_mm of WT", "2 cases", "ties average", "undefined last", "77 permutations", "seed 5"):
        assert word in found["method"]


@pytest.mark.parametrize(
    ("sets", "options", "error", "text"),
    [
        ({"a": {}}, {}, OptionError, r"^found 1 set of predictions \(a\)"),
        ({"a": {"x": {}}, "b": {"y": {}}}, {}, NoCasesError, "^no case is in all of the sets"),
        (sets_of(BY_HAND), {"ties": "max"}, OptionError, "^ties is 'max'; expected one of: average, min.$"),
        (sets_of(BY_HAND), {"permutations": 0}, OptionError, "^permutations is 0; expected a whole number from 1 to "),
        (sets_of(BY_HAND), {"metrics": ["dice", "predicted_ml"]}, OptionError, "^the metric to compare is 'predicted_ml'"),
        (sets_of(BY_HAND), {"metrics": ["dice", "lesion_dice"]}, OptionError,
         "^lesion_dice is undefined in all 2 cases of all sets; expected a metric that the protocol defines: leave it out.$"),
        (sets_of({"a": [(0.5, float("nan"))], "b": [(0.5, 1.0)]}), {}, ArrayError,
         "^hd95_mm of WT of case case0 in the set a is nan; expected a number"),
    ],
)  # fmt: skip
def test_refusals(sets: Sets, options: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rank_sets(sets, **options)
