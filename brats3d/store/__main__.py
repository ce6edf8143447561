"""``python -m brats3d.store``: list or verify a store."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from brats3d.console import call, run, text_table
from brats3d.store.folder import StoreListing, describe_store


def _show(listing: StoreListing) -> str:
    rows = [
        [name, r["corpus"], r["grade"], "×".join(map(str, r["shape"])), r["label_set"],
         " ".join(f"{v}:{ml:g}" for v, ml in r["label_ml"].items()), r["megabytes"]]
        for name, r in listing.cases.items()
    ]  # fmt: skip
    table = text_table(["case", "corpus", "grade", "shape", "label set", "label values: ml", "MB"], rows)
    return f"{table}\n{len(listing.cases)} cases, {len(listing.refused)} damaged"


def main(argv: Sequence[str] | None = None) -> int:
    """List the cases of a store."""
    return call(
        describe_store,
        argv,
        example="python -m brats3d.store STORE --verify",
        show=_show,
        prog="python -m brats3d.store",
        defaults={"workers": None},  # as in brats3d.preprocess
    )


if __name__ == "__main__":
    sys.exit(run(main))
