"""``brats3d NAME …`` and ``python -m brats3d NAME …``: the same as ``python -m brats3d.NAME …``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from brats3d import __version__
from brats3d.console import run
from brats3d.errors import check_option

COMMANDS = {
    "preprocess": "from a folder of scans to a store",
    "store": "list, verify, pack, merge or audit a store",
    "train": "from a store and a recipe to a trained model",
    "predict": "from a model and scans to masks on the scans' grid",
    "evaluate": "from masks and references to scores",
    "demo": "the whole chain on synthetic heads",
}
"""Command → what it does; each is a package with a ``__main__``."""


def _dispatch(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        listed = "\n".join(f"  {name.ljust(width)}  {what}" for name, what in COMMANDS.items())
        print(
            f"usage: brats3d COMMAND ...\n\ncommands (each has --help):\n{listed}\n\nResearch use, not for clinical decisions."
        )
        return 0
    if arguments[0] == "--version":
        print(f"brats3d {__version__}")
        return 0
    check_option("command", arguments[0], COMMANDS)
    module = importlib.import_module(f"brats3d.{arguments[0]}.__main__")
    return int(module.main(arguments[1:]))


def main() -> int:
    """Run the command named by the process's arguments and return its exit code."""
    return run(_dispatch)


if __name__ == "__main__":
    sys.exit(main())
