"""What commands share: options from a function's signature, progress, tables, exit codes.

A command maps one to one onto a function: `call` builds the option parser from the function's signature and docstring, so
option names are the names of parameters, or of the fields of its settings objects, and defaults the function's own unless a
command overrides them. Python takes values, the console makes them from a command line's words; `run` is the only place
that turns errors into exit codes. Only this room and the ``__main__`` modules write to a terminal.
"""

from brats3d.console.actions import Action, call_action
from brats3d.console.arguments import build_parser, call
from brats3d.console.exits import EXIT_CODES, Terminated, run
from brats3d.console.options import options_of
from brats3d.console.progress import Progress, bar, silent
from brats3d.console.text_tables import text_table

__all__ = [
    "EXIT_CODES",
    "Action",
    "Progress",
    "Terminated",
    "bar",
    "build_parser",
    "call",
    "call_action",
    "options_of",
    "run",
    "silent",
    "text_table",
]
__dir__ = __all__.copy
