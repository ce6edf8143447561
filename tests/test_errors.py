"""What may go wrong: exit codes, and sentences that name what was found and what was expected."""

from __future__ import annotations

import errno
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from brats3d import errors
from brats3d.checks.checked import check_names

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.BratsError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_a_class_keeps_its_sentence_and_has_an_exit_code(kind: type[errors.BratsError]) -> None:
    problem = kind("scan.nii: found 3; expected 4.")
    assert str(problem) == "scan.nii: found 3; expected 4."
    assert problem.exit_code == (3 if issubclass(kind, errors.CaseError) else 2)
    copy = pickle.loads(pickle.dumps(problem))  # workers send theirs to the parent process
    assert type(copy) is kind
    assert str(copy) == str(problem)


def test_refused_cases_and_the_rest() -> None:
    refusals = {c.__name__ for c in CLASSES if issubclass(c, errors.CaseError)}
    assert refusals == {"CaseError", "ImageError", "GridError", "LabelError", "StoreError"}


@pytest.mark.parametrize(
    ("word", "allowed", "offer"),
    [
        ("lerning_rate", ["learning_rate", "epochs"], " (did you mean 'learning_rate'?)"),
        ("xyz", ["learning_rate", "epochs"], ""),
        ("L71", ["L17", "L23"], " (did you mean 'L17'?)"),
        ("depth", ["epochs"], ""),
        ("a", [], ""),
    ],
)
def test_the_nearest_word_is_offered(word: str, allowed: list[str], offer: str) -> None:
    assert errors.nearest(word, allowed) == offer


def test_check_option() -> None:
    errors.check_option("codec", "gzip", ["zstd", "gzip"])
    with pytest.raises(errors.OptionError) as caught:
        errors.check_option("codec", "gzp", iter(["zstd", "gzip"]))
    assert str(caught.value) == "codec is 'gzp' (did you mean 'gzip'?); expected one of: zstd, gzip."


@pytest.mark.parametrize("value", ["scans", Path("scans"), 5, None])
def test_a_text_is_no_list(value: object) -> None:
    """Python takes it for its letters."""
    errors.check_list("sources", ("scans",))
    errors.check_list("sources", [])
    shown = "'scans'" if isinstance(value, Path) else repr(value)
    calls: list[Callable[[], object]] = [
        lambda: errors.check_list("sources", value),
        lambda: check_names(value),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(errors.OptionError) as caught:
            call()
        assert f" is {shown}; expected a list, such as [{shown}]." in str(caught.value)


def test_check_keys() -> None:
    errors.check_keys("recipe.toml", ["epochs"], ["epochs", "seed"])
    errors.check_keys("recipe.toml", [], [])
    with pytest.raises(errors.OptionError) as caught:
        errors.check_keys("recipe.toml", ["seed", "epoch"], iter(["epochs", "seed"]))
    assert str(caught.value) == "recipe.toml has an unknown key 'epoch' (did you mean 'epochs'?); known keys: epochs, seed."


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_check_range_takes_both_ends(value: float) -> None:
    errors.check_range("overlap", value, 0, 1)


@pytest.mark.parametrize("value", [-1e-9, 1.1, float("nan"), float("inf"), "0.5", True, None])
def test_check_range_refuses(value: float) -> None:
    with pytest.raises(errors.OptionError, match=r"^overlap is .*; expected a number from 0 to 1\.$"):
        errors.check_range("overlap", value, 0, 1)


def test_a_range_without_an_end_is_said_so() -> None:
    errors.check_range("batches", 1e300, 1)
    with pytest.raises(errors.OptionError, match=r"^batches is 0; expected a number of at least 1\.$"):
        errors.check_range("batches", 0, 1, float("inf"))


@pytest.mark.parametrize("value", [0, 1.0, "1", True, float("nan"), None])
def test_check_whole(value: object) -> None:
    errors.check_whole("depth", 1, 1)
    with pytest.raises(errors.OptionError, match=r"^depth is .*; expected a whole number of at least 1\.$"):
        errors.check_whole("depth", value, 1)  # type: ignore[arg-type]


HDF5 = "Unable to synchronously open object (file read failed: errno = {}, error message = 'Input/output error', offset = 8)"


@pytest.mark.parametrize(
    ("problem", "number", "words"),
    [
        (OSError(errno.EBUSY, "x", "a.h5"), errno.EBUSY, "a.h5: Device or resource busy"),
        (OSError("a.h5 is damaged"), None, ""),
        (KeyError(HDF5.format(5)), errno.EIO, "Input/output error"),
        (OSError(HDF5.format(0)), None, ""),
        (OSError(-3, "Temporary failure in name resolution"), -3, "Temporary failure in name resolution"),
        (ValueError("no number"), None, ""),
    ],
)
def test_the_system_is_told_from_other_faults(problem: Exception, number: int | None, words: str) -> None:
    assert (errors.system_error(problem), errors.system_words(problem)) == (number, words)


@pytest.mark.parametrize("value", [3, -1, 0.0, True, "1", None, float("nan")])
def test_a_whole_number_has_a_range(value: object) -> None:
    errors.check_whole("fold", 2, 0, 2)
    with pytest.raises(errors.OptionError, match=rf"^fold is {value!r}; expected a whole number from 0 to 2\.$"):
        errors.check_whole("fold", value, 0, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [(0, 3), (0.0,), (True,), 1, None, "12", (1, 2, 2)])
def test_check_wholes(values: object) -> None:
    errors.check_wholes("flips", (), 0, 2)
    errors.check_wholes("flips", [2, 1], 0, 2, count=2)
    with pytest.raises(errors.OptionError) as refusal:
        errors.check_wholes("flips", values, 0, 2, count=2)  # type: ignore[arg-type]
    assert str(refusal.value) == f"flips is {values!r}; expected 2 whole numbers from 0 to 2."


@pytest.mark.parametrize(("text", "line"), [("broken.\nread on", "broken"), ("", ""), (" a. ", "a")])
def test_the_first_line_of_an_exception(text: str, line: str) -> None:
    assert errors.first_line(ValueError(text)) == line


def test_check_shapes_equal() -> None:
    errors.check_shapes_equal()
    errors.check_shapes_equal(prediction=(6, 7, 8), reference=(6, 7, 8))
    with pytest.raises(errors.ArrayError, match=r"prediction \(6, 7, 8\), reference \(6, 8, 7\); expected equal"):
        errors.check_shapes_equal(prediction=(6, 7, 8), reference=(6, 8, 7))
