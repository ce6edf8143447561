"""Write a manifest of scans whose names are regular, for ``python -m brats3d.preprocess manifest.csv``."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from pathlib import Path

PARTS = ("t1", "t1ce", "t2", "flair", "label")


def expression(pattern: str) -> re.Pattern[str]:
    """Return the expression of a pattern: ``{case}`` and ``{patient}`` name what they say, ``*`` is anything within a name."""
    seen: set[str] = set()
    parts = []
    for piece in re.split(r"(\{case\}|\{patient\}|\*)", pattern):
        name = piece.strip("{}")
        if piece == "*":
            parts.append("[^/]*")
        elif name != piece:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
        else:
            parts.append(re.escape(piece))
    if "case" not in seen:
        raise SystemExit(f"{pattern!r} does not say where the case's name stands; expected {{case}} in it.")
    return re.compile("".join(parts))


def collect(folder: Path, patterns: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return case → part → path from the folder; two files for one part of a case end the program."""
    files = sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)
    cases: dict[str, dict[str, str]] = {}
    for part, pattern in patterns.items():
        wanted = expression(pattern)
        for file in files:
            found = wanted.fullmatch(Path(file).as_posix())
            if not found:
                continue
            row = cases.setdefault(found["case"], {"case": found["case"]})
            row.update(found.groupdict())
            if part in row:
                raise SystemExit(
                    f"case {found['case']} has two files for {part}, {row[part]} and {file}; make the pattern narrower."
                )
            row[part] = file
    return dict(sorted(cases.items()))


def main(arguments: list[str]) -> int:
    """Write FOLDER/manifest.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for part in PARTS:
        parser.add_argument(f"--{part}", metavar="PATTERN", help=f"path of the {part} from the folder, with {{case}} in it")
    parser.add_argument("--label-set", metavar="NAME", help="what the labels' values mean, such as L23")
    options = parser.parse_args(arguments)
    patterns = {part: text for part in PARTS if (text := getattr(options, part))}
    rows = collect(options.folder, patterns)
    if not rows:
        raise SystemExit(f"no file of {options.folder} fits {', '.join(patterns.values()) or 'no pattern'}.")
    target = options.folder / "manifest.csv"
    extra = [name for name in ("patient",) if any(name in row for row in rows.values())]
    header = ["case", *extra, *patterns, *(["label_set"] if options.label_set else [])]
    if target.exists():
        raise SystemExit(f"{target} is there already; move it away first.")
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows({**row, **({"label_set": options.label_set} if options.label_set else {})} for row in rows.values())
    sys.stdout.write(f"{target}: {len(rows)} cases\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
