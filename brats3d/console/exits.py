"""From an exception to an exit code: the one place where that happens.

0 all done; 1 a bug; 2 it cannot start or continue; 3 some cases were refused, the rest is done; 75 stopped by SIGTERM, can be
resumed; 130 Ctrl-C. A refusal by the system, with an error number, is 2: its words say more than our traceback would.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from types import FrameType

from brats3d.console.streams import say
from brats3d.errors import BratsError, system_error, system_words
from brats3d.version import __version__

EXIT_CODES = {"done": 0, "bug": 1, "cannot": 2, "refused": 3, "terminated": 75, "interrupted": 130}
CONTINUE = "what is finished stays. Give the same command again to continue (train: with --resume)."

PERMISSION = "check who may read and write there"
NETWORK = "check the network drive, then give the same command again"
ADVICE: Mapping[int, str] = {
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
    errno.EROFS: "choose a place that can be written to",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or request a larger quota",
    errno.EFBIG: "this drive or a limit (ulimit -f) does not allow files of that size: choose another place",
    errno.EIO: "check the disk",
    errno.ENXIO: "check the disk",
    errno.ENODEV: "check the disk",
    errno.EBUSY: "end the program that uses it, or choose another place",
    errno.ETXTBSY: "end the program that uses it, or choose another place",
    errno.EXDEV: "it is mounted by itself, apart from its folder: choose another place",
    errno.ENOSYS: "this drive cannot do what is needed: choose another place",
    errno.ENOTSUP: "this drive cannot do what is needed: choose another place",
    errno.EINVAL: "this drive cannot do what is needed: choose another place",
    errno.ENOLCK: "this drive cannot do what is needed: choose another place",
    errno.ENOENT: "check the name, and whether it was moved",
    errno.EEXIST: "choose another name",
    errno.EISDIR: "a folder is in the place of a file: choose another name",
    errno.ENOTDIR: "a file is in the place of a folder: choose another place",
    errno.ENOTEMPTY: "empty the folder, or choose another place",
    errno.ELOOP: "a link leads back to itself: remove it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit (ulimit -n), or use fewer workers",
    errno.ENFILE: "end other programs, or use fewer workers",
    errno.EAGAIN: "end other programs, or use fewer workers",
    errno.ENOMEM: "use fewer workers, or a machine with more memory",
    **dict.fromkeys(
        (errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED,
         errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        NETWORK,
    ),
}  # fmt: skip
"""Error number of a refusal by the system → what the user can do about it, if known."""


class Terminated(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt it is not an Exception, so nothing swallows it."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(f"signal {number}")


def run(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Call a command's ``main`` and return its exit code; every error becomes one sentence on standard error.

    Args:
        main: takes the arguments (None: the process's own) and returns an exit code.
        argv: arguments handed on.
    """
    # TensorFlow reads this at import; its start-up lines contain nothing a user could act on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _catching_sigterm():
            return main(argv)
    except KeyboardInterrupt:
        say(f"stopped by Ctrl-C; {CONTINUE}", sys.stderr)
        return EXIT_CODES["interrupted"]
    except Terminated:
        say(f"stopped by SIGTERM; {CONTINUE}", sys.stderr)
        return EXIT_CODES["terminated"]
    except Exception as problem:
        code, sentence = _told(problem)
        if code == EXIT_CODES["bug"]:
            sentence = f"{traceback.format_exc()}{sentence}"
        say(sentence, sys.stderr)
        return code


@contextmanager
def _catching_sigterm() -> Iterator[None]:
    """Let SIGTERM raise `Terminated`; only a process's main thread may set that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)  # None: it was set outside Python


def _told(problem: Exception) -> tuple[int, str]:
    """Return the exit code of an exception and the message for the user."""
    if isinstance(problem, BratsError):
        return problem.exit_code, f"error: {problem}"
    if isinstance(problem, MemoryError):
        return EXIT_CODES["cannot"], (
            "error: out of memory; what is finished stays: use fewer workers, smaller patches, or a machine with more memory."
        )
    if isinstance(problem, BrokenPipeError) and not problem.filename:
        return EXIT_CODES[
            "cannot"
        ], f"error: the program reading the output (or a worker process) closed the connection; {CONTINUE}"
    number = system_error(problem)
    if number is not None:
        advice = f"; {ADVICE[number]}" if number in ADVICE else ""
        return EXIT_CODES["cannot"], f"error: {system_words(problem)}{advice}."
    return EXIT_CODES["bug"], (
        f"This is a bug in brats3d; please report it to {_where_to_report()} with this text: brats3d {__version__},"
        f" Python {platform.python_version()}, {platform.platform()}."
    )


def _where_to_report() -> str:
    """Return the address that the installed package names, or a fallback."""
    try:
        known = metadata.metadata("brats3d")
    except metadata.PackageNotFoundError:
        return "the authors"
    pages = [line.partition(", ")[2] for line in known.get_all("Project-URL") or []]
    return next(iter([*pages, *(known.get_all("Home-page") or [])]), "the authors")
