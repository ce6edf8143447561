"""Options from signatures, exit codes, tables and progress."""

from __future__ import annotations

import argparse
import email.message
import errno
import io
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pytest

import brats3d
from brats3d import console
from brats3d.console import Progress, silent
from brats3d.console.streams import say
from brats3d.errors import CaseError, OptionError


@dataclass(frozen=True)
class Report:
    """What `shrink` was called with."""

    options: dict[str, Any]
    refused: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {**{k: str(v) for k, v in self.options.items()}, "refused": self.refused}


def shrink(
    model: Path,
    sources: Sequence[Path | str],
    *,
    out: Path,
    label_set: str | None = None,
    codec: Literal["zstd", "gzip"] = "zstd",
    patch_size: tuple[int, int, int] = (64, 80, 64),
    overlap: float = 0.5,
    workers: int | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Report:
    """Make scans smaller by 50%.

    More words, that the help does not show.

    Args:
        model: file of the model,
            which may be a name.
        sources: folders of scans; from Python an array too, or None.
        out: where to.
        overlap: share of a window, 50% is usual.
        codec: how to pack.
        progress: not an option.

    Returns:
        What was done.
    """
    progress("shrinking", 1, 1)
    if str(model) == "bad":
        raise OptionError("the model is bad; expected a good one.")
    refused = {"c2": "c2 has no t1; add it."} if str(model) == "some" else {}
    return Report({"sources": sources, "out": out, "label_set": label_set, "workers": workers, "force": force}, refused)


EXAMPLE = "python -m brats3d.shrink MODEL SCANS --out DIR"


def call(*argv: str) -> int:
    return console.call(shrink, argv, example=EXAMPLE, show=lambda report: f"shrunk to {report.options['out']}")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    logger = logging.getLogger("brats3d")
    level = logger.level
    yield
    logger.setLevel(level)


def parse(*argv: str) -> argparse.Namespace:
    return console.build_parser(shrink, example=EXAMPLE).parse_args(argv)


def test_defaults_are_the_functions_own() -> None:
    options = vars(parse("m", "a", "b", "--out", "o"))
    assert options == {
        "model": Path("m"), "sources": [Path("a"), Path("b")], "out": Path("o"), "label_set": None, "codec": "zstd",
        "patch_size": (64, 80, 64), "overlap": 0.5, "workers": None, "force": False,
        "json": False, "quiet": False, "verbose": False,
    }  # fmt: skip


def test_options_have_the_annotated_types() -> None:
    options = parse(
        "m", "a", "--out", "o", "--label-set", "L17", "--codec", "gzip", "--patch-size", "32", "40", "32",
        "--overlap", "0.25", "--workers", "3", "--force",
    )  # fmt: skip
    assert options.label_set == "L17"
    assert options.codec == "gzip"
    assert list(options.patch_size) == [32, 40, 32]
    assert (options.overlap, options.workers, options.force) == (0.25, 3, True)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["m", "a"], "--out"),
        (["m"], "SOURCES"),
        (["m", "a", "--out", "o", "--codec", "zip"], "invalid choice: 'zip'"),
        (["m", "a", "--out", "o", "--workers", "2.5"], "invalid int value"),
        (["m", "a", "--out", "o", "--over", "1"], "unrecognized arguments: --over"),
        (["m", "a", "--out", "o", "--quiet", "--verbose"], "not allowed with"),
        (["m", "a", "--out", "o", "--progress", "x"], "unrecognized arguments: --progress"),
    ],
)
def test_wrong_options_exit_with_2(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*argv)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


def test_help_shows_example_texts_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Example: {EXAMPLE}" in shown
    assert "Make scans smaller by 50%." in shown
    assert "More words" not in shown
    assert "file of the model, which may be a name." in shown
    assert "folders of scans. " in shown
    assert "from Python" not in shown
    assert "share of a window, 50% is usual. (default: 0.5)" in shown
    assert "how to pack. (default: zstd)" in shown
    assert "not an option" not in shown
    assert "What was done" not in shown


def test_a_result_is_shown_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("m", "a", "--out", "o") == 0
    out, err = capsys.readouterr()
    assert out == "shrunk to o\n"
    assert err == "shrinking: 1 of 1\n"


def test_quiet_reports_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("m", "a", "--out", "o", "--quiet") == 0
    assert capsys.readouterr() == ("shrunk to o\n", "")


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("some", "a", "--out", "o", "--json") == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["out"] == "o"
    assert json.loads(out)["refused"] == {"c2": "c2 has no t1; add it."}
    assert "refused c2: c2 has no t1; add it." in err


@dataclass(frozen=True)
class Cutting:
    """How scans are cut.

    Attributes:
        size: edge of a piece,
            in 10% steps.
        axes: those that are cut; by default the model's.
        mode: how the rim is treated.
        folder: where pieces go.
        deep: cut twice.
        round: round the corners.
        smooth: smooth the pieces; by default as the model says.
    """

    size: int = 8
    axes: tuple[int, ...] | None = None
    mode: Literal["pad", "drop"] = "pad"
    folder: Path | None = None
    deep: bool = False
    round: bool = True
    smooth: bool | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise OptionError(f"size is {self.size}; expected 1 or more.")


@dataclass(frozen=True)
class Cores:
    """Who cuts.

    Attributes:
        workers: processes.
    """

    workers: int | None = 1


def cut(
    scan: Path,
    *,
    out: Path,
    cutting: Cutting = Cutting(mode="drop"),
    changes: Mapping[str, Any] | None = None,
    cores: Cores = Cores(),
) -> Report:
    """Cut a scan.

    Args:
        scan: the scan.
        out: where to.
        cutting: not shown.
        changes: keys to change.
        cores: not shown.
    """
    return Report({"scan": scan, "out": out, "cutting": cutting, "changes": changes, "cores": cores})


def cut_by(argv: Sequence[str], **options: Any) -> dict[str, Any]:
    """Return what `cut` was called with for a command line."""
    seen: list[Report] = []
    shown = {"example": "cut SCAN --out DIR", "show": lambda report: seen.append(report) or ""}
    assert console.call(cut, ["s", "--out", "o", *argv], **shown, **options) == 0
    return seen[0].options


def test_settings_become_an_option_per_field_and_are_built_again() -> None:
    assert cut_by([]) == {
        "scan": Path("s"), "out": Path("o"), "cutting": Cutting(mode="drop"), "changes": None, "cores": Cores(),
    }  # fmt: skip
    argv = ["--size", "3", "--axes", "0", "2", "--mode", "pad", "--folder", "f", "--deep", "--no-round", "--no-smooth"]
    given = cut_by([*argv, "--workers", "4"])
    assert given["cutting"] == Cutting(3, (0, 2), "pad", Path("f"), True, False, False)
    assert given["cores"] == Cores(4)
    assert cut_by(["--axes"])["cutting"].axes == ()  # which is not None
    assert cut_by(["--edge", "5"], names={"size": "edge"}, defaults={"workers": None}) == {
        **cut_by([]), "cutting": Cutting(5, mode="drop"), "cores": Cores(None)
    }  # fmt: skip
    with pytest.raises(OptionError, match="size is 0"):
        cut_by(["--size", "0"])


def test_help_of_settings(capsys: pytest.CaptureFixture[str]) -> None:
    parser = console.build_parser(cut, example="cut SCAN --out DIR", defaults={"size": 9})
    shown = " ".join(parser.format_help().split())
    assert "--size SIZE edge of a piece, in 10% steps. (default: 9)" in shown
    assert "--mode {pad,drop} how the rim is treated. (default: drop)" in shown
    assert "--axes [AXES ...] those that are cut; by default the model's. --mode" in shown
    assert "--folder FOLDER where pieces go. --deep cut twice. --round, --no-round round the corners." in shown
    assert "--changes CHANGES [CHANGES ...] keys to change. --workers" in shown
    assert "not shown" not in shown
    names = ["scan", "out", "size", "axes", "mode", "folder", "deep", "round", "smooth", "changes", "workers"]
    assert [option.name for option in console.options_of(cut)] == names


def test_two_options_of_one_name_are_an_error_of_the_program() -> None:
    def both(workers: int, *, cores: Cores = Cores()) -> None:
        """Do both."""

    with pytest.raises(TypeError, match="both has more than one option workers"):
        console.build_parser(both, example="")


def test_a_mapping_is_read_from_keys_and_values() -> None:
    table: dict[str, Any] = {
        "a.b=30 rate=1e-3": {"a.b": 30, "rate": 1e-3},
        "name=adam flag=true text='true'": {"name": "adam", "flag": True, "text": "true"},
        "regions=WT,TC one=[WT] none=[] mixed=1,x": {"regions": ["WT", "TC"], "one": ["WT"], "none": [], "mixed": [1, "x"]},
        "a=1 a=2 table={x=1} e=a=b": {"a": 2, "table": {"x": 1}, "e": "a=b"},
    }
    for words, value in table.items():
        assert cut_by(["--changes", *words.split()])["changes"] == value, words
    assert cut_by(["--changes", "rate = 1e-3"])["changes"] == {"rate": 1e-3}
    for word in ("epochs", "=3", "epochs=", " = "):
        with pytest.raises(OptionError, match="--changes") as caught:
            cut_by(["--changes", "a=1", word])
        assert repr(word) in str(caught.value)


def test_actions_give_the_commands_own_defaults_to_fields() -> None:
    seen: list[Report] = []
    actions = {"": console.Action(cut, lambda report: seen.append(report) or ""), "talk": console.Action(talk, str)}
    options = {"example": "cut", "prog": "cut", "defaults": {"workers": None, "force": True}}
    assert console.call_action(actions, ["s", "--out", "o"], **options) == 0
    assert seen[0].options["cores"] == Cores(None)


class Said:
    """A result with nothing to say."""

    def as_dict(self) -> dict[str, Any]:
        return {}


def talk(*, force: bool = False) -> Said:
    """Say something at two levels."""
    log = logging.getLogger("brats3d.somewhere")
    log.info("by the way")
    log.warning("mind this")
    return Said()


@pytest.mark.parametrize(
    ("option", "shown"),
    [("--quiet", ""), ("--verbose", "INFO: by the way\nWARNING: mind this\n"), ("--force", "WARNING: mind this\n")],
)
def test_loudness(option: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.call(talk, [option], example="talk", show=lambda said: "said") == 0
    assert capsys.readouterr() == ("said\n", shown)
    assert logging.getLogger("brats3d").level == logging.NOTSET


def raising(problem: BaseException) -> Any:
    def main(argv: Sequence[str] | None) -> int:
        raise problem

    return main


@pytest.mark.parametrize(
    ("problem", "code", "says"),
    [
        (OptionError("epochs is 0; expected 1 or more."), 2, "error: epochs is 0; expected 1 or more.\n"),
        (CaseError("c1 lacks t2."), 3, "error: c1 lacks t2.\n"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
        (console.Terminated("signal 15"), 75, "SIGTERM; what is finished stays. Give the same command again to continue"),
        (MemoryError(), 2, "error: out of memory; what is finished stays: use fewer workers"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 2, "closed the connection; what is finished stays."),
        (
            PermissionError(errno.EACCES, "Permission denied", "out/a.h5"),
            2,
            "error: out/a.h5: Permission denied; check who may read and write there.\n",
        ),
        (OSError(errno.EROFS, "x"), 2, "error: Read-only file system; choose a place that can be written to.\n"),
        (OSError(errno.EIO, "x", "a"), 2, "error: a: Input/output error; check the disk.\n"),
        (OSError(errno.EDQUOT, "x", "a"), 2, "error: a: Disk quota exceeded; free some space"),
        (OSError(errno.EMFILE, "x", "a"), 2, "Too many open files; raise the limit (ulimit -n)"),
        (OSError(errno.EINVAL, "Invalid argument"), 2, "error: Invalid argument"),
        *((OSError(n, "x", "out/a"), 2, f"error: out/a: {os.strerror(n)}") for n in sorted(errno.errorcode)),
        (OSError(-2, "Name or service not known"), 2, "error: Name or service not known.\n"),
        (RuntimeError("Can't write (file write failed: errno = 5, error message = 'x')"), 2, "error: Input/output error;"),
        (RuntimeError("Can't decrement id ref count (errno = 0)"), 1, "This is a bug"),
        (OSError("no number"), 1, "OSError: no number\nThis is a bug in brats3d"),
        (
            ZeroDivisionError("division by zero"),
            1,
            "ZeroDivisionError: division by zero\nThis is a bug in brats3d; please report it to the authors with this text:"
            f" brats3d {brats3d.__version__}, Python {platform.python_version()}, ",
        ),
    ],
)
def test_an_error_becomes_an_exit_code(
    problem: BaseException, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.run(raising(problem)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert ("Traceback" in err) == (code == 1)


def test_run_hands_on_arguments_and_the_code() -> None:
    seen: list[Sequence[str] | None] = []
    assert console.run(lambda argv: seen.append(argv) or 3, ["a"]) == 3
    assert console.run(lambda argv: seen.append(argv) or 0) == 0
    assert seen == [["a"], None]


def test_run_leaves_the_signal_handler_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    console.run(raising(KeyboardInterrupt()))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_bug_is_reported_where_the_package_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known = email.message.Message()
    known["Project-URL"] = "Issues, https://example.org/issues"
    monkeypatch.setattr(metadata, "metadata", lambda name: known)
    assert console.run(raising(ZeroDivisionError())) == 1
    assert "please report it to https://example.org/issues with this text" in capsys.readouterr().err


def test_run_works_in_a_thread_and_beside_a_handler_that_python_did_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(console.run(lambda argv: 3)))
    thread.start()
    thread.join()
    given: list[object] = []
    monkeypatch.setattr(signal, "signal", lambda number, handler: given.append(handler))  # returns None, as for such a handler
    codes.append(console.run(lambda argv: 3))
    assert codes == [3, 3]
    assert given[-1] is signal.SIG_DFL


SLEEPER = """
import signal, sys, time
from brats3d.console import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts jobs in the background has it ignored
def main(argv):
    print("ready", flush=True)
    {body}
    return 0
sys.exit(run(main))
"""


def started(body: str) -> subprocess.Popen[str]:
    script = SLEEPER.format(body=body)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize("body", ["time.sleep(60)", "exec('while True:\\n try: time.sleep(60)\\n except Exception: pass')"])
def test_a_signal_ends_a_real_process(number: signal.Signals, code: int, body: str) -> None:
    process = started(body)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "what is finished stays" in err
    assert "Traceback" not in err


READERLESS = """
import sys, time
from pathlib import Path
from brats3d.console import Progress, call, run, silent
class Result:
    refused = {"c1": "no t1"}
def work(out: Path, *, progress: Progress = silent) -> Result:
    \"\"\"Work on while nobody reads.\"\"\"
    print("ready", flush=True)
    time.sleep(0.5)
    progress("cases", 1, 1)
    out.touch()
    return Result()
def main(argv):
    code = call(work, argv, example="", show=lambda result: "x" * 1000)
    print("goodbye", flush=True)
    return code
sys.exit(run(main, [sys.argv[1]]))
"""


@pytest.mark.parametrize("deaf", [("stdout",), ("stdout", "stderr"), ("stderr",)])
def test_work_goes_on_and_its_code_stays_when_the_reader_goes_away(tmp_path: Path, deaf: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", READERLESS, str(tmp_path / "finished")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for name in deaf:
        getattr(process, name).close()
    out, err = process.stdout, process.stderr
    shown = "" if out.closed else out.read()
    told = "" if err is None or err.closed else err.read()
    assert process.wait(timeout=20) == 3
    assert (tmp_path / "finished").exists()
    assert shown == ("" if "stdout" in deaf else "x" * 1000 + "\ngoodbye\n")
    assert told == ("" if "stderr" in deaf else "cases: 1 of 1\nrefused c1: no t1\n")
    for stream in (out, err):
        if stream is not None:
            stream.close()


@pytest.mark.parametrize(("encoding", "said"), [("utf-8", "p\\udcff, 1 × 2"), ("ascii", r"p\udcff, 1 \xd7 2")])
def test_letters_that_a_stream_does_not_take(encoding: str, said: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    say("p\udcff, 1 × 2", stream)
    assert stream.buffer.getvalue().decode(encoding) == f"{said}\n"  # type: ignore[attr-defined]


def test_a_table() -> None:
    table = console.text_table(["case", "dice", "n"], [["a", 0.98765, 3], ["longer", None, 12]])
    assert table.splitlines() == [
        "case     dice   n",
        "------  -----  --",
        "a       0.988   3",
        "longer      -  12",
    ]


def test_a_table_of_nothing() -> None:
    assert console.text_table(["case", "dice"], []) == "case  dice\n----  ----"


def test_lines_of_progress_come_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    report = console.bar()
    for done in range(1, 6):
        report("cases", done, 5)
        now[0] += 4
    assert capsys.readouterr().err.splitlines() == ["cases: 1 of 5", "cases: 4 of 5", "cases: 5 of 5"]


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    report = console.bar()
    for done in range(4):
        report("cases", done, 3)
    shown = capsys.readouterr().err
    assert "cases: 100%" in shown
    assert "3/3" in shown


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    silent("cases", 1, 1)
    assert capsys.readouterr() == ("", "")
