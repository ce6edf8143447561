"""From an exception to an exit code: the one place where that happens.

0 all done; 1 a bug; 2 it cannot start or go on; 3 some cases were refused, the rest is done; 75 stopped by SIGTERM, can be
resumed; 130 Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

from brats3d.errors import BratsError

EXIT_CODES = {"done": 0, "bug": 1, "cannot": 2, "refused": 3, "terminated": 75, "interrupted": 130}
ISSUES = "https://github.com/brats3d/brats3d/issues"


class Terminated(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt it is no Exception, so nothing swallows it."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(f"signal {number}")


def run(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Call a command's ``main`` and return its exit code; every error becomes a sentence on standard error.

    Args:
        main: takes the arguments (None: the process's own) and returns an exit code.
        argv: arguments handed on.
    """
    # TensorFlow reads this at import; its start-up lines say nothing a user could act on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        return main(argv)
    except BratsError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("stopped by Ctrl-C; what is finished stays.", file=sys.stderr)
        return EXIT_CODES["interrupted"]
    except Terminated:
        print("stopped by SIGTERM; what is finished stays, the same command goes on.", file=sys.stderr)
        return EXIT_CODES["terminated"]
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing to report, and nobody to report it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CODES["done"]
    except Exception:
        traceback.print_exc()
        print(f"This is a bug in brats3d; please report it with the lines above: {ISSUES}", file=sys.stderr)
        return EXIT_CODES["bug"]
    finally:
        signal.signal(signal.SIGTERM, previous)
